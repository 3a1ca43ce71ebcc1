package ptx

import "math/bits"

// control has the instructions that order threads.
var control = map[string]func(*operation) func(*warp, uint32){
	"bra": func(op *operation) func(*warp, uint32) {
		if !op.want(1) {
			return nil
		}
		to := new(int)
		op.p.jumps = append(op.p.jumps, jump{op.p.line, op.args[0], to})
		return func(w *warp, active uint32) { lanes(active, func(l int) { w.pc[l] = *to }) }
	},
	"ret":  leave,
	"exit": leave,
	"bar": func(op *operation) func(*warp, uint32) {
		switch {
		case op.name == "bar.warp.sync" && op.want(1):
			members := op.p.src(op.args[0], types["b32"])
			return func(w *warp, active uint32) {
				lanes(active, func(l int) { w.together(active, w.r[members][l], l) })
				w.cta.memory.clock++
				w.met = w.cta.memory.clock
				known := knowledge(nil)
				lanes(active, func(l int) { known = known.join(w.known[l]) })
				lanes(active, func(l int) { w.known[l] = known })
			}
		case op.name == "bar.sync" && op.want(1) && op.p.fixed(op.args[0]) == 0:
			return meet
		}
		return nil
	},
	"barrier": func(op *operation) func(*warp, uint32) {
		if op.name == "barrier.sync.aligned" && op.want(1) && op.p.fixed(op.args[0]) == 0 {
			return meet
		}
		return nil
	},
	"membar": nothing, // accesses take effect in order here
	"shfl": func(op *operation) func(*warp, uint32) {
		if !op.has("sync") || !op.want(5) || len(op.mods) != 4 {
			return nil
		}
		t := op.typ()
		d, a := op.p.dst(op.args[0], t), op.p.src(op.args[1], t)
		b, c, members := op.p.src(op.args[2], t), op.p.src(op.args[3], t), op.p.src(op.args[4], t)
		mode := op.mods[2]
		return func(w *warp, active uint32) {
			from := w.r[a]
			lanes(active, func(l int) {
				w.together(active, w.r[members][l], l)
				j, segment, clamp := int(w.r[b][l]&31), int(w.r[c][l]>>8&31), int(w.r[c][l]&31)
				low := l & segment
				high := low | clamp&^segment
				source, inside := l, false
				switch mode {
				case "up":
					source = l - j
					inside = source >= high
				case "down":
					source = l + j
					inside = source <= high
				case "bfly":
					source = l ^ j
					inside = source <= high
				case "idx":
					source = low | j&^segment
					inside = source <= high
				}
				if !inside {
					source = l
				}
				if active>>source&1 == 0 {
					fault(IllegalUse, l, "it reads from lane %d, which does not take part", source)
				}
				w.r[d][l] = from[source]
			})
		}
	},
}

// meet has the threads wait at the block's barrier.
func meet(w *warp, active uint32) {
	if active != w.live {
		fault(IllegalUse, bits.TrailingZeros32(active), "%d of the %d threads of the warp reach the barrier", bits.OnesCount32(active), bits.OnesCount32(w.live))
	}
	w.waiting |= active
	w.cta.events++
}

func leave(*operation) func(*warp, uint32) {
	return func(w *warp, active uint32) {
		w.live &^= active
		w.cta.events++
	}
}

func nothing(*operation) func(*warp, uint32) { return func(*warp, uint32) {} }

// together reports a thread whose instruction names members of the warp that do
// not execute it with the thread.
func (w *warp) together(active, members uint32, lane int) {
	if missing := members & w.live &^ active; missing != 0 {
		fault(IllegalUse, lane, "lane %d is named as a member and does not take part", bits.TrailingZeros32(missing))
	}
	if members>>lane&1 == 0 {
		fault(IllegalUse, lane, "the thread is not among the members %#x that it names", members)
	}
}
