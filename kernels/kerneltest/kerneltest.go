// Package kerneltest is the conformance suite of a kernel's table, and what the
// tests of all kernels need to go through its rows.
package kerneltest

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels"
	"github.com/perwatt/perwatt/kernels/device/cpu"
)

// CPU is the device that tests run on.
var CPU = cpu.Info()

// Each runs body as a subtest for every row of a table and skips the rows that
// this CPU does not support. [TestTable] compares what counts as supported with
// the operating system, so that no row is skipped where it could run.
func Each[F any](t *testing.T, table *kernels.Table[F], body func(t *testing.T, row kernels.Row[F])) {
	for _, row := range table.Rows {
		t.Run(row.Name, func(t *testing.T) {
			if !row.Supported(CPU) {
				t.Skipf("device %s lacks some of %v", CPU.ID, row.Needs)
			}
			body(t, row)
		})
	}
}

// Required returns the rows that PERWATT_REQUIRE names, separated by commas: a
// run for a certain CPU, real or emulated, lists what it is there to test. It is
// read while tests run, so that go test does not reuse an earlier result
// without it.
func Required() []string {
	if names, ok := os.LookupEnv("PERWATT_REQUIRE"); ok {
		return strings.Split(names, ",")
	}
	return nil
}

// flags are the names that Linux has for the features that rows need.
var flags = map[string]map[string]string{
	"amd64": {
		"SSSE3": "ssse3", "SSE4": "sse4_1", "AVX": "avx", "AVX2": "avx2", "FMA3": "fma", "BMI2": "bmi2", "SHA": "sha_ni",
		"AVX512F": "avx512f", "AVX512BW": "avx512bw", "AVX512VL": "avx512vl",
	},
	"arm64": {"ASIMD": "asimd", "SHA2": "sha2"},
}[runtime.GOARCH]

// TestTable tests a table: names and needs, known answers, work and peak of
// every row. Each of wrong is an implementation that the check must refuse.
func TestTable[F any](t *testing.T, table *kernels.Table[F], wrong ...F) {
	t.Run("rows", func(t *testing.T) {
		seen := map[string]bool{}
		for _, row := range table.Rows {
			require.NotEmpty(t, row.Name)
			require.False(t, seen[row.Name], "two rows have the name %s", row.Name)
			seen[row.Name] = true
			for _, need := range row.Needs {
				if row.Open != nil {
					break // a feature of a GPU
				}
				require.Contains(t, flags, need, "row %s needs a feature that is not compared with the operating system", row.Name)
			}
		}
		generic, err := table.ByName("generic")
		require.NoError(t, err)
		require.True(t, generic.Open == nil && len(generic.Needs) == 0, "generic must run on every CPU")
	})
	t.Run("detection", func(t *testing.T) {
		text, err := os.ReadFile("/proc/cpuinfo")
		_, rest, found := strings.Cut(string(text), map[string]string{"amd64": "\nflags", "arm64": "\nFeatures"}[runtime.GOARCH])
		if err != nil || !found {
			t.Skip("there is no /proc/cpuinfo that lists this CPU's features; under an emulator it is that of the host")
		}
		line, _, _ := strings.Cut(rest, "\n")
		for feature, flag := range flags {
			require.Equal(t, slices.Contains(strings.Fields(line), flag), slices.Contains(CPU.Features, feature), feature)
		}
	})
	t.Run("required", func(t *testing.T) {
		if Required() == nil {
			t.Skip("PERWATT_REQUIRE names no rows")
		}
		for _, name := range Required() {
			_, err := table.Pick(CPU, name)
			require.NoError(t, err)
		}
	})
	t.Run("answers", func(t *testing.T) {
		require.NotEmpty(t, wrong, "whether the check can fail is not tested")
		for i, impl := range wrong {
			require.Error(t, table.Check(impl), "the check accepts wrong answers, number %d", i)
		}
		Each(t, table, func(t *testing.T, row kernels.Row[F]) { require.NoError(t, table.Check(row.Impl)) })
	})
	t.Run("work", func(t *testing.T) {
		require.NotEmpty(t, table.Unit)
		work := table.Work(cpu.Info(), 1<<20)
		Each(t, table, func(t *testing.T, row kernels.Row[F]) {
			require.Positive(t, work(row.Impl))
			if row.Peak != nil {
				require.Positive(t, row.Peak(row.Impl))
			}
		})
	})
}
