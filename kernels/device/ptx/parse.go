package ptx

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Limits of a text, which may come from anywhere.
const (
	maxText      = 16 << 20
	maxRegisters = 1 << 16
	maxShared    = 228 << 10 // bytes; what an H100 has
	maxParams    = 4 << 10   // bytes; PTX ISA, kernel function parameters
)

// variable is a variable of shared memory.
type variable struct {
	name        string
	size, align int
}

// parser compiles one kernel. The first error stays; what follows it is
// compiled into nothing.
type parser struct {
	k      *Kernel
	line   int
	err    error
	regs   map[string]register
	shared map[string]int // offsets of variables
	params map[string]Param
	labels map[string]int
	jumps  []jump
}

type register struct {
	typ typ
	at  int
}

// jump is a branch whose label may come later.
type jump struct {
	line  int
	label string
	to    *int
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = &syntax{p.line, fmt.Sprintf(format, args...)}
	}
}

// Parse compiles the text of a module.
func Parse(text string) (*Module, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("ptx: the text has %d bytes, more than %d", len(text), maxText)
	}
	m := &Module{Kernels: map[string]*Kernel{}}
	var shared []variable
	list := statements(text)
	for i := 0; i < len(list); i++ {
		s := list[i]
		fields := strings.Fields(strings.TrimSuffix(s.text, ";"))
		switch {
		case len(fields) == 0:
		case fields[0] == ".version" && len(fields) > 1:
			m.Version = fields[1]
		case fields[0] == ".target" && len(fields) > 1:
			m.Target = strings.TrimSuffix(fields[1], ",")
		case fields[0] == ".address_size":
			if !slices.Equal(fields[1:], []string{"64"}) {
				return nil, &syntax{s.line, "addresses of 64 bits only"}
			}
		case slices.Contains(fields, ".shared"):
			v, err := declaration(s)
			if err != nil {
				return nil, err
			}
			shared = append(shared, v)
		case slices.Contains(fields, ".entry"):
			from := i + 1
			depth := 0
			for i++; i < len(list); i++ {
				depth += strings.Count(braces(list[i].text), "{") - strings.Count(braces(list[i].text), "}")
				if depth == 0 {
					break
				}
			}
			if i == len(list) || list[from].text != "{" {
				return nil, &syntax{s.line, "a kernel without a body"}
			}
			k, err := kernel(s, list[from+1:i], shared)
			if err != nil {
				return nil, err
			}
			if m.Kernels[k.Name] != nil {
				return nil, &syntax{s.line, "a second kernel " + k.Name}
			}
			m.Kernels[k.Name] = k
		default:
			return nil, &syntax{s.line, "not implemented: " + s.text}
		}
	}
	return m, nil
}

// braces returns a statement that is a brace of a body, else nothing.
func braces(s string) string {
	if s == "{" || s == "}" {
		return s
	}
	return ""
}

// declaration parses .shared .align 16 .b8 name[4096].
func declaration(s statement) (v variable, err error) {
	fields := strings.Fields(strings.TrimSuffix(s.text, ";"))
	v.align = 1
	element := 0
	for i, word := range fields {
		if t, ok := types[strings.TrimPrefix(word, ".")]; ok {
			element = t.size()
			v.align = max(v.align, element)
		}
		if word == ".align" && i+1 < len(fields) {
			if v.align, err = strconv.Atoi(fields[i+1]); err != nil || v.align < 1 || v.align > 1024 || v.align&(v.align-1) != 0 {
				return v, &syntax{s.line, "not an alignment: " + fields[i+1]}
			}
		}
	}
	name, dim, array := strings.Cut(fields[len(fields)-1], "[")
	v.name, v.size = name, element
	if dim = strings.TrimSuffix(dim, "]"); array {
		n := 0
		if dim != "" { // otherwise as much as the launch says
			if n, err = strconv.Atoi(dim); err != nil || n < 0 || n > maxShared {
				return v, &syntax{s.line, "not a size: " + dim}
			}
		}
		v.size = n * element
	}
	if element == 0 || name == "" {
		return v, &syntax{s.line, "not a variable: " + s.text}
	}
	return v, nil
}

// kernel compiles an entry: its head, its body and the shared variables of the
// module.
func kernel(head statement, body []statement, shared []variable) (*Kernel, error) {
	k := &Kernel{const32: map[uint32]int{}, const64: map[uint64]int{}}
	p := &parser{k: k, line: head.line, regs: map[string]register{}, shared: map[string]int{}, params: map[string]Param{}, labels: map[string]int{}}
	for _, v := range shared {
		p.place(v)
	}
	p.head(head.text)
	for _, s := range body {
		p.line = s.line
		text := strings.TrimSpace(strings.TrimSuffix(s.text, ";"))
		switch {
		case text == "" || text == "{" || text == "}" || strings.HasPrefix(text, ".pragma"):
		case strings.HasPrefix(text, ".reg"):
			p.registers(strings.TrimSpace(strings.TrimPrefix(text, ".reg")))
		case strings.HasPrefix(text, ".shared"):
			v, err := declaration(s)
			if err != nil {
				return nil, err
			}
			p.place(v)
		case strings.HasPrefix(text, "."):
			p.fail("not implemented: %s", text)
		case label(text) > 0:
			name := text[:label(text)]
			if _, again := p.labels[name]; again {
				p.fail("a second label %s", name)
			}
			p.labels[name] = len(k.code)
		default:
			p.instruction(text)
		}
		if p.err != nil {
			return nil, p.err
		}
	}
	for _, j := range p.jumps {
		to, known := p.labels[j.label]
		if p.line = j.line; !known {
			p.fail("no label %s", j.label)
		}
		*j.to = to
	}
	// A kernel that runs into its end returns.
	p.instruction("ret")
	slices.Sort(k.accs)
	k.accs = slices.Compact(k.accs)
	return k, p.err
}

// place puts a variable behind the ones before it.
func (p *parser) place(v variable) {
	at := (p.k.Shared + v.align - 1) / v.align * v.align
	p.shared[v.name] = at
	if p.k.Shared = at + v.size; p.k.Shared > maxShared {
		p.fail("more than %d bytes of shared memory", maxShared)
	}
}

// head parses .visible .entry name(.param .u64 a, .param .u32 b) .maxntid 256.
func (p *parser) head(text string) {
	_, text, _ = strings.Cut(text, ".entry")
	name, rest, params := strings.Cut(text, "(")
	if p.k.Name = strings.TrimSpace(name); !params {
		p.k.Name, rest, _ = strings.Cut(p.k.Name, " ")
	} else {
		var list string
		list, rest, _ = strings.Cut(rest, ")")
		at := 0
		for field := range strings.SplitSeq(list, ",") {
			words := strings.Fields(field)
			if len(words) == 0 {
				continue
			}
			var t typ
			align := 0
			for i, word := range words {
				if named, ok := types[strings.TrimPrefix(word, ".")]; ok && t.bits == 0 {
					t = named
				}
				if word == ".align" && t.bits == 0 && i+1 < len(words) { // later it is of what a pointer points to
					align, _ = strconv.Atoi(words[i+1])
				}
			}
			name, dim, array := strings.Cut(words[len(words)-1], "[")
			size := t.size()
			if array { // bytes
				size, _ = strconv.Atoi(strings.TrimSuffix(dim, "]"))
			} else if align == 0 {
				align = size
			}
			if t.bits == 0 || t.kind == 'p' || array && t != types["b8"] || size < 1 || size > maxParams || align < 1 || align > 128 || align&(align-1) != 0 {
				p.fail("not a parameter that is implemented: %s", strings.TrimSpace(field))
				return
			}
			at = (at + align - 1) / align * align
			param := Param{name, at, size}
			p.params[name] = param
			p.k.Params = append(p.k.Params, param)
			if at += size; at > maxParams {
				p.fail("more than %d bytes of parameters", maxParams)
				return
			}
		}
	}
	words := strings.Fields(strings.ReplaceAll(rest, ",", " "))
	directive := func(name string) int { // the product of its numbers; 0 without it
		product := 0
		if i := slices.Index(words, name); i >= 0 {
			product = 1
			for _, n := range words[i+1:] {
				v, err := strconv.Atoi(n)
				if err != nil {
					break
				}
				product *= v
			}
		}
		return product
	}
	p.k.MaxThreads = max(directive(".maxntid"), directive(".reqntid"))
	p.k.Registers = directive(".maxnreg")
	if threads := p.k.MaxThreads * directive(".minnctapersm"); threads > 0 && p.k.Registers == 0 {
		p.k.Registers = min(255, registersOfSM/threads/8*8)
	}
}

// registers parses .b32 %r<12> or .b16 %low, %high.
func (p *parser) registers(text string) {
	word, names, _ := strings.Cut(strings.ReplaceAll(text, "\t", " "), " ")
	t, known := types[strings.TrimPrefix(word, ".")]
	if !known {
		p.fail("not a type: %s", word)
		return
	}
	for name := range strings.SplitSeq(names, ",") {
		name, count, many := strings.Cut(strings.TrimSpace(name), "<")
		if !many {
			p.register(name, t)
			continue
		}
		n, err := strconv.Atoi(strings.TrimSuffix(count, ">"))
		if err != nil || n < 0 || n+p.k.rows+p.k.wides+p.k.preds > maxRegisters {
			p.fail("not a number of registers: %s", count)
			return
		}
		for i := range n {
			p.register(name+strconv.Itoa(i), t)
		}
	}
}

func (p *parser) register(name string, t typ) {
	at := &p.k.rows
	switch {
	case t.kind == 'p':
		at = &p.k.preds
	case t.wide():
		at = &p.k.wides
	}
	// A block of inline assembly may declare the same name as another one.
	p.regs[name] = register{t, *at}
	if *at++; *at > maxRegisters {
		p.fail("more than %d registers", maxRegisters)
	}
}

// find returns the register of a name if its size is that of t: 8 and 16 bits
// are in the low end of a register of 16 or 32.
func (p *parser) find(name string, t typ) (int, bool) {
	r, ok := p.regs[name]
	if !ok {
		return 0, false
	}
	if have := r.typ.size(); r.typ.kind == 'p' != (t.kind == 'p') || r.typ.wide() != t.wide() || have < t.size() {
		p.fail("register %s of %d bytes where %d are wanted", name, have, t.size())
	}
	return r.at, true
}

// dst is a register that an instruction writes; "_" is written for nothing.
func (p *parser) dst(name string, t typ) int {
	if name == "_" {
		at := &p.k.rows
		if t.wide() {
			at = &p.k.wides
		}
		*at++
		return *at - 1
	}
	at, ok := p.find(name, t)
	if !ok {
		p.fail("not a register: %s", name)
	}
	return at
}

// src is an operand that an instruction reads: a register, or a constant in a
// register of its own.
func (p *parser) src(text string, t typ) int {
	if at, ok := p.find(text, t); ok {
		return at
	}
	return p.constant(p.number(text, t), t)
}

func (p *parser) constant(v uint64, t typ) int {
	if t.wide() {
		at, ok := p.k.const64[v]
		if !ok {
			at = p.k.wides
			p.k.const64[v] = at
			p.k.wides++
		}
		return at
	}
	at, ok := p.k.const32[uint32(v)]
	if !ok {
		at = p.k.rows
		p.k.const32[uint32(v)] = at
		p.k.rows++
	}
	return at
}

// fixed is an operand that must be a constant.
func (p *parser) fixed(text string) int { return int(p.number(text, types["b32"])) }

// number is a constant: an integer, 0f3F800000, 0d…, or the address of a
// variable in its state space.
func (p *parser) number(text string, t typ) uint64 {
	if first, rest, sum := strings.Cut(text, "+"); sum {
		return p.number(strings.TrimSpace(first), t) + p.number(strings.TrimSpace(rest), t)
	}
	if at, ok := p.shared[text]; ok {
		return uint64(at)
	}
	if param, ok := p.params[text]; ok {
		return uint64(param.Offset)
	}
	if len(text) > 2 {
		switch text[:2] {
		case "0f", "0F":
			if v, err := strconv.ParseUint(text[2:], 16, 32); err == nil {
				if t.kind == 'f' && t.bits == 64 {
					return math.Float64bits(float64(math.Float32frombits(uint32(v))))
				}
				return v
			}
		case "0d", "0D":
			if v, err := strconv.ParseUint(text[2:], 16, 64); err == nil {
				return v
			}
		}
	}
	text = strings.TrimSuffix(text, "U")
	if v, err := strconv.ParseInt(text, 0, 64); err == nil {
		return uint64(v)
	}
	v, err := strconv.ParseUint(text, 0, 64)
	if err != nil {
		p.fail("neither a register nor a constant: %s", text)
	}
	return v
}

// pred is a predicate, perhaps negated.
func (p *parser) pred(text string) (at int, not bool) {
	text, not = strings.CutPrefix(text, "!")
	at, ok := p.find(text, types["pred"])
	if !ok {
		p.fail("not a predicate: %s", text)
	}
	return at, not
}

// vector returns the elements of {a, b}, or the operand itself.
func vector(text string) []string {
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		return list(strings.TrimSuffix(inner, "}"))
	}
	return []string{text}
}

// dsts and srcs are the registers of {a, b}.
func (p *parser) dsts(text string, t typ) (at []int) {
	for _, name := range vector(text) {
		at = append(at, p.dst(name, t))
	}
	return at
}

func (p *parser) srcs(text string, t typ) (at []int) {
	for _, name := range vector(text) {
		at = append(at, p.src(name, t))
	}
	return at
}

// instruction compiles @%p opcode operands.
func (p *parser) instruction(text string) {
	in := inst{guard: -1, line: p.line, text: text}
	if guard, ok := strings.CutPrefix(text, "@"); ok {
		name, rest, _ := strings.Cut(strings.ReplaceAll(guard, "\t", " "), " ")
		in.guard, in.not = p.pred(name)
		text = strings.TrimSpace(rest)
	}
	at := strings.IndexAny(text, " \t")
	if at < 0 {
		at = len(text)
	}
	op := operation{p: p, name: text[:at], args: list(text[at:])}
	op.mods = strings.Split(op.name, ".")
	for _, mod := range op.mods {
		if t, ok := types[mod]; ok {
			op.types = append(op.types, t)
		}
	}
	compile, known := compilers[op.mods[0]]
	if !known {
		p.fail("instruction not implemented: %s", op.name)
		return
	}
	in.run = compile(&op)
	if in.run == nil {
		p.fail("instruction not implemented in this form: %s", text)
		return
	}
	in.ends = slices.Contains([]string{"bra", "ret", "exit", "bar", "barrier", "mbarrier"}, op.mods[0])
	in.together = op.has("sync") || op.mods[0] == "barrier"
	p.k.code = append(p.k.code, in)
}

// operation is an instruction while it is compiled.
type operation struct {
	p     *parser
	name  string   // add.s32
	mods  []string // add, s32
	types []typ    // those among mods, in order
	args  []string
}

// has reports whether a modifier stands in the opcode.
func (op *operation) has(mod string) bool { return slices.Contains(op.mods, mod) }

// typ is the last type of the opcode.
func (op *operation) typ() typ {
	if len(op.types) == 0 {
		op.p.fail("no type: %s", op.name)
		return types["b32"]
	}
	return op.types[len(op.types)-1]
}

// want reports whether there are n operands.
func (op *operation) want(n int) bool {
	if len(op.args) != n {
		op.p.fail("%s has %d operands, want %d", op.name, len(op.args), n)
		return false
	}
	return true
}

var compilers map[string]func(*operation) func(*warp, uint32)

func init() {
	compilers = map[string]func(*operation) func(*warp, uint32){}
	for _, table := range []map[string]func(*operation) func(*warp, uint32){arithmetic, movement, control, barriers, asynchronous, tensor} {
		maps.Copy(compilers, table)
	}
}
