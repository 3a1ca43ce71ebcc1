package report

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	pretty "github.com/jedib0t/go-pretty/v6/text"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

func brief(t *testing.T, rec *results.Record, opt Options) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteBrief(&b, rec, opt))
	return b.String()
}

// The summary is one table in 80 columns, fits narrower terminals, and ends with the best
// of each use, whether to trust it, and where the record is.
func TestBrief(t *testing.T) {
	for name, s := range sessions {
		rec := s.record()
		for _, width := range []int{60, 80, 120, 200} {
			out := brief(t, rec, Options{Width: width, Path: "r.json"})
			for line := range strings.Lines(out) {
				require.LessOrEqual(t, pretty.StringWidth(strings.TrimSuffix(line, "\n")), width, "%s: %s", name, line)
			}
			if width >= 80 && len(rec.Summary.Rows) > 0 {
				require.Equal(t, 1, strings.Count(out, "scenario "), "%s at %d columns is one table:\n%s", name, width, out)
			}
			best, trust, where := strings.Index(out, "\n  Best"), strings.Index(out, "\n  Trust"), strings.Index(out, "\nRecord r.json\n")
			require.Greater(t, trust, best, out)
			require.Greater(t, where, trust, out)
			require.NotRegexp(t, `\x1b`, out)
		}
		require.Regexp(t, `\x1b\[`, brief(t, rec, Options{Color: true}))
	}
}

// Every use that was measured has its best figure, and each is the largest of the record.
func TestBriefBest(t *testing.T) {
	rec := sessions["measured"].record()
	out := strings.Join(strings.Fields(brief(t, rec, Options{Width: 200})), " ")
	for _, r := range rec.Summary.Rows {
		if r.Role == results.Alone && r.Use != "idle" {
			require.Regexp(t, `Best .*\b`+r.Scenario+` [0-9.]+ .*Trust`, out)
		}
	}
	require.NotRegexp(t, `Best .*mullet.*Trust`, out)
	// Of two devices the better one.
	two := *rec
	two.Summary.Rows = nil
	for _, r := range rec.Summary.Rows {
		if r.Scenario != "mining" {
			continue
		}
		better := r
		better.Scenario, better.Device, better.Metrics = "mining@cuda:0", "cuda:0", map[string]results.Figure{}
		for k, m := range r.Metrics {
			m.Value *= 3
			better.Metrics[k] = m
		}
		two.Summary.Rows = []results.Row{r, better, r}
	}
	require.Len(t, two.Summary.Rows, 3)
	require.Regexp(t, `^mining [0-9.]+ MH/J on cuda:0$`, bestOf(&two))
}

// What is amiss decides whether figures can be trusted, the gravest first, and the one
// remedy is that of what decided.
func TestTrust(t *testing.T) {
	measured, modelled, smoke := sessions["measured"].record(), sessions["modelled"].record(), sessions["smoke"].record()
	with := func(rec *results.Record, codes ...string) *results.Record {
		one := *rec
		one.Warnings, one.Summary.Flags = nil, nil
		for _, c := range codes {
			one.Warnings = append(one.Warnings, results.Warning{Code: c, Text: "text of " + c, Remedy: "remedy of " + c})
		}
		return &one
	}
	valid := *measured
	valid.Summary.Validity = results.Validity{Rules: "publish", Valid: true, Findings: []results.Finding{{Rule: "complete", Outcome: results.Pass}}}
	wrong := with(measured)
	wrong.Runs = append([]results.Run(nil), wrong.Runs...)
	wrong.Runs[1].Status = results.Void
	for _, c := range []struct {
		name       string
		rec        *results.Record
		yes        bool
		why, first string
	}{
		{"valid", &valid, true, "passes all 1 rule", "^$"},
		{"modelled", with(modelled), false, "watts are modelled .grade E.", "--meter"},
		{"disturbed", with(modelled, "governor", "stolen-time", "other-load"), false, "text of other-load", "^remedy of other-load$"},
		{"a warning that voids nothing", with(modelled, "virtual-machine"), false, "watts are modelled", "--meter"},
		{"wrong answers", wrong, false, "1 run gave wrong answers", "above"},
		{"one window", with(smoke), false, ".", "."},
	} {
		yes, why, first := trust(c.rec)
		require.Equal(t, c.yes, yes, c.name)
		require.Regexp(t, c.why, why, c.name)
		require.Regexp(t, c.first, first, c.name)
	}
	for _, code := range warningsThatVoid {
		require.Regexp(t, regexp.MustCompile(`^[a-z-]+$`), code)
	}
}

// What newcomers ask is said below the table; what a record has no need of is not.
func TestBriefExplains(t *testing.T) {
	rec := sessions["modelled"].record()
	flat := func(rec *results.Record) string { return strings.Join(strings.Fields(brief(t, rec, Options{})), " ") }
	require.Contains(t, flat(rec), "E not measured and never ranked")
	require.Contains(t, flat(rec), "--label candidate=NAME")
	named := *rec
	named.Plan.Labels = map[string]string{"candidate": "a"}
	require.NotContains(t, flat(&named), "--label candidate")
	require.NotContains(t, flat(rec), "control is", "it has none")
	require.NotContains(t, flat(sessions["none"].record()), "Grades", "it has no watts")
}
