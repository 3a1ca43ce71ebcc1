package stratum

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
)

// plug connects a client to a pool through memory, in a bubble of time, and
// returns its end and when the pool hung up.
func plug(t *testing.T, s *Server) (client net.Conn, gone func() time.Duration) {
	began := time.Now()
	client, server := net.Pipe()
	c := s.admit(server)
	require.NotNil(t, c)
	over := make(chan time.Duration, 1)
	go func() { c.serve(); over <- time.Since(began) }()
	return client, func() time.Duration { return <-over }
}

// drain reads what the pool says until it hangs up.
func drain(c net.Conn) chan string {
	all := make(chan string, 1)
	go func() { b, _ := io.ReadAll(c); all <- string(b) }()
	return all
}

const hello = `{"id":1,"method":"mining.subscribe","params":["a/1"]}` + "\n" + `{"id":2,"method":"mining.authorize","params":["w"]}` + "\n"

// What clients do that are none, and when the pool has had enough of it.
func TestHostileClients(t *testing.T) {
	dribble := func(every time.Duration) func(c net.Conn) {
		return func(c net.Conn) {
			for i := 0; ; i++ {
				if _, err := c.Write([]byte(`{"id":1,"method":"mining.subscribe","params":["` + strings.Repeat("a", 1000))[i%1000 : i%1000+1]); err != nil {
					return
				}
				time.Sleep(every)
			}
		}
	}
	send := func(lines string) func(c net.Conn) { return func(c net.Conn) { _, _ = io.WriteString(c, lines) } }
	for _, h := range []struct {
		name   string
		do     func(c net.Conn)
		at     time.Duration // when it is over
		hears  string
		silent bool   // it hears nothing at all
		told   string // to who looks on
	}{
		{"says nothing", func(net.Conn) {}, helloLimit, "", true, "named no worker within 30s"},
		{"a byte a second", dribble(time.Second), helloLimit, "", true, "named no worker within 30s"},
		{"a byte every 40 s", dribble(40 * time.Second), helloLimit, "", true, "named no worker within 30s"},
		{"TLS", send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\n"), 0, "", true, "TLS hello"},
		{"HTTP", send("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0, "", true, "no JSON"},
		{"binary", send("\x00\xff\xfe\x01\x02"), 0, "", true, "no JSON"},
		{"a line of a mebibyte", send("{" + strings.Repeat("x", 1<<20)), 0, "", true, "more than 4096 bytes"},
		{"a line of a mebibyte, later", send(hello + strings.Repeat("[", 1<<20)), 0, "mining.notify", false, "more than 4096 bytes"},
		{"empty lines only", func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "\n\r\n  \n"); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}, helloLimit, "", true, "named no worker within 30s"},
		{"junk in lines", send(strings.Repeat("{\x00\xff\n", 100)), 0, "Not a request", false, "lines that are no request"},
		{"deep JSON", send(`{"id":1,"method":"a","params":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + "}\n" + strings.Repeat("{\n", maxBad)), 0, "Not a request", false, "lines that are no request"},
		{"subscribes, and no more", send(strings.SplitAfter(hello, "\n")[0]), helloLimit, "mining.set_difficulty", false, "named no worker within 30s"},
		{"a name, and no more", send(hello), idleLimit, "mining.notify", false, "nothing for 10m"},
	} {
		t.Run(h.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []string
				s, err := New(Config{Difficulty: 1, Notice: func(address, text string) { told = append(told, address+": "+text) }})
				require.NoError(t, err)
				c, gone := plug(t, s)
				said := drain(c)
				var doing sync.WaitGroup
				doing.Go(func() { h.do(c) })
				require.InDelta(t, h.at.Seconds(), gone().Seconds(), 2)
				require.NoError(t, c.Close())
				doing.Wait()
				all := <-said
				require.Contains(t, all, h.hears)
				require.Equal(t, h.silent, all == "")
				require.Less(t, len(all), 1<<16)
				require.Equal(t, uint64(1), s.ProtocolErrors().Dropped)
				require.Contains(t, told[len(told)-1], "pipe: turned away: ")
				require.Contains(t, told[len(told)-1], h.told)
				require.Empty(t, s.conns)
				require.Empty(t, s.addresses)
				for _, w := range s.Workers() {
					require.False(t, w.Connected())
				}
			})
		})
	}
}

// A client that does not take what it is sent holds nobody up but itself, and
// that not for long.
func TestDeafClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Difficulty: 1})
		require.NoError(t, err)
		c, gone := plug(t, s)
		_, err = io.WriteString(c, hello)
		require.NoError(t, err)
		require.InDelta(t, writeLimit.Seconds(), gone().Seconds(), 1)
		require.Empty(t, s.conns)
		c.Close()
	})
}

// A flood of shares is read at a bounded rate, whatever they are, and is
// against the device.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Difficulty: 1})
		require.NoError(t, err)
		c, gone := plug(t, s)
		said := drain(c)
		_, err = io.WriteString(c, hello)
		require.NoError(t, err)
		began, n := time.Now(), 0
		for time.Since(began) < time.Minute {
			_, err := fmt.Fprintf(c, `{"id":%d,"method":"mining.submit","params":["w","1","%08x","%08x","%08x"]}`+"\n", n, n, n, n)
			require.NoError(t, err)
			n++
		}
		require.InDelta(t, burst+60*perSecond, n, burst/10+100)
		w := s.Workers()[0]
		require.InDelta(t, n, w.Tally().Count[Time], 2)
		require.False(t, w.Check()[4].OK)
		c.Close()
		gone()
		<-said
		require.Less(t, len(w.tally.Count), 64)
	})
}

// Names that hand in nothing take no place from a device, however many there
// are, and are gone when they leave; who mines has its place.
func TestPlaces(t *testing.T) {
	var notices, joined []string
	s, err := New(Config{
		Difficulty: 0x1p-22, Workers: 2, Joined: func(w *Worker) { joined = append(joined, w.Name()) },
		Notice: func(address, text string) { notices = append(notices, address+": "+text) },
	})
	require.NoError(t, err)
	arrive := func(name string) *talk {
		k := talkTo(t, s)
		k.m.Name = name
		k.ask("mining.subscribe", `[]`)
		require.Equal(t, "true", k.ask("mining.authorize", fmt.Sprintf("[%q]", name)))
		return k
	}
	share := func(k *talk) string {
		k.extra++
		return k.submit(k.mine(1, k.extra)[0])
	}
	var stay []*talk
	for i := range 1100 {
		k := arrive(fmt.Sprintf("junk%d", i))
		if i%10 == 0 {
			stay = append(stay, k)
		} else {
			k.s.close(k.now)
		}
	}
	require.Len(t, s.Workers(), len(stay), "those that left have left nothing")
	first := arrive("honest")
	require.Equal(t, "true", share(first))
	require.Equal(t, []string{"honest"}, joined)
	second := arrive("other")
	require.Equal(t, "true", share(second))
	require.Equal(t, "true", share(second))
	third := arrive("late")
	require.Equal(t, "24", share(third), "all places are taken by who mines")
	require.Contains(t, notices[len(notices)-1], "192.0.2.1: turned away: there are 2 workers")
	// A place is given back by who is gone and is not measured.
	second.s.worker.done, second.s.worker.flow.begun = bench.NewCounter(), second.now
	second.s.close(second.now)
	require.Equal(t, "24", share(third))
	second.s.worker.done = nil
	require.Equal(t, "true", share(third))
	require.Equal(t, []string{"honest", "other", "late"}, joined)
	for _, k := range stay {
		k.s.close(k.now)
	}
	require.Len(t, s.Workers(), 2)
	require.Empty(t, s.names)

	// One address has no more than its part of very many places, or of names.
	s, err = New(Config{Difficulty: 0x1p-22, Workers: manyPlaces, Connections: 100})
	require.NoError(t, err)
	var all []*talk
	for i := range 75 {
		all = append(all, arrive(fmt.Sprint(i)))
	}
	require.Equal(t, "24", talkTo(t, s).ask("mining.authorize", `["76"]`))
	for i, k := range all {
		require.Equal(t, i < manyPlaces*3/4, share(k) == "true", i)
	}
	elsewhere := talkTo(t, s)
	elsewhere.s.address = "192.0.2.2"
	elsewhere.begin()
	require.Equal(t, "true", share(elsewhere))
}

// comes is a device that has subscribed and authorised.
func comes(t *testing.T, s *Server, name, address string, now time.Time) *talk {
	k := talkTo(t, s)
	k.m.Name, k.s.address, k.now = name, address, now
	k.ask("mining.subscribe", `[]`)
	require.Equal(t, "true", k.ask("mining.authorize", fmt.Sprintf("[%q]", name)))
	return k
}

// A place that is needed is that of whoever has been quiet for longest, and longer
// than its own shares explain: a share and silence keep none. Who mines again after
// that comes as another worker.
func TestQuietPlaces(t *testing.T) {
	const places = 4
	for _, c := range []struct {
		name string
		set  func(w *Worker) // all that have a place
		may  time.Duration   // they be quiet
	}{
		{"one share", func(*Worker) {}, hush},
		{"one share, and the warm-up runs", func(w *Worker) { w.done = bench.NewCounter() }, hush},
		{"shares while a difficulty is looked for", func(w *Worker) { w.shares = 2 }, mute},
		{"a share a second", func(w *Worker) { w.shares, w.flow = 61, flow{n: 60, active: time.Minute} }, mute},
		{"a share in 20 s", func(w *Worker) { w.shares, w.flow = 61, flow{n: 60, active: 20 * time.Minute} }, 200 * time.Second},
		{"a share in an hour", func(w *Worker) { w.shares, w.flow = 3, flow{n: 2, active: 2 * time.Hour} }, idleLimit},
		{"a window", func(w *Worker) { w.done, w.flow = bench.NewCounter(), flow{begun: time.Now()} }, idleLimit},
		{"it is gone", func(w *Worker) { clear(w.sessions) }, 0},
		{"it is gone in the warm-up", func(w *Worker) { w.shares, w.done = 100, bench.NewCounter(); clear(w.sessions) }, 0},
		{"it is gone in a window", func(w *Worker) {
			clear(w.sessions)
			w.done, w.flow = bench.NewCounter(), flow{begun: time.Now()}
		}, idleLimit},
	} {
		t.Run(c.name, func(t *testing.T) {
			var joined []string
			s, err := New(Config{Difficulty: 0x1p-22, Workers: places, Joined: func(w *Worker) { joined = append(joined, w.Name()) }})
			require.NoError(t, err)
			began := time.Now()
			arrive := func(name string, after time.Duration) *talk { return comes(t, s, name, "192.0.2.1", began.Add(after)) }
			share := func(k *talk) string {
				k.due(0)
				k.extra++
				return k.submit(k.mine(1, k.extra)[0])
			}
			var all []*talk
			for i := range places { // the second is the first to be quiet
				k := arrive(fmt.Sprint(i), time.Duration((i+places-1)%places)*time.Millisecond)
				require.Equal(t, "true", share(k))
				c.set(k.s.worker)
				all = append(all, k)
			}
			first, late := all[1], arrive("late", c.may-time.Millisecond)
			if c.may > 0 {
				require.Equal(t, "24", share(late))
				require.Len(t, joined, places)
			}
			late.now = began.Add(c.may)
			require.Equal(t, "true", share(late))
			require.Equal(t, "late", joined[places])
			for i, k := range all {
				select {
				case <-k.s.worker.Lost():
					require.Equal(t, 1, i)
				default:
					require.NotEqual(t, 1, i)
				}
			}
			require.Len(t, s.Workers(), places)
			require.Len(t, s.placed, places)

			// It comes again: there is no place, and then there is.
			was := first.s.worker
			first.now = late.now
			if c.may > 0 {
				require.Equal(t, "24", share(first))
			}
			first.now = late.now.Add(time.Second)
			require.Equal(t, "true", share(first))
			require.NotSame(t, was, first.s.worker)
			require.Equal(t, "1", joined[places+1])
			require.Equal(t, uint64(1), first.s.worker.Tally().Count[Accepted])
			require.Zero(t, was.Tally().Count[Accepted]-1, "what it hands in is not the other's")
		})
	}
}

// Names with a share each from one address cost that address no newcomer, and from
// many addresses nobody.
func TestPlacesByAddress(t *testing.T) {
	for _, addresses := range []int{1, 200} {
		s, err := New(Config{Difficulty: 0x1p-22, Workers: manyPlaces})
		require.NoError(t, err)
		now, taken := time.Now(), 0
		share := func(name, address string) string {
			k := comes(t, s, name, address, now)
			return k.submit(k.mine(1, 1)[0])
		}
		for i := range 500 {
			if share(fmt.Sprint(i), fmt.Sprint("192.0.2.", i%addresses)) == "true" {
				taken++
			}
		}
		require.Equal(t, map[int]int{1: manyPlaces * 3 / 4, 200: manyPlaces}[addresses], taken)
		now = now.Add(hush)
		require.Equal(t, "true", share("honest", "192.0.2.0"))
		require.Equal(t, "true", share("another", "198.51.100.1"))
		require.LessOrEqual(t, len(s.placed), manyPlaces)
	}
}

// Who looks on is told of each address and reason once, and of no more than can
// be read.
func TestNotices(t *testing.T) {
	n := 0
	s, err := New(Config{Notice: func(string, string) { n++ }})
	require.NoError(t, err)
	for range 100 {
		s.notice("192.0.2.1", "a reason")
	}
	require.Equal(t, 1, n)
	for i := range 100 {
		s.notice("192.0.2.1", fmt.Sprint(i))
	}
	require.Equal(t, maxNoticesA, n)
	for i := range 10_000 {
		s.notice(fmt.Sprint(i), "a reason")
	}
	require.Equal(t, maxNotices, n)
	require.Equal(t, uint64(101-maxNoticesA+10_000-(maxNotices-maxNoticesA)), s.ProtocolErrors().Untold)
	require.LessOrEqual(t, len(s.noticed), maxNotices)
}

// Of whoever came and handed in no good share it is told what became of it.
func TestNothingCame(t *testing.T) {
	for _, c := range []struct {
		name string
		live func(k *talk)
		says []string
	}{
		{"a port is looked at", func(*talk) {}, []string{"its connection ended before it named a worker"}},
		{"it asks and goes", func(k *talk) { k.ask("mining.subscribe", `[]`) }, []string{"its connection ended before it named a worker"}},
		{"it has no name", func(k *talk) { k.ask("mining.authorize", `[""]`) }, []string{"turned away: it gave its worker no name"}},
		{"it goes early", func(k *talk) { k.begin() }, []string{"its connection ended before it handed in a share"}},
		{"its shares bear another name", func(k *talk) {
			k.begin()
			k.m.Name = "w.1"
			for i := range uint64(2) {
				require.Equal(t, "24", k.submit(k.mine(1, i)[0]))
			}
			k.due(2 * mute)
		}, []string{"worker \"w\" hands in shares, and none is good: they are in another's name, the first in the line `{\"id\":3,"}},
		{"its shares are no shares", func(k *talk) {
			k.begin()
			require.Equal(t, "20", k.ask("mining.submit", `["w","1","00000000","x","x"]`))
		}, []string{"worker \"w\" hands in shares, and none is good: they are"}},
		{"it mines", func(k *talk) {
			k.begin()
			require.Equal(t, "true", k.submit(k.mine(1, 0)[0]))
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var notices []string
			k := newTalk(t, Config{Difficulty: 0x1p-20, Notice: func(_, text string) { notices = append(notices, text) }})
			c.live(k)
			k.s.close(k.now)
			require.Len(t, notices, len(c.says), "%q", notices)
			for i, says := range c.says {
				require.Contains(t, notices[i], says)
			}
		})
	}
}

// One address cannot take all the room, and what is turned away costs nothing.
func TestRoomForOthers(t *testing.T) {
	s, err := New(Config{Connections: 100})
	require.NoError(t, err)
	var kept []*conn
	at := func(host string) net.Conn {
		client, server := net.Pipe()
		t.Cleanup(func() { client.Close() })
		return from{server, host}
	}
	for range 200 {
		if c := s.admit(at("192.0.2.1:1")); c != nil {
			kept = append(kept, c)
		}
	}
	require.Len(t, kept, 75)
	require.Equal(t, uint64(125), s.ProtocolErrors().Refused)
	for range 25 {
		require.NotNil(t, s.admit(at("192.0.2.2:1")))
	}
	require.Nil(t, s.admit(at("192.0.2.3:1")), "full")
	s.dismiss(kept[0])
	require.NotNil(t, s.admit(at("192.0.2.3:1")))
}

// from is a connection of some address.
type from struct {
	net.Conn
	host string
}

func (f from) RemoteAddr() net.Addr { return fakeAddr(f.host) }

type fakeAddr string

func (fakeAddr) Network() string  { return "tcp" }
func (a fakeAddr) String() string { return string(a) }

// While strangers storm the port, a miner goes on as if alone: every share is
// accepted, no connection of its own is lost. Nothing of them stays.
func TestStorm(t *testing.T) {
	s, address := pool(t, Config{Difficulty: 0x1p-18})
	m := connect(t, dial(t, address), "honest", true)
	storms := 400
	if testing.Short() {
		storms = 50
	}
	junk := make([]byte, 1<<16)
	for i := range junk {
		junk[i] = byte(rand.Uint32())
	}
	var storm sync.WaitGroup
	for i := range 8 {
		storm.Go(func() {
			for n := range storms {
				c, err := net.Dial("tcp", address)
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				switch (i + n) % 8 {
				case 0: // gone at once
				case 1:
					_, _ = c.Write(junk)
				case 2:
					_, _ = c.Write(append([]byte{'{'}, junk...))
				case 3:
					_, _ = io.WriteString(c, hello[:40])
				case 4: // in the miner's own name
					_, _ = io.WriteString(c, strings.ReplaceAll(hello, `"w"`, `"honest"`)+`{"method":"mining.submit","params":["honest","1","00000000","00000000","00000000"]}`+"\n")
					_, _ = bufio.NewReader(c).ReadString('\n')
				case 5:
					_, _ = io.WriteString(c, strings.Repeat(`{"method":"mining.submit","params":["honest"]}`+"\n", 1000))
				case 6:
					_, _ = c.Write(bytes.Repeat([]byte("{\n"), 100))
				case 7:
					_ = c.(*net.TCPConn).SetLinger(0) // a reset
					_, _ = io.WriteString(c, hello)
				}
				c.Close()
			}
		})
	}
	over := make(chan struct{})
	go func() { storm.Wait(); close(over) }()
	shares := uint64(0)
	for extra, going := uint64(0), true; going || shares < 200; extra++ {
		select {
		case <-over:
			going = false
		default:
		}
		for m.Job == nil {
			_, err := m.Read()
			require.NoError(t, err)
		}
		for _, f := range m.Mine(4, extra, m.Job.NTime, 0x4000) {
			require.Empty(t, m.Submit(f))
			shares++
		}
	}
	w := s.Workers()[0]
	require.Equal(t, shares, w.Tally().Count[Accepted])
	require.Equal(t, 0, w.Tally().Breaks)
	t.Logf("%d shares of the miner; %+v", shares, s.ProtocolErrors())
	require.Eventually(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.conns) == 1
	}, time.Minute, 10*time.Millisecond, "the miner's own connection is left")
}

// What a connection costs in memory, at its worst: eight jobs with the shares
// of half a minute each, and a line begun that never ends.
func TestMemory(t *testing.T) {
	conns, shares := 60, 120
	if testing.Short() {
		conns = 20
	}
	s, address := pool(t, Config{Difficulty: 0x1p-28})
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	before := heap()
	var all []net.Conn
	for i := range conns {
		c := dial(t, address)
		m := connect(t, c, fmt.Sprintf("w%d", i), true)
		for range maxJobs {
			for was := m.Job; m.Job == was; {
				_, err := m.Read()
				require.NoError(t, err)
			}
			last := 0
			for _, f := range m.Mine(shares, 1, m.Job.NTime, 0) {
				last = m.Send("mining.submit", m.Params(f))
			}
			require.Empty(t, m.Answer(last))
			w := s.Workers()[i]
			w.mu.Lock()
			w.renew()
			w.mu.Unlock()
		}
		_, err := io.WriteString(c, "{"+strings.Repeat("x", maxLine-2))
		require.NoError(t, err)
		all = append(all, c)
	}
	for _, w := range s.Workers() {
		require.Equal(t, uint64(maxJobs*shares), w.Tally().Count[Accepted])
	}
	each := float64(heap()-before) / float64(conns)
	t.Logf("%.0f bytes a connection", each)
	require.Less(t, each, 64.0*1024)
	runtime.KeepAlive(all)
}
