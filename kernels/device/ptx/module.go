// Package ptx runs NVIDIA's PTX assembly on the CPU, so that the kernels for
// GPUs are tested where there is no GPU. It is no simulator of performance.
//
// Warps execute in lockstep. A launch ends with a [Fault] that names the
// instruction and the thread where a GPU would report an error, and also where
// a GPU would be silent and now and then be wrong:
//
//   - a read of memory that nothing has written;
//   - an address outside of every allocation, of another state space than the
//     instruction's, or not aligned;
//   - a data race: two threads access the same bytes of shared or global
//     memory, one of them writes, and no barrier orders them;
//   - use of bytes that an asynchronous copy or a wgmma still writes or reads,
//     since a commit or a wait is missing;
//   - shared memory that wgmma reads without a proxy fence after it was
//     written, and registers that it uses without a wgmma.fence;
//   - a barrier or a collective instruction that only a part of the threads
//     reaches;
//   - a wait at an mbarrier that nothing ends, and registers that setmaxnreg
//     waits for in vain.
//
// Asynchronous operations take effect only when something waits for them, which
// is the latest time that the PTX ISA allows. What a bulk copy has written is
// there for those threads alone that have waited at its mbarrier, or that are
// ordered after one that has.
//
// Most of what our kernels do not use is not implemented, and [Parse] says so by
// line. The semantics follow "Parallel Thread Execution ISA", version 8.5.
package ptx

import (
	"fmt"
	"strings"
)

// Module is the parsed text of a module.
type Module struct {
	Version string // of the ISA: 8.0
	Target  string // sm_80
	Kernels map[string]*Kernel
}

// Kernel is an entry function.
type Kernel struct {
	Name       string
	Params     []Param
	Shared     int // bytes of shared memory that it declares
	MaxThreads int // a block, by .maxntid; 0 if it does not say
	Registers  int // a thread at first, by .maxnreg or by .minnctapersm; 0 if it does not say

	code     []inst
	rows     int // of 32-bit registers
	wides    int // of 64-bit registers
	preds    int
	const32  map[uint32]int // value to register, the same in each lane
	const64  map[uint64]int
	accs     []int // registers that wgmma accumulates in
	hasProxy bool  // it has instructions of the async proxy, or mbarriers
}

// Param is a parameter: Size bytes at Offset of the block that a launch passes.
type Param struct {
	Name         string
	Offset, Size int
}

// inst is a compiled instruction.
type inst struct {
	run      func(w *warp, active uint32)
	guard    int  // predicate register, or -1
	not      bool // the guard is negated
	ends     bool // a straight run of instructions ends here
	together bool // the threads of a warp execute it together
	line     int
	text     string
}

// typ is a type of PTX.
type typ struct {
	kind  byte // b, u, s, f; h is bf16, t is tf32, p is a predicate
	bits  int  // of an element
	lanes int  // 2 of a packed type
}

var types = map[string]typ{
	"b8": {'b', 8, 1}, "b16": {'b', 16, 1}, "b32": {'b', 32, 1}, "b64": {'b', 64, 1},
	"u8": {'u', 8, 1}, "u16": {'u', 16, 1}, "u32": {'u', 32, 1}, "u64": {'u', 64, 1},
	"s8": {'s', 8, 1}, "s16": {'s', 16, 1}, "s32": {'s', 32, 1}, "s64": {'s', 64, 1},
	"f16": {'f', 16, 1}, "f16x2": {'f', 16, 2}, "f32": {'f', 32, 1}, "f64": {'f', 64, 1},
	"bf16": {'h', 16, 1}, "bf16x2": {'h', 16, 2}, "tf32": {'t', 32, 1},
	"pred": {'p', 1, 1},
}

func (t typ) size() int  { return t.bits * t.lanes / 8 }
func (t typ) wide() bool { return t.bits == 64 }

// syntax is an error of the text.
type syntax struct {
	line int
	text string
}

func (e *syntax) Error() string { return fmt.Sprintf("ptx: line %d: %s", e.line, e.text) }

// statement is a line of source without comments, by its number.
type statement struct {
	line int
	text string
}

// statements splits the text: a statement ends at its semicolon, a brace of a
// body and a label stand alone, and the directives of a module's head end with
// their line.
func statements(text string) (list []statement) {
	var open statement // goes on in the next line
	emit := func(line int, text string) {
		if open.text != "" {
			line, text = open.line, open.text+" "+text
		}
		list, open = append(list, statement{line, strings.TrimSpace(text)}), statement{}
	}
	comment := false
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(uncomment(line, &comment))
		for line != "" {
			end := strings.IndexByte(line, ';')
			switch colon := label(line); {
			case line[0] == '{' && (open.text == "" || strings.Contains(open.text, ".entry")) || line[0] == '}' && open.text == "":
				if open.text != "" {
					emit(n+1, "")
				}
				end = 0
			case colon > 0 && open.text == "":
				end = colon
			case end < 0 && open.text == "" && (strings.HasPrefix(line, ".version") || strings.HasPrefix(line, ".target") || strings.HasPrefix(line, ".address_size")):
				end = len(line) - 1
			}
			if end < 0 {
				if open.text == "" {
					open.line = n + 1
				}
				open.text, line = strings.TrimSpace(open.text+" "+line), ""
				continue
			}
			emit(n+1, line[:end+1])
			line = strings.TrimSpace(line[end+1:])
		}
	}
	if open.text != "" {
		emit(open.line, "")
	}
	return list
}

// label returns the index of the colon of a label that the line begins with,
// or 0.
func label(line string) int {
	for i, c := range line {
		switch {
		case c == ':':
			return i
		case c != '$' && c != '_' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z'):
			return 0
		}
	}
	return 0
}

// uncomment removes comments; block is whether one goes on at the line's end.
func uncomment(line string, block *bool) string {
	var kept strings.Builder
	for line != "" {
		if *block {
			_, rest, closed := strings.Cut(line, "*/")
			*block, line = !closed, rest
			continue
		}
		i := strings.IndexByte(line, '/')
		switch {
		case i < 0 || i+1 == len(line):
			kept.WriteString(line)
			line = ""
		case line[i+1] == '/':
			kept.WriteString(line[:i])
			line = ""
		case line[i+1] == '*':
			kept.WriteString(line[:i])
			*block, line = true, line[i+2:]
		default:
			kept.WriteString(line[:i+1])
			line = line[i+1:]
		}
	}
	return kept.String()
}

// list splits the operands of an instruction at commas outside of brackets.
func list(text string) (parts []string) {
	depth, from := 0, 0
	for i, c := range text {
		switch c {
		case '{', '[', '(':
			depth++
		case '}', ']', ')':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, strings.TrimSpace(text[from:i]))
				from = i + 1
			}
		}
	}
	if rest := strings.TrimSpace(text[from:]); rest != "" {
		parts = append(parts, rest)
	}
	return parts
}
