package stratum

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/sha256d"
)

// miner is a client of Stratum that mines by our kernels. It is written from
// the protocol and shares nothing with the pool but the kernels' header.
type miner struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Scanner
	name string
	roll bool // versions

	ours       []byte
	size       int
	mask       uint32
	difficulty float64
	next       float64
	job        *work
	id         int
	answers    map[string]int // by the code of the error; "" is accepted
	clean      int
	reconnect  bool
}

// work is what mining.notify says.
type work struct {
	id                   string
	prev                 [32]byte
	coinb1, coinb2       []byte
	branches             [][]byte
	version, bits, ntime uint32
	clean                bool
	difficulty           float64
}

// message is any line that a pool sends.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  []any           `json:"error"`
}

// connect makes a miner that has subscribed and authorised.
func connect(t testing.TB, conn net.Conn, name string, roll bool) *miner {
	m := &miner{t: t, conn: conn, in: bufio.NewScanner(conn), name: name, roll: roll, answers: map[string]int{}}
	if roll {
		var r struct {
			Rolling bool   `json:"version-rolling"`
			Mask    string `json:"version-rolling.mask"`
		}
		m.ask("mining.configure", `[["version-rolling"],{"version-rolling.mask":"ffffffff","version-rolling.min-bit-count":2}]`, &r)
		require.True(t, r.Rolling)
		mask, err := strconv.ParseUint(r.Mask, 16, 32)
		require.NoError(t, err)
		m.mask = uint32(mask)
	}
	var sub []json.RawMessage
	m.ask("mining.subscribe", `["testminer/1"]`, &sub)
	require.Len(t, sub, 3)
	var text string
	require.NoError(t, json.Unmarshal(sub[1], &text))
	require.NoError(t, json.Unmarshal(sub[2], &m.size))
	m.ours = unhexed(t, text)
	var ok bool
	m.ask("mining.authorize", fmt.Sprintf("[%q,\"x\"]", name), &ok)
	require.True(t, ok)
	return m
}

func unhexed(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// send writes a request and returns its id.
func (m *miner) send(method, params string) int {
	m.id++
	_, err := fmt.Fprintf(m.conn, `{"id":%d,"method":%q,"params":%s}`+"\n", m.id, method, params)
	require.NoError(m.t, err)
	return m.id
}

// ask sends a request and reads up to its answer, which is no error.
func (m *miner) ask(method, params string, result any) {
	id := m.send(method, params)
	for {
		msg, err := m.read()
		require.NoError(m.t, err)
		if msg.Method == "" && string(msg.ID) == strconv.Itoa(id) {
			require.Nil(m.t, msg.Error, "%s: %v", method, msg.Error)
			require.NoError(m.t, json.Unmarshal(msg.Result, result))
			return
		}
	}
}

// read takes the next line, and acts on it if nobody asked for it.
func (m *miner) read() (msg message, err error) {
	if !m.in.Scan() {
		return msg, fmt.Errorf("the pool hung up: %v", m.in.Err())
	}
	require.NoError(m.t, json.Unmarshal(m.in.Bytes(), &msg), m.in.Text())
	switch msg.Method {
	case "mining.set_difficulty":
		var d []float64
		require.NoError(m.t, json.Unmarshal(msg.Params, &d))
		m.next = d[0]
	case "mining.notify":
		m.job = notified(m.t, msg.Params)
		m.difficulty, m.job.difficulty = m.next, m.next
		if m.job.clean {
			m.clean++
		}
	case "client.reconnect":
		m.reconnect = true
	}
	return msg, nil
}

func notified(t testing.TB, params json.RawMessage) *work {
	var p []json.RawMessage
	require.NoError(t, json.Unmarshal(params, &p))
	require.Len(t, p, 9)
	var s [9]string
	w := new(work)
	for i := range p {
		switch i {
		case 4:
			var list []string
			require.NoError(t, json.Unmarshal(p[i], &list))
			for _, h := range list {
				w.branches = append(w.branches, unhexed(t, h))
			}
		case 8:
			require.NoError(t, json.Unmarshal(p[i], &w.clean))
		default:
			require.NoError(t, json.Unmarshal(p[i], &s[i]))
		}
	}
	word := func(s string) uint32 {
		require.Len(t, s, 8)
		n, err := strconv.ParseUint(s, 16, 32)
		require.NoError(t, err)
		return uint32(n)
	}
	w.id, w.coinb1, w.coinb2, w.version, w.bits, w.ntime = s[0], unhexed(t, s[2]), unhexed(t, s[3]), word(s[5]), word(s[6]), word(s[7])
	told := unhexed(t, s[1])
	require.Len(t, told, 32)
	for i := 0; i < 32; i += 4 { // the bytes of each word are reversed
		binary.LittleEndian.PutUint32(w.prev[i:], binary.BigEndian.Uint32(told[i:]))
	}
	return w
}

// header is that of one extranonce, time and version.
func (m *miner) header(w *work, theirs []byte, ntime, bits uint32) sha256d.Header {
	sum := func(b []byte) []byte {
		once := sha256.Sum256(b)
		twice := sha256.Sum256(once[:])
		return twice[:]
	}
	var coinbase []byte
	for _, part := range [][]byte{w.coinb1, m.ours, theirs, w.coinb2} {
		coinbase = append(coinbase, part...)
	}
	root := sum(coinbase)
	for _, b := range w.branches {
		root = sum(append(append([]byte{}, root...), b...))
	}
	return sha256d.NewHeader(w.version&^m.mask|bits&m.mask, w.prev, [32]byte(root), ntime, w.bits)
}

// share is one that a miner found.
type found struct {
	job           string
	theirs        []byte
	ntime, nonce  uint32
	bits          uint32
	header        sha256d.Header
	versionRolled bool
}

// mine looks for n shares of the present job from an extranonce2 on.
func (m *miner) mine(n int, extranonce uint64, ntime, bits uint32) (out []found) {
	w := m.job
	target, err := sha256d.TargetFromDifficulty(m.difficulty)
	require.NoError(m.t, err)
	impl := sha256d.Best()
	for ; len(out) < n; extranonce++ {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], extranonce)
		theirs := b[:m.size]
		h := m.header(w, theirs, ntime, bits)
		var job sha256d.Job
		job.Set(&h, &target)
		// No further than it takes: the rest of the range is not needed.
		for first, chunk := uint64(0), uint64(1<<12); first < 1<<32 && len(out) < n; first += chunk {
			for _, nonce := range impl.Scan(nil, &job, uint32(first), chunk) {
				if len(out) < n {
					h.SetNonce(nonce)
					out = append(out, found{w.id, append([]byte{}, theirs...), ntime, nonce, bits, h, m.roll})
				}
			}
		}
	}
	return out
}

// params are those of mining.submit.
func (m *miner) params(f found) string {
	bits := ""
	if f.versionRolled {
		bits = fmt.Sprintf(`,"%08x"`, f.bits&m.mask)
	}
	return fmt.Sprintf(`[%q,%q,"%x","%08x","%08x"%s]`, m.name, f.job, f.theirs, f.ntime, f.nonce, bits)
}

// submit hands a share in and returns the code of the answer: "" if it was
// accepted.
func (m *miner) submit(f found) string { return m.answer(m.send("mining.submit", m.params(f))) }

// answer waits for that to a request.
func (m *miner) answer(id int) string {
	for {
		msg, err := m.read()
		require.NoError(m.t, err)
		if msg.Method == "" && string(msg.ID) == strconv.Itoa(id) {
			code := ""
			if msg.Error != nil {
				code = fmt.Sprint(msg.Error[0])
			} else {
				require.Equal(m.t, "true", string(msg.Result))
			}
			m.answers[code]++
			return code
		}
	}
}

// pool is one that serves on loopback until the test ends.
func pool(t testing.TB, cfg Config) (*Server, string) {
	t.Helper()
	s, err := New(cfg)
	require.NoError(t, err)
	l, err := Listen(t.Context(), ":0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := s.Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); serving.Wait() })
	return s, l.Addr().String()
}

func dial(t testing.TB, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	return c
}
