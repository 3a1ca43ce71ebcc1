// Package stratumtest is a miner for tests: a Stratum V1 client that mines with this
// module's kernels. It is written from the protocol and shares only the layout of a
// header with the pool that it tests.
package stratumtest

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/kernels/device/cpu"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

// Miner is one connection to a pool. Its methods are called by one goroutine; a
// violation of the protocol fails the test.
type Miner struct {
	T    testing.TB
	Name string // of its worker
	Roll bool   // versions, within the mask

	Ours       []byte // the extranonce1
	Size       int    // of the extranonce2, in bytes
	Mask       uint32 // of the bits of a version that it may roll
	Told       float64
	Difficulty float64 // as set before the newest job
	Job        *Work   // the newest; nil before the first
	Clean      int     // clean jobs, which replaced all before

	conn net.Conn
	in   *bufio.Scanner
	id   int
}

// Work is the content of mining.notify.
type Work struct {
	ID                   string
	Prev                 [32]byte // as it is hashed
	Coinb1, Coinb2       []byte
	Branches             [][]byte
	Version, Bits, NTime uint32
	Clean                bool
}

// Share is a proof of work.
type Share struct {
	Job    string
	Theirs []byte // the extranonce2
	NTime  uint32
	Nonce  uint32
	Bits   uint32 // of the version
	Rolled bool   // whether Bits are submitted
	Header sha256d.Header
}

// Message is any line that a pool sends.
type Message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  []any           `json:"error"`
}

// Connect makes a miner that has subscribed and authorised.
func Connect(t testing.TB, conn net.Conn, name string, roll bool) *Miner {
	m := &Miner{T: t, Name: name, Roll: roll, conn: conn, in: bufio.NewScanner(conn)}
	if roll {
		var r struct {
			Rolling bool   `json:"version-rolling"`
			Mask    string `json:"version-rolling.mask"`
		}
		m.ask("mining.configure", `[["version-rolling"],{"version-rolling.mask":"ffffffff","version-rolling.min-bit-count":2}]`, &r)
		require.True(t, r.Rolling)
		mask, err := strconv.ParseUint(r.Mask, 16, 32)
		require.NoError(t, err)
		m.Mask = uint32(mask)
	}
	var sub []json.RawMessage
	m.ask("mining.subscribe", `["testminer/1"]`, &sub)
	require.Len(t, sub, 3)
	var text string
	require.NoError(t, json.Unmarshal(sub[1], &text))
	require.NoError(t, json.Unmarshal(sub[2], &m.Size))
	m.Ours = unhexed(t, text)
	var ok bool
	m.ask("mining.authorize", fmt.Sprintf(`[%s,"x"]`, quoted(name)), &ok)
	require.True(t, ok)
	return m
}

// quoted is a name as JSON.
func quoted(name string) []byte {
	b, _ := json.Marshal(name) // of a string
	return b
}

func unhexed(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// Send writes a request and returns its id.
func (m *Miner) Send(method, params string) int {
	m.id++
	_, err := fmt.Fprintf(m.conn, `{"id":%d,"method":%q,"params":%s}`+"\n", m.id, method, params)
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) { // Read reports that the pool has hung up
		require.NoError(m.T, err)
	}
	return m.id
}

// ask sends a request and reads up to its answer, which must not be an error.
func (m *Miner) ask(method, params string, result any) {
	id := m.Send(method, params)
	for {
		msg, err := m.Read()
		require.NoError(m.T, err)
		if msg.Method == "" && string(msg.ID) == strconv.Itoa(id) {
			require.Nil(m.T, msg.Error, "%s: %v", method, msg.Error)
			require.NoError(m.T, json.Unmarshal(msg.Result, result))
			return
		}
	}
}

// Read reads the next line, and acts on it if it is not an answer.
func (m *Miner) Read() (msg Message, err error) {
	if !m.in.Scan() {
		return msg, fmt.Errorf("the pool hung up: %v", m.in.Err())
	}
	require.NoError(m.T, json.Unmarshal(m.in.Bytes(), &msg), m.in.Text())
	m.Take(msg)
	return msg, nil
}

// Take acts on a message that is not an answer.
func (m *Miner) Take(msg Message) {
	switch msg.Method {
	case "mining.set_difficulty":
		var d []float64
		require.NoError(m.T, json.Unmarshal(msg.Params, &d))
		require.Len(m.T, d, 1)
		m.Told = d[0]
	case "mining.notify":
		m.Job, m.Difficulty = notified(m.T, msg.Params), m.Told
		if m.Job.Clean {
			m.Clean++
		}
	}
}

func notified(t testing.TB, params json.RawMessage) *Work {
	var p []json.RawMessage
	require.NoError(t, json.Unmarshal(params, &p))
	require.Len(t, p, 9)
	var s [9]string
	w := new(Work)
	for i := range p {
		switch i {
		case 4:
			var list []string
			require.NoError(t, json.Unmarshal(p[i], &list))
			for _, h := range list {
				w.Branches = append(w.Branches, unhexed(t, h))
			}
		case 8:
			require.NoError(t, json.Unmarshal(p[i], &w.Clean))
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
	w.ID, w.Coinb1, w.Coinb2, w.Version, w.Bits, w.NTime = s[0], unhexed(t, s[2]), unhexed(t, s[3]), word(s[5]), word(s[6]), word(s[7])
	told := unhexed(t, s[1])
	require.Len(t, told, 32)
	for i := 0; i < 32; i += 4 { // the bytes of each word are reversed
		binary.LittleEndian.PutUint32(w.Prev[i:], binary.BigEndian.Uint32(told[i:]))
	}
	return w
}

// header returns the header for an extranonce, time and version, with nonce 0.
func (m *Miner) header(w *Work, theirs []byte, ntime, bits uint32) sha256d.Header {
	sum := func(b []byte) []byte {
		once := sha256.Sum256(b)
		twice := sha256.Sum256(once[:])
		return twice[:]
	}
	var coinbase []byte
	for _, part := range [][]byte{w.Coinb1, m.Ours, theirs, w.Coinb2} {
		coinbase = append(coinbase, part...)
	}
	root := sum(coinbase)
	for _, b := range w.Branches {
		root = sum(append(append([]byte{}, root...), b...))
	}
	return sha256d.NewHeader(w.Version&^m.Mask|bits&m.Mask, w.Prev, [32]byte(root), ntime, w.Bits)
}

// Mine looks for n shares of the newest job, from an extranonce2 on and of the
// given time and bits of the version.
func (m *Miner) Mine(n int, extranonce uint64, ntime, bits uint32) (out []Share) {
	target, err := sha256d.TargetFromDifficulty(m.Difficulty)
	require.NoError(m.T, err)
	row, err := sha256d.Table.Pick(cpu.Info(), "")
	require.NoError(m.T, err)
	for ; len(out) < n; extranonce++ {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], extranonce)
		theirs := b[:m.Size]
		h := m.header(m.Job, theirs, ntime, bits)
		var job sha256d.Job
		job.Set(&h, &target)
		// No further than needed for n shares.
		for first, chunk := uint64(0), uint64(1<<12); first < 1<<32 && len(out) < n; first += chunk {
			for _, nonce := range row.Impl(nil, &job, uint32(first), chunk) {
				if len(out) < n {
					h.SetNonce(nonce)
					out = append(out, Share{Job: m.Job.ID, Theirs: append([]byte{}, theirs...), NTime: ntime, Nonce: nonce, Bits: bits, Rolled: m.Roll, Header: h})
				}
			}
		}
	}
	return out
}

// Digest is the double SHA-256 of the header that s claims, of the newest job.
func (m *Miner) Digest(s Share) [32]byte {
	h := m.header(m.Job, s.Theirs, s.NTime, s.Bits)
	h.SetNonce(s.Nonce)
	return sha256d.Sum(&h)
}

// Params are those of mining.submit.
func (m *Miner) Params(s Share) string {
	bits := ""
	if s.Rolled {
		bits = fmt.Sprintf(`,"%08x"`, s.Bits&m.Mask)
	}
	return fmt.Sprintf(`[%s,%q,"%x","%08x","%08x"%s]`, quoted(m.Name), s.Job, s.Theirs, s.NTime, s.Nonce, bits)
}

// Submit submits a share and returns the error code of the answer: empty if it was
// accepted.
func (m *Miner) Submit(s Share) string { return m.Answer(m.Send("mining.submit", m.Params(s))) }

// Answer waits for the answer to a request and returns its error code: empty if the
// result is true.
func (m *Miner) Answer(id int) string {
	for {
		msg, err := m.Read()
		require.NoError(m.T, err)
		if msg.Method == "" && string(msg.ID) == strconv.Itoa(id) {
			if msg.Error != nil {
				return fmt.Sprint(msg.Error[0])
			}
			require.Equal(m.T, "true", string(msg.Result))
			return ""
		}
	}
}

// Keep submits one share after the other, whatever the answers, until the returned
// function is called or the pool hangs up. pause is called after each and may be nil.
func (m *Miner) Keep(pause func()) (stop func()) {
	var over atomic.Bool
	var wait sync.WaitGroup
	wait.Go(func() {
		for extra := uint64(0); !over.Load(); extra++ {
			for m.Job == nil {
				if _, err := m.Read(); err != nil {
					return
				}
			}
			for _, s := range m.Mine(8, extra, m.Job.NTime, 0) {
				if over.Load() || s.Job != m.Job.ID {
					break
				}
				m.id++
				if _, err := fmt.Fprintf(m.conn, `{"id":%d,"method":"mining.submit","params":%s}`+"\n", m.id, m.Params(s)); err != nil {
					return
				}
				for answered := false; !answered; {
					msg, err := m.Read()
					if err != nil {
						return
					}
					answered = string(msg.ID) == strconv.Itoa(m.id)
				}
				if pause != nil {
					pause()
				}
			}
		}
	})
	return func() { over.Store(true); wait.Wait() }
}
