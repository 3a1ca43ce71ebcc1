// Package sshtest starts real sshds for tests: hosts on loopback, with keys of their own.
package sshtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results/site"
)

// Lab is a number of sshds. They are stopped at the end of the test.
type Lab struct {
	Dir     string          // of keys, configuration and homes, the last by the names of the hosts
	Nodes   []site.Node     // in the order in which they were added
	Known   strings.Builder // the client's known hosts
	t       *testing.T
	sshd    string
	config  strings.Builder // of the client
	hostKey string
}

// New makes the keys. Where OpenSSH is missing, the test is skipped, unless PERWATT_PEERS
// is "required": then it fails.
func New(t *testing.T) *Lab {
	t.Helper()
	l := &Lab{t: t, Dir: t.TempDir(), sshd: powertest.Peer(t, "sshd", "openssh-server")}
	powertest.Peer(t, "ssh", "openssh-client")
	if os.Geteuid() == 0 { // an sshd of root demands it; systemd would have made it. It stays: labs of other packages use it meanwhile
		require.NoError(t, os.MkdirAll("/run/sshd", 0o755)) // #nosec G301 -- as systemd makes it
	}
	for _, key := range []string{"host", "user"} {
		out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", l.Path(key)).CombinedOutput() // #nosec G204 -- a test
		require.NoError(t, err, string(out))
	}
	l.Write("authorized", string(l.Read("user.pub")))
	l.hostKey = string(l.Read("host.pub"))
	fmt.Fprintf(&l.config, "Host *\n\tHostName 127.0.0.1\n\tIdentityFile %s\n\tIdentitiesOnly yes\n\tUserKnownHostsFile %s\n\tStrictHostKeyChecking yes\n\tKexAlgorithms curve25519-sha256\n", l.Path("user"), l.Path("known"))
	return l
}

// Path is that of a file of the lab.
func (l *Lab) Path(name string) string { return filepath.Join(l.Dir, name) }

// Read reads a file of the lab.
func (l *Lab) Read(name string) []byte {
	l.t.Helper()
	b, err := os.ReadFile(l.Path(name))
	require.NoError(l.t, err)
	return b
}

// Write writes a file of the lab, which may be a program, and returns its path.
func (l *Lab) Write(name, text string) string {
	l.t.Helper()
	require.NoError(l.t, os.MkdirAll(filepath.Dir(l.Path(name)), 0o755))  // #nosec G301 -- of a test
	require.NoError(l.t, os.WriteFile(l.Path(name), []byte(text), 0o755)) // #nosec G306 -- scripts
	return l.Path(name)
}

// At adds a node that is reached at a port, whatever answers there.
func (l *Lab) At(name string, port int) {
	l.Nodes = append(l.Nodes, site.Node{Name: name})
	fmt.Fprintf(&l.Known, "[127.0.0.1]:%d %s", port, l.hostKey)
	fmt.Fprintf(&l.config, "Host %s\n\tPort %d\n", name, port)
}

// Host starts an sshd whose users have the home directory NAME. Programs of the directory
// NAME/bin come before those of the system; force, if any, is what runs in place of what the
// client asks for. The host says that its kernel is another one than that of the others.
func (l *Lab) Host(name, force string) {
	l.t.Helper()
	port := powertest.FreePort(l.t, "tcp")
	sum := sha256.Sum256([]byte(name))
	l.Write(name+"/bin/cat", fmt.Sprintf("#!/bin/sh\n[ \"$*\" = /proc/sys/kernel/random/boot_id ] && echo %x-%x-%x-%x-%x || exec /bin/cat \"$@\"\n", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16]))
	text := fmt.Sprintf("Port %d\nListenAddress 127.0.0.1\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nMaxStartups 100\nSetEnv HOME=%s PATH=%s:/usr/local/bin:/usr/bin:/bin\n",
		port, l.Path("host"), l.Path("authorized"), l.Path(name), l.Path(name+"/bin"))
	if force != "" {
		text += "ForceCommand " + l.Write(name+"/force", "#!/bin/sh\n"+force) + "\n"
	}
	cmd := exec.Command(l.sshd, "-D", "-e", "-f", l.Write(name+"/sshd_config", text)) // #nosec G204 -- a test
	var said bytes.Buffer
	cmd.Stderr = &said
	require.NoError(l.t, cmd.Start())
	l.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if l.t.Failed() && os.Getenv("SSHD_LOG") != "" {
			l.t.Logf("sshd of %s: %s", name, said.Bytes())
		}
	})
	Eventually(l.t, name+" listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	l.At(name, port)
}

// Alias adds another name of the host that was added last.
func (l *Lab) Alias(name string) {
	config := l.config.String()
	l.Nodes = append(l.Nodes, site.Node{Name: name})
	fmt.Fprintf(&l.config, "Host %s\n\tPort%s", name, config[strings.LastIndexByte(config, ' '):])
}

// Silent starts a server that accepts connections and says nothing.
func (l *Lab) Silent(name string) {
	l.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(l.t, err)
	l.t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			l.t.Cleanup(func() { _ = c.Close() })
		}
	}()
	l.At(name, listener.Addr().(*net.TCPAddr).Port)
}

// Options are those of ssh for the hosts that were added so far.
func (l *Lab) Options() []string {
	l.t.Helper()
	l.Write("known", l.Known.String())
	return []string{"-F", l.Write("config", l.config.String())}
}

// Eventually waits for a state, however slow the machine is.
func Eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for range 7500 {
		if is() {
			return
		}
		time.Sleep(40 * time.Millisecond)
	}
	t.Fatal("not within minutes: " + what)
}
