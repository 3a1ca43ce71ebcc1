package harness

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestLimitOf: a process that a limit ended is said to be that, in a sentence
// with the remedy, and what ended otherwise is not.
func TestLimitOf(t *testing.T) {
	const exit2 = syscall.WaitStatus(2 << 8)
	for name, c := range map[string]struct {
		status syscall.WaitStatus
		said   string
		want   string
	}{
		"a thread of the C library": {exit2, "fakecgo: pthread_create failed: 11\nSIGABRT: abort\nPC=0x7ff5562cceec m=0\n\ngoroutine 0 [idle]:\n", `the system refused it a thread ("fakecgo: pthread_create failed: 11"); the limit is`},
		"a thread":                  {exit2, "runtime: failed to create new OS thread (have 5 already; errno=11)\nruntime: may need to increase max user processes (ulimit -u)\nfatal error: newosproc\n", "the system refused it a thread"},
		"a block":                   {exit2, "runtime: out of memory: cannot allocate 272629760-byte block (24739840 in use)\nfatal error: out of memory\n", "the system refused it memory"},
		"metadata":                  {exit2, "fatal error: out of memory allocating heap arena metadata\n", "the system refused it memory"},
		"a reservation":             {exit2, "fatal error: failed to reserve page summary memory\n", "the system refused it memory"},
		"CPU time":                  {syscall.WaitStatus(syscall.SIGXCPU), "", "it used up the CPU time that a process may have"},
		"CPU time, in Go":           {exit2, "SIGXCPU: CPU time limit exceeded\nPC=0x48f5e1 m=0\n", "it used up the CPU time that a process may have"},
		"a long file":               {exit2, "SIGXFSZ: file size limit exceeded\nPC=0x48f5e1 m=0\n", "it wrote a file larger than may be"},
		"a panic":                   {exit2, "panic: runtime error: index out of range [3] with length 3\n", ""},
		"killed":                    {syscall.WaitStatus(syscall.SIGKILL), "", ""},
		"an error":                  {syscall.WaitStatus(3 << 8), "perwatt: no such file\n", ""},
		"well":                      {0, "", ""},
	} {
		got := LimitOf(c.status, time.Second, []byte(c.said))
		if c.want == "" {
			require.Empty(t, got, name)
			continue
		}
		require.Contains(t, got, c.want, name)
		require.NotContains(t, got, "\n", name)
		require.NotContains(t, got, "goroutine", name)
	}
}

func TestLimitOfError(t *testing.T) {
	var r unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &r))
	require.Equal(t, fmt.Sprintf("the limit is %d open files (RLIMIT_NOFILE): raise ulimit -n", r.Cur), LimitOfError(&os.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}))
	for _, err := range []error{syscall.EFBIG, syscall.ENOMEM, &os.PathError{Op: "fork/exec", Path: "x", Err: syscall.EAGAIN}} {
		require.NotEmpty(t, LimitOfError(fmt.Errorf("x: %w", err)), err)
	}
	require.Empty(t, LimitOfError(os.ErrNotExist))
	require.Empty(t, LimitOfError(fmt.Errorf("another process has it open: %w", syscall.EAGAIN)), "a lock")
	require.Empty(t, LimitOfError(&os.PathError{Op: "read", Path: "x", Err: syscall.EAGAIN}), "a driver")
	require.Empty(t, LimitOfError(nil))
}

// TestInForce names what is limited and how it is raised.
func TestInForce(t *testing.T) {
	require.Equal(t, "no limit of this process is in force: the machine itself has no more", inForce())
	var r unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_CORE, &r))
	core := rlimit{unix.RLIMIT_CORE, "RLIMIT_CORE", "-c", 1, "blocks"}
	require.NoError(t, unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 0, Max: r.Max}))
	defer unix.Setrlimit(unix.RLIMIT_CORE, &r)
	require.Equal(t, "the limit is 0 blocks (RLIMIT_CORE): raise ulimit -c", inForce(core))
}
