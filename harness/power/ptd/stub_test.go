package ptd

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power/powertest"
)

// stub follows the grammar of the PTDaemon as its public clients and their
// logs show it; what it measures is set by a test.
type stub struct {
	address string
	wait    sync.WaitGroup

	mu         sync.Mutex
	listener   net.Listener
	conns      map[net.Conn]bool
	identify   string
	ranges     [4]string // auto, A, auto, V
	refuse     bool      // to set a range
	uncertain  string
	measuring  bool
	unread     string // the last sample, if it was not read yet
	steady     string // what is measured anew at each question, if anything
	hold       time.Duration
	heard      []string
	hello, end string
}

const analyser = "YokogawaWT330,1000,1,1,1,1,0,0,1,version=1.10.0-ed9a21d2-20220817,OS=Linux 5.4.0-120-generic #136~18.04.1-Ubuntu SMP Fri Jun 10 18:00:44 UTC 2022 x86_64,mode=power,1,1,1,0,0,12-Jan-2026,YOKOGAWA;WT333;C2SF14011V;F1.01EM"

func serve(t *testing.T) *stub {
	t.Helper()
	s := &stub{
		address: fmt.Sprintf("127.0.0.1:%d", powertest.FreePort(t, "tcp")), hello: "Hello, PTDaemon here!", end: "\r\n", identify: analyser,
		ranges: [4]string{"1", "0.200000", "0", "300.000000"}, uncertain: "0.006264,0.006105,0.009201,692,0,692,0", conns: map[net.Conn]bool{},
	}
	s.start(t)
	t.Cleanup(func() { s.stop(); s.wait.Wait() })
	return s
}

func (s *stub) start(t *testing.T) {
	l, err := net.Listen("tcp", s.address)
	require.NoError(t, err)
	s.mu.Lock()
	s.listener = l
	s.mu.Unlock()
	s.wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[c] = true
			s.mu.Unlock()
			s.wait.Go(func() { s.serve(c) })
		}
	})
}

// stop goes away; what it measured is lost.
func (s *stub) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listener.Close()
	for c := range s.conns {
		c.Close()
	}
	s.measuring = false
}

func (s *stub) serve(c net.Conn) {
	defer c.Close()
	for in := bufio.NewScanner(c); in.Scan(); {
		answer, hold := s.answer(in.Text())
		time.Sleep(hold)
		if _, err := c.Write([]byte(strings.Join(answer, s.end) + s.end)); err != nil {
			return
		}
	}
}

func (s *stub) answer(command string) ([]string, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, command)
	f := strings.Split(command, ",")
	switch {
	case command == "Hello":
		return []string{s.hello}, 0
	case command == "Identify":
		return []string{s.identify}, 0
	case command == "RR":
		return []string{"Ranges," + strings.Join(s.ranges[:], ",")}, 0
	case command == "Stop":
		s.measuring = false
		return []string{"Stopping untimed measurement"}, 0
	case command == "Uncertainty":
		return []string{"Uncertainty," + s.uncertain}, 0
	case f[0] == "SR" && len(f) == 3 && (f[1] == "A" || f[1] == "V"):
		if s.refuse {
			return []string{"Error in parameter"}, 0
		}
		r := s.ranges[:2]
		if f[1] == "V" {
			r = s.ranges[2:]
		}
		if r[0] = "0"; f[2] == "Auto" {
			r[0] = "1"
		} else {
			r[1] = f[2] + ".000000"
		}
		return []string{"Range " + f[1] + " changed"}, 0
	case f[0] == "Go" && len(f) == 4:
		s.measuring = true
		return []string{"Starting untimed measurement, maximum 500000 samples at " + f[1] + "ms with 0 rampup samples"}, 0
	case command == "RL,1":
		line := s.unread
		if s.unread = ""; s.steady != "" {
			line = s.steady
		}
		if !s.measuring || line == "" {
			return []string{"No unread samples"}, s.hold
		}
		return []string{"Last 1 samples", line}, s.hold
	}
	return []string{"Unknown command"}, 0
}

// line is a sample as the daemon says it.
func line(at time.Time, watts string) string {
	return "Time," + at.Format(layouts[0]) + ",Watts," + watts + ",Volts,228.570000,Amps,3.206430,PF,0.954400"
}

// once has it measure a sample, and always the same at each question; both
// end any fault.
func (s *stub) once(sample string)   { s.set(func() { s.unread, s.steady, s.hold = sample, "", 0 }) }
func (s *stub) always(sample string) { s.set(func() { s.steady, s.hold = sample, 0 }) }

func (s *stub) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// commands are those heard since the last call.
func (s *stub) commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.heard
	s.heard = nil
	return out
}
