package economics

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/constant"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The page computes in the browser with the functions of this package: what is
// below translates them to JavaScript. It knows the Go of terms.go and formulas.go
// and refuses everything else, so that nothing is translated by guess. Both
// languages compute in IEEE 754 doubles, in the same order.

// translated are the functions that the page calls; those that they call follow.
var translated = []string{"columnOf", "spanning", "coRunOf", "quadrature", "leftOut", "verdictIn", "crossoverOf", "efficiencyOf", "rangeOf", "soldAtALoss", "squeezedFirst", "growOrConvert", "mulletOrNot", "EarnsMost"}

// TestJavaScript holds the page's formulas against what this package translates to.
func TestJavaScript(t *testing.T) {
	got, err := javaScript(".", nil, translated...)
	require.NoError(t, err)
	const name = "../report/formulas.js"
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(got), 0o644))
	}
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test -run JavaScript -update writes %s again", name)
}

// Whatever JavaScript would compute otherwise, or in silence not at all, is refused.
func TestJavaScriptRefuses(t *testing.T) {
	translate := func(code string) (string, error) {
		return javaScript("", []byte("package p\nimport (\"math\"; \"strings\")\nvar _ = strings.ToUpper\nvar _ = math.Pi\ntype pair struct{ A, B float64 }\nfunc (p pair) sum() float64 { return p.A + p.B }\nvar table = 3.0\n"+code), "f")
	}
	for name, c := range map[string]struct{ code, why string }{
		"integer division":      {"func f(n int) int { return n / 2 }", "divides integers"},
		"integer remainder":     {"func f(n int) int { return n % 2 }", "operator %"},
		"integers that wrap":    {"func f(n uint8) uint8 { return n + 1 }", "type uint8"},
		"narrow floats":         {"func f(x float32) float32 { return x * x }", "type float32"},
		"other packages":        {"func f(s string) string { return strings.ToUpper(s) }", "strings.ToUpper"},
		"unknown mathematics":   {"func f(x float64) float64 { return math.Gamma(x) }", "math.Gamma"},
		"writing to a value":    {"func f(p pair) float64 { p.A = 1; return p.A }", "is shared in JavaScript"},
		"writing to a copy":     {"func f(p pair) float64 { q := p; q.A = 1; return p.A }", "is shared in JavaScript"},
		"comparing structs":     {"func f(p, q pair) bool { return p == q }", "compares"},
		"comparing a NaN":       {"func f(x float64) bool { return x == math.NaN() }", "never equal"},
		"variables of packages": {"func f() float64 { return table }", "variable of the package"},
		"two results":           {"func f() (float64, float64) { return 1, 2 }", "results"},
		"shadowing":             {"func f(x float64) float64 { if x > 0 { x := x + 1; return x }; return 0 }", "shadows"},
		"deferring":             {"func f() float64 { defer f(); return 0 }", "DeferStmt"},
		"maps":                  {"func f() float64 { return map[string]float64{}[\"a\"] }", "type map[string]float64"},
		"conversions":           {"func f(x float64) int { return int(x) }", "converts float64 to int"},
		"breaking a switch":     {"func f(x float64) float64 { switch { case x > 0: break }; return 0 }", "BranchStmt"},
		"pointers":              {"func f(p *pair) float64 { return p.A }", "type *p.pair"},
		"indices beyond":        {"func f(s []float64) float64 { return s[0:1][0] }", "SliceExpr"},
		"nothing":               {"func g() {}", "no function f"},
	} {
		_, err := translate(c.code)
		require.ErrorContains(t, err, c.why, name)
	}
	got, err := translate(`func f(p pair, xs []float64) float64 {
		best := math.Inf(-1)
		for _, x := range xs { if y := x * p.sum(); y > best || math.IsNaN(best) { best = max(y, -x) } else { best += 1e-3 } }
		for i := len(xs) - 1; i >= 0; i-- { best = best + xs[i] }
		for range 2 { best *= 2 }
		g := func(x float64) pair { return pair{B: x} }
		switch { case best > 1 || best < -1: return g(best).B; case best == 0: best = 1 }
		return -(best + 0.5) * 3
	}`)
	require.NoError(t, err)
	require.Equal(t, `function f(p, xs) {
  let best = -Infinity;
  for (const x of xs) {
    { let y = (x * pair_sum(p));
      if (((y > best) || Number.isNaN(best))) {
        best = Math.max(y, (-x));
      } else {
        best += 0.001;
      }
    }
  }
  for (let i = (xs.length - 1); (i >= 0); i--) {
    best = (best + xs[i]);
  }
  for (let n = 0; n < 2; n++) {
    best *= 2;
  }
  let g = (x) => {
    return {A: 0, B: x};
  };
  if (((best > 1) || (best < -1))) {
    return g(best).B;
  } else if ((best === 0)) {
    best = 1;
  }
  return ((-(best + 0.5)) * 3);
}
function pair_sum(p) {
  return (p.A + p.B);
}
`, got[strings.Index(got, "function f"):])
}

// javaScript translates functions of the package in a folder, or of a source, and
// all functions that they call, in the order in which they are met.
func javaScript(dir string, source []byte, roots ...string) (out string, err error) {
	fset := token.NewFileSet()
	var files []*ast.File
	names := []string{"p.go"}
	if source == nil {
		if names, err = filepath.Glob(filepath.Join(dir, "*.go")); err != nil {
			return "", err
		}
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		var src any
		if source != nil {
			src = source
		}
		f, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
		if err != nil {
			return "", err
		}
		files = append(files, f)
	}
	j := &translator{fset: fset, bodies: map[*types.Func]*ast.FuncDecl{}, info: types.Info{
		Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}, Uses: map[*ast.Ident]types.Object{}, Selections: map[*ast.SelectorExpr]*types.Selection{},
	}}
	// Other packages than math are not read. What needs their types has none, and is
	// refused where it is met.
	if build.Default.GOROOT == "" { // unknown to a test that was built with -trimpath
		root, err := exec.Command("go", "env", "GOROOT").Output()
		if err != nil {
			return "", fmt.Errorf("go env GOROOT: %w", err)
		}
		build.Default.GOROOT = strings.TrimSpace(string(root))
	}
	conf := types.Config{Error: func(error) {}, Importer: onlyMath{importer.ForCompiler(fset, "source", nil)}}
	pkg, _ := conf.Check("p", fset, files, &j.info)
	for _, f := range files {
		for _, d := range f.Decls {
			if d, ok := d.(*ast.FuncDecl); ok {
				if of, ok := j.info.Defs[d.Name].(*types.Func); ok {
					j.bodies[of] = d
				}
			}
		}
	}
	defer func() {
		if r := recover(); r != nil {
			refused, ok := r.(refusal)
			if !ok {
				panic(r)
			}
			err = refused.error
		}
	}()
	for _, r := range roots {
		of, ok := pkg.Scope().Lookup(r).(*types.Func)
		if !ok {
			return "", fmt.Errorf("there is no function %s", r)
		}
		j.call(of)
	}
	j.out.WriteString("// Generated from the functions of results/economics by its TestJavaScript; DO NOT EDIT.\n'use strict';\n")
	for i := 0; i < len(j.queue); i++ {
		j.function(j.queue[i])
	}
	return j.out.String(), nil
}

// onlyMath imports math, and of the statistics their constants.
type onlyMath struct{ types.Importer }

func (m onlyMath) Import(path string) (*types.Package, error) {
	switch {
	case path == "math":
		return m.Importer.Import(path)
	case strings.HasSuffix(path, "/results/stats"):
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "../stats/stats.go", nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		conf := types.Config{Error: func(error) {}, Importer: m, IgnoreFuncBodies: true}
		pkg, _ := conf.Check(path, fset, []*ast.File{f}, nil)
		return pkg, nil
	}
	return nil, errors.New("not read")
}

type translator struct {
	fset   *token.FileSet
	info   types.Info
	bodies map[*types.Func]*ast.FuncDecl
	queue  []*types.Func
	out    strings.Builder
	depth  int
	fresh  map[types.Object]bool // local variables that hold a value of their own
}

type refusal struct{ error }

func (j *translator) refuse(at ast.Node, format string, args ...any) {
	panic(refusal{fmt.Errorf("%s: %s: JavaScript has no such thing", j.fset.Position(at.Pos()), fmt.Sprintf(format, args...))})
}

func (j *translator) line(format string, args ...any) {
	j.out.WriteString(strings.Repeat("  ", j.depth) + fmt.Sprintf(format, args...) + "\n")
}

// call is the name of a function, which is translated as well.
func (j *translator) call(of *types.Func) string {
	if !slices.Contains(j.queue, of) {
		j.queue = append(j.queue, of)
	}
	if r := of.Signature().Recv(); r != nil {
		if named, ok := r.Type().(*types.Named); ok {
			return named.Obj().Name() + "_" + of.Name()
		}
	}
	return of.Name()
}

func (j *translator) function(of *types.Func) {
	d := j.bodies[of]
	j.fresh = map[types.Object]bool{}
	j.line("function %s(%s) {", j.call(of), strings.Join(append(j.params(d.Recv), j.params(d.Type.Params)...), ", "))
	j.body(d.Type, d.Body)
	j.line("}")
}

func (j *translator) params(list *ast.FieldList) (names []string) {
	if list == nil {
		return nil
	}
	for _, f := range list.List {
		j.known(f.Type, j.info.TypeOf(f.Type))
		for _, n := range f.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

func (j *translator) body(t *ast.FuncType, b *ast.BlockStmt) {
	if t.Results != nil && (len(t.Results.List) != 1 || len(t.Results.List[0].Names) > 0) {
		j.refuse(t, "%d results, or named ones", len(t.Results.List))
	}
	if t.Results != nil {
		j.known(t.Results.List[0].Type, j.info.TypeOf(t.Results.List[0].Type))
	}
	j.statements(b.List)
}

// known refuses a type that JavaScript would compute with otherwise.
func (j *translator) known(at ast.Node, t types.Type) {
	if t != nil {
		switch u := t.Underlying().(type) {
		case *types.Basic:
			switch u.Kind() {
			case types.Float64, types.UntypedFloat, types.Int, types.UntypedInt, types.String, types.UntypedString, types.Bool, types.UntypedBool:
				return
			}
		case *types.Struct:
			for i := range u.NumFields() {
				if u.Field(i).Embedded() {
					j.refuse(at, "a struct in a struct")
				}
				j.known(at, u.Field(i).Type())
			}
			return
		case *types.Slice:
			j.known(at, u.Elem())
			return
		case *types.Array:
			j.known(at, u.Elem())
			return
		case *types.Signature:
			return
		}
	}
	j.refuse(at, "type %s", t)
}

func (j *translator) statements(list []ast.Stmt) {
	j.depth++
	for _, s := range list {
		j.statement(s)
	}
	j.depth--
}

func (j *translator) statement(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.ReturnStmt:
		if len(s.Results) != 1 {
			j.refuse(s, "%d results", len(s.Results))
		}
		j.line("return %s;", j.expr(s.Results[0]))
	case *ast.AssignStmt:
		j.line("%s;", j.assignment(s))
	case *ast.IncDecStmt:
		j.line("%s%s;", j.target(s.X), s.Tok)
	case *ast.DeclStmt:
		d := s.Decl.(*ast.GenDecl)
		if d.Tok == token.CONST { // written where it is used
			break
		}
		for _, spec := range d.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if !ok || len(v.Values) > 0 {
				j.refuse(s, "such a declaration")
			}
			for _, n := range v.Names {
				j.fresh[j.info.Defs[n]] = true
				j.line("let %s = %s;", n.Name, j.zero(n, j.info.TypeOf(v.Type)))
			}
		}
	case *ast.IfStmt:
		j.branch("", s)
	case *ast.SwitchStmt:
		j.choice(s)
	case *ast.ForStmt:
		if s.Init == nil || s.Cond == nil || s.Post == nil {
			j.refuse(s, "a loop without all its parts")
		}
		post := ""
		switch p := s.Post.(type) {
		case *ast.IncDecStmt:
			post = j.target(p.X) + p.Tok.String()
		case *ast.AssignStmt:
			post = j.assignment(p)
		default:
			j.refuse(p, "%T", p)
		}
		init, ok := s.Init.(*ast.AssignStmt)
		if !ok {
			j.refuse(s, "%T", s.Init)
		}
		j.line("for (%s; %s; %s) {", j.assignment(init), j.expr(s.Cond), post)
		j.statements(s.Body.List)
		j.line("}")
	case *ast.RangeStmt:
		j.loop(s)
	default:
		j.refuse(s, "%T", s)
	}
}

func (j *translator) branch(prefix string, s *ast.IfStmt) {
	if s.Init != nil {
		if prefix != "" {
			j.refuse(s, "a declaration in else if")
		}
		init, ok := s.Init.(*ast.AssignStmt)
		if !ok {
			j.refuse(s, "%T", s.Init)
		}
		j.line("{ %s;", j.assignment(init))
		j.depth++
		defer func() { j.depth--; j.line("}") }()
	}
	j.line("%sif (%s) {", prefix, j.expr(s.Cond))
	j.statements(s.Body.List)
	switch e := s.Else.(type) {
	case nil:
		j.line("}")
	case *ast.IfStmt:
		j.branch("} else ", e)
	case *ast.BlockStmt:
		j.line("} else {")
		j.statements(e.List)
		j.line("}")
	}
}

// choice makes a chain of ifs.
func (j *translator) choice(s *ast.SwitchStmt) {
	tag := ""
	if s.Init != nil {
		j.refuse(s, "a declaration in switch")
	}
	if s.Tag != nil {
		if _, ok := s.Tag.(*ast.Ident); !ok {
			j.refuse(s, "a switch on an expression")
		}
		j.comparable(s.Tag)
		tag = j.expr(s.Tag) + " === "
	}
	prefix := ""
	for i, c := range s.Body.List {
		c := c.(*ast.CaseClause)
		var any []string
		for _, e := range c.List {
			any = append(any, tag+j.expr(e))
		}
		switch {
		case len(any) > 0:
			j.line("%sif (%s) {", prefix, strings.Join(any, " || "))
		case i == len(s.Body.List)-1 && i > 0:
			j.line("} else {")
		default:
			j.refuse(c, "a default that is not last")
		}
		j.statements(c.Body)
		prefix = "} else "
	}
	j.line("}")
}

func (j *translator) loop(s *ast.RangeStmt) {
	name := func(e ast.Expr) string {
		if id, ok := e.(*ast.Ident); ok && id.Name != "_" {
			return id.Name
		}
		return ""
	}
	over := j.expr(s.X)
	j.known(s.X, j.info.TypeOf(s.X))
	switch j.info.TypeOf(s.X).Underlying().(type) {
	case *types.Basic:
		n := name(s.Key)
		if n == "" {
			n = "n"
		}
		j.line("for (let %s = 0; %s < %s; %s++) {", n, n, over, n)
	default:
		switch key, value := name(s.Key), name(s.Value); {
		case key == "" && value != "":
			j.line("for (const %s of %s) {", value, over)
		case key != "" && value != "":
			j.line("for (const [%s, %s] of %s.entries()) {", key, value, over)
		case key != "":
			j.line("for (const %s of %s.keys()) {", key, over)
		default:
			j.refuse(s, "a loop without a variable")
		}
	}
	j.statements(s.Body.List)
	j.line("}")
}

func (j *translator) assignment(s *ast.AssignStmt) string {
	if len(s.Lhs) != len(s.Rhs) {
		j.refuse(s, "several results")
	}
	var to, from []string
	for i := range s.Lhs {
		from = append(from, j.expr(s.Rhs[i]))
		id, ok := s.Lhs[i].(*ast.Ident)
		if s.Tok != token.DEFINE {
			to = append(to, j.target(s.Lhs[i]))
			continue
		}
		def := j.info.Defs[id]
		if !ok || def == nil {
			j.refuse(s, "a variable that is declared already")
		}
		for _, r := range s.Rhs {
			ast.Inspect(r, func(n ast.Node) bool {
				if used, ok := n.(*ast.Ident); ok && used.Name == id.Name && j.info.Uses[used] != nil {
					if _, field := j.info.Uses[used].(*types.Var); !field || !j.info.Uses[used].(*types.Var).IsField() {
						j.refuse(s, "%s shadows what it is made of", id.Name)
					}
				}
				return true
			})
		}
		j.known(s, def.Type())
		switch s.Rhs[i].(type) {
		case *ast.CompositeLit, *ast.CallExpr:
			j.fresh[def] = true
		}
		to = append(to, id.Name)
	}
	tok := s.Tok.String()
	switch s.Tok {
	case token.DEFINE:
		tok = "="
	case token.ASSIGN, token.ADD_ASSIGN, token.SUB_ASSIGN, token.MUL_ASSIGN:
	case token.QUO_ASSIGN:
		j.float(s.Lhs[0])
	default:
		j.refuse(s, "operator %s", s.Tok)
	}
	left, right := to[0], from[0]
	if len(to) > 1 {
		left, right = "["+strings.Join(to, ", ")+"]", "["+strings.Join(from, ", ")+"]"
	}
	if s.Tok == token.DEFINE {
		left = "let " + left
	}
	return left + " " + tok + " " + right
}

// target is a variable, or a field or element of one that holds a value of its own.
func (j *translator) target(e ast.Expr) string {
	root := e
	for {
		switch x := root.(type) {
		case *ast.SelectorExpr:
			root = x.X
			continue
		case *ast.IndexExpr:
			root = x.X
			continue
		}
		break
	}
	id, ok := root.(*ast.Ident)
	if !ok || root != e && !j.fresh[j.info.Uses[id]] {
		j.refuse(e, "a value that is a copy in Go is shared in JavaScript")
	}
	return j.expr(e)
}

// operators that both languages have, on what.
var operators = map[token.Token]string{
	token.ADD: "+", token.SUB: "-", token.MUL: "*", token.QUO: "/", token.LAND: "&&", token.LOR: "||",
	token.LSS: "<", token.GTR: ">", token.LEQ: "<=", token.GEQ: ">=", token.EQL: "===", token.NEQ: "!==",
}

var functions = map[string]string{
	"IsNaN": "Number.isNaN", "Abs": "Math.abs", "Sqrt": "Math.sqrt", "Pow": "Math.pow", "Log1p": "Math.log1p", "Expm1": "Math.expm1", "Floor": "Math.floor",
}

func (j *translator) expr(e ast.Expr) string {
	tv, ok := j.info.Types[e]
	if id, is := e.(*ast.Ident); is && !ok && j.info.Uses[id] != nil {
		tv.Type = j.info.Uses[id].Type()
	}
	if tv.Value != nil {
		return j.constant(e, tv)
	}
	switch e := e.(type) {
	case *ast.ParenExpr:
		return j.expr(e.X)
	case *ast.Ident:
		switch of := j.info.Uses[e].(type) {
		case *types.Func:
			return j.call(of)
		case *types.Var:
			if of.Parent() == of.Pkg().Scope() {
				j.refuse(e, "%s is a variable of the package", e.Name)
			}
			j.known(e, of.Type())
			return e.Name
		}
	case *ast.UnaryExpr:
		if e.Op == token.SUB || e.Op == token.NOT {
			return "(" + e.Op.String() + j.expr(e.X) + ")"
		}
	case *ast.BinaryExpr:
		op := operators[e.Op]
		switch e.Op {
		case token.QUO:
			j.float(e)
		case token.EQL, token.NEQ:
			j.comparable(e.X)
			j.comparable(e.Y)
		}
		if op == "" {
			j.refuse(e, "operator %s", e.Op)
		}
		return "(" + j.expr(e.X) + " " + op + " " + j.expr(e.Y) + ")"
	case *ast.SelectorExpr:
		if s := j.info.Selections[e]; s != nil && s.Kind() == types.FieldVal && len(s.Index()) == 1 {
			j.known(e, s.Recv())
			return j.expr(e.X) + "." + e.Sel.Name
		}
	case *ast.IndexExpr:
		switch j.info.TypeOf(e.X).Underlying().(type) {
		case *types.Slice, *types.Array:
			return j.expr(e.X) + "[" + j.expr(e.Index) + "]"
		}
		j.known(e.X, j.info.TypeOf(e.X))
	case *ast.FuncLit:
		before := j.out.String()
		j.out.Reset()
		j.out.WriteString("(" + strings.Join(j.params(e.Type.Params), ", ") + ") => {\n")
		j.body(e.Type, e.Body)
		text := j.out.String() + strings.Repeat("  ", j.depth) + "}"
		j.out.Reset()
		j.out.WriteString(before)
		return text
	case *ast.CompositeLit:
		return j.literal(e)
	case *ast.CallExpr:
		return j.called(e)
	}
	j.refuse(e, "%T", e)
	return ""
}

func (j *translator) constant(at ast.Node, tv types.TypeAndValue) string {
	switch tv.Value.Kind() {
	case constant.Int, constant.Float:
		j.known(at, tv.Type)
		v, _ := constant.Float64Val(tv.Value)
		return strconv.FormatFloat(v, 'g', -1, 64)
	case constant.String:
		return strconv.Quote(constant.StringVal(tv.Value))
	case constant.Bool:
		return tv.Value.String()
	}
	j.refuse(at, "constant %s", tv.Value)
	return ""
}

func (j *translator) literal(e *ast.CompositeLit) string {
	t := j.info.TypeOf(e)
	j.known(e, t)
	if _, ok := t.Underlying().(*types.Slice); ok {
		var of []string
		for _, x := range e.Elts {
			if _, ok := x.(*ast.KeyValueExpr); ok {
				j.refuse(x, "a list with indices")
			}
			of = append(of, j.expr(x))
		}
		return "[" + strings.Join(of, ", ") + "]"
	}
	s, ok := t.Underlying().(*types.Struct)
	if !ok {
		j.refuse(e, "such a literal")
	}
	values := map[string]string{}
	for i, x := range e.Elts {
		if kv, ok := x.(*ast.KeyValueExpr); ok {
			values[kv.Key.(*ast.Ident).Name] = j.expr(kv.Value)
		} else {
			values[s.Field(i).Name()] = j.expr(x)
		}
	}
	var of []string
	for f := range s.Fields() {
		v, ok := values[f.Name()]
		if !ok {
			v = j.zero(e, f.Type())
		}
		of = append(of, f.Name()+": "+v)
	}
	return "{" + strings.Join(of, ", ") + "}"
}

func (j *translator) zero(at ast.Node, t types.Type) string {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		j.known(at, t)
		switch {
		case u.Info()&types.IsNumeric != 0:
			return "0"
		case u.Info()&types.IsString != 0:
			return `""`
		}
		return "false"
	case *types.Slice:
		j.known(at, t)
		return "[]"
	case *types.Struct:
		j.known(at, t)
		var of []string
		for f := range u.Fields() {
			of = append(of, f.Name()+": "+j.zero(at, f.Type()))
		}
		return "{" + strings.Join(of, ", ") + "}"
	}
	j.refuse(at, "the zero value of %s", t)
	return ""
}

func (j *translator) called(e *ast.CallExpr) string {
	var args []string
	for _, a := range e.Args {
		args = append(args, j.expr(a))
	}
	list := strings.Join(args, ", ")
	if tv := j.info.Types[e.Fun]; tv.IsType() {
		from := j.info.TypeOf(e.Args[0])
		basic := func(t types.Type) types.BasicInfo {
			b, ok := t.Underlying().(*types.Basic)
			if !ok {
				return 0
			}
			return b.Info()
		}
		j.known(e, tv.Type)
		if basic(tv.Type)&types.IsFloat != 0 && basic(from)&types.IsNumeric != 0 || basic(tv.Type)&types.IsString != 0 && basic(from)&types.IsString != 0 {
			return args[0]
		}
		j.refuse(e, "converts %s to %s", from, tv.Type)
	}
	switch f := e.Fun.(type) {
	case *ast.Ident:
		if _, ok := j.info.Uses[f].(*types.Builtin); !ok {
			return j.expr(f) + "(" + list + ")"
		}
		switch f.Name {
		case "min", "max":
			return "Math." + f.Name + "(" + list + ")"
		case "len":
			return args[0] + ".length"
		case "append":
			if e.Ellipsis == token.NoPos {
				return "[..." + list + "]"
			}
		}
	case *ast.SelectorExpr:
		if s := j.info.Selections[f]; s != nil && s.Kind() == types.MethodVal {
			if of, ok := s.Obj().(*types.Func); ok && j.bodies[of] != nil && len(s.Index()) == 1 {
				return j.call(of) + "(" + strings.Join(append([]string{j.expr(f.X)}, args...), ", ") + ")"
			}
		}
		of, ok := j.info.Uses[f.Sel].(*types.Func)
		if !ok || of.Pkg() == nil || of.Pkg().Path() != "math" {
			j.refuse(e, "%s", types.ExprString(e.Fun))
		}
		switch name := of.Name(); {
		case name == "NaN":
			return "NaN"
		case name == "Inf" && args[0] == "1":
			return "Infinity"
		case name == "Inf" && args[0] == "-1":
			return "-Infinity"
		case functions[name] != "":
			return functions[name] + "(" + list + ")"
		}
		j.refuse(e, "math.%s", of.Name())
	}
	j.refuse(e, "%s", types.ExprString(e))
	return ""
}

// float refuses to divide integers.
func (j *translator) float(e ast.Expr) {
	if b, ok := j.info.TypeOf(e).Underlying().(*types.Basic); !ok || b.Info()&types.IsFloat == 0 {
		j.refuse(e, "it divides integers")
	}
}

// comparable refuses to compare what is not compared by value.
func (j *translator) comparable(e ast.Expr) {
	if _, ok := j.info.TypeOf(e).Underlying().(*types.Basic); !ok {
		j.refuse(e, "compares %s", j.info.TypeOf(e))
	}
	if c, ok := e.(*ast.CallExpr); ok && types.ExprString(c.Fun) == "math.NaN" {
		j.refuse(e, "NaN is never equal to anything")
	}
}
