package stratum

import (
	"encoding/hex"
	"encoding/json"
	"errors"
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
	maxJobs   = 8 // that one connection may work on
	maxBad    = 20
	maxName   = 128
	maxAgent  = 128

	// grace is how long a job that a clean one has replaced is kept, so that
	// what is found of it meanwhile counts as stale.
	grace = 10 * time.Second
	// lives is for how many refreshes a job is good that none has replaced.
	lives = 5
)

// session is the state of one connection. It does no input or output: lines
// go in and answers come out. All methods but kick are called by one
// goroutine.
type session struct {
	srv        *Server
	address    string
	agent      string
	ours       [own]byte
	mask       uint32 // bits of the version that the device may roll
	subscribed bool
	worker     *Worker // nil before it is authorised
	prev       *prev
	block      time.Time // the last clean job was issued
	jobs       []*job    // the newest is the last
	order      order     // of the newest
	bad        int       // lines that were no request

	wake   func() // ends a wait for the next line
	kicked atomic.Bool
}

// kick makes the session look for new orders. Anybody may call it.
func (s *session) kick() {
	s.kicked.Store(true)
	s.wake()
}

var (
	errAsked = errors.New("the device was asked to connect again")
	errBad   = errors.New("too many lines that are no request")
)

// due appends what the device is to be told without having asked. An error
// ends the connection.
func (s *session) due(now time.Time, out []byte) ([]byte, error) {
	if s.worker == nil || !s.subscribed {
		return out, nil
	}
	o := s.worker.order(now)
	if o.restart {
		return append(out, `{"id":null,"method":"client.reconnect","params":["",0,0]}`+"\n"...), errAsked
	}
	fresh := len(s.jobs) == 0 || o.epoch != s.order.epoch || now.Sub(s.block) >= s.srv.cfg.Block
	if !fresh && now.Sub(s.jobs[len(s.jobs)-1].issued) < s.srv.cfg.Refresh {
		return out, nil
	}
	if len(s.jobs) == 0 || o.difficulty != s.order.difficulty {
		out = append(out, `{"id":null,"method":"mining.set_difficulty","params":[`...)
		out = strconv.AppendFloat(out, o.difficulty, 'f', -1, 64)
		out = append(out, "]}\n"...)
	}
	s.order = o
	return s.issue(fresh, now, out), nil
}

// issue gives out a job. A clean one takes the place of all before it.
func (s *session) issue(clean bool, now time.Time, out []byte) []byte {
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
		difficulty: s.order.difficulty, target: target, issued: now, epoch: s.order.epoch,
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

// next is when there may be something due.
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

// find returns a job that was given to this connection, nil if there is none
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

// over reports whether a job's shares are worth nothing any more.
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
			if s.agent = string(a[:min(len(a), maxAgent)]); s.worker != nil {
				s.worker.called(s.agent)
			}
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
	case `"mining.extranonce.subscribe"`, `"mining.suggest_difficulty"`, `"mining.suggest_target"`:
		// The extranonce never changes, and a suggestion is not obeyed.
		return accept(out, r.id, "true"), nil
	case `"mining.ping"`:
		return accept(out, r.id, `"pong"`), nil
	case `"mining.get_transactions"`:
		return refuse(out, r.id, `20,"There are no transactions"`), nil
	case "": // an answer to what we sent
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

// authorise binds the connection to a worker, or returns the code of why not.
func (s *session) authorise(name []byte, now time.Time) (code string) {
	switch {
	case len(name) == 0 || len(name) > maxName:
		return `24,"A worker has a name of 1 to 128 bytes"`
	case s.worker != nil && s.worker.name != string(name):
		return `24,"One worker a connection"`
	case s.worker != nil:
		return ""
	}
	w := s.srv.worker(string(name), now)
	if w == nil {
		return `24,"No more workers"`
	}
	s.worker = w
	w.join(s, now)
	return ""
}

// extension is what a name in BIP 310 looks like.
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
			continue // it would come back longer than it was
		}
		if name != "version-rolling" {
			answer[name] = false
			continue
		}
		mask := uint32(versionMask)
		if raw := options[name+".mask"]; len(raw) > 0 && string(raw) != "null" {
			m, _ := number32(raw) // 0 if it is none
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

// submit judges a share and has the worker count it.
func (s *session) submit(r *request, now time.Time) Class {
	if s.worker == nil || !s.subscribed {
		s.srv.count.unauthorised.Add(1)
		return Unauthorised
	}
	c, epoch, luck := Malformed, s.order.epoch, 0.0
	name, id := r.param(0), r.param(1)
	sub := submission{extranonce2: r.param(2), ntime: r.value(3), nonce: r.value(4), bits: r.value(5)}
	switch {
	case name == nil || id == nil || r.n < 5:
	case string(name) != s.worker.name:
		c = Unauthorised
	default:
		j := s.find(id, now)
		if j == nil {
			c = Unknown
			break
		}
		epoch = j.epoch
		c, luck = j.judge(s.ours[:], s.srv.cfg.Extranonce2, s.mask, sub, now)
	}
	s.worker.note(c, epoch, luck, now)
	if c > Stale {
		s.worker.quote(c, r.line)
	}
	return c
}

// close ends the session.
func (s *session) close(now time.Time) {
	if s.worker != nil {
		s.worker.leave(s, now)
	}
}
