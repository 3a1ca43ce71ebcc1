package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/resultstest"
)

// read is what a program has of a record that came in a file, and believes
// nothing that it says of itself; or why it has none.
func read(rec *results.Record) (*results.Record, error) {
	raw, err := results.Seal(rec)
	if err != nil {
		return nil, err
	}
	if rec, err = results.Read(bytes.NewReader(raw), "hostile.json"); err == nil {
		rec.Summary = results.Derive(rec)
	}
	return rec, err
}

func twoNodes(rounds int) (out []*results.Record) {
	for i, n := range []resultstest.Node{resultstest.Server("north", 1), resultstest.Server("south", 1.05)} {
		out = append(out, resultstest.Session(n, 0, rounds, uint64(i)), resultstest.Session(n, 1, rounds, uint64(i)))
	}
	return out
}

// spoilt are records whose every text is hostile. What the arithmetic goes by
// is kept in some, so that every table and chart is made.
func spoilt(t testing.TB, all bool, text string) (out []*results.Record) {
	t.Helper()
	for i, rec := range twoNodes(6) {
		rec.Plan.Labels = map[string]string{"a": "b"}
		rec.Warnings = []results.Warning{{Code: "a", Text: "b", Remedy: "c", Run: "d"}}
		rec.Meters[0].Notes = []string{"n"}
		rec.Runs[2].Status, rec.Runs[2].Error = results.Failed, "e"
		rec.Node.Devices = append(rec.Node.Devices, results.Device{ID: "gpu:0", Kind: results.KindGPU, Vendor: "v", Model: "x", Firmware: "f", Driver: "d", PCI: "y", UUID: "u"})
		claim(rec)
		text := func(at string) string {
			if regexp.MustCompile(`^\.(ID|Node\.Name|Node\.Devices\.Model|Plan\.Labels|Meters\.Name)`).MatchString(at) {
				return text
			}
			return text[:min(len(text), 1000)] // of the others there are hundreds
		}
		if all {
			resultstest.Texts(rec, func(at, s string) string {
				if strings.HasPrefix(at, ".Digest") {
					return s
				}
				return text(at)
			})
			for i := range rec.Node.Devices {
				rec.Node.Devices[i].ID += fmt.Sprint(i) // no two are the same
			}
		} else {
			resultstest.Plant(rec, text)
			rec.ID = fmt.Sprint(i) + rec.ID + text(".ID")
		}
		out = append(out, rec)
	}
	return out
}

// written is everything that is made of records: the page and every other
// form, each of them fit to be shown.
func written(t testing.TB, records []*results.Record) (page []byte) {
	t.Helper()
	p := pageOf(t, records)
	page = rendered(t, p)
	requireInert(t, page)
	for _, f := range []Format{Text, Markdown, CSV} {
		var out bytes.Buffer
		require.NoError(t, WriteComparison(&out, f, p, Options{Width: 120}))
		requirePlain(t, string(f), out.String())
	}
	var bench bytes.Buffer
	require.NoError(t, WriteBench(&bench, records))
	requirePlain(t, "bench", bench.String())
	requireJSON(t, p.Comparison)
	for i, id := range p.Comparison.Figures() {
		if i%7 > 0 {
			continue
		}
		e, err := p.Comparison.Explain(id)
		require.NoError(t, err)
		var out bytes.Buffer
		require.NoError(t, WriteExplanation(&out, e, Options{}))
		requirePlain(t, "explanation", out.String())
		requireJSON(t, e)
	}
	return page
}

// requirePlain refuses what does not print, and more than a megabyte of it.
func requirePlain(t testing.TB, what, text string) {
	t.Helper()
	require.Less(t, len(text), 1<<20, what)
	requirePrintable(t, what, text)
}

// requirePrintable refuses what does not print.
func requirePrintable(t testing.TB, what, text string) {
	t.Helper()
	i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && !results.Prints(r) })
	if i >= 0 {
		t.Fatalf("%s: %+q does not print", what, text[max(0, i-60):i+4])
	}
}

// requireJSON refuses JSON with what does not print, or of another value: of
// that nothing is cut, however long it is.
func requireJSON(t testing.TB, v any) {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, WriteJSON(&out, "", v))
	requirePrintable(t, "json", out.String())
	plain, err := json.Marshal(v)
	require.NoError(t, err)
	require.JSONEq(t, string(plain), out.String())
}

// requireInert holds a page to what makes it safe to open: nothing in it runs
// but the script that is ours, nothing leads out, and its policy names the
// style and the script as they stand there and forbids the rest.
func requireInert(t testing.TB, page []byte) {
	t.Helper()
	requirePlain(t, "page", string(page))
	root, err := html.Parse(bytes.NewReader(page))
	require.NoError(t, err)
	known := map[string]bool{}
	for _, name := range strings.Fields(`html head meta title style body a header p h1 h2 h3 ul li span nav div label input main section
		figure figcaption svg desc g path circle text table thead tbody tr th td small dl dt dd details summary footer script button output noscript`) {
		known[name] = true
	}
	count := map[string]int{}
	policy, style, script := "", "", ""
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if !known[n.Data] {
			t.Fatalf("an element <%s> in the page", n.Data)
		}
		count[n.Data]++
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
			if strings.HasPrefix(strings.ToLower(a.Key), "on") || a.Key == "src" || a.Key == "style" || a.Key == "href" && !strings.HasPrefix(a.Val, "#") {
				t.Fatalf("an attribute %s=%q in the page", a.Key, a.Val)
			}
			if n.Namespace == "svg" && regexp.MustCompile(`NaN|Inf|e\+\d`).MatchString(a.Val) {
				t.Fatalf("a drawing with %s=%q", a.Key, a.Val)
			}
		}
		switch {
		case n.Data == "meta" && attr["http-equiv"] != "":
			require.Equal(t, "Content-Security-Policy", attr["http-equiv"])
			policy = attr["content"]
		case n.Data == "style":
			style = n.FirstChild.Data
		case n.Data == "script" && attr["type"] == "application/json": // data, that no browser runs
			require.True(t, json.Valid([]byte(n.FirstChild.Data)))
			count[n.Data]--
		case n.Data == "script":
			script = n.FirstChild.Data
		}
	}
	for _, one := range []string{"html", "head", "style", "script", "main", "h1"} {
		require.Equal(t, 1, count[one], one)
	}
	want := pageJS + "\n" + linksJS
	if bytes.Contains(page, []byte(`id="what-if-data"`)) {
		want += "\n" + formulasJS + "\n" + whatIfJS
	}
	require.Equal(t, want, script)
	require.Equal(t, "default-src 'none'; style-src '"+digest(style)+"'; script-src '"+digest(script)+"'; base-uri 'none'; form-action 'none'", policy)
}

// TestHostileRecords: whatever text a record holds, what is made of it is safe
// to show, bounded, and the same every time.
func TestHostileRecords(t *testing.T) {
	for name, text := range map[string]string{"script": resultstest.Hostile, "long": strings.Repeat("W", 1e6), "formula": `=HYPERLINK("x")`, "blank": " \t\n"} {
		for _, all := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, all %v", name, all), func(t *testing.T) {
				if testing.Short() && name == "long" {
					t.Skip("a minute of race detector: make test runs it")
				}
				began := spent(t)
				records := spoilt(t, all, text)
				written(t, records) // as a program that made them has them
				for i, r := range records {
					var err error
					records[i], err = read(r)
					require.NoError(t, err)
				}
				page := written(t, records)
				for range 5 {
					require.True(t, bytes.Equal(page, rendered(t, pageOf(t, records))), "same input, same bytes")
				}
				require.Less(t, spent(t)-began, time.Minute)
			})
		}
	}
}

// spent is the CPU time of this process, which other work on the machine does
// not change.
func spent(t *testing.T) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestHostileTracking: so do the pages of a store, whatever stands in a name.
func TestHostileTracking(t *testing.T) {
	for name, text := range map[string]string{"script": resultstest.Hostile, "long": strings.Repeat("W", 1e6)} {
		t.Run(name, func(t *testing.T) {
			for what, page := range years(9, text).pages(t) {
				requirePlain(t, what, string(page))
			}
		})
	}
}

// TestPageDoor: what was not cleaned where it stands does not leave with the
// page.
func TestPageDoor(t *testing.T) {
	var out bytes.Buffer
	text := strings.ReplaceAll(resultstest.Hostile, "\t", "") // which may stay
	require.NoError(t, view{Title: text, Headline: text, Foot: []string{text}}.write(&out))
	requireInert(t, out.Bytes())
}

// TestHostileNumbers: every number of a record at what breaks arithmetic.
func TestHostileNumbers(t *testing.T) {
	for _, x := range []float64{0, 1e308, -1e308, 5e-324, math.NaN()} {
		for _, field := range []string{"Runs.Traces.V", "Runs.Claims", "Meters", "Runs.Phases", "Runs.Uses", "Plan", "Node", ""} {
			t.Run(fmt.Sprintf("%g %s", x, field), func(t *testing.T) {
				records := twoNodes(2)
				set := 0
				for _, r := range records[2:] {
					claim(r)
					numbers(reflect.ValueOf(r), "", func(at string) bool {
						hit := strings.HasPrefix(at, field) && !strings.HasPrefix(at, "Schema") && at != "Runs.Traces.T" && at != "Runs.Claims.Samples.T"
						if hit {
							set++
						}
						return hit
					}, x)
				}
				require.Positive(t, set, "the record has such numbers")
				for i, r := range records {
					var err error
					records[i], err = read(r)
					require.NoError(t, err, "a record may hold any number but a time out of order")
				}
				written(t, records)
			})
		}
	}
}

func numbers(v reflect.Value, at string, which func(at string) bool, x float64) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			numbers(v.Elem(), at, which, x)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[results.SelfReported]() {
			if which(at) {
				v.Set(reflect.ValueOf(results.SelfReport(x)))
			}
			return
		}
		for i := range v.NumField() {
			if v.Type() != reflect.TypeFor[time.Time]() && v.Type().Field(i).IsExported() {
				numbers(v.Field(i), strings.TrimPrefix(at+"."+v.Type().Field(i).Name, "."), which, x)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			numbers(v.Index(i), at, which, x)
		}
	case reflect.Float64:
		if which(at) {
			v.SetFloat(x)
		}
	case reflect.Int, reflect.Int64:
		if which(at) && !math.IsNaN(x) {
			v.SetInt(int64(max(-1<<53+1, min(1<<53-1, x))))
		}
	}
}

// TestMissingParts: a record without one of its parts gives an error or a
// page, whichever part it is.
func TestMissingParts(t *testing.T) {
	var parts []string
	visit(reflect.ValueOf(resultstest.Session(resultstest.Server("n", 1), 0, 1, 1)), "", func(at string, _ reflect.Value) { parts = append(parts, at) })
	require.Greater(t, len(parts), 150)
	north := resultstest.Session(resultstest.Server("north", 1), 0, 1, 1)
	for i, part := range parts {
		if testing.Short() && i%5 != 0 {
			continue
		}
		south := resultstest.Session(resultstest.Server("south", 1.05), 0, 1, 1)
		visit(reflect.ValueOf(south), "", func(at string, v reflect.Value) {
			if at == part {
				v.SetZero()
			}
		})
		if !strings.HasPrefix(part, ".Summary") {
			var err error
			if south, err = read(south); err != nil {
				continue // refused: the codec's tests say how
			}
		}
		records := []*results.Record{north, south}
		c, err := compare.New(t.Context(), records, nil, compare.Options{Seed: 1})
		require.NoError(t, err, part)
		var out bytes.Buffer
		require.NoError(t, WriteHTML(&out, Page{Comparison: c, Records: records}), part)
		require.NoError(t, WriteComparison(&out, Text, Page{Comparison: c}, Options{}), part)
		_, err = json.Marshal(c)
		require.NoError(t, err, part)
	}
	for _, state := range []results.State{results.Complete, ""} {
		_, err := compare.New(t.Context(), []*results.Record{{State: state}}, nil, compare.Options{})
		require.ErrorIs(t, err, compare.ErrNothing)
	}
}

// visit gives every settable part of a value, of a list its ends.
func visit(v reflect.Value, at string, f func(at string, v reflect.Value)) {
	if v.CanSet() {
		f(at, v)
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			visit(v.Elem(), at, f)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() != reflect.TypeFor[time.Time]() && v.Type().Field(i).IsExported() {
				visit(v.Field(i), at+"."+v.Type().Field(i).Name, f)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			if i == 0 || i == v.Len()-1 {
				visit(v.Index(i), fmt.Sprintf("%s[%d]", at, i), f)
			}
		}
	}
}
