package ptx

import "slices"

// asynchronous has the copies that go on beside the threads, and the fences.
var asynchronous = map[string]func(*operation) func(*warp, uint32){
	"cp": cp, "fence": fence,
}

// async is the copies that a warp's threads have issued.
type async struct {
	copies [32][][]transfer // by lane; the last one is not committed yet
	plain  [32][]place      // shared memory that a lane wrote since its last fence of the async proxy
}

// transfer is a copy that has been issued and not been waited for.
type transfer struct {
	to   place
	from []byte // after skip bytes; the others of to get zero
	skip int
}

// land carries out the copy.
func (t transfer) land() {
	clear(t.to.data)
	copy(t.to.data[t.skip:], t.from)
}

// cp compiles cp.async of 4, 8 or 16 bytes from global to shared memory, which
// belongs to the generic proxy.
func cp(op *operation) func(*warp, uint32) {
	switch {
	case op.has("bulk"):
		return bulkCopy(op)
	case op.name == "cp.async.commit_group":
		return func(w *warp, active uint32) {
			lanes(active, w.group)
		}
	case op.name == "cp.async.wait_group" && op.want(1), op.name == "cp.async.wait_all":
		keep := 0
		if len(op.args) == 1 {
			keep = op.p.fixed(op.args[0])
		}
		every := op.name == "cp.async.wait_all"
		return func(w *warp, active uint32) {
			lanes(active, func(l int) {
				if every {
					w.group(l)
				}
				for len(w.copies[l]) > keep+1 {
					groups := w.copies[l]
					first := groups[0]
					w.land(first, l)
					n := copy(groups, groups[1:])
					groups[n], w.copies[l] = first, groups[:n] // whose memory the next group takes
				}
			})
		}
	case op.name != "cp.async.cg.shared.global" && op.name != "cp.async.ca.shared.global" || len(op.args) != 3 && len(op.args) != 4:
		return nil
	}
	to, from := op.p.address(op.args[0]), op.p.address(op.args[1])
	size := op.p.fixed(op.args[2])
	if size != 16 && (op.has("cg") || size != 4 && size != 8) {
		return nil
	}
	some := -1
	if len(op.args) == 4 {
		some = op.p.src(op.args[3], types["b32"])
	}
	return func(w *warp, active uint32) {
		lanes(active, func(l int) {
			n := size
			if some >= 0 {
				n = min(size, int(w.r[some][l]))
			}
			t := transfer{to: w.reach(shared, to.of(w, l), size, l)}
			if n > 0 {
				p := w.reach(global, from.of(w, l), size, l)
				t.from = p.data[:n]
				p.cells = p.cells[:(n+1)/2]
				w.access(p, l, false)
			}
			// From now on and until the wait nobody may use these bytes.
			w.access(t.to, l, true)
			for i := range t.to.cells {
				t.to.cells[i].copies++
			}
			if len(w.copies[l]) == 0 {
				w.group(l)
			}
			last := len(w.copies[l]) - 1
			w.copies[l][last] = append(w.copies[l][last], t)
		})
	}
}

// group begins a group of a lane's copies.
func (w *warp) group(lane int) {
	groups := w.copies[lane]
	if n := len(groups); n < cap(groups) {
		groups = groups[:n+1]
		groups[n] = groups[n][:0]
		w.copies[lane] = groups
		return
	}
	w.copies[lane] = append(groups, nil)
}

// land carries out the copies of a group. To the other threads it is a write at
// the time of the wait.
func (w *warp) land(group []transfer, lane int) {
	for _, t := range group {
		for i := range t.to.cells {
			t.to.cells[i].copies--
		}
		w.access(t.to, lane, true)
		w.written(t.to, lane)
		t.land()
	}
}

// written notes memory that a lane wrote by the generic proxy.
func (w *warp) written(p place, lane int) {
	if w.proxy {
		w.plain[lane] = append(w.plain[lane], p)
	}
}

// fence orders what a thread wrote before. Accesses take effect in order here,
// so that those that matter are the fences between the generic proxy and the
// async proxy, by which wgmma reads shared memory and bulk copies use mbarriers.
func fence(op *operation) func(*warp, uint32) {
	written := slices.Contains([]string{"fence.proxy.async", "fence.proxy.async.shared::cta"}, op.name)
	switch {
	case !written && op.has("proxy"):
		return nil
	case !written && op.name != "fence.mbarrier_init.release.cluster":
		return nothing(op)
	}
	return func(w *warp, active uint32) {
		lanes(active, func(l int) {
			for _, b := range w.cta.barriers {
				b.fenced = b.fenced || b.by == w.thread(l)
			}
			if !written {
				return
			}
			for _, p := range w.plain[l] {
				for i := range p.cells {
					p.cells[i].plain = false
				}
			}
			w.plain[l] = w.plain[l][:0]
		})
	}
}
