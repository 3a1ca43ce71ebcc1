package ssh_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/perwatt/perwatt/harness/fleet/ssh/sshtest"
)

func TestZZLab(t *testing.T) {
	l := sshtest.New(t)
	for _, n := range []string{"cn1", "cn2", "cn3", "cn4", "cn5"} {
		l.Host(n, "")
	}
	l.At("cn6", 9)
	os.WriteFile("/tmp/joinslab/opts", []byte(strings.Join(l.Options(), "\n")), 0o644)
	fmt.Println(l.Dir)
	for i := 0; i < 3000; i++ {
		if _, err := os.Stat("/tmp/joinslab/stop"); err == nil {
			return
		}
		time.Sleep(time.Second)
	}
}
