//go:build unix

package all

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
)

// A file whose driver hangs, for which a FIFO stands, costs its own meter alone,
// and that one is not taken for what the rest of its files say.
func TestHangingFile(t *testing.T) {
	var wait sync.WaitGroup
	defer wait.Wait()
	for _, c := range []struct{ name, hangs, meter string }{
		{"a value of hwmon", "sys/class/hwmon/hwmon1/power1_average", "hwmon"},
		{"a label that may say that it is a part", "sys/class/hwmon/hwmon1/power1_oem_info", "hwmon"},
		{"a driver's name", "sys/class/hwmon/hwmon0/name", "hwmon"},
		{"a counter of rapl", "sys/class/powercap/intel-rapl:0/energy_uj", "rapl"},
		{"a limit of rapl", "sys/class/powercap/intel-rapl:0/constraint_0_power_limit_uw", "rapl"},
		{"what tells a guest", "sys/hypervisor/type", "rapl"},
		{"what tells a guest, of procfs", "proc/cpuinfo", "rapl"},
		{"the times of CPUs", "proc/stat", "model"},
		{"what a CPU is", "proc/cpuinfo", "model"},
	} {
		roots := plant(t, zone, acpi, proc)
		path := filepath.Join(filepath.Dir(roots.Sys), c.hangs)
		_ = os.Remove(path) // which may be there
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		t.Cleanup(func() { // who waits goes on
			if w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
				w.Close()
			}
		})
		wait.Go(func() {
			_, sought, err := Open(t.Context(), []string{c.meter}, roots)
			assert.ErrorIs(t, err, power.ErrLate, c.name)
			assert.ErrorContains(t, err, "read "+path+": no answer within 2s", c.name)
			if assert.Len(t, sought, 1, c.name) {
				assert.Equal(t, Refused, sought[0].State, c.name)
			}
			if c.meter != "rapl" { // after which the next one is chosen at once
				return
			}
			meters, sought, err := Open(t.Context(), nil, roots)
			assert.NoError(t, err, c.name)
			if assert.Len(t, meters, 1, c.name) {
				assert.Equal(t, "hwmon", meters[0].Info().Name, c.name)
				assert.NoError(t, meters[0].Close())
			}
			assert.Equal(t, Refused, sought[0].State, c.name)
			assert.Contains(t, sought[0].Detail, path, c.name)
		})
	}
}
