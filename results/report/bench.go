package report

import (
	"cmp"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/perf/benchfmt"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report/table"
	"github.com/perwatt/perwatt/results/store"
)

// benchWriter writes records as Go benchmark text.
type benchWriter struct {
	out  *benchfmt.Writer
	said map[string]bool // units whose direction is written
}

func newBenchWriter(out io.Writer) *benchWriter {
	return &benchWriter{benchfmt.NewWriter(out), map[string]bool{}}
}

// write writes one line a window, so that benchstat has repeats to test. The
// provenance of the watts and the implementation are configuration: benchstat
// refuses to compare across them unless it is run with -ignore, as it has to be to
// compare two machines (-ignore cpu,node,firmware). What differs in every record,
// such as its id and time, is left out.
//
// Imported benchmarks are written as they were read: under their own package and
// name, as time per iteration, with only the configuration that they had.
func (w *benchWriter) write(rec *results.Record) error {
	windows := rec.Summary.Windows()
	config := provenance(rec)
	imported := rec.Plan.Preset == results.Imported
	var lines []*benchfmt.Result
	var threads []int // of each line
	var names []store.BenchName
	for _, w := range windows {
		use := &w.Use
		name := benchName(w)
		if imported {
			name = importedName(w)
		}
		line := benchLine(w, name)
		if len(line.Values) == 0 {
			continue
		}
		if imported {
			line.Config = origin(rec, use)
		} else {
			line.Config = append(config[:len(config):len(config)], configured(2*table.NameLimit, "impl", cmp.Or(use.Impl, "none"), "device-model", cardModel(&rec.Node, use.Device))...)
		}
		lines = append(lines, line)
		threads = append(threads, max(1, use.Threads))
		if !w.Work.IsAbsent() { // what idles is not read back
			names = append(names, store.BenchName{Package: line.GetConfig("pkg"), Name: name, Threads: use.Threads})
		}
	}
	if !store.NamesTell(names) {
		for i, line := range lines {
			line.Config = append(line.Config, configured(table.NameLimit, "gomaxprocs", strconv.Itoa(threads[i]))...)
		}
	}
	// Rounds alternate the order of runs; the repeats of a benchmark are put together.
	first := map[string]int{}
	key := func(r *benchfmt.Result) string {
		return strings.Join([]string{r.GetConfig("pkg"), r.GetConfig("impl"), r.Name.String()}, " ")
	}
	for i, line := range slices.Backward(lines) {
		first[key(line)] = i
	}
	results.SortStable(lines, func(a, b *benchfmt.Result) int { return first[key(a)] - first[key(b)] })

	return w.lines(lines...)
}

// lines writes lines, and before them which way their units are better.
func (w *benchWriter) lines(lines ...*benchfmt.Result) error {
	for _, line := range lines {
		for _, v := range line.Values {
			if w.said[v.Unit] {
				continue
			}
			w.said[v.Unit] = true
			if err := w.out.Write(direction(v.Unit)); err != nil {
				return err
			}
		}
	}
	for _, line := range lines {
		if err := w.out.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// direction states which way a unit is better: benchstat would guess it from the
// name.
func direction(unit string) *benchfmt.UnitMetadata {
	better := "higher"
	if unit == "W" || unit == perOp || strings.HasPrefix(unit, "J/") {
		better = "lower"
	}
	return &benchfmt.UnitMetadata{
		UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: unit, Key: "better"}, OrigUnit: unit, Value: better,
	}
}

// configured are lines of configuration, of pairs of key and value. Values are
// cut to so many runes; a key without a value has no line.
func configured(limit int, pairs ...string) (config []benchfmt.Config) {
	for i := 0; i < len(pairs); i += 2 {
		if value := results.Line(pairs[i+1], limit); value != "" {
			config = append(config, benchfmt.Config{Key: pairs[i], Value: []byte(value), File: true})
		}
	}
	return config
}

// provenance is what two records of perwatt must have in common to be compared.
func provenance(rec *results.Record) []benchfmt.Config {
	n := rec.Node
	pairs := []string{
		"goos", n.OS, "goarch", n.Arch, "pkg", "github.com/perwatt/perwatt", "cpu", n.Models(), "node", n.Name,
		"firmware", cmp.Or(n.Device(results.MinerDevice).Firmware, n.Settings.Microcode),
	}
	if head := rec.Summary.PrimaryMeter; head == nil {
		pairs = append(pairs, "power-source", "none")
	} else {
		grade := results.Grade("A")
		for _, row := range whole(rec.Summary.Rows) {
			grade = max(grade, row.Metrics[results.Power].Grade)
		}
		pairs = append(pairs, "power-source", head.Meter, "power-boundary", string(head.Boundary), "power-origin", string(head.Origin), "power-grade", string(grade))
	}
	for i := 1; i < len(pairs); i += 2 {
		pairs[i] = cmp.Or(results.Line(pairs[i], 100), unknown)
	}
	return configured(100, pairs...)
}

// unknown stands for the package or machine that benchmark text did not name; perOp
// is the unit of go test for the time of an iteration.
const unknown, perOp = "unknown", "ns/op"

// origin is the configuration of an imported window, as far as its record keeps it.
func origin(rec *results.Record, use *results.Use) []benchfmt.Config {
	n := rec.Node
	config := configured(1<<16, "goos", n.OS, "goarch", n.Arch, "pkg", oneWord(use.Workload), "cpu", n.Device(results.CPUDevice).Model, "node", n.Name, "impl", use.Impl, "device-model", cardModel(&n, use.Device))
	return slices.DeleteFunc(config, func(c benchfmt.Config) bool { return string(c.Value) == unknown })
}

// cardModel is the model of a device beside the CPU, which its line names; empty for
// the CPU and a miner.
func cardModel(n *results.Node, id string) string {
	if !beside(id) {
		return ""
	}
	return n.ModelOf(id)
}

// benchName names a window as perwatt's own benchmarks are: Mining,
// Training/model=cnn, Training/precision=bf16/model=gpt-124m, Inference/model=gpt-mini/stage=decode-8, Compute/precision=bf16, Memory/path=upload, Mullet/use=mining
// where uses share the scenario, and Mining/device=cuda:0 on a device beside the CPU. The CPU is not named, nor is a
// miner, which is alone in its record.
func benchName(w *results.Window) string {
	family, kind, _ := strings.Cut(w.Use.Use, "-")
	label := map[string]string{"compute": "/precision=", "training": "/precision=", "inference": "/precision=", "memory": "/path="}[family]
	if label == "" {
		family, kind = w.Use.Use, ""
	}
	name := word(family)
	if w.Use.Role == results.Foreground || w.Use.Role == results.Background {
		scenario, _, _ := strings.Cut(w.Scenario, "@")
		name = word(scenario) + "/use=" + name
	}
	if kind != "" {
		name += label + word(kind)
	}
	for _, param := range []string{"model", "stage"} {
		if v := w.Use.Params[param]; v != "" {
			name += "/" + param + "=" + word(v)
		}
	}
	if on := w.Use.Device; beside(on) {
		name += "/device=" + word(on)
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

// importedName is the name of the benchmark that a window was imported from.
func importedName(w *results.Window) string {
	name := oneWord(w.Scenario)
	first, size := utf8.DecodeRuneInString(name)
	return string(unicode.ToUpper(first)) + name[size:]
}

// oneWord makes one field of foreign text, of any length.
func oneWord(s string) string {
	return cmp.Or(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, s), unknown)
}

// benchLine is the line of a window under a name, such as BenchmarkMining-64. Its
// count of iterations is the work.
func benchLine(w *results.Window, name string) *benchfmt.Result {
	line := &benchfmt.Result{Name: benchfmt.Name(store.BenchName{Name: name, Threads: w.Use.Threads}.String()), Iters: 1}
	if n := float64(w.Work); n >= 1 && n < math.MaxInt64 {
		line.Iters = int(n)
	}
	add := func(f results.Float, u string) {
		if x := float64(f); !math.IsNaN(x) && !math.IsInf(x, 0) {
			line.Values = append(line.Values, benchfmt.Value{Value: x, Unit: u})
		}
	}
	if w.Use.Unit == results.Op { // to 15 digits, which survive the way through decimals and back
		x, _ := strconv.ParseFloat(strconv.FormatFloat(1e9/float64(w.Throughput()), 'g', 15, 64), 64)
		add(results.Float(x), perOp)
		return line
	}
	unit := word(string(w.Use.Unit))
	many := unit
	if w.Use.Unit == results.Sample || w.Use.Unit == results.Token {
		many += "s"
	}
	if !w.Work.IsAbsent() {
		add(w.Throughput(), many+"/s")
	}
	add(w.Power(), "W")
	if !w.Work.IsAbsent() {
		add(w.Work/w.Energy, many+"/J")
		s := table.ShapeOf(results.Joule.Per(w.Use.Unit))
		add(w.Energy/w.Work*results.Float(s.Factor), word(s.Symbol))
	}
	return line
}

// word makes one field of a benchmark line, of ASCII letters, digits and _ . /
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_./:", r)) {
			return r
		}
		return '_'
	}, results.Line(s, table.NameLimit))
	return cmp.Or(s, "unnamed")
}
