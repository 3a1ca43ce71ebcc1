//go:build unix

package store

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

const head = "goos: linux\ngoarch: amd64\npkg: example.com/kv\ncpu: Sample CPU\ncommit: c1\ncommit-time: 2026-05-01T02:00:00Z\n"

// figuresOf is what text gives: package, name, threads, op/s and windows of each row,
// after the start of each record.
func figuresOf(t *testing.T, text string, opt Bench) (rows []string, said string, err error) {
	t.Helper()
	records, lines, err := ReadBench(strings.NewReader(text), "b.txt", opt)
	for _, rec := range records {
		require.Zero(t, rec.Node.Threads(), "a name makes no machine")
		rows = append(rows, rec.Start.Format("2006-01-02T15:04"))
		for _, r := range rec.Summary.Rows {
			m := r.Metrics[results.Throughput]
			rows = append(rows, fmt.Sprintf("%s %s ×%d %.9g %s n=%d", strings.TrimPrefix(r.Workload, "example.com/"), r.Scenario, r.Threads, m.Value, m.Unit, m.N))
		}
	}
	return rows, strings.Join(lines, "\n"), err
}

// What a log holds beside benchmarks costs nothing but itself, and is said.
func TestReadBenchAmongOthers(t *testing.T) {
	a, b := "BenchmarkA-8 \t 1000 \t 100 ns/op\n", "BenchmarkB-8 \t 1000 \t 200 ns/op\n"
	both := []string{"2026-05-01T02:00", "kv A ×8 10000000 op/s n=1", "kv B ×8 5000000 op/s n=1"}
	long := `{"level":"debug","payload":"` + strings.Repeat("a", 70_000) + `"}` + "\n"
	utf := func(order binary.AppendByteOrder, mark, text string) string {
		var raw []byte
		for _, u := range utf16.Encode([]rune(mark + strings.ReplaceAll(text, "\n", "\r\n"))) {
			raw = order.AppendUint16(raw, u)
		}
		return string(raw)
	}
	prefixed := func(prefix, text string) string {
		return prefix + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+prefix)
	}
	var zipped, zst bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write([]byte(head + a + b))
	z.Close()
	e, err := zstd.NewWriter(&zst)
	require.NoError(t, err)
	e.Write([]byte(head + a + b))
	e.Close()

	for name, c := range map[string]struct {
		text, said string
	}{
		"time in a log":            {text: head + a + "time: 12ms elapsed\n" + b, said: "log lines that look like configuration (1, first b.txt:8: time: 12ms elapsed)"},
		"date in a log":            {text: head + a + "date: 12 rows\n" + b, said: "b.txt:8"},
		"cpu in a log":             {text: head + a + "cpu: 85%\ncpu: warm\n" + b, said: "configuration (2, first b.txt:8"},
		"host in a log":            {text: head + a + "host: 127.0.0.1:8080\nnode: up\n" + b, said: "configuration (2"},
		"downloads":                {text: "go: downloading example.com/x v1.2.3\n" + head + a + "go: finding example.com/y\n" + b, said: "configuration (2, first b.txt:1"},
		"ports":                    {text: head + "listening: 127.0.0.1:40001\n" + a + "listening: 127.0.0.1:40002\n" + b, said: "configuration (2"},
		"coverage":                 {text: head + a + "PASS\ncoverage: 85.0% of statements\nok  \texample.com/kv\t1s\n" + b, said: "coverage"},
		"long line":                {text: head + a + long + b},
		"long key":                 {text: head + a + "cpu: " + strings.Repeat("x", 70_000) + "\n" + b, said: "configuration (1"},
		"colours":                  {text: head + "\x1b[32mBenchmarkA-8\x1b[0m \t 1000 \t \x1b[1;31m100 ns/op\x1b[m\n\x1b]8;;http://x\x07\x1b[K" + b},
		"progress bar":             {text: head + "10%\r100%\r" + a + b},
		"CRLF":                     {text: strings.ReplaceAll(head+a+b, "\n", "\r\n")},
		"CR":                       {text: strings.ReplaceAll(head+a+b, "\n", "\r")},
		"mark":                     {text: "\ufeff" + head + a + b},
		"mark of a second file":    {text: head + a + "\ufeff" + b},
		"mark before a header":     {text: head + a + "PASS\n\ufeff" + head + b},
		"UTF-16 LE":                {text: utf(binary.LittleEndian, "\ufeff", head+a+b)},
		"UTF-16 BE":                {text: utf(binary.BigEndian, "\ufeff", head+a+b)},
		"UTF-16 LE without a mark": {text: utf(binary.LittleEndian, "", head+a+b)},
		"UTF-16 BE without a mark": {text: utf(binary.BigEndian, "", head+a+b)},
		"Latin-1":                  {text: head + "BenchmarkA-8 1000 100 ns/op\nBenchmarkB-8 1000 200 ns/op 3 \xb5x/op\n", said: "µx/op (1)"},
		"gzip":                     {text: zipped.String()},
		"zstd":                     {text: zst.String()},
		"gzip cut":                 {text: zipped.String()[:zipped.Len()-4], said: "packed files that end early (1, first b.txt: unexpected EOF)"},
		"times of a runner":        {text: prefixed("2026-05-01T02:00:00.1234567Z ", head+a+b)},
		"a job, a step and times":  {text: prefixed("bench\tUNKNOWN STEP\t2026-05-01T02:00:00.1234567Z ", "\ufeff"+head+a+b)},
		"times in brackets":        {text: prefixed("[2026-05-01T02:00:00.123Z] ", head+a+b)},
		"times for a viewer":       {text: prefixed("\x1b_bk;t=1777600800123\x07", head+a+b)},
		"UTF-16 behind UTF-8":      {text: head + a + utf(binary.LittleEndian, "", b)},
		"zeros of a torn write":    {text: head + a + strings.Repeat("\x00", 500) + b},
		"UTF-32":                   {text: "\xff\xfe\x00\x00" + strings.Join(append(strings.Split(head+a+b, ""), ""), "\x00\x00\x00")},
		"failure": {text: head + a + "--- FAIL: BenchmarkC-8\n    kv_test.go:30: disk is gone\n" + b + "FAIL\nexit status 1\nFAIL\texample.com/kv\t4.1s\n",
			said: "failures (1, first b.txt:8: --- FAIL: BenchmarkC-8)"},
		"failure behind the name": {text: head + a + "BenchmarkC-8 \t--- FAIL: BenchmarkC-8\n" + b, said: "failures (1"},
		"skip":                    {text: head + a + "BenchmarkC-8 \t--- SKIP: BenchmarkC-8\n" + b, said: "skipped benchmarks (1"},
		"panic":                   {text: head + a + b + "panic: index out of range\n\ngoroutine 18 [running]:\nexit status 2\nFAIL\texample.com/kv\t4.1s\n", said: "first b.txt:9: panic: index out of range"},
		"prints":                  {text: head + "BenchmarkA-8 \tserving on :8080\ndone\n    1000\t       100 ns/op\nBenchmarkB-8   \t\nserving\n    1000\t  200 ns/op\n"},
		"prints long lines":       {text: head + "BenchmarkA-8 \t" + long + "    1000\t       100 ns/op\n" + b},
		"prints and dies":         {text: head + a + b + "BenchmarkC-8 \tserving\nFAIL\n", said: "benchmarks without a result (1, first b.txt:9: BenchmarkC-8)"},
		"verbose":                 {text: head + "=== RUN   BenchmarkA\nBenchmarkA\n" + a + "BenchmarkB\nhello\n" + b},
		"prose":                   {text: head + "Benchmarking 100 200 ns/op\nBenchmark of 3 5 ns/op\n" + a + b},
		"quoted":                  {text: head + a + b + "was: BenchmarkA-8 1000 300 ns/op\n    BenchmarkB-8 1000 300 ns/op\n", said: "benchmark lines with something before them (1"},
		"odd numbers": {text: head + "BenchmarkC-8 1000 NaN ns/op\nBenchmarkC-8 1000 +Inf ns/op\nBenchmarkC-8 1000 -5 ns/op\nBenchmarkC-8 1000000000 0.00 ns/op\nBenchmarkC-8 1000000000 0.0000006 ns/op\n" +
			"BenchmarkC-8 1 1e300 ns/op\nBenchmarkC-8 0 5 ns/op\nBenchmarkC-8 1000 5 ns/op 6 ns/op\nBenchmarkC-8 1,000 5 ns/op\nBenchmarkC-8 1000 5\nBenchmarkC-8 99999999999999999999 5 ns/op\n" + a + b,
			said: "without a time or a rate of work that can be true (8, first b.txt:7"},
		"rates beside time": {text: head + "BenchmarkA-8 1000 100 ns/op 8000000 hash/s 640.00 MB/s 12 widgets\n" + b, said: "MB/s (1), hash/s (1), widgets (1)"},
		"microseconds":      {text: head + "BenchmarkA-8 1000 0.1 µs/op\nBenchmarkB-8 1000 0.0002 ms/op\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, said, err := figuresOf(t, c.text, Bench{})
			require.NoError(t, err, said)
			require.Equal(t, both, got, said)
			if c.said == "" {
				require.Empty(t, said)
			}
			require.Contains(t, said, c.said)
			require.LessOrEqual(t, strings.Count(said, "\n"), 1)
		})
	}
}

// A failure of all that follows makes a session that was not finished.
func TestReadBenchFailures(t *testing.T) {
	records, _, err := ReadBench(strings.NewReader(head+"BenchmarkA-8 1000 100 ns/op\n--- FAIL: BenchmarkW-8\n    w_test.go:30: disk is gone\n"), "b.txt", Bench{})
	require.NoError(t, err)
	require.Equal(t, results.Complete, records[0].State)
	require.Len(t, records[0].Runs, 2)
	run := records[0].Runs[1]
	require.Equal(t, []any{"W", results.Failed, "--- FAIL: BenchmarkW-8: w_test.go:30: disk is gone"}, []any{run.Scenario, run.Status, run.Error})
	for _, line := range []string{"panic: test timed out after 10m0s", "fatal error: out of memory", "signal: killed", "SIGQUIT: quit", "FAIL\texample.com/b [build failed]", "*** Test killed with quit: ran too long (11m0s)."} {
		records, said, err := ReadBench(strings.NewReader(head+"BenchmarkA-8 1000 100 ns/op\n"+line+"\n"), "b.txt", Bench{})
		require.NoError(t, err)
		require.Equal(t, results.Interrupted, records[0].State, line)
		require.Contains(t, said[0], line[:9])
		require.Contains(t, records[0].Warnings[1].Text, line[:4])
	}
	_, said, err := ReadBench(strings.NewReader("# e/x\n./x.go:3:1: syntax error\nFAIL\te/x [build failed]\nFAIL\n"), "b.txt", Bench{})
	require.ErrorContains(t, err, "no benchmark lines")
	require.Contains(t, said[0], "[build failed]")
}

// Which trailing numbers are GOMAXPROCS, the names together tell.
func TestReadBenchThreads(t *testing.T) {
	for name, c := range map[string]struct {
		names   string // of one package a line
		threads []int
		want    string // name×threads
	}{
		"one CPU":                     {names: "A B/x", want: "A×1 B/x×1"},
		"eight":                       {names: "A-8 B/x-8 B/size-64-8", want: "A×8 B/x×8 B/size-64×8"},
		"eight, subtests alone":       {names: "B/x-8 B/y-8", want: "B/x×8 B/y×8"},
		"numbers on one CPU":          {names: "P/size-16 P/size-64 P/size-256", want: "P/size-16×1 P/size-64×1 P/size-256×1"},
		"beside one without":          {names: "A P/size-64", want: "A×1 P/size-64×1"},
		"beside a subtest without":    {names: "P/all P/size-64", want: "P/all×1 P/size-64×1"},
		"beside its own beginning":    {names: "P/size P/size-64 P/other", want: "P/size×1 P/size-64×1 P/other×1"},
		"-cpu 1,2,4":                  {names: "S/Add S/Add-2 S/Add-4", want: "S/Add×1 S/Add×2 S/Add×4"},
		"-cpu 1,2,4 of several":       {names: "A A-2 A-4 B/x B/y B/x-2 B/y-2 B/x-4 B/y-4", want: "A×1 A×2 A×4 B/x×1 B/y×1 B/x×2 B/y×2 B/x×4 B/y×4"},
		"-cpu 1,2 with numbers":       {names: "A A-2 B/n-2 B/n-3 B/n-2-2 B/n-3-2", want: "A×1 A×2 B/n-2×1 B/n-3×1 B/n-2×2 B/n-3×2"},
		"-cpu 1,2,4 with numbers":     {names: "S/n=1 S/n=1-2 S/n=1-4 M/s-64 M/s-16 M/s-64-2 M/s-16-2 M/s-64-4 M/s-16-4", want: "S/n=1×1 S/n=1×2 S/n=1×4 M/s-64×1 M/s-16×1 M/s-64×2 M/s-16×2 M/s-64×4 M/s-16×4"},
		"-cpu 1,2, numbers alone":     {names: "M/s-64 M/s-16 M/s-64-2 M/s-16-2", want: "M/s-64×1 M/s-16×1 M/s-64×2 M/s-16×2"},
		"numbers of some":             {names: "A/x A/y A/x-2 M/s-64", want: "A/x×1 A/y×1 A/x-2×1 M/s-64×1"},
		"-cpu 2,4":                    {names: "A-2 A-4", want: "A×2 A×4"},
		"-cpu 2,4, subtests alone":    {names: "B/x-2 B/y-2 B/x-4 B/y-4", want: "B/x×2 B/y×2 B/x×4 B/y×4"},
		"numbers of several subtests": {names: "B/x/n-2 B/x/n-4 B/y/n-2 B/y/n-4", want: "B/x/n-2×1 B/x/n-4×1 B/y/n-2×1 B/y/n-4×1"},
		"leading zeros":               {names: "B/day-08", want: "B/day-08×1"},
		"one by name":                 {names: "B/n-1", want: "B/n-1×1"},
		"another package without":     {names: "P/size-64\nA", want: "P/size-64×1 A×1"},
		"another package with":        {names: "P/size-64\nA-64", want: "P/size×64 A×64"},
		"failed at four":              {names: "A A-2 A-4 B B-2", want: "A×1 A×2 A×4 B×1 B×2"},
		"said: none":                  {names: "B/x-8 B/y-8", threads: []int{1}, want: "B/x-8×1 B/y-8×1"},
		"said: a list":                {names: "P/size-16 P/size-64", threads: []int{16, 64}, want: "P/size×16 P/size×64"},
	} {
		t.Run(name, func(t *testing.T) {
			text := "goos: linux\ncpu: Sample\n"
			for i, pkg := range strings.Split(c.names, "\n") {
				text += fmt.Sprintf("pkg: example.com/p%d\n", i)
				for _, n := range strings.Fields(pkg) {
					text += "Benchmark" + n + " \t 1000 \t 100 ns/op\n"
				}
			}
			records, _, err := ReadBench(strings.NewReader(text), "b.txt", Bench{At: epoch, Threads: c.threads})
			require.NoError(t, err)
			require.Len(t, records, 1)
			var got []string
			for _, r := range records[0].Runs {
				got = append(got, fmt.Sprintf("%s×%d", r.Scenario, r.Uses[0].Threads))
			}
			require.Equal(t, c.want, strings.Join(got, " "))
			require.Equal(t, "Sample no meter", groupOf(records[0]).Name())
		})
	}

	// Other nights of the machine tell, too.
	night := func(day int, names ...string) string {
		s := fmt.Sprintf("commit: r%d\ncommit-time: 2026-05-0%dT02:00:00Z\n", day, day)
		for _, n := range names {
			s += "Benchmark" + n + " 1000 100 ns/op\n"
		}
		return s
	}
	rows, _, err := figuresOf(t, "goos: linux\npkg: example.com/kv\n"+night(1, "A")+night(2, "A", "P/n-64")+night(3, "P/n-64"), Bench{})
	require.NoError(t, err)
	require.Equal(t, "kv P/n-64 ×1 10000000 op/s n=1", rows[len(rows)-1])
	rows, _, err = figuresOf(t, "gomaxprocs: 1\n"+night(3, "P/n-64"), Bench{})
	require.NoError(t, err)
	require.Equal(t, "unknown P/n-64 ×1 10000000 op/s n=1", rows[1])
}

// Packages are told apart, in whatever order their output comes.
func TestReadBenchPackages(t *testing.T) {
	pkg := func(name string, ns int) string {
		return fmt.Sprintf("goos: linux\npkg: example.com/%s\nBenchmarkGet-8 1000 %d ns/op\n", name, ns)
	}
	opt := Bench{At: epoch}
	rows, _, err := figuresOf(t, pkg("a", 100)+"PASS\nok  \texample.com/a\t1s\n"+pkg("b", 200)+"PASS\nok  \texample.com/b\t1s\n", opt)
	require.NoError(t, err)
	require.Equal(t, []string{"a Get ×8 10000000 op/s n=1", "b Get ×8 5000000 op/s n=1"}, rows[1:])

	// Two that write to one file: which of them wrote what came while both ran?
	rows, said, err := figuresOf(t, pkg("a", 100)+pkg("b", 200)+"BenchmarkPut-8 1000 300 ns/op\nPASS\nok  \texample.com/a\t1s\nBenchmarkSum-8 1000 400 ns/op\nPASS\nok  \texample.com/b\t1s\n", opt)
	require.NoError(t, err)
	require.Equal(t, []string{"a Get ×8 10000000 op/s n=1", "b Sum ×8 2500000 op/s n=1"}, rows[1:])
	require.Contains(t, said, "of packages that wrote at the same time, whose they are is not known (2, first b.txt:6: Get-8)")

	// go test -json says.
	event := func(at, pkg, output string) string {
		return fmt.Sprintf(`{"Time":%q,"Action":"output","Package":"example.com/%s","Test":"BenchmarkGet","Output":%q}`, at, pkg, output) + "\n"
	}
	at := "2026-05-01T02:00:00.5Z"
	lines := []string{
		"warming up\n", event(at, "a", "goos: linux\n"), event(at, "b", "goos: linux\n"), event(at, "a", "pkg: example.com/a\n"), event(at, "a", "BenchmarkGet\n"),
		event(at, "a", "BenchmarkGet-8 \t"), event(at, "b", "BenchmarkGet-8 \t"), event(at, "b", " 1000\t 200 ns/op\n"), event(at, "a", " 1000\t 100 ns/op\n"),
		`{"ImportPath":"example.com/c","Action":"build-output","Output":"x.go:1: no\n"}` + "\n", event(at, "c", "FAIL\texample.com/c [build failed]\n"), `{"level":"info"}` + "\n",
	}
	want := []string{"2026-05-01T02:00", "b Get ×8 5000000 op/s n=1", "a Get ×8 10000000 op/s n=1"}
	rows, said, err = figuresOf(t, strings.Join(lines, ""), Bench{})
	require.NoError(t, err)
	require.Equal(t, want, rows)
	require.Contains(t, said, "[build failed]")
	// Another night in the same file is another session.
	again := strings.ReplaceAll(strings.Join(lines, ""), "2026-05-01", "2026-05-02")
	rows, _, err = figuresOf(t, strings.Join(lines, "")+again, opt)
	require.NoError(t, err)
	want = append(slices.Clone(want), want...)
	want[3] = "2026-05-02T02:00"
	require.Equal(t, want, rows)

	// Packages that begin before and after midnight are of one session.
	rows, _, err = figuresOf(t, event("2026-05-01T23:59:59Z", "a", "BenchmarkGet-8 1000 100 ns/op\n")+event("2026-05-02T00:00:01Z", "b", "BenchmarkGet-8 1000 200 ns/op\n"), Bench{})
	require.NoError(t, err)
	require.Equal(t, []string{"2026-05-01T23:59", "a Get ×8 10000000 op/s n=1", "b Get ×8 5000000 op/s n=1"}, rows)

	for text, want := range map[string]string{
		"bench-1  | BenchmarkA-8 1000 100 ns/op\n[x] BenchmarkA-8 1000 100 ns/op": "cut that off",
		`{"schema":1,"runs":[]}`: "it is a record, not benchmark text",
		`[{"name":"A"}]`:         "go test -json",
		"PK\x03\x04 and so on":   "unpack it first",
		"\x1f\x8bno":             "unexpected EOF",
	} {
		_, _, err := figuresOf(t, text, opt)
		require.ErrorContains(t, err, want)
	}
}

// What has no date of its own takes that of the options, and never another's.
func TestReadBenchTimes(t *testing.T) {
	text := "pkg: e/x\ndate: 2026-05-01\nBenchmarkA-8 1000 100 ns/op\ndate: the day after\nBenchmarkA-8 1000 200 ns/op\n"
	rows, said, err := figuresOf(t, text, Bench{})
	require.NoError(t, err)
	require.Equal(t, []string{"2026-05-01T00:00", "e/x A ×8 10000000 op/s n=1"}, rows)
	require.Contains(t, said, "dates that cannot be read (1, first b.txt:4: date: the day after); benchmark lines that do not say when they were measured (1, first b.txt:5: A-8)")
	rows, _, err = figuresOf(t, text, Bench{At: epoch})
	require.NoError(t, err)
	require.Equal(t, epoch.Format("2006-01-02T15:04"), rows[2])

	// Sessions are told apart by configuration, wherever it is written.
	for name, text := range map[string]string{
		"before the run":     "variant: a\ngoos: linux\nBenchmarkA-8 1000 100 ns/op\nPASS\nvariant: b\ngoos: linux\nBenchmarkA-8 1000 200 ns/op\n",
		"by hand":            "variant: a\nBenchmarkA-8 1000 100 ns/op\nvariant: b\nBenchmarkA-8 1000 200 ns/op\n",
		"by benchfmt":        "goos: linux\nvariant: a\n\nBenchmarkA-8 1000 100 ns/op\n\nvariant: b\n\nBenchmarkA-8 1000 200 ns/op\n",
		"as the head has it": "goos: linux\nnode: a\nBenchmarkA-8 1000 100 ns/op\nnode: b\nBenchmarkA-8 1000 200 ns/op\n",
		"beside the commit":  "goos: linux\nvariant: a\ncommit: a\nBenchmarkA-8 1000 100 ns/op\nvariant: b\ncommit: b\nBenchmarkA-8 1000 200 ns/op\n",
	} {
		rows, _, err := figuresOf(t, text, Bench{At: epoch})
		require.NoError(t, err)
		require.Len(t, rows, 4, name)
	}
}

// A short window keeps its digits behind hours of others.
func TestReadBenchDigits(t *testing.T) {
	rows, _, err := figuresOf(t, head+strings.Repeat("BenchmarkLong-8 1 3600000000000 ns/op\n", 1000)+"BenchmarkShort-8 1 100 ns/op\n", Bench{})
	require.NoError(t, err)
	require.Equal(t, "kv Short ×8 10000000 op/s n=1", rows[2])
}
