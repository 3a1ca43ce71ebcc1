package stratum

import (
	"cmp"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"regexp"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	own       = 4 // bytes of the extranonce1
	maxTheirs = 8 // bytes of the extranonce2
	maxJobs   = 8 // on which one connection may work
	maxBad    = 20
	maxName   = 256
	maxNames  = 256 // workers of a connection
	maxAgent  = 128

	// grace is how long a job is kept after a clean one replaced it, so that its late
	// shares count as stale.
	grace = 10 * time.Second
	// lives is the lifetime of a job that is not replaced, in refreshes.
	lives = 5

	// mute is how long a worker may submit nothing before there is a notice.
	mute = 30 * time.Second
)

// session is the state of one connection. It does no input or output itself: its
// methods take lines and return answers. All of them except kick are called by one
// goroutine.
type session struct {
	srv        *Server
	address    string
	agent      string
	ours       [own]byte
	mask       uint32 // version bits that the device may roll
	subscribed bool
	worker     *Worker // the first authorised one; nil before that
	others     map[string]*Worker
	turned     map[string]struct{} // names that were refused
	search     *search             // shared by all its workers
	named      time.Time           // when worker was authorised
	suggested  float64             // difficulty; 0 if none was
	prev       *prev
	block      time.Time // when the last clean job was issued
	jobs       []*job    // the newest is the last
	order      order     // of the newest job
	bad        int       // malformed lines
	told       bool      // there was a notice about this connection
	refused    string    // what is wrong with the first refused share, while none was good

	wake   func() // ends a wait for the next line
	kicked atomic.Bool
	from   atomic.Uint64 // least epoch of the newest job
}

// kick makes the session issue a job of at least this epoch. It may be called from any
// goroutine.
func (s *session) kick(epoch uint64) {
	for was := s.from.Load(); was < epoch && !s.from.CompareAndSwap(was, epoch); was = s.from.Load() {
	}
	s.kicked.Store(true)
	s.wake()
}

// workers returns the number of authorised workers.
func (s *session) workers() int {
	if s.worker == nil {
		return 0
	}
	return 1 + len(s.others)
}

// called returns the worker of that name, or nil if it is not authorised.
func (s *session) called(name []byte) *Worker {
	if s.worker != nil && s.worker.name == string(name) {
		return s.worker
	}
	return s.others[string(name)]
}

// each calls f with every worker.
func (s *session) each(f func(w *Worker)) {
	if s.worker != nil {
		f(s.worker)
	}
	for _, w := range s.others {
		f(w)
	}
}

// notice reports why the connection came to nothing.
func (s *session) notice(text string) {
	s.told = true
	s.srv.notice(s.address, text)
}

var (
	errAsked = errors.New("the device was asked to connect again")
	errBad   = errors.New("too many lines that are no request")
)

// due appends the messages that the pool has to send of its own accord. An error ends
// the connection.
func (s *session) due(now time.Time, out []byte) ([]byte, error) {
	if s.worker == nil || !s.subscribed {
		return out, nil
	}
	epoch, from := s.srv.epochs.Load(), s.from.Load()
	o := s.search.order(now, s.workers())
	if o.restart {
		return append(out, `{"id":null,"method":"client.reconnect","params":["",0,0]}`+"\n"...), errAsked
	}
	if !s.named.IsZero() && now.Sub(s.named) >= mute {
		s.named = time.Time{}
		if !s.worker.placed.Load() && !s.told {
			s.notice(cmp.Or(s.refused, fmt.Sprintf("worker %.64q handed in nothing in %v: it does not mine yet, or makes less than about %.2g hash/s, which --expect is for (its difficulty is %g)",
				s.worker.name, mute, o.difficulty*hashesPerDifficulty/mute.Seconds(), o.difficulty)))
		}
	}
	fresh := len(s.jobs) == 0 || s.jobs[len(s.jobs)-1].epoch < from || now.Sub(s.block) >= s.srv.cfg.Block
	if !fresh && now.Sub(s.jobs[len(s.jobs)-1].issued) < s.srv.cfg.Refresh {
		return out, nil
	}
	if len(s.jobs) == 0 || o.difficulty != s.order.difficulty {
		out = append(out, `{"id":null,"method":"mining.set_difficulty","params":[`...)
		out = strconv.AppendFloat(out, o.difficulty, 'f', -1, 64)
		out = append(out, "]}\n"...)
	}
	s.order = o
	return s.issue(fresh, epoch, now, out), nil
}

// issue issues a job. A clean one replaces all earlier jobs.
func (s *session) issue(clean bool, epoch uint64, now time.Time, out []byte) []byte {
	if clean {
		s.prev, s.block = newPrev(), now
		for _, j := range s.jobs {
			if j.dead.IsZero() {
				j.dead = now
			}
		}
	}
	s.jobs = slices.DeleteFunc(s.jobs, func(j *job) bool { return s.over(j, now) })
	if len(s.jobs) == maxJobs {
		s.jobs = slices.Delete(s.jobs, 0, 1)
	}
	target := s.srv.target(s.order.difficulty)
	j := &job{
		template: s.srv.template(now), id: s.srv.jobID(), prev: s.prev,
		difficulty: s.order.difficulty, target: target, issued: now, epoch: epoch,
	}
	s.jobs = append(s.jobs, j)
	out = append(out, `{"id":null,"method":"mining.notify","params":["`...)
	out = append(out, j.id...)
	out = append(out, `","`...)
	out = append(out, j.prev.told[:]...)
	out = append(out, `",`...)
	out = append(out, j.notify...)
	out = append(out, ',')
	out = strconv.AppendBool(out, clean)
	return append(out, "]}\n"...)
}

// next returns when something may be due.
func (s *session) next(now time.Time) time.Time {
	if s.worker == nil || !s.subscribed || len(s.jobs) == 0 {
		return now.Add(s.srv.cfg.Refresh)
	}
	if !s.order.settled {
		return now.Add(time.Second)
	}
	refresh, block := s.jobs[len(s.jobs)-1].issued.Add(s.srv.cfg.Refresh), s.block.Add(s.srv.cfg.Block)
	if block.Before(refresh) {
		return block
	}
	return refresh
}

// find returns the job of that identifier on this connection, or nil if there is none
// or it is too old.
func (s *session) find(id []byte, now time.Time) *job {
	for _, j := range s.jobs {
		if j.id == string(id) {
			if s.over(j, now) {
				return nil
			}
			return j
		}
	}
	return nil
}

// over reports whether shares of a job no longer count at all.
func (s *session) over(j *job, now time.Time) bool {
	return !j.dead.IsZero() && now.Sub(j.dead) > grace || now.Sub(j.issued) > lives*s.srv.cfg.Refresh
}

// handle answers one line, which is not empty. An error ends the connection.
func (s *session) handle(line []byte, now time.Time, out []byte) ([]byte, error) {
	var r request
	if err := r.parse(line); err != nil {
		s.srv.count.malformed.Add(1)
		if s.bad++; s.bad > maxBad {
			return out, errBad
		}
		return refuse(out, r.id, `20,"Not a request"`), nil
	}
	switch string(r.method) {
	case `"mining.submit"`:
		c := s.submit(&r, now)
		if c == Accepted {
			return accept(out, r.id, "true"), nil
		}
		return refuse(out, r.id, class[c].error), nil
	case `"mining.subscribe"`:
		if a := r.param(0); a != nil {
			s.agent = string(a[:min(len(a), maxAgent)])
			s.each(func(w *Worker) { w.called(s.agent) })
		}
		out = append(append(out, `{"id":`...), r.id...)
		out = append(out, `,"result":[[["mining.set_difficulty","1"],["mining.notify","1"]],"`...)
		out = hex.AppendEncode(out, s.ours[:])
		out = append(out, `",`...)
		out = strconv.AppendInt(out, int64(s.srv.cfg.Extranonce2), 10)
		out = append(out, "],\"error\":null}\n"...)
		s.subscribed = true
		return s.due(now, out)
	case `"mining.authorize"`:
		if code := s.authorise(r.param(0), now); code != "" {
			return refuse(out, r.id, code), nil
		}
		return s.due(now, accept(out, r.id, "true"))
	case `"mining.configure"`:
		return accept(out, r.id, s.configure(&r)), nil
	case `"mining.suggest_difficulty"`:
		if r.n > 0 {
			s.suggested, _ = strconv.ParseFloat(string(r.params[0]), 64) // 0 if it is not a number
		}
		if s.search != nil {
			s.search.suggested(s.suggested)
		}
		return accept(out, r.id, "true"), nil
	case `"mining.extranonce.subscribe"`, `"mining.suggest_target"`:
		// The extranonce never changes, and a suggested target is ignored.
		return accept(out, r.id, "true"), nil
	case `"mining.ping"`:
		return accept(out, r.id, `"pong"`), nil
	case `"mining.get_transactions"`:
		return refuse(out, r.id, `20,"There are no transactions"`), nil
	case "": // an answer to the pool
		return out, nil
	}
	return refuse(out, r.id, `20,"Unknown method"`), nil
}

func accept(out, id []byte, result string) []byte {
	out = append(append(out, `{"id":`...), id...)
	out = append(append(out, `,"result":`...), result...)
	return append(out, ",\"error\":null}\n"...)
}

func refuse(out, id []byte, code string) []byte {
	out = append(append(out, `{"id":`...), id...)
	out = append(append(out, `,"result":null,"error":[`...), code...)
	return append(out, ",null]}\n"...)
}

// authorise adds a worker to the connection, or returns the error with which to answer.
func (s *session) authorise(name []byte, now time.Time) (code string) {
	turn := func(code, why string) string {
		if len(name) <= maxName && len(s.turned) < maxNames {
			if s.turned == nil {
				s.turned = map[string]struct{}{}
			}
			s.turned[string(name)] = struct{}{}
		}
		s.srv.count.refused.Add(1)
		s.notice("turned away: " + why)
		return code
	}
	switch {
	case len(name) == 0:
		return turn(`24,"A worker has a name"`, "it gave its worker no name: set one where the device asks for a pool's user")
	case len(name) > maxName:
		return turn(`24,"A worker has a name of 1 to 256 bytes"`, fmt.Sprintf("the name of its worker is longer than %d bytes: %.32q...", maxName, name))
	case s.called(name) != nil:
		return ""
	case s.workers() == maxNames:
		return turn(`24,"No more workers on this connection"`, fmt.Sprintf("it has more than %d workers on a connection", maxNames))
	}
	w, why := s.srv.worker(string(name), s.address, s.search, now)
	if w == nil {
		return turn(`24,"No more workers"`, why)
	}
	if s.worker == nil {
		s.worker, s.search, s.named = w, w.search, now
		s.search.join(s, now)
		s.search.suggested(s.suggested)
	} else {
		if s.others == nil {
			s.others = map[string]*Worker{}
		}
		s.others[w.name] = w
	}
	s.kick(w.join(s))
	return ""
}

// returned returns w, or a new worker of its name if w lost its place while it was
// quiet. It returns nil, with a notice, if there can be none.
func (s *session) returned(w *Worker, now time.Time) *Worker {
	select {
	case <-w.lost:
	default:
		return w
	}
	again, why := s.srv.worker(w.name, s.address, s.search, now)
	if again == nil {
		s.notice("turned away: " + why)
		return nil
	}
	if s.worker == w {
		s.worker = again
	} else {
		s.others[w.name] = again
	}
	w.leave(s, now)
	again.join(s)
	return again
}

// extension matches the names of BIP 310.
var extension = regexp.MustCompile("^[a-z0-9.-]{1,40}$")

// configure answers mining.configure (BIP 310): version rolling within the
// mask, and nothing else.
func (s *session) configure(r *request) string {
	var names []string
	var options map[string]json.RawMessage
	if r.n < 1 || json.Unmarshal(r.params[0], &names) != nil || len(names) > maxParams {
		return "{}"
	}
	if r.n > 1 {
		_ = json.Unmarshal(r.params[1], &options) // what cannot be read was not asked for
	}
	answer := map[string]any{}
	for _, name := range names {
		if !extension.MatchString(name) {
			continue // escaped in the answer, it would be longer than it came
		}
		if name != "version-rolling" {
			answer[name] = false
			continue
		}
		mask := uint32(versionMask)
		if raw := options[name+".mask"]; len(raw) > 0 && string(raw) != "null" {
			m, _ := number32(raw) // 0 if it is not a number
			mask &= m
		}
		var least float64
		_ = json.Unmarshal(options[name+".min-bit-count"], &least)
		if mask == 0 || float64(bits.OnesCount32(mask)) < least {
			answer[name] = false
			continue
		}
		s.mask = mask
		answer[name], answer[name+".mask"] = true, strconv.FormatUint(1<<32|uint64(mask), 16)[1:]
	}
	text, _ := json.Marshal(answer) // of strings and booleans
	return string(text)
}

// submit judges a share and counts it for its worker.
func (s *session) submit(r *request, now time.Time) Class {
	name, id := r.param(0), r.param(1)
	if s.worker == nil || !s.subscribed {
		s.srv.count.unauthorised.Add(1)
		return Unauthorised
	}
	w := s.called(name)
	if w == nil {
		if _, known := s.turned[string(name)]; known {
			s.srv.count.unauthorised.Add(1)
			return Unauthorised
		}
		w = s.worker
	}
	c, epoch, luck := Malformed, uint64(0), 0.0
	sub := submission{extranonce2: r.param(2), ntime: r.value(3), nonce: r.value(4), bits: r.value(5)}
	switch {
	case name == nil || id == nil || r.n < 5:
	case w.name != string(name):
		c = Unauthorised
	default:
		j := s.find(id, now)
		if j == nil {
			c = Unknown
			break
		}
		epoch = j.epoch
		c, luck = j.judge(s.ours[:], s.srv.cfg.Extranonce2, s.mask, sub)
		if c <= Stale {
			if w = s.returned(w, now); w == nil {
				s.srv.count.unauthorised.Add(1)
				return Unauthorised
			}
			if why := s.srv.place(w, now); why != "" {
				s.srv.count.unauthorised.Add(1)
				s.notice("turned away: " + why + " (--workers)")
				return Unauthorised
			}
		}
	}
	w.note(c, epoch, luck, s.workers(), now)
	if c > Stale {
		w.quote(c, r.line)
		if !w.placed.Load() && s.refused == "" {
			s.refused = fmt.Sprintf("worker %.64q hands in shares, and none is good: they %s, the first in the line %s", w.name, reproach[c], quoted(r.line))
		}
	}
	return c
}

// close ends the session. If the client submitted no share, there is a notice.
func (s *session) close(now time.Time) {
	if s.worker == nil && !s.told {
		s.notice("its connection ended before it named a worker")
	}
	if s.search != nil {
		s.search.leave(s)
	}
	s.each(func(w *Worker) {
		w.leave(s, now)
		if !w.placed.Load() {
			if !s.told {
				s.notice(cmp.Or(s.refused, "its connection ended before it handed in a share")) // without names: a hostile client can use any number of them
			}
			s.srv.left(w)
		}
	})
}
