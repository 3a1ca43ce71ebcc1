package harness

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const threadsEnv = "PERWATT_TEST_THREADS"

// TestManyThreads is the child of TestPolicyReachesEveryThread: at each line
// it reads it starts that many more threads and says so.
func TestManyThreads(t *testing.T) {
	if os.Getenv(threadsEnv) == "" {
		t.Skip("only as a child process")
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		n, err := strconv.Atoi(in.Text())
		require.NoError(t, err)
		started := make(chan bool)
		for range n {
			go func() {
				runtime.LockOSThread()
				started <- true
				select {}
			}()
		}
		for range n {
			<-started
		}
		fmt.Println("started")
	}
	os.Exit(0)
}

func TestPolicyReachesEveryThread(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestManyThreads$")
	cmd.Env = append(os.Environ(), threadsEnv+"=1")
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	defer func() {
		require.NoError(t, in.Close())
		require.NoError(t, cmd.Wait())
	}()
	lines := bufio.NewScanner(out)
	startThreads := func(n int) {
		fmt.Fprintln(in, n)
		require.True(t, lines.Scan())
		require.Equal(t, "started", lines.Text())
	}
	pid := cmd.Process.Pid
	mine, err := affinity(0)
	require.NoError(t, err)
	last := mine[len(mine)-1:]

	startThreads(10)
	require.NoError(t, setAffinity(pid, nil), "no CPUs: left as it is")
	cpus, err := affinity(pid)
	require.NoError(t, err)
	require.Equal(t, mine, cpus)

	require.NoError(t, setAffinity(pid, last))
	require.NoError(t, setIdlePolicy(pid))
	for _, more := range []int{0, 10} { // the second time with threads started afterwards
		startThreads(more)
		tasks, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "task"))
		require.NoError(t, err)
		require.Greater(t, len(tasks), 10+more)
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			require.NoError(t, err)
			attr, err := unix.SchedGetAttr(tid, 0)
			require.NoError(t, err)
			require.EqualValues(t, unix.SCHED_IDLE, attr.Policy)
			cpus, err := affinity(tid)
			require.NoError(t, err)
			require.Equal(t, last, cpus)
		}
	}

	group := here.schedulingGroup(pid)
	require.True(t, strings.HasPrefix(group, "/"))
	_, warned := schedulingWarning(Roots{}, os.Getpid(), pid)
	require.False(t, warned, "a child inherits its parent's group")
}

func TestAffinityErrors(t *testing.T) {
	require.ErrorContains(t, setAffinity(0, []int{maxCPU}), "8191")
	require.ErrorIs(t, setIdlePolicy(1<<22+1), os.ErrNotExist)
	seen := 0
	require.NoError(t, eachThread(0, func(int) error { seen++; return unix.ESRCH }), "a thread that has ended")
	require.Positive(t, seen)
	require.ErrorIs(t, eachThread(0, func(int) error { return unix.EPERM }), unix.EPERM)
}

func TestSchedulingGroups(t *testing.T) {
	const (
		v2 = "26 25 0:24 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
		v1 = "31 25 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
	)
	for _, c := range []struct {
		name   string
		files  map[string]string
		groups [2]string // of process 1 and 2
	}{
		{"nothing known", nil, [2]string{"/", "/"}},
		{"one session", map[string]string{
			"proc/sys/kernel/sched_autogroup_enabled": "1\n",
			"proc/1/autogroup":                        "/autogroup-5 nice 0\n",
			"proc/2/autogroup":                        "/autogroup-5 nice 0\n",
		}, [2]string{"/autogroup-5", "/autogroup-5"}},
		{"two sessions", map[string]string{
			"proc/sys/kernel/sched_autogroup_enabled": "1\n",
			"proc/1/autogroup":                        "/autogroup-5 nice 0\n",
			"proc/2/autogroup":                        "/autogroup-6 nice 0\n",
		}, [2]string{"/autogroup-5", "/autogroup-6"}},
		{"two sessions, not grouped", map[string]string{
			"proc/sys/kernel/sched_autogroup_enabled": "0\n",
			"proc/1/autogroup":                        "/autogroup-5 nice 0\n",
			"proc/2/autogroup":                        "/autogroup-6 nice 0\n",
		}, [2]string{"/", "/"}},
		{"two leaves of one group with the controller", map[string]string{
			"proc/sys/kernel/sched_autogroup_enabled": "1\n",
			"proc/self/mountinfo":                     v2,
			"proc/1/cgroup":                           "0::/a/b/x\n",
			"proc/2/cgroup":                           "0::/a/b/y\n",
			"sys/fs/cgroup/a/cpu.weight":              "100\n",
		}, [2]string{"/a", "/a"}},
		{"two groups with the controller", map[string]string{
			"proc/self/mountinfo":          v2,
			"proc/1/cgroup":                "0::/a/x\n",
			"proc/2/cgroup":                "0::/a/y\n",
			"sys/fs/cgroup/a/cpu.weight":   "100\n",
			"sys/fs/cgroup/a/x/cpu.weight": "100\n",
			"sys/fs/cgroup/a/y/cpu.weight": "100\n",
		}, [2]string{"/a/x", "/a/y"}},
		{"version 1, one in the root", map[string]string{
			"proc/sys/kernel/sched_autogroup_enabled": "1\n",
			"proc/self/mountinfo":                     v1,
			"proc/1/cgroup":                           "4:cpu,cpuacct:/fore\n0::/\n",
			"proc/2/cgroup":                           "4:cpu,cpuacct:/\n0::/\n",
			"proc/2/autogroup":                        "/autogroup-9 nice 0\n",
		}, [2]string{"/fore", "/autogroup-9"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range c.files {
				file := filepath.Join(dir, name)
				require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
			}
			r := Roots{Sys: filepath.Join(dir, "sys"), Proc: filepath.Join(dir, "proc"), Root: dir}
			require.Equal(t, c.groups, [2]string{r.schedulingGroup(1), r.schedulingGroup(2)})
			w, warned := schedulingWarning(r, 1, 2)
			require.Equal(t, c.groups[0] != c.groups[1], warned)
			if warned {
				require.Equal(t, "scheduling-groups", w.Code)
				require.Contains(t, w.Text, c.groups[0])
			}
		})
	}
}
