package stratum

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/results"
)

// Miners that nobody here wrote. Each is taken from PATH, or left out loudly;
// PERWATT_MINERS says for how long each mines (15s).

// client is one of them, while it runs.
type client struct {
	t      *testing.T
	worker *Worker
	api    string // its address

	mu     sync.Mutex
	line   *sync.Cond
	hashes float64 // what it says it has done
	said   int     // how often
	last   []string
}

var clients = []struct {
	name string
	args func(pool, api string) []string
	hear func(c *client, line string) // what it prints
	ask  func(c *client)              // has it say what it has done
}{
	{"minerd", func(pool, _ string) []string {
		return []string{"-a", "sha256d", "-t", "1", "-o", "stratum+tcp://" + pool, "-u", "minerd", "-p", "x"}
	}, func(c *client, line string) {
		// After every scan, which ends with a share.
		if m := regexp.MustCompile(`thread \d+: (\d+) hashes`).FindStringSubmatch(line); m != nil {
			n, _ := strconv.ParseFloat(m[1], 64)
			c.hashes += n
			c.said++
		}
	}, func(c *client) { c.until(1) }},

	{"cpuminer", func(pool, _ string) []string {
		return []string{"--no-color", "-a", "sha256d", "-t", "1", "-s", "1", "-o", "stratum+tcp://" + pool, "-u", "cpuminer", "-p", "x"}
	}, func() func(c *client, line string) {
		// A report on everything since it began; the rate in parentheses is
		// that of hashes over whole seconds, the others are of shares.
		seconds := 0.0
		return func(c *client, line string) {
			if m := regexp.MustCompile(`Periodic Report\s+(?:\d+[dhms]+)+\s+((?:\d+[dhms]+)+)`).FindStringSubmatch(line); m != nil {
				d, err := time.ParseDuration(m[1])
				require.NoError(c.t, err)
				seconds = d.Seconds()
			}
			if m := regexp.MustCompile(`Hash rate .*\(([0-9.]+)([kMG]?)h/s\)`).FindStringSubmatch(line); m != nil {
				n, _ := strconv.ParseFloat(m[1], 64)
				c.hashes = n * map[string]float64{"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[m[2]] * seconds
				c.said++
			}
		}
	}(), func(c *client) {
		// It reports when its difficulty changes.
		w := c.worker
		w.search.mu.Lock()
		// Lower, for a share of the old difficulty is one of the new then.
		w.search.tuner.difficulty /= 2
		w.search.mu.Unlock()
		w.mu.Lock()
		w.renew()
		w.mu.Unlock()
		c.until(1)
	}},

	// Its count is late by as long as it scans, a second of a processor: --log.
	{"bfgminer", func(pool, api string) []string {
		_, port, _ := net.SplitHostPort(api)
		return []string{"-T", "-S", "cpu:auto", "-t", "1", "--algo", "cryptopp", "--log", "5", "--api-listen", "--api-port", port, "-o", "stratum+tcp://" + pool, "-u", "bfgminer", "-p", "x"}
	}, func(*client, string) {}, func(c *client) {
		var conn net.Conn
		require.Eventually(c.t, func() (ok bool) {
			var err error
			conn, err = net.DialTimeout("tcp", c.api, 5*time.Second)
			return err == nil
		}, time.Minute, 50*time.Millisecond, "its API")
		defer conn.Close()
		_, err := io.WriteString(conn, `{"command":"summary"}`)
		require.NoError(c.t, err)
		raw, err := io.ReadAll(conn)
		require.NoError(c.t, err)
		var answer struct {
			Summary []map[string]any `json:"SUMMARY"`
		}
		require.NoError(c.t, json.Unmarshal(raw[:len(raw)-1], &answer), "%s", raw) // the last byte is NUL
		c.hashes = answer.Summary[0]["Total MH"].(float64) * 1e6
	}},
}

// until waits until the client has said something n times more.
func (c *client) until(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	late := time.AfterFunc(time.Minute, c.line.Broadcast)
	defer late.Stop()
	for began, n := time.Now(), c.said+n; c.said < n; c.line.Wait() {
		require.Less(c.t, time.Since(began), time.Minute, "it says nothing: %s", strings.Join(c.last, "\n"))
	}
}

func TestRealMiners(t *testing.T) {
	if testing.Short() {
		t.Skip("mines for minutes")
	}
	span := 15 * time.Second
	if text := os.Getenv("PERWATT_MINERS"); text != "" {
		var err error
		span, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	for _, k := range clients {
		t.Run(k.name, func(t *testing.T) {
			path, err := exec.LookPath(k.name)
			if err != nil {
				t.Skipf("NOT TESTED: %s is not on PATH", k.name)
			}
			joined := make(chan *Worker, 10)
			s, address := pool(t, Config{Expect: 5e6, Joined: func(w *Worker) { joined <- w }}) // without it, a processor is waited for as for an ASIC
			api, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			require.NoError(t, api.Close())
			c := &client{t: t, api: api.Addr().String()}
			c.line = sync.NewCond(&c.mu)
			ctx, cancel := context.WithCancel(context.Background())
			cmd := exec.CommandContext(ctx, path, k.args(address, c.api)...)
			cmd.Dir = t.TempDir()
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			cmd.Stderr = cmd.Stdout
			require.NoError(t, cmd.Start())
			var reading sync.WaitGroup
			reading.Go(func() {
				for in := bufio.NewScanner(out); in.Scan(); {
					c.mu.Lock()
					if c.last = append(c.last, in.Text()); len(c.last) > 30 {
						c.last = c.last[1:]
					}
					k.hear(c, in.Text())
					c.line.Broadcast()
					c.mu.Unlock()
				}
			})
			defer func() { cancel(); reading.Wait(); _ = cmd.Wait() }()

			select {
			case c.worker = <-joined:
			case <-time.After(time.Minute):
				require.Fail(t, "it did not connect", "%s; %+v", strings.Join(c.last, "\n"), s.ProtocolErrors())
			}
			w := c.worker
			began := time.Now()
			require.NoError(t, w.Prepare(t.Context()))
			d, _ := w.Difficulty()
			agent, _ := w.Peer()
			t.Logf("%s: difficulty %g after %.1f s", agent, d, time.Since(began).Seconds())

			k.ask(c)
			before := w.Tally()
			run, stop := context.WithCancel(context.Background())
			done := bench.NewCounter()
			ended := make(chan error)
			go func() { ended <- w.Run(run, done) }()
			time.Sleep(2 * time.Second)
			k.ask(c)
			c.mu.Lock()
			h0 := c.hashes
			c.mu.Unlock()
			n0, _, _ := done.Load()
			per := uint64(w.Shares().Work)
			time.Sleep(span)
			n1, _, _ := done.Load()
			k.ask(c)
			c.mu.Lock()
			h1 := c.hashes
			c.mu.Unlock()
			after := w.Tally()
			stop()
			require.NoError(t, <-ended)

			n := (n1 - n0) / per
			mean := (h1 - h0) / float64(per)
			low, high := results.PoissonInterval(n)
			t.Logf("pool: %d shares, %.4g hashes [%.4g, %.4g at 95 %%]; its counter %.4g, ratio %.3f; probability %.3g; classes %v",
				n, float64(n1-n0), low*float64(per), high*float64(per), h1-h0, float64(n1-n0)/(h1-h0), results.PoissonProbability(n, mean), after.Count)
			require.Greater(t, results.PoissonProbability(n, mean), 1e-6, "its own counter")
			for class := Duplicate; class < classes; class++ {
				require.Equal(t, before.Count[class], after.Count[class], "%v: %s", class, strings.Join(c.last, "\n"))
			}
			for _, check := range w.Check() {
				require.True(t, check.OK, check.Detail)
				t.Log(check.Name, check.Detail)
			}
		})
	}
}
