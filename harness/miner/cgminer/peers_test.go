package cgminer

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/harness/miner/minertest"
)

// peers are miners that nobody here wrote. No package of Debian has them: they
// are looked for in PATH, by name.
var peers = []struct {
	program string
	args    []string // {port} is where its API listens, {pool} where its pool does
	is      string   // in its model or its firmware
	rate    string   // name of the figure
	mines   bool     // whether it has something to mine with here
}{
	{"cpuminer", []string{"--benchmark", "--algo=sha256d", "--threads=1", "--api-bind=127.0.0.1:{port}"}, "cpuminer-opt", "HS", true},
	{"bfgminer", []string{"--url=stratum+tcp://{pool}", "--userpass=x:x", "--scan=cpu:auto", "--api-listen", "--api-port={port}", "--text-only"}, "bfgminer", "MHS av", true},
	{"cgminer", []string{"--url=stratum+tcp://{pool}", "--userpass=x:x", "--api-listen", "--api-port={port}", "--text-only"}, "CGMiner 4", "MHS av", false},
}

// TestPeers reads real miners until they say a rate.
func TestPeers(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT TESTED in -short: real miners take some seconds to say a rate")
	}
	for _, p := range peers {
		t.Run(p.program, func(t *testing.T) {
			path, err := exec.LookPath(p.program)
			if err != nil {
				t.Skipf("NOT TESTED: %s is not in PATH: build it from its source", p.program)
			}
			port := strconv.Itoa(lowPort(t))
			fill := strings.NewReplacer("{port}", port, "{pool}", pool(t))
			var args []string
			for _, a := range p.args {
				args = append(args, fill.Replace(a))
			}
			ctx, cancel := context.WithCancel(t.Context())
			program := exec.CommandContext(ctx, path, args...)
			program.Dir = t.TempDir()
			require.NoError(t, program.Start())
			defer func() {
				cancel()
				_ = program.Wait()
			}()
			s, err := endpoint.ParseSpec("cgminer:127.0.0.1:"+port+",timeout=10s", Options)
			require.NoError(t, err)
			var d miner.Client
			until(t, func() error {
				d, err = Open(t.Context(), s)
				return err
			})
			defer d.Close()
			require.Contains(t, d.Info().Model+" "+d.Info().Firmware, p.is)
			until(t, func() error {
				a, err := d.Read(t.Context())
				if err != nil {
					return err
				}
				t.Logf("%q, refused %q", minertest.Written(a.Figures), a.Refused)
				for _, f := range a.Figures {
					if f.Name == p.rate && (!p.mines || f.Value.Against(1) > 0) {
						return nil
					}
				}
				return fmt.Errorf("no %s: %q", p.rate, minertest.Written(a.Figures))
			})
		})
	}
}

// lowPort returns a free port below 32768: cgminer keeps it in 15 bits.
func lowPort(t *testing.T) int {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			require.NoError(t, l.Close())
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// until tries for a minute.
func until(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(300 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// pool gives one job and takes every share: without one, cgminer's API does not
// listen.
func pool(t *testing.T) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	job := []any{"1", strings.Repeat("0", 64), "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff0804ffff001d02", "ffffffff0100f2052a01000000015100000000", []string{}, "20000000", "1d00ffff", fmt.Sprintf("%08x", time.Now().Unix()), true}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				out := json.NewEncoder(c)
				for in := bufio.NewScanner(c); in.Scan(); {
					var q struct {
						ID     any
						Method string
					}
					if json.Unmarshal(in.Bytes(), &q) != nil {
						return // bfgminer tries TLS first
					}
					answer := map[string]any{"id": q.ID, "result": nil, "error": []any{20, "not known", nil}}
					switch q.Method {
					case "mining.subscribe":
						answer["result"], answer["error"] = []any{[]any{[]string{"mining.notify", "1"}}, "abcd0001", 4}, nil
					case "mining.authorize", "mining.submit":
						answer["result"], answer["error"] = true, nil
					}
					_ = out.Encode(answer)
					if q.Method == "mining.authorize" {
						_ = out.Encode(map[string]any{"id": nil, "method": "mining.set_difficulty", "params": []float64{0.0005}})
						_ = out.Encode(map[string]any{"id": nil, "method": "mining.notify", "params": job})
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}
