package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/store"
	"github.com/perwatt/perwatt/results/track"
)

// trackFlags are what perwatt track was asked.
type trackFlags struct {
	dir                storeFlag
	group, node, night string
	labels             map[string]string
	rules, out         string
	format             formatFlag
	gate, confirm      bool
	audit              bool
	init               string
	keep               unsaved
}

// trackFormats are those of a record and those that CI systems and monitoring read.
var trackFormats = append(report.Formats(), report.GitHub, report.JUnit, report.Action, report.Prometheus)

func trackCommand() *cobra.Command {
	var f trackFlags
	cmd := &cobra.Command{
		Use:   "track",
		Short: "Report what changed in a store night by night, since when, and why",
		Long: `Follow throughput, watts and work per joule of every node, night by night, and report
what changed, since when, by how much, at which commit or event, how certain that is and
what to do. It prints little when nothing changed. Nodes of one model are a group: a
change on several of them at one time is one finding, a change on one belongs to that
node.

Each session includes a control scenario (crypto/sha256, which no change of the code
under test touches), by which a change of the machine is told from one of the code. A
known event of a machine (from its records, or from perwatt event) starts a new epoch.

--gate sets the exit code for a pipeline: 1 if tonight showed a regression that no
earlier night showed, 3 if tonight measured nothing, or if a node that measured in the
last two weeks did not. A finding fails the gate once, on the first night on which its
interval reaches the limit of the rules. One night that is far off is a suspicion: it
fails the gate if the next session shows it too. --confirm measures a suspicion of this
machine again at once. A single session fails the gate only if it is worse by more than
10 %, and by more than chance.

Without --night, the night is that of the last session within twelve hours, or else the
present one. Nights begin at noon UTC, or, if sessions begin at about noon, at midnight,
18:00 or 6:00, whichever is farthest from them.

-o DIR writes pages for a browser; with a --format other than text, -o names its file.

--init DIR writes what runs this every night into a directory, such as a repository of
yours: a script, rules, a line for cron, a service and timer of systemd, a GitHub
workflow, alert rules of Prometheus and a dashboard of Grafana, with the path of the
store and the version of this perwatt. It replaces no file and says what would differ.`,
		Example: `  perwatt run --store nights && perwatt track --store nights --gate --confirm
  perwatt track --store nights -o site/
  perwatt track --store nights --gate --format github --rules perwatt-track.toml
  perwatt track --store /var/lib/perwatt --init .`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return atOnce(cmd, &f.keep, func() error {
				if cmd.Flags().Changed("init") {
					return initialise(cmd, f.init, f.dir)
				}
				return f.run(cmd)
			})
		},
	}
	f.dir.flag(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.group, "group", "", "only this node group (perwatt ls lists them)")
	fl.StringVar(&f.node, "node", "", "only the node of this name")
	labelsVar(fl, &f.labels, "only records with this label, KEY=VALUE; may be repeated")
	fl.StringVar(&f.night, "night", "", "night to look at, by the day on which it began (default: that of the last session)")
	fl.BoolVar(&f.gate, "gate", false, "exit with 1 on a new regression, with 3 without data")
	fl.BoolVar(&f.confirm, "confirm", false, "measure a suspicion again before it fails the gate")
	fl.BoolVar(&f.audit, "audit", false, "report how often the detectors are wrong on this store")
	fl.StringVar(&f.rules, "rules", "", "TOML file of rules: what fails the gate and what is ignored")
	f.format.flag(cmd, "what is printed:", trackFormats...)
	fl.StringVarP(&f.out, "output", "o", "", "directory of the pages (text, gha-benchmark), or file")
	fl.StringVar(&f.init, "init", "", "write script, rules, timer, workflow, alerts and dashboard into this directory")
	return cmd
}

func (f *trackFlags) run(cmd *cobra.Command) error {
	if f.format.Format == report.Action && f.out == "" {
		return usagef("--format gha-benchmark writes two files: say with -o into which directory")
	}
	if f.confirm && f.night != "" {
		return usagef("--confirm measures now: it cannot confirm the night of %s", f.night)
	}
	var day time.Time
	if f.night != "" {
		var err error
		if day, err = time.Parse(time.DateOnly, f.night); err != nil {
			return usagef("--night %q: write the day on which it began, such as 2026-01-31", f.night)
		}
	}
	rules, err := f.readRules()
	if err != nil {
		return err
	}
	return f.dir.indexed(cmd, "", func(x *store.Index) error { return f.follow(cmd, x, rules, day) })
}

// follow prints what changed in the store up to a night, or the latest without one.
func (f *trackFlags) follow(cmd *cobra.Command, x *store.Index, rules *track.Rules, day time.Time) (err error) {
	opt := track.Options{Filter: store.Filter{Group: f.group, Labels: f.labels}, Node: f.node, Rules: rules}
	if f.night == "" {
		opt.Calendar, opt.Night, err = track.LatestNight(cmd.Context(), x, opt.Filter, time.Now())
	} else {
		opt.Calendar, err = track.CalendarAt(cmd.Context(), x, opt.Filter, day)
		opt.Night = int(day.Unix() / 86400)
	}
	if err != nil {
		return err
	}
	opt.Whole = f.audit || f.format.Format == report.CSV || f.format.Format == report.Text && f.out != ""
	if f.audit {
		a, err := track.NewAudit(cmd.Context(), x, opt)
		if err != nil {
			return err
		}
		return report.WriteAudit(cmd.OutOrStdout(), a)
	}

	var said []string
	silent := false // a second session gave no figure
	if f.confirm {
		again, err := track.Confirm(cmd.Context(), x, opt, remeasurer{f, cmd, x})
		if err != nil {
			return err
		}
		for _, c := range again {
			said, silent = append(said, c.String()), silent || c.Outcome == track.NoFigure
		}
	}
	t := &report.Tracking{Calendar: opt.Calendar, Night: opt.Night, Tool: toolName(), Said: said}
	var rows bytes.Buffer
	if f.format.Format == report.CSV {
		t.Nights = &rows
	}
	site := f.format.Format == report.Text && f.out != ""
	if site {
		if err := os.MkdirAll(f.out, 0o755); err != nil { // #nosec G301 -- pages are there to be read, by whom the umask lets
			return exit{exitUsage, fmt.Errorf("-o: %w", err)}
		}
		t.Page = func(p *report.GroupPage) error { return replace(filepath.Join(f.out, p.File()), p.Write) }
	}
	r, err := track.Now(cmd.Context(), x, opt, t.Add)
	if err != nil {
		return err
	}
	t.Report = r
	if err := f.write(cmd, t, rows.Bytes(), site); err != nil {
		return err
	}
	switch n := r.Regressions(); {
	case !f.gate:
	case !r.Valid():
		return exit{exitData, fmt.Errorf("the night of %s measured nothing, or not all that it should: %s", opt.Calendar.Begins(opt.Night).Format("2006-01-02 (from 15:04 UTC)"), missing(r))}
	case n == 1:
		return exit{exitGate, errors.New("1 regression that no earlier night failed for")}
	case n > 1:
		return exit{exitGate, fmt.Errorf("%d regressions that no earlier night failed for", n)}
	case silent:
		return exit{exitGate, errors.New("what was worse than usual was measured again, and gave no figure")}
	}
	return nil
}

func missing(r *track.Report) string {
	var gone []string
	for _, n := range r.Absent() {
		gone = append(gone, fmt.Sprintf("node %s of group %s has no data since %s", n.Node, n.Group, track.Date(n.Last).Format(time.DateOnly)))
	}
	if len(gone) > 0 {
		return strings.Join(gone, "; ")
	}
	return "there are no records of it (perwatt run --store adds one)"
}

func (f *trackFlags) readRules() (*track.Rules, error) {
	if f.rules == "" {
		return nil, nil
	}
	in, err := results.OpenFile(f.rules)
	if err != nil {
		return nil, exit{exitUsage, fmt.Errorf("--rules: %w", err)}
	}
	defer in.Close()
	rules, err := track.ReadRules(in)
	if err != nil {
		return nil, usagef("--rules %s: %w", f.rules, err)
	}
	return rules, nil
}

// write prints the report in its format, and the pages.
func (f *trackFlags) write(cmd *cobra.Command, t *report.Tracking, rows []byte, site bool) error {
	if f.format.Format == report.Action {
		if err := os.MkdirAll(f.out, 0o755); err != nil { // #nosec G301 -- pages are there to be read, by whom the umask lets
			return exit{exitUsage, fmt.Errorf("-o: %w", err)}
		}
		for name, better := range map[string]track.Direction{"bigger-is-better.json": track.Higher, "smaller-is-better.json": track.Lower} {
			if err := replace(filepath.Join(f.out, name), func(w io.Writer) error { return t.WriteAction(w, better) }); err != nil {
				return err
			}
		}
		return nil
	}
	body := func(w io.Writer) error {
		if _, err := w.Write(rows); err != nil {
			return err
		}
		return report.WriteTracking(w, f.format.Format, t, options(cmd.OutOrStdout(), ""))
	}
	if f.out != "" && !site {
		return replace(f.out, body)
	}
	out := cmd.OutOrStdout()
	if f.format.Format == report.GitHub {
		out = annotations(out)
	}
	if err := body(out); err != nil {
		return err
	}
	if site {
		index := filepath.Join(f.out, "index.html")
		if err := replace(index, t.WriteOverview); err != nil {
			return err
		}
		say(cmd.OutOrStdout(), "%s", index)
	}
	if summary := os.Getenv("GITHUB_STEP_SUMMARY"); summary != "" && f.format.Format == report.GitHub {
		return summarise(summary, t)
	}
	return nil
}

// summarise adds to the summary of a step, of which GitHub takes 1 MiB.
func summarise(name string, t *report.Tracking) error {
	const most = 1 << 20
	var body bytes.Buffer
	if err := report.WriteTracking(&body, report.Markdown, t, report.Options{}); err != nil {
		return err
	}
	text := results.PrintableText(body.Bytes())
	if len(text) > most-4096 { // others may write there too
		text = append(text[:bytes.LastIndexByte(text[:most-4096], '\n')+1], "\nThe rest is left out: GitHub takes 1 MiB.\n"...)
	}
	file, err := results.Descriptor(name)
	if file == nil && err == nil {
		if err = results.Replaceable(name); err == nil {
			file, err = os.OpenFile(name, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644) // #nosec G302 G304 G703 -- the summary that the runner names and reads
		}
	}
	if err != nil {
		return fmt.Errorf("GITHUB_STEP_SUMMARY: %w", err)
	}
	_, err = file.Write(text)
	return errors.Join(err, file.Close())
}

// replace writes a file whole or not at all.
func replace(name string, write func(io.Writer) error) error {
	var body bytes.Buffer
	if err := write(&body); err != nil {
		return err
	}
	return replaceFile(name, bytes.NewReader(results.PrintableText(body.Bytes())))
}

// remeasurer measures again with this program what this machine measured.
type remeasurer struct {
	*trackFlags
	cmd *cobra.Command
	x   *store.Index
}

// Find implements [track.Remeasurer].
func (m remeasurer) Find(_ context.Context, id string) (*results.Record, error) {
	h, err := find(m.cmd, m.x, id)
	if err != nil {
		return nil, err
	}
	rec, err := results.ReadFile(h.Path) // what was to be measured is needed, and no figure
	if err != nil {
		return nil, err
	}
	if _, ok := presets[rec.Plan.Preset]; !ok {
		return nil, errors.New("it is no session of perwatt run: measure with what measured it")
	}
	if here, err := os.Hostname(); err != nil || here != rec.Node.Name {
		return nil, fmt.Errorf("it was measured on %.60q, and this is %.60q: run perwatt track --confirm there", rec.Node.Name, here)
	}
	return rec, nil
}

// Measure implements [track.Remeasurer] with the plan, the kernels, the meters and
// the labels of the record.
func (m remeasurer) Measure(ctx context.Context, like *results.Record, uses []string) error {
	say(m.cmd.ErrOrStderr(), "perwatt: figures of %s are worse than usual: measuring %s again", like.ID, strings.Join(uses, ", "))
	argv := append([]string{"run", "--uses", strings.Join(uses, ","), "--format", "json"}, planFlags(like.Plan)...)
	where, err := m.dir.dir()
	if err != nil {
		return err
	}
	argv = append(argv, "--store", where)
	for _, spec := range like.Plan.Meters {
		argv = append(argv, "--meter", spec)
	}
	for _, k := range like.Kernels {
		if k.Device == results.CPUDevice { // the cards have other rows of the same names
			argv = append(argv, "--impl", k.Name+"="+k.Chosen)
		}
	}
	for k, v := range like.Plan.Labels {
		argv = append(argv, "--label", k+"="+v)
	}
	run := selfCommand(argv...)
	run.Stderr = behind(m.cmd.ErrOrStderr()) // it is perwatt, and knows a terminal
	if err := run.Start(); err != nil {
		return fmt.Errorf("measure again: %w", err)
	}
	// Ctrl-C ends the session as it ends any other: with what it has.
	defer context.AfterFunc(ctx, func() { run.Process.Signal(os.Interrupt) })() // #nosec G104 -- it may have ended, which Wait says
	defer m.keep.begin(where)()
	if err := run.Wait(); err != nil {
		return fmt.Errorf("measure again: perwatt %s: %w", strings.Join(argv, " "), err)
	}
	return nil
}
