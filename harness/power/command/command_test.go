//go:build unix

package command

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
	"github.com/perwatt/perwatt/results"
)

func dial(ctx context.Context, text string, now func() time.Time) (power.Meter, error) {
	s, err := power.ParseSpec("exec:"+text, Options)
	if err != nil {
		return nil, err
	}
	s.Now = now
	return Open(ctx, s)
}

// opened opens a command that has to be one, and sees that nothing is left of
// it in the end: a test has one open at a time, for a child of another would
// be taken for its own.
func opened(t *testing.T, text string) power.Meter {
	t.Helper()
	before := runtime.NumGoroutine()
	m, err := dial(t.Context(), text, nil)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, m.Close())
		nothingLeft(t, before)
	})
	return m
}

func nothingLeft(t *testing.T, goroutines int) {
	t.Helper()
	var status syscall.WaitStatus
	_, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	require.ErrorIs(t, err, syscall.ECHILD, "a child is left, or a zombie")
	for until := time.Now().Add(time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(until), "a goroutine is left")
	}
}

func read(t *testing.T, m power.Meter) power.Reading {
	t.Helper()
	got, err := m.Read(t.Context())
	require.NoError(t, err)
	return got[0]
}

const quick = ",boundary=wall,timeout=600ms"

func TestConformance(t *testing.T) {
	for _, text := range []string{"echo 412.3 W", "echo 12.1 Wh"} {
		powertest.TestMeter(t, func() (power.Meter, error) { return dial(t.Context(), text+quick, nil) })
	}
}

func TestFaults(t *testing.T) {
	for unit, number := range map[string]func(watts, joules float64) float64{
		"W": func(w, _ float64) float64 { return w },
		"J": func(_, j float64) float64 { return j },
	} {
		t.Run(unit, func(t *testing.T) {
			powertest.TestFaults(t, func(t *testing.T) powertest.Rig {
				script := filepath.Join(t.TempDir(), "say")
				does := func(text string) func(time.Duration) {
					return func(time.Duration) { // a shell may still be reading it
						require.NoError(t, os.WriteFile(script+".new", []byte(text+"\n"), 0o600))
						require.NoError(t, os.Rename(script+".new", script))
					}
				}
				var zero time.Duration
				say := func(w, j float64) { does(fmt.Sprintf("echo %v %s", number(w, j), unit))(0) }
				gone := does("echo gone >&2; exit 3")
				return powertest.Rig{
					Open: func(now func() time.Time) (power.Meter, error) { return dial(t.Context(), ". "+script+quick, now) },
					Set:  func(d time.Duration) { say(powertest.RigWatts, powertest.RigWatts*(d-zero).Seconds()) },
					Break: map[string]func(time.Duration){
						"time-out":    does("sleep 10"),
						"wrong type":  does("echo 230 V"),
						"negative":    func(time.Duration) { say(-1, -1) },
						"nan":         does("echo nan " + unit),
						"zero":        func(time.Duration) { say(0, 0) },
						"absurd jump": func(d time.Duration) { say(1e6*powertest.RigWatts, 1e6*powertest.RigWatts*d.Seconds()) },
						"vanish":      gone,
						"restart":     func(d time.Duration) { zero = d; gone(d) },
					},
					Cannot: map[string]string{"clock step": "a line has no clock"},
				}
			})
		})
	}
}

// TestArrival: a line is worth the instant at which it came in, not that at
// which it is read; the newest counts; and none is taken twice.
func TestArrival(t *testing.T) {
	when := filepath.Join(t.TempDir(), "when")
	m := opened(t, "echo 1 W; sleep 0.3; echo 2 W; sleep 0.3; date +%s%N >"+when+"; echo 3 W; sleep 60,period=200ms"+quick)
	var printed time.Time
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(when)
		nanos, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		printed = time.Unix(0, nanos)
		return err == nil && bad == nil
	}, time.Minute, 10*time.Millisecond)
	time.Sleep(3 * time.Second) // however late a busy machine takes the line, it is long before it is read
	asked := time.Now()
	r := read(t, m)
	require.NoError(t, r.Err)
	require.Equal(t, 3.0, r.Value)
	require.Zero(t, r.Slack)
	require.True(t, r.At.Before(asked))
	require.WithinDuration(t, printed, r.At, 2*time.Second)
	require.ErrorIs(t, read(t, m).Err, power.ErrNoNews)
}

// TestRows: lines printed together are one instant of several things. They are
// chosen from or added up as the spec says, never taken for instants.
func TestRows(t *testing.T) {
	const (
		once   = "printf '301.25 W\n61.75 W\n'"
		slow   = "echo 301.25 W; sleep 0.03; echo 61.75 W; sleep 0.03"
		stream = "while :; do printf '301.25 W\\n61.75 W\\n'; sleep 0.2; done"
		head   = "printf 'power.draw [W]\n301.25 W\n61.75 W\n\n'"
	)
	for _, text := range []string{once, slow, stream, head} {
		options := ",boundary=card,timeout=5s,period=2s" // in which those that end do
		if text == stream {
			options = ",boundary=card,timeout=5s,period=200ms"
		}
		_, err := dial(t.Context(), text+options, nil)
		require.ErrorIs(t, err, endpoint.ErrSpec, text)
		require.ErrorContains(t, err, `it prints 2 lines together ("301.25 W", "61.75 W")`, text)
		require.ErrorContains(t, err, "from 1 to 2, or row=sum")
		for row, want := range map[string]float64{"sum": 363, "1": 301.25, "2": 61.75} {
			if text == stream && row != "sum" { // a period to open each
				continue
			}
			m := opened(t, text+options+",row="+row)
			for range 2 {
				r := read(t, m)
				require.NoError(t, r.Err, text)
				require.Equal(t, want, r.Value, text)
			}
			require.Contains(t, m.Info().Notes[0], "2 that it prints together")
			require.NoError(t, m.Close())
		}
	}
	for text, want := range map[string]string{
		once + quick + ",row=3":                       "row=3: must be sum, or a number up to 2",
		once + quick + ",row=0":                       "row=0: must be sum",
		once + quick + ",row=all":                     "row=all: must be sum",
		"printf '5 W\n[N/A]\n'" + quick:               "it prints 2 lines together",
		"printf '[N/A]\n5 W\n'" + quick + ",row=sum":  `"[N/A]" is no reading`,
		"printf '0 W\n5 W\n'" + quick + ",row=sum":    `"0 W" is in no sum`,
		"printf '5 J\n5 W\n'" + quick + ",row=sum":    "it began with J",
		"yes 5 W | head -n 5000" + quick + ",row=sum": "it printed 256 lines or more together",
	} {
		_, err := dial(t.Context(), text, nil)
		require.ErrorContains(t, err, want, text)
	}
	// A stream that never pauses has no reading that is whole.
	began := time.Now()
	c := &command{gap: 50 * time.Millisecond, endless: 500 * time.Millisecond}
	printed := []line{{text: "5 W", came: began}, {text: "6 W", came: began.Add(40 * time.Millisecond)}}
	require.NoError(t, c.endlessly(printed))
	for i := range 20 {
		printed = append(printed, line{text: "7 W", came: began.Add(time.Duration(i+2) * 40 * time.Millisecond)})
	}
	require.ErrorContains(t, c.endlessly(printed), "it printed 22 lines within 500ms and never paused for 50ms: if they are readings one after another, say how often they come with period=")
	// A card that falls silent takes its reading with it.
	n := filepath.Join(t.TempDir(), "n")
	m := opened(t, "echo 5 W; [ -e "+n+" ] || echo 7 W"+quick+",row=sum")
	require.Equal(t, 12.0, read(t, m).Value)
	require.NoError(t, os.WriteFile(n, nil, 0o600))
	require.ErrorContains(t, read(t, m).Err, "it printed 1 lines together, and 2 at first")
	require.NoError(t, m.Close())
	// A stream is not told from rows by how often it speaks, but by its pauses.
	m = opened(t, "i=0; while :; do i=$((i+1)); echo $i W; sleep 0.1; done,boundary=wall,timeout=5s,period=100ms")
	good := 0
	for range 5 { // on a machine that stalls, two may come together
		if read(t, m).Err == nil {
			good++
		}
	}
	require.Positive(t, good)
	require.NoError(t, m.Close())
}

// TestBurst: lines that come slowly one after another, and then none for long,
// are printed together all the same; those that come evenly are not.
func TestBurst(t *testing.T) {
	const text = "echo 301.25 W; sleep 0.06; echo 61.75 W; sleep 60,boundary=card,timeout=5s,period=700ms"
	_, err := dial(t.Context(), text, nil)
	require.ErrorContains(t, err, `it prints 2 lines together ("301.25 W", "61.75 W")`)
	m := opened(t, text+",row=sum")
	require.Contains(t, m.Info().Notes[0], "the sum of the 2 that it prints together")
	for name, c := range map[string]struct {
		now  int
		at   []int
		want time.Duration
	}{
		"none":                     {now: 1000},
		"one":                      {at: []int{0}, now: 1000},
		"two of a loop over cards": {at: []int{0, 100}, now: 1000, want: 150},
		"three, and slow":          {at: []int{0, 200, 400}, now: 1000, want: 300},
		"at once":                  {at: []int{0, 0}, now: 1000},
		"evenly":                   {at: []int{0, 250, 500, 750}, now: 1000},
		"evenly, less often":       {at: []int{0, 600}, now: 1000},
		"evenly, with a stall":     {at: []int{0, 100, 200, 480, 500}, now: 1000},
	} {
		began := time.Now()
		var printed []line
		for _, ms := range c.at {
			printed = append(printed, line{came: began.Add(time.Duration(ms) * time.Millisecond)})
		}
		require.Equal(t, c.want*time.Millisecond, burst(printed, began.Add(time.Duration(c.now)*time.Millisecond)), name)
	}
}

// TestStale: a stream that falls silent is not what it said last.
func TestStale(t *testing.T) {
	d := time.Duration(0)
	start := time.Now()
	m, err := dial(t.Context(), "echo 1 W; sleep 0.02; echo 2 W; sleep 60,boundary=wall,timeout=2s,period=50ms", func() time.Time { return start.Add(d) })
	require.NoError(t, err)
	defer m.Close()
	require.Equal(t, 2.0, read(t, m).Value)
	require.ErrorIs(t, read(t, m).Err, power.ErrNoNews)
	d = 2 * time.Minute
	require.ErrorContains(t, read(t, m).Err, "stale: it has sent nothing new for 2m0s")
}

// TestErrorAsZero: a line that is no reading is none, and the next is.
func TestErrorAsZero(t *testing.T) {
	dir := t.TempDir()
	m := opened(t, "cd "+dir+`; for l in "5 W" "x" "6 J" "0 W" "-1 W" "`+strings.Repeat("9", 300)+` W" "7 W"; do echo "$l"; until [ -e next ]; do sleep 0.01; done; rm next; done`+",boundary=wall,timeout=5s,period=40ms")
	for _, want := range []string{`"x" is no reading: it is to print a number and W`, "it began with W", "0 W is never an answer", "below 0", "at most 256 bytes a line", ""} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "next"), nil, 0o600))
		r := read(t, m)
		if want != "" {
			require.ErrorContains(t, r.Err, want)
			require.True(t, math.IsNaN(r.Value))
			continue
		}
		require.NoError(t, r.Err)
		require.Equal(t, 7.0, r.Value)
	}
}

// TestRunsAgain: a command that ends well is run again for each reading, and
// one that fails at the next but not at once.
func TestRunsAgain(t *testing.T) {
	n := filepath.Join(t.TempDir(), "n")
	m := opened(t, "echo x >> "+n+"; echo $(($(wc -l < "+n+") * 100)) W; [ $(wc -l < "+n+") != 3 ] || { printf 'token=hunter2 \\033[2J broken' >&2; exit 7; }"+quick)
	require.Equal(t, 200.0, read(t, m).Value)
	require.Equal(t, 300.0, read(t, m).Value)
	_, err := m.Read(t.Context())
	require.ErrorContains(t, err, `it ended: exit status 7; it complained "token=…`)
	require.NotContains(t, err.Error(), "\x1b")
	require.NotContains(t, err.Error(), "hunter2")
	runs, err := os.ReadFile(n)
	require.NoError(t, err)
	require.Equal(t, 3, bytes.Count(runs, []byte("\n")), "it is not run again before the next reading")
	require.Equal(t, 400.0, read(t, m).Value)
}

func TestRefused(t *testing.T) {
	before := runtime.NumGoroutine()
	for text, want := range map[string]string{
		"echo 5 W":                                   "boundary= is required, for only you know what the command measures",
		"  ,boundary=wall":                           "there is no command, such as exec:./watts.sh,boundary=wall",
		"echo 5 W,boundary=rack":                     "boundary=rack",
		"echo 5 W,boundary=wall,origin=guessed":      "origin=guessed",
		"echo 5 W,boundary=wall,timeout=1h":          "timeout=1h",
		"echo 5 A" + quick:                           `"5 A" is no reading`,
		"echo 5W" + quick:                            `"5W" is no reading`,
		"echo 5 w" + quick:                           `"5 w" is no reading`,
		"echo 5 W now" + quick:                       `"5 W now" is no reading`,
		"echo password=hunter2" + quick:              `"password=…`,
		"true" + quick:                               "it ended: exit status 0, without a line",
		"printf '0.3 kW'" + quick:                    "its last line lacks a newline and may not be whole",
		"exit 9" + quick:                             "it ended: exit status 9",
		"echo no such meter >&2; false, x=1" + quick: "it complained",
		"sleep 60" + quick:                           "it printed no line and was killed; one that is slower needs a longer timeout=",
		"kill -9 $$" + quick:                         "signal: killed",
		"/nowhere --token=hunter2 x" + quick:         "/nowhere --token=…",
	} {
		_, err := dial(t.Context(), text, nil)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "hunter2")
		nothingLeft(t, before)
	}
}

func TestChannel(t *testing.T) {
	t.Run("no resolution", func(t *testing.T) {
		require.True(t, opened(t, "echo 5 W"+quick).Info().Channels[0].Accuracy.Resolution.IsAbsent())
	})
	m := opened(t, "echo 0.5 kWh # token=hunter2, a comma,boundary=psu,resolution=3600,name=x")
	info := m.Info()
	require.Equal(t, "echo 0.5 kWh # token=…, a comma", info.Source)
	c := info.Channels[0]
	require.Equal(t, results.Counter, c.Kind)
	require.Equal(t, results.PSU, c.Total)
	require.Equal(t, results.Float(3600), c.Accuracy.Resolution)
}

func TestParse(t *testing.T) {
	for text, want := range map[string]reading{
		"412.3 W": {412.3, results.Watt}, "0.41 kW": {410, results.Watt}, "1204.5 J": {1204.5, results.Joule}, "1.3 kJ": {1300, results.Joule},
		"12.1 Wh": {43_560, results.Joule}, "0.3 kWh": {1.08e6, results.Joule}, "  5\tW \r": {5, results.Watt}, "-1 W": {-1, results.Watt},
	} {
		got, err := parse(line{text: text})
		require.NoError(t, err, text)
		require.InDelta(t, want.value, got.value, 1e-6)
		require.Equal(t, want.unit, got.unit)
	}
	for _, bad := range []string{"", "W", "5", "5 ", "5 MW", "5 mW", "5 KW", "5 kwh", "5 W W", "0x5 W", "inf W", "NaN W", "5,3 W", "1_0 W", "5 W;"} {
		_, err := parse(line{text: bad})
		require.Error(t, err, bad)
	}
}

// TestClose: the whole group is killed, also what does not want to be.
func TestClose(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, how := range []string{"close", "context"} {
		ctx, cancel := context.WithCancel(t.Context())
		pid := filepath.Join(t.TempDir(), "pid")
		m, err := dial(ctx, "trap '' TERM INT HUP; sh -c 'echo $$ > "+pid+"; sleep 60' & until [ -s "+pid+" ]; do :; done; echo 5 W; wait,boundary=wall,period=50ms", nil)
		require.NoError(t, err, how)
		if how == "context" {
			cancel()
			goes(t, pid)
		}
		require.NoError(t, m.Close())
		goes(t, pid)
		nothingLeft(t, before)
		cancel()
	}
}

// TestLeftBehind: what a command leaves in the background ends with it,
// whether it holds the output or not.
func TestLeftBehind(t *testing.T) {
	for name, to := range map[string]string{"open": "", "closed": ">/dev/null 2>&1"} {
		t.Run(name, func(t *testing.T) {
			pid := filepath.Join(t.TempDir(), "pid")
			m := opened(t, "[ -e "+pid+" ] || { sleep 60 "+to+" & echo $! > "+pid+"; }; echo 5 W,boundary=wall,timeout=5s")
			require.Equal(t, 5.0, read(t, m).Value, "the second run")
			goes(t, pid)
		})
	}
}

// goes waits for the end of the process whose number is in a file.
func goes(t *testing.T, file string) {
	t.Helper()
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	pid, err := strconv.Atoi(string(bytes.TrimSpace(raw)))
	require.NoError(t, err)
	for until := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		// Who inherits an orphan need not wait for it.
		stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if syscall.Kill(pid, 0) == syscall.ESRCH || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		require.True(t, time.Now().Before(until), "process %d lives on", pid)
	}
}

// TestGivenUp: the end of a read ends no command, neither one that goes on nor
// one that has not come to its line.
func TestGivenUp(t *testing.T) {
	n := filepath.Join(t.TempDir(), "n")
	for name, text := range map[string]string{"goes on": "echo 1 W; sleep 0.4; echo 2 W; sleep 60", "ends": "echo x >> " + n + "; sleep 0.15; echo $(wc -l < " + n + ") W"} {
		t.Run(name, func(t *testing.T) {
			m := opened(t, text+",boundary=wall,timeout=5s,period=200ms")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			time.AfterFunc(50*time.Millisecond, cancel)
			_, err := m.Read(ctx)
			require.ErrorIs(t, err, context.Canceled)
			require.Equal(t, 2.0, read(t, m).Value)
		})
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("412.3 W\n0.3 kWh\nx"), 3)
	f.Add(append(bytes.Repeat([]byte(" "), 254), " 5 W\n7 W\n"...), 100)
	f.Fuzz(func(t *testing.T, raw []byte, cut int) {
		whole := bytes.Split(raw, []byte("\n"))
		var got []line
		l := lines{now: time.Now, tell: func(l line) { got = append(got, l) }}
		cut = min(max(cut, 0), len(raw))
		for _, part := range [][]byte{raw[:cut], raw[cut:]} {
			if n, err := l.Write(part); n != len(part) || err != nil {
				t.Fatal(n, err)
			}
		}
		if len(got) != len(whole)-1 || len(l.rest) > longest {
			t.Fatalf("%d lines of %d, %d bytes are left", len(got), len(whole)-1, len(l.rest))
		}
		for i, g := range got {
			if want := whole[i]; g.long != (len(want) > longest) || g.text != string(want[:min(len(want), longest)]) {
				t.Errorf("%q is not %q", g.text, want)
			}
			r, err := parse(g)
			if err == nil && (math.IsNaN(r.value) || math.IsInf(r.value, 0) || g.long) {
				t.Errorf("%q is %v", g.text, r)
			}
		}
	})
}

// TestModelled: what a command computes is no measurement, and the record says
// so.
func TestModelled(t *testing.T) {
	s, err := power.ParseSpec("exec:echo 5 W,boundary=wall,origin=modelled", Options)
	require.NoError(t, err)
	m, err := Open(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, results.Modelled, m.Info().Channels[0].Origin)
	require.NoError(t, m.Close())
}
