package report

import (
	"cmp"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/perf/benchfmt"

	"github.com/perwatt/perwatt/results"
)

// writeBench writes one line a window, so that benchstat has the repeats to
// test. Where the watts come from and the implementation are configuration:
// benchstat then refuses to compare across them unless it is told to ignore
// them, as it is to compare two machines (-ignore cpu,node,firmware). What
// differs in every record, such as its id and time, is left out.
func writeBench(out io.Writer, rec *results.Record) error {
	windows := results.Windows(rec)
	w := benchfmt.NewWriter(out)
	config := provenance(rec, windows)

	var lines []*benchfmt.Result
	for i := range windows {
		line := benchLine(&windows[i])
		if len(line.Values) == 0 {
			continue
		}
		impl := cmp.Or(clean(windows[i].Use.Impl, nameLimit), "none")
		line.Config = append(config[:len(config):len(config)], benchfmt.Config{Key: "impl", Value: []byte(impl), File: true})
		lines = append(lines, line)
	}
	// Rounds alternate; the repeats of a benchmark are printed together.
	first := map[string]int{}
	key := func(r *benchfmt.Result) string { return r.GetConfig("impl") + " " + r.Name.String() }
	for i, line := range slices.Backward(lines) {
		first[key(line)] = i
	}
	slices.SortStableFunc(lines, func(a, b *benchfmt.Result) int { return first[key(a)] - first[key(b)] })

	said := map[string]bool{}
	for _, line := range lines {
		for _, v := range line.Values {
			if said[v.Unit] {
				continue
			}
			said[v.Unit] = true
			if err := w.Write(direction(v.Unit)); err != nil {
				return err
			}
		}
	}
	for _, line := range lines {
		if err := w.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// direction tells benchstat which way a unit is better, so that it need not
// guess from the name.
func direction(unit string) *benchfmt.UnitMetadata {
	better := "higher"
	if unit == "W" || strings.HasPrefix(unit, "J/") {
		better = "lower"
	}
	return &benchfmt.UnitMetadata{
		UnitMetadataKey: benchfmt.UnitMetadataKey{Unit: unit, Key: "better"}, OrigUnit: unit, Value: better,
	}
}

func provenance(rec *results.Record, windows []results.Window) []benchfmt.Config {
	var config []benchfmt.Config
	set := func(key, value string) {
		config = append(config, benchfmt.Config{Key: key, Value: []byte(cmp.Or(clean(value, 100), "unknown")), File: true})
	}
	set("goos", rec.Node.OS)
	set("goarch", rec.Node.Arch)
	set("pkg", "github.com/perwatt/perwatt")
	set("cpu", rec.Node.CPU.Model)
	set("node", rec.Node.Name)
	set("firmware", rec.Node.Settings.Microcode)
	head, ok := results.HeadlineOf(rec.Meters)
	if !ok {
		set("power-source", "none")
		return config
	}
	grade := results.Grade("A")
	for _, row := range rec.Summary.Rows {
		grade = max(grade, row.Metrics[results.Power].Grade)
	}
	set("power-source", head.Meter)
	set("power-boundary", string(head.Boundary))
	set("power-origin", string(head.Origin))
	set("power-grade", string(grade))
	return config
}

// benchLine names a window as go test would: BenchmarkMining-64,
// BenchmarkTraining/model=cnn-64, or BenchmarkMullet/use=mining-64 where uses
// share the scenario. The count is that of the work.
func benchLine(w *results.Window) *benchfmt.Result {
	name := word(w.Use.Use)
	if w.Use.Role == results.Foreground || w.Use.Role == results.Background {
		name = word(w.Scenario) + "/use=" + name
	}
	if model := w.Use.Params["model"]; model != "" {
		name += "/model=" + word(model)
	}
	if n := w.Use.Threads; n > 1 {
		name += "-" + strconv.Itoa(n)
	}
	line := &benchfmt.Result{Name: benchfmt.Name(strings.ToUpper(name[:1]) + name[1:]), Iters: 1}
	if n := float64(w.Work); n >= 1 && n < math.MaxInt64 {
		line.Iters = int(n)
	}
	add := func(f results.Float, u string) {
		if x := float64(f); !math.IsNaN(x) && !math.IsInf(x, 0) {
			line.Values = append(line.Values, benchfmt.Value{Value: x, Unit: u})
		}
	}
	unit := word(string(w.Use.Unit))
	many := unit
	if w.Use.Unit == results.Sample {
		many = "samples"
	}
	if !w.Work.IsAbsent() {
		add(w.Throughput(), many+"/s")
	}
	add(w.Power(), "W")
	if !w.Work.IsAbsent() {
		add(w.Work/w.Energy, many+"/J")
		s := shapeOf(results.Joule.Per(w.Use.Unit))
		add(w.Energy/w.Work*results.Float(s.factor), word(s.symbol))
	}
	return line
}

// word makes one field of a benchmark line.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_./", r)) {
			return r
		}
		return '_'
	}, clean(s, nameLimit))
	return cmp.Or(s, "unnamed")
}
