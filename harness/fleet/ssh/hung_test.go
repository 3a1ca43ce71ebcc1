package ssh

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/ssh/sshtest"
	"github.com/perwatt/perwatt/results/site"
)

// client stands for ssh: the host of a name is a home directory here, and some hang. It
// writes down whom it was asked for.
const client = `#!/bin/sh
for command; do [ "$before" = -- ] && host=$command; before=$command; done
echo "$host" >>%[1]s/asked
case $host in
hung*) exec sleep 600 ;;
late*) sleep 1 ;;
esac
export HOME=%[1]s/$host
unset XDG_CACHE_HOME
mkdir -p "$HOME" && cd || exit
sh -c "$command"
[ $host = lingers ] && exec sleep 600
`

// pretend makes an engine for hosts that are homes of this machine, which have the binary.
func pretend(t *testing.T, o Options, names ...string) (l *lab, e *Engine, asked func() map[string]int) {
	l = &lab{&sshtest.Lab{Dir: t.TempDir()}, t}
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(l.Path(name)), 0o755))
		require.NoError(t, os.WriteFile(l.Path(name), []byte(text), 0o755))
	}
	write("bin/ssh", fmt.Sprintf(client, l.Dir))
	t.Setenv("PATH", l.Path("bin")+":"+os.Getenv("PATH"))
	for _, name := range names {
		o.Nodes = append(o.Nodes, site.Node{Name: name})
	}
	o.Quiet = 100 * time.Millisecond
	e, err := New(o)
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	l.installed(e, names...)
	return l, e, func() map[string]int {
		n := map[string]int{}
		text, _ := os.ReadFile(l.Path("asked"))
		for name := range strings.FieldsSeq(string(text)) {
			n[strings.TrimRight(name, "0123456789")]++
		}
		return n
	}
}

// However many hosts hang, the others are asked as often as before, once it is known.
func TestHungHostsHaveFewClients(t *testing.T) {
	names, ids := []string{"good"}, []string{"lab/good/1"}
	for i := range 12 {
		names, ids = append(names, fmt.Sprintf("hung%d", i)), append(ids, fmt.Sprintf("lab/hung%d/1", i))
	}
	l, e, asked := pretend(t, Options{Parallel: 4, Connect: time.Second, Timeout: time.Second}, names...)
	require.NoError(t, os.MkdirAll(l.Path("good/.cache/perwatt/fleet/lab/good/1"), 0o755)) // it is being started
	until := func(what string, is func(map[string]int) bool) map[string]int {
		sshtest.Eventually(t, what, func() bool {
			_, err := e.Jobs(t.Context(), ids)
			require.NoError(t, err)
			return is(asked())
		})
		return asked()
	}
	before := until("each was asked", func(n map[string]int) bool { return n["hung"] >= 12 && n["good"] >= 1 })
	after := until("the good one is asked", func(n map[string]int) bool { return n["good"] >= before["good"]+6 })
	require.Less(t, after["hung"]-before["hung"], 24, "the hung ones would have 4 clients of 4")
}

// Hosts that hang, more than there are clients, delay neither the end of the jobs of others
// nor what ends the wait: they are waited for together, and named as what may go on.
func TestCancelOfHungHosts(t *testing.T) {
	names, hung := []string{"good", "late"}, []string(nil)
	for i := range 12 {
		names, hung = append(names, fmt.Sprintf("hung%02d", i)), append(hung, fmt.Sprintf("lab/hung%02d/1", i))
	}
	l, e, _ := pretend(t, Options{Parallel: 2, Connect: 2 * time.Second, Timeout: 10 * time.Second}, names...)
	good, late := l.submit(e, l.job("good", 1, "stay")), l.submit(e, l.job("late", 1, "stay"))
	l.reach(e, fleet.Started, good, late) // it answers, though late
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- e.Cancel(t.Context(), append([]string{good.ID, late.ID}, hung...)) }()
	l.reach(e, fleet.Ended, good, late)
	select {
	case err := <-ended:
		t.Fatalf("it did not wait for the host that hangs: %v", err)
	default:
	}
	var but fleet.Unconfirmed
	require.ErrorAs(t, <-ended, &but)
	require.Less(t, time.Since(began), 40*time.Second, "one after the other, two at a time, they take a minute")
	require.Equal(t, hung, but.Jobs)
	require.Regexp(t, `^jobs may go on where their end was not confirmed: hung00: no answer within 10s; .*hung07: no answer within 10s; and 4 more hosts$`, but.Reason)
}

// A connection that does not end though its host said all is ended here: the job runs.
func TestConnectionThatLingers(t *testing.T) {
	l, e, _ := pretend(t, Options{Timeout: time.Second}, "lingers")
	j := l.submit(e, l.job("lingers", 1, "record"))
	l.reach(e, fleet.Ended, j)
	require.NoError(t, e.Fetch(t.Context(), j))
	require.Equal(t, "lingers", l.record(j).Plan.Fleet.Node)
}

// A job whose start still waited for a client when perwatt ended was no attempt. One that
// ran, and of which its host knows nothing any more, is lost.
func TestJobsThatTheHostDoesNotKnow(t *testing.T) {
	l, e, _ := pretend(t, Options{}, "good")
	never := fleet.Job{ID: "lab/good/1"}
	require.True(t, l.reach(e, fleet.Ended, never)[never.ID].Again)
	ran := l.submit(e, l.job("good", 2, "stay"))
	l.reach(e, fleet.Started, ran)
	jobs := l.Path("good/.cache/perwatt/fleet")
	require.NoError(t, os.Rename(jobs, l.Path("moved")))
	sshtest.Eventually(t, "it is gone", func() bool {
		known, err := e.Jobs(t.Context(), []string{ran.ID})
		require.NoError(t, err)
		return len(known) == 0
	})
	require.NoError(t, os.Rename(l.Path("moved"), jobs))
	require.NoError(t, e.Cancel(t.Context(), []string{ran.ID}))
}

// A host that does not answer when a record is fetched may do so later; one that sends no
// archive is refused.
func TestFetchFromHungHost(t *testing.T) {
	l, e, _ := pretend(t, Options{Timeout: time.Second}, "hung")
	require.ErrorIs(t, e.Fetch(t.Context(), l.job("hung", 1)), fleet.ErrAway)
}

// A copy of the binary that is cut off leaves nothing on the host, also where nobody hears
// what the script says.
func TestCopyCutOff(t *testing.T) {
	home := t.TempDir()
	cmd := exec.Command("sh", "-c", installing(strings.Repeat("0", 64), 1000)) // #nosec G204 -- a test
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}
	cmd.Stdin = strings.NewReader("half")
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, out.Close())
	_ = cmd.Run() // by SIGPIPE
	left, err := os.ReadDir(filepath.Join(home, ".cache/perwatt/bin"))
	require.NoError(t, err)
	require.Empty(t, left)
}
