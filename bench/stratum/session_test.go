package stratum

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/sha256d"
)

// talk is a session without a network, at a time that the test sets.
type talk struct {
	t   testing.TB
	s   *session
	now time.Time
	m   *miner // that knows the work; it has no connection
	id  int

	extra uint64 // the last extranonce2
}

func newTalk(t testing.TB, cfg Config) *talk {
	srv, err := New(cfg)
	require.NoError(t, err)
	return talkTo(t, srv)
}

func talkTo(t testing.TB, srv *Server) *talk {
	c := newConn(srv, deaf{}, "192.0.2.1")
	return &talk{t: t, s: &c.session, now: time.Now(), m: &miner{T: t, Name: "w", Size: srv.cfg.Extranonce2, Ours: c.session.ours[:]}}
}

// deaf is a connection on which nothing comes and goes.
type deaf struct{ net.Conn }

func (deaf) SetReadDeadline(time.Time) error { return nil }

// messages are what the pool says, which the miner takes in.
func (k *talk) messages(out []byte) (all []message) {
	k.t.Helper()
	for line := range bytes.Lines(out) {
		var msg message
		require.NoError(k.t, json.Unmarshal(line, &msg), "%s", line)
		k.m.Take(msg)
		all = append(all, msg)
	}
	return all
}

// say sends a line and returns what the pool says, the answer first.
func (k *talk) say(line string) []message {
	k.t.Helper()
	out, err := k.s.handle([]byte(line), k.now, nil)
	require.NoError(k.t, err)
	return k.messages(out)
}

// ask sends a request and returns its answer as text: the result, or the
// code of the error.
func (k *talk) ask(method, params string) string {
	k.t.Helper()
	k.id++
	all := k.say(fmt.Sprintf(`{"id":%d,"method":%q,"params":%s}`, k.id, method, params))
	require.NotEmpty(k.t, all)
	require.Equal(k.t, strconv.Itoa(k.id), string(all[0].ID))
	if all[0].Error != nil {
		require.Len(k.t, all[0].Error, 3)
		return fmt.Sprint(all[0].Error[0])
	}
	return string(all[0].Result)
}

// due is what the pool says unasked when the time has come.
func (k *talk) due(after time.Duration) []message {
	k.t.Helper()
	k.now = k.now.Add(after)
	out, err := k.s.due(k.now, nil)
	require.NoError(k.t, err)
	return k.messages(out)
}

// begin has a miner subscribe and authorise.
func (k *talk) begin() {
	k.t.Helper()
	require.Contains(k.t, k.ask("mining.subscribe", `["a/1"]`), "mining.notify")
	require.Equal(k.t, "true", k.ask("mining.authorize", `["w","x"]`))
	require.NotNil(k.t, k.m.Job)
}

func (k *talk) mine(n int, extranonce uint64) []found {
	return k.m.Mine(n, extranonce, k.m.Job.NTime, 0)
}

func (k *talk) submit(f found) string { return k.ask("mining.submit", k.m.Params(f)) }

func TestConversation(t *testing.T) {
	k := newTalk(t, Config{Difficulty: 0x1p-22, Workers: 2})
	require.Equal(t, "24", k.ask("mining.submit", `["w","1","00000000","00000000","00000000"]`), "before anything else")
	require.JSONEq(t, `{"version-rolling":false}`, k.ask("mining.configure", `[["version-rolling"],{"version-rolling.mask":"00000001"}]`))
	require.JSONEq(t, `{"version-rolling":false}`, k.ask("mining.configure", `[["version-rolling"],{"version-rolling.mask":"nonsense"}]`))
	require.JSONEq(t, `{"version-rolling":false}`, k.ask("mining.configure", `[["version-rolling"],{"version-rolling.min-bit-count":17}]`))
	for _, mask := range []string{`"0x0000E000"`, `"e000"`, `57344`} { // in any notation
		require.JSONEq(t, `{"version-rolling":true,"version-rolling.mask":"0000e000"}`, k.ask("mining.configure", `[["version-rolling"],{"version-rolling.mask":`+mask+`}]`), mask)
	}
	require.JSONEq(t, `{"version-rolling":true,"version-rolling.mask":"1fffe000"}`, k.ask("mining.configure", `[["version-rolling"],{"version-rolling.mask":null,"version-rolling.min-bit-count":"2"}]`))
	require.JSONEq(t, `{"version-rolling":true,"version-rolling.mask":"0000e000","minimum-difficulty":false,"info":false}`,
		k.ask("mining.configure", `[["minimum-difficulty","version-rolling","info"],{"version-rolling.mask":"0000f001","version-rolling.min-bit-count":2}]`))
	require.JSONEq(t, `{"version-rolling":true,"version-rolling.mask":"1fffe000"}`, k.ask("mining.configure", `[["version-rolling"],{"version-rolling.mask":"ffffffff","version-rolling.min-bit-count":2}]`))
	require.JSONEq(t, `{}`, k.ask("mining.configure", `[["`+strings.Repeat("\xce", 1000)+`","<script>"]]`), "no answer is longer than its question")
	require.JSONEq(t, `{}`, k.ask("mining.configure", `[]`))
	require.JSONEq(t, `{}`, k.ask("mining.configure", `["version-rolling"]`))
	k.m.Mask = versionMask

	require.Equal(t, "24", k.ask("mining.authorize", `[]`))
	require.Equal(t, "24", k.ask("mining.authorize", `[""]`))
	require.Equal(t, "24", k.ask("mining.authorize", `[7]`))
	require.Equal(t, "24", k.ask("mining.authorize", fmt.Sprintf("[%q]", strings.Repeat("x", maxName+1))))
	first := k.ask("mining.subscribe", `["bfgminer/5"]`)
	require.JSONEq(t, fmt.Sprintf(`[[["mining.set_difficulty","1"],["mining.notify","1"]],"%x",4]`, k.s.ours), first)
	require.Nil(t, k.m.Job, "nobody to work for it yet")
	require.Equal(t, first, k.ask("mining.subscribe", `["bfgminer/5",null]`), "some subscribe twice")
	require.Equal(t, "true", k.ask("mining.authorize", `["w"]`))
	require.NotNil(t, k.m.Job)
	require.True(t, k.m.Job.Clean)
	require.Equal(t, 0x1p-22, k.m.Difficulty)
	require.Equal(t, "true", k.ask("mining.authorize", `["w","again"]`))
	require.Equal(t, "true", k.ask("mining.authorize", `["another"]`), "as proxies have several")
	agent, address := k.s.worker.Peer()
	require.Equal(t, "bfgminer/5 192.0.2.1", agent+" "+address)

	require.Equal(t, `"pong"`, k.ask("mining.ping", `[]`))
	require.Equal(t, "true", k.ask("mining.extranonce.subscribe", `[]`))
	require.Equal(t, "true", k.ask("mining.suggest_difficulty", `[1]`))
	require.Equal(t, 0x1p-22, k.s.order.difficulty, "a suggestion is not obeyed")
	require.Equal(t, "20", k.ask("mining.get_transactions", `["1"]`))
	require.Equal(t, "20", k.ask("client.get_version", `[]`))
	require.Empty(t, k.say(`{"id":9,"result":"testminer/1","error":null}`), "an answer to us")
	for _, id := range []string{"0", `""`, `"x-1"`, "null", "-1.5e3", `"\u0000\""`} {
		out, err := k.s.handle([]byte(`{"id":`+id+`,"method":"mining.ping"}`), k.now, nil)
		require.NoError(t, err)
		require.Equal(t, `{"id":`+id+`,"result":"pong","error":null}`+"\n", string(out))
	}

	// Names take no place, and shares do until there is none.
	second, third := talkTo(t, k.s.srv), talkTo(t, k.s.srv)
	for i, name := range []string{"w", "another"} {
		k.m.Name = name
		require.Equal(t, "true", k.submit(k.mine(1, uint64(i))[0]))
	}
	require.Contains(t, second.ask("mining.subscribe", `["later/2"]`), "mining.notify")
	require.Equal(t, "true", second.ask("mining.authorize", `["v"]`))
	second.m.Name = "v"
	require.Equal(t, "24", second.submit(second.mine(1, 1)[0]), "no place")
	require.Equal(t, "true", third.ask("mining.authorize", `["w"]`), "a device with two connections")
	require.Contains(t, third.ask("mining.subscribe", `["later/2"]`), "mining.notify")
	agent, _ = k.s.worker.Peer()
	require.Equal(t, "later/2", agent, "said after its name")

	for range maxBad {
		out, err := k.s.handle([]byte("{}"), k.now, nil)
		require.NoError(t, err)
		require.Contains(t, string(out), "Not a request")
	}
	_, err := k.s.handle([]byte("{}"), k.now, nil)
	require.ErrorIs(t, err, errBad)
	require.Equal(t, ProtocolErrors{Malformed: maxBad + 1, Unauthorised: 2, Refused: 4}, k.s.srv.ProtocolErrors())
}

// Several workers on a connection, as proxies have, are each counted for
// themselves; a name that is turned away is nobody's fault.
func TestWorkersOfAConnection(t *testing.T) {
	var notices []string
	var joined []string
	srv, err := New(Config{
		Difficulty: 0x1p-22, Notice: func(address, text string) { notices = append(notices, address+": "+text) },
		Joined: func(w *Worker) { joined = append(joined, w.Name()) },
	})
	require.NoError(t, err)
	k := talkTo(t, srv)
	k.begin()
	long := strings.Repeat("x", maxName)
	require.Equal(t, "true", k.ask("mining.authorize", `["w.2","x"]`))
	require.Equal(t, "true", k.ask("mining.authorize", fmt.Sprintf("[%q]", long)))
	require.Equal(t, "24", k.ask("mining.authorize", fmt.Sprintf("[%q]", long+"y")))
	require.Equal(t, "24", k.ask("mining.authorize", `["","x"]`))
	counts := map[string]uint64{"w": 1, "w.2": 2, long: 3}
	for name, n := range counts {
		k.m.Name = name
		for i := range n {
			require.Equal(t, "true", k.submit(k.mine(1, 100*n+i)[0]))
		}
	}
	k.m.Name = ""
	require.Equal(t, "24", k.submit(k.mine(1, 1000)[0]), "of a name that was turned away")
	k.m.Name = "never authorised"
	require.Equal(t, "24", k.submit(k.mine(1, 1001)[0]))
	require.Len(t, srv.Workers(), 3)
	for _, w := range srv.Workers() {
		require.Equal(t, counts[w.Name()], w.Tally().Count[Accepted], w.Name())
		require.Equal(t, w == k.s.worker, w.Tally().Count[Unauthorised] == 1, "%s: the connection's own, whoever it is", w.Name())
		agent, _ := w.Peer()
		require.Equal(t, "a/1", agent)
	}
	require.ElementsMatch(t, []string{"w", "w.2", long}, joined)
	require.Len(t, notices, 2)
	require.Contains(t, notices[0], "192.0.2.1: turned away: the name of its worker is longer than 256 bytes")
	require.Contains(t, notices[1], "192.0.2.1: turned away: it gave its worker no name")
	for i := k.s.workers(); i < maxNames; i++ {
		require.Equal(t, "true", k.ask("mining.authorize", fmt.Sprintf(`["p%d"]`, i)))
	}
	require.Equal(t, "24", k.ask("mining.authorize", `["one more"]`))
	require.Contains(t, notices[2], "more than 256 workers on a connection")

	// One run of one worker begins a clean job for all, and counts its own.
	w := k.s.called([]byte("w.2"))
	w.mu.Lock()
	w.renew()
	w.mu.Unlock()
	old := k.mine(3, 2000)
	require.Len(t, k.due(0), 1)
	require.True(t, k.m.Job.Clean)
	for i, name := range []string{"w", "w.2"} {
		k.m.Name = name
		before := k.s.called([]byte(name)).Tally().Count
		require.Equal(t, "21", k.submit(old[i]), "stale")
		require.Equal(t, "true", k.submit(k.mine(1, uint64(3000+i))[0]))
		after := k.s.called([]byte(name)).Tally().Count
		require.Equal(t, before[Accepted]+1, after[Accepted])
		require.Equal(t, before[Stale]+uint64(1-i), after[Stale], "%s: what is of a job before its run counts for nothing", name)
	}
	k.s.close(k.now)
	for _, w := range srv.Workers() {
		require.False(t, w.Connected())
	}
	require.Len(t, srv.Workers(), 3, "who handed in nothing leaves nothing")
	require.Empty(t, srv.names)
}

// Two workers of one connection have one difficulty, which is found for the
// rate of each.
func TestWorkersShareADifficulty(t *testing.T) {
	srv, err := New(Config{Expect: 1e12})
	require.NoError(t, err)
	k := talkTo(t, srv)
	k.begin()
	require.Equal(t, "true", k.ask("mining.authorize", `["v"]`))
	a, b := k.s.worker, k.s.called([]byte("v"))
	r := rand.New(rand.NewPCG(8, 11))
	for settled := false; !settled; _, settled = a.Difficulty() {
		k.due(time.Duration(r.ExpFloat64() / 20 * 1e9)) // ten shares a second of each
		w := a
		if r.IntN(2) == 0 {
			w = b
		}
		if d, _ := a.Difficulty(); r.Float64() < 64/d {
			w.note(Accepted, k.s.jobs[len(k.s.jobs)-1].epoch, r.ExpFloat64(), 2, k.now)
		}
	}
	da, _ := a.Difficulty()
	db, settled := b.Difficulty()
	require.True(t, settled)
	require.Equal(t, da, db)
	require.GreaterOrEqual(t, 10*64/da, 1.5)
	require.LessOrEqual(t, 10*64/da, 12.0)
	// A worker that mines elsewhere at a difficulty of its own is no part of it.
	other := talkTo(t, srv)
	require.Equal(t, "true", other.ask("mining.authorize", `["u"]`))
	require.Equal(t, "24", other.ask("mining.authorize", `["v"]`))
}

func TestClasses(t *testing.T) {
	k := newTalk(t, Config{Difficulty: 0x1p-16})
	k.ask("mining.configure", `[["version-rolling"],{"version-rolling.mask":"0000e000"}]`)
	k.m.Mask, k.m.Roll = 0xe000, true
	k.begin()
	w := k.s.worker
	f := k.mine(3, 1)
	with := func(change func(p []string)) string {
		p := strings.Split(strings.Trim(k.m.Params(f[1]), "[]"), ",")
		change(p)
		return k.ask("mining.submit", "["+strings.Join(p, ",")+"]")
	}
	// Of other work, one digest in a thousand meets noise by chance: a nonce is
	// looked for whose digest does not, or does.
	between := func(least, below float64, change func(s *found)) string {
		s := f[1]
		change(&s)
		for d := -1.0; d < least || d >= below; d = sha256d.Difficulty(k.m.Digest(s)) {
			s.Nonce++
		}
		return k.submit(s)
	}
	for _, c := range []struct {
		class  Class
		code   string
		submit func() string
	}{
		{Accepted, "true", func() string { return k.submit(f[0]) }},
		{Duplicate, "22", func() string { return k.submit(f[0]) }},
		{Duplicate, "22", func() string { // the same in capitals
			return k.ask("mining.submit", strings.NewReplacer("a", "A", "b", "B", "c", "C", "d", "D", "e", "E", "f", "F").Replace(k.m.Params(f[0])))
		}},
		{Wrong, "23", func() string { return between(0, noise, func(s *found) { s.Theirs = bytes.Repeat([]byte{0xff}, 4) }) }},
		{Wrong, "23", func() string { return between(0, noise, func(s *found) { s.Bits = 0x2000 }) }},
		{Wrong, "23", func() string { return between(0, noise, func(s *found) { s.NTime += ntimeSpan }) }},
		{Low, "23", func() string { return between(noise, 0x1p-16, func(*found) {}) }},
		{Mask, "20", func() string { return with(func(p []string) { p[5] = `"00010000"` }) }},
		{Mask, "20", func() string { return with(func(p []string) { p[5] = `"20000000"` }) }},
		{Time, "20", func() string { return with(func(p []string) { p[3] = fmt.Sprintf(`"%08x"`, k.m.Job.NTime-1) }) }},
		{Time, "20", func() string {
			return with(func(p []string) { p[3] = fmt.Sprintf(`"%08x"`, k.m.Job.NTime+ntimeSpan+1) })
		}},
		{Extranonce, "20", func() string { return with(func(p []string) { p[2] = `"0000000001"` }) }},
		{Extranonce, "20", func() string { return with(func(p []string) { p[2] = `""` }) }},
		{Unknown, "21", func() string { return with(func(p []string) { p[1] = `"feedbeef"` }) }},
		{Unauthorised, "24", func() string { return with(func(p []string) { p[0] = `"v"` }) }},
		{Malformed, "20", func() string { return with(func(p []string) { p[4] = `"0x"` }) }},
		{Malformed, "20", func() string { return with(func(p []string) { p[4] = `""` }) }},
		{Malformed, "20", func() string { return with(func(p []string) { p[4] = `null` }) }},
		{Malformed, "20", func() string { return with(func(p []string) { p[3] = `"123456789"` }) }},
		{Malformed, "20", func() string { return with(func(p []string) { p[2] = `"0000000g"` }) }},
		{Malformed, "20", func() string { return with(func(p []string) { p[5] = `true` }) }},
		{Extranonce, "20", func() string { return with(func(p []string) { p[2] = `"1"` }) }},
		{Extranonce, "20", func() string { return with(func(p []string) { p[2] = `"0x00000001"` }) }},
		{Extranonce, "20", func() string { return with(func(p []string) { p[2] = `1` }) }},
		{Malformed, "20", func() string { return with(func(p []string) { p[1] = `1` }) }},
		{Malformed, "20", func() string { return k.ask("mining.submit", `[]`) }},
		{Malformed, "20", func() string { return k.ask("mining.submit", `["w","1"]`) }},
		{Accepted, "true", func() string { return k.submit(f[1]) }},
		{Accepted, "true", func() string {
			return with(func(p []string) { copy(p, strings.Split(strings.Trim(k.m.Params(f[2]), "[]"), ",")) })
		}},
	} {
		before := w.Tally()
		require.Equal(t, c.code, c.submit(), c.class)
		after := w.Tally()
		require.Equal(t, before.Count[c.class]+1, after.Count[c.class], c.class)
		require.Equal(t, total(before)+1, total(after), c.class)
	}
	// Version bits that nobody has agreed on.
	plain := newTalk(t, Config{Difficulty: 0x1p-20})
	plain.begin()
	g := plain.mine(2, 5)
	p := strings.TrimSuffix(plain.m.Params(g[0]), "]")
	require.Equal(t, "20", plain.ask("mining.submit", p+`,"00002000"]`))
	require.Equal(t, "true", plain.ask("mining.submit", p+`,"00000000"]`))
	require.Equal(t, "true", plain.ask("mining.submit", strings.TrimSuffix(plain.m.Params(g[1]), "]")+`,null]`))
}

// A share counts in whatever notation its numbers are written, and counts once.
func TestNotations(t *testing.T) {
	k := newTalk(t, Config{Difficulty: 0x1p-20})
	k.ask("mining.configure", `[["version-rolling"],{"version-rolling.mask":"1fffe000"}]`)
	k.m.Mask, k.m.Roll = versionMask, true
	k.begin()
	number := func(p string) (n uint64) {
		n, err := strconv.ParseUint(strings.Trim(p, `"`), 16, 32)
		require.NoError(t, err)
		return n
	}
	for name, form := range map[string]string{
		"no leading zeros": `"%x"`, "capitals": `"%08X"`, "0x": `"0x%x"`, "0X and zeros": `"0X%08X"`, "sixteen digits": `"%016x"`, "a number": "%d", "a number with a fraction of 0": "%d.0",
	} {
		for i := 3; i <= 5; i++ { // time, nonce, version bits
			f := k.mine(1, uint64(k.id))[0]
			p := strings.Split(strings.Trim(k.m.Params(f), "[]"), ",")
			p[i] = fmt.Sprintf(form, number(p[i]))
			require.Equal(t, "true", k.ask("mining.submit", "["+strings.Join(p, ",")+"]"), "%s: %s", name, p)
			require.Equal(t, "22", k.submit(f), "the same as everybody writes it")
		}
	}
	plain := newTalk(t, Config{Difficulty: 0x1p-20})
	plain.begin()
	for i, bits := range []string{"", ",null", `,""`, `," "`, `,"00000000"`, `,"0x0"`, ",0"} {
		f := plain.mine(1, uint64(i))[0]
		require.Equal(t, "true", plain.ask("mining.submit", strings.TrimSuffix(plain.m.Params(f), "]")+bits+"]"), bits)
	}
}

// A void says what the device sent: the first line of the class that is refused
// most.
func TestVoidQuotes(t *testing.T) {
	k := newTalk(t, Config{Difficulty: 0x1p-20})
	k.begin()
	for i := range refusedFew + 1 {
		k.ask("mining.submit", fmt.Sprintf(`["w",%q,"0%d","64b3f3ec","\u0001\u202e"]`, k.m.Job.ID, i))
	}
	last := k.s.worker.Check()[4]
	require.Equal(t, "refused", last.Name)
	require.False(t, last.OK)
	require.Contains(t, last.Detail, "11 of 11 shares refused: 11 of them")
	require.Contains(t, last.Detail, `, the first in the line `+"`"+`{"id":3,"method":"mining.submit","params":["w","1","00","64b3f3ec","\u0001\u202e"]}`+"`")
}

// Jobs follow one another; a clean one makes those before it stale, and what
// is too old is not known any more.
func TestJobsFollow(t *testing.T) {
	k := newTalk(t, Config{Difficulty: 0x1p-22, Block: 5 * time.Minute})
	k.begin()
	start := k.now
	w, first := k.s.worker, k.m.Job
	old := k.mine(3, 1)
	require.Empty(t, k.due(29*time.Second))
	require.Equal(t, start.Add(30*time.Second), k.s.next(k.now))
	require.Len(t, k.due(time.Second), 1)
	require.NotEqual(t, first.ID, k.m.Job.ID)
	require.Equal(t, first.Prev, k.m.Job.Prev, "the same block: work on the job before goes on")
	require.False(t, k.m.Job.Clean)
	require.NotEqual(t, first.Branches, k.m.Job.Branches)
	require.Equal(t, "true", k.submit(old[0]))
	for k.now.Sub(start) < 150*time.Second {
		require.Len(t, k.due(30*time.Second), 1)
	}
	require.Equal(t, "true", k.submit(old[1]), "five refreshes old")
	k.now = k.now.Add(time.Second)
	require.Equal(t, "21", k.submit(old[2]), "too old")
	require.Equal(t, uint64(1), w.Tally().Count[Unknown])
	k.now = k.now.Add(-time.Second)
	for k.now.Sub(start) < 270*time.Second {
		require.Len(t, k.due(30*time.Second), 1)
	}
	before, late := k.m.Job, k.mine(3, 1)
	require.Len(t, k.due(30*time.Second), 1)
	require.True(t, k.m.Job.Clean)
	require.NotEqual(t, before.Prev, k.m.Job.Prev)
	require.Equal(t, "21", k.submit(late[0]))
	require.Equal(t, "22", k.submit(late[0]), "the same again is no second stale one")
	k.now = k.now.Add(grace)
	require.Equal(t, "21", k.submit(late[1]))
	require.Equal(t, uint64(2), w.Tally().Count[Stale])
	k.now = k.now.Add(time.Second)
	require.Equal(t, "21", k.submit(late[2]))
	require.Equal(t, [classes]uint64{Accepted: 2, Stale: 2, Duplicate: 1, Unknown: 2}, w.Tally().Count)
	require.Equal(t, uint64(4), w.tally.luck.n, "the luck of stale shares is as good as that of others")
}

// FuzzSession takes a session through any lines. @ stands for a good share,
// # for the name of the newest job, and ~ lets time pass.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		`{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff","version-rolling.min-bit-count":2}]}` + "\n" +
			`{"id":2,"method":"mining.subscribe","params":["agent/1"]}` + "\n" + `{"id":3,"method":"mining.authorize","params":["w","x"]}` + "\n" +
			`{"id":4,"method":"mining.submit","params":@}` + "\n~~" + `{"id":4,"method":"mining.submit","params":["w","#","00000000","64b3f3ec","ed460d91"]}`,
		`{"id":"a","method":"mining.authorize","params":["w"]}` + "\n" + `{"id":"a","method":"mining.subscribe"}` + "\n" + `{"method":"mining.submit","params":@}` + "\n" + `{"method":"mining.submit","params":@}`,
		"{}\n[]\n\x16\x03\x01\n" + `{"id":{},"method":"mining.ping"}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		k := newTalk(t, Config{Difficulty: 0x1p-30})
		good := uint64(0)
		for line := range strings.SplitSeq(text, "\n") {
			for ; strings.HasPrefix(line, "~"); line = line[1:] {
				k.now = k.now.Add(7 * time.Second)
			}
			out, err := k.s.due(k.now, nil)
			require.NoError(t, err)
			k.messages(out)
			honest := false
			if k.m.Job != nil {
				if before, after, ok := strings.Cut(line, "@"); ok {
					k.m.Mask, k.m.Roll = k.s.mask, k.s.mask != 0
					shares := k.mine(1, uint64(k.id))
					k.id++
					line = before + k.m.Params(shares[0]) + after
					honest = before == `{"id":4,"method":"mining.submit","params":` && after == "}" && k.s.worker.name == k.m.Name
				}
				line = strings.ReplaceAll(line, "#", k.m.Job.ID)
			}
			if len(line) > maxLine || line == "" {
				continue
			}
			var tally Tally
			if k.s.worker != nil {
				tally = k.s.worker.Tally()
			}
			out, err = k.s.handle([]byte(line), k.now, nil)
			if err != nil {
				require.ErrorIs(t, err, errBad)
				return
			}
			require.Less(t, len(out), maxLine)
			all := k.messages(out)
			require.LessOrEqual(t, len(all), 3, "an answer, a difficulty and a job")
			require.LessOrEqual(t, len(k.s.jobs), maxJobs)
			if k.s.worker == nil {
				continue
			}
			now := k.s.worker.Tally()
			require.LessOrEqual(t, total(now), total(tally)+1)
			if honest {
				require.Equal(t, "true", string(all[0].Result))
				good++
			}
			require.GreaterOrEqual(t, now.Count[Accepted], good)
			if now.Count[Accepted] > tally.Count[Accepted] {
				require.Equal(t, "true", string(all[0].Result), "what is counted was accepted")
			}
		}
	})
}

// Rolled bits replace those of the job's version (BIP 310), they are not added
// or exclusive-ored; a share without any has the job's.
func TestVersionBits(t *testing.T) {
	k := newTalk(t, Config{Difficulty: 0x1p-16})
	tpl := newTemplate(k.now, 4)
	tpl.version = version | 0x4000
	tpl.describe()
	k.s.srv.newest = tpl
	require.Contains(t, k.ask("mining.configure", `[["version-rolling"],{"version-rolling.mask":"ffffffff"}]`), "true")
	k.m.Mask, k.m.Roll = versionMask, true
	k.begin()
	require.Equal(t, uint32(version|0x4000), k.m.Job.Version)
	for i, bits := range []uint32{0x2000, 0x4000, 0, versionMask} {
		require.Equal(t, "true", k.submit(k.m.Mine(1, uint64(i), k.m.Job.NTime, bits)[0]), "%x", bits)
	}
	plain := k.m.Mine(1, 9, k.m.Job.NTime, 0x4000)[0]
	plain.Rolled = false
	require.Equal(t, "true", k.submit(plain))
	other := k.m.Mine(1, 10, k.m.Job.NTime, 0x2000)[0]
	other.Rolled = false
	require.Equal(t, "23", k.submit(other))
}
