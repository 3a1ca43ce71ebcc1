package main

import (
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/harness"
	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/power"
	powerall "github.com/perwatt/perwatt/harness/power/all"
	devices "github.com/perwatt/perwatt/kernels/device/all"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/report/table"
)

func metersCommand() *cobra.Command {
	var (
		format         formatFlag
		sysfs, load    string
		watch, check   bool
		interval, step time.Duration
		record         string
		limit          time.Duration
	)
	cmd := &cobra.Command{
		Use:   "meters [SPEC...]",
		Short: "List meters, watch them, or check how they follow the load",
		Long: `Without a spec, list the meters that were looked for on this machine, with what was
found, what was refused and why, and the kinds that need a spec. With specs, open those
meters and show what they are.

--watch prints every reading, until Ctrl-C. --check steps the load of the CPU, or of
--device (idle, full, idle), and reports how each channel followed: delay, rise, noise,
resolution, real update interval and staleness. Exit code 1 if no channel sees the load.

--record appends every reading with its UTC time to a file, as JSON Lines, until Ctrl-C:
the BMCs or PDUs of many nodes, read by one host beside them. A meter that does not answer
is tried again and delays no other. perwatt fleet collect --power joins the file to the
records of the nodes.

A spec is KIND:TARGET,OPTION=VALUE,... Join the feeds of a node with several supplies
by " + ". Never write a password, token or community into a spec: write where it is,
env:NAME or file:PATH.

` + kinds(),
		Example: `  perwatt meters
  perwatt meters snmp:pdu.example,outlet=3 --watch
  perwatt meters 'snmp:pdu-a,outlet=3 + snmp:pdu-b,outlet=3' --check
  perwatt meters nvml --check --device cuda:0
  perwatt meters redfish:https://bmc.example,user=ops,password=env:BMC_PASSWORD
  perwatt meters snmp:pdu-a,name=rack1 snmp:pdu-b,name=rack2 --record power.jsonl
  perwatt meters 'exec:read-my-meter --watts,boundary=wall'`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, specs []string) error {
			switch {
			case watch && check || (watch || check) && record != "":
				return usagef("--watch, --check and --record: give one of them")
			case interval < 10*time.Millisecond || interval > time.Hour:
				return usagef("--interval %v: must be from 10ms to 1h", interval)
			case step < time.Second || step > time.Hour:
				return usagef("--step %v: must be from 1s to 1h", step)
			case limit < 0 || limit > 0 && record == "":
				return usagef("--for %v: says for how long to --record", limit)
			case record != "" && len(specs) == 0:
				return usagef("--record: name the meters")
			case record != "":
				return recordMeters(cmd, specs, powerall.Roots{Sys: sysfs, Proc: "/proc"}, interval, limit, record)
			}
			meters, probes, err := powerall.Open(cmd.Context(), specs, powerall.Roots{Sys: sysfs, Proc: "/proc"})
			if err != nil {
				return err
			}
			defer closeMeters(meters, cmd.ErrOrStderr())
			if (watch || check) && len(meters) == 0 {
				return exit{exitData, fmt.Errorf("there is no meter to read: perwatt meters says what was looked for")}
			}
			switch {
			case watch:
				return watchMeters(cmd, meters, interval, format)
			case check:
				if !cmd.Flags().Changed("interval") {
					interval = 100 * time.Millisecond
				}
				return checkMeters(cmd, meters, load, interval, step, format)
			}
			m := report.Instruments{Meters: harness.Describe(meters), MeterProbes: probes, First: firstReadings(cmd, meters)}
			if len(specs) == 0 {
				for _, k := range powerall.Kinds() {
					if k.Name != k.Form {
						m.Named = append(m.Named, [2]string{k.Form, k.Help})
					}
				}
			}
			if format.Format == report.JSON {
				return report.WriteJSON(cmd.OutOrStdout(), "  ", m)
			}
			return report.WriteInstruments(cmd.OutOrStdout(), m, options(cmd.OutOrStdout(), ""))
		},
	}
	fl := cmd.Flags()
	fl.SortFlags = false
	fl.BoolVar(&watch, "watch", false, "print every reading")
	fl.BoolVar(&check, "check", false, "step the load and report how each meter follows it")
	fl.StringVar(&record, "record", "", "append every reading to this file")
	fl.DurationVar(&limit, "for", 0, "with --record: end after this time (default: at Ctrl-C)")
	fl.DurationVar(&interval, "interval", time.Second, "time between readings (default with --check: 100ms)")
	fl.DurationVar(&step, "step", 20*time.Second, "length of each of the three steps of --check")
	fl.StringVar(&load, "device", results.CPUDevice, "device that --check loads, as perwatt node lists it")
	format.flag(cmd, "what is printed:", textOrJSON...)
	fl.StringVar(&sysfs, "sysfs", "/sys", "root of the sysfs tree in which to look for meters")
	return cmd
}

// kinds is the help on every kind of meter and its options.
func kinds() string {
	var b strings.Builder
	option := func(o endpoint.Option) { fmt.Fprintf(&b, "      %-13s %s\n", o.Key+"=", o.Help) }
	shared := map[string]bool{}
	b.WriteString("Kinds:\n")
	for _, o := range power.Common {
		shared[o.Key] = true
	}
	for _, k := range powerall.Kinds() {
		fmt.Fprintf(&b, "  %-28s %s\n", k.Form, k.Help)
		common := 0
		for _, o := range k.Options {
			if shared[o.Key] && len(k.Options) >= len(power.Common) {
				common++
				continue
			}
			option(o)
		}
		if common > 0 {
			b.WriteString("      and the common options\n")
		}
	}
	b.WriteString("Common options of meters that are read over a network or from a command:\n")
	for _, o := range power.Common {
		option(o)
	}
	return strings.TrimRight(b.String(), "\n")
}

// firstReadings reads every meter once and returns the text of each reading, or
// why there is none, by meter and channel.
func firstReadings(cmd *cobra.Command, meters []power.Meter) map[string]map[string]string {
	first := map[string]map[string]string{}
	for _, m := range meters {
		info := m.Info()
		of := map[string]string{}
		first[info.Name] = of
		got, err := m.Read(cmd.Context())
		for i, c := range info.Channels {
			r := power.Reading{Err: err}
			if err == nil {
				r = got[i]
			}
			switch {
			case r.Err != nil:
				of[c.Name] = r.Err.Error()
			case c.Kind == results.Counter:
				of[c.Name] = "it counts"
			default:
				of[c.Name] = table.Quantity(results.Float(r.Value), c.Unit)
			}
		}
	}
	return first
}

func watchMeters(cmd *cobra.Command, meters []power.Meter, interval time.Duration, format formatFlag) error {
	w := report.NewWatcher(cmd.OutOrStdout(), format.Format == report.JSON)
	harness.Watch(cmd.Context(), meters, interval, func(info power.Info, got []power.Reading, err error) {
		for i, c := range info.Channels {
			r := power.Reading{At: time.Now(), Err: err}
			if err == nil {
				r = got[i]
			}
			w.Reading(info.Name, c, r.At, r.Slack, r.Value, r.Err)
		}
	})
	return nil
}

func checkMeters(cmd *cobra.Command, meters []power.Meter, load string, interval, step time.Duration, format formatFlag) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	there := devices.Merge()
	if load != results.CPUDevice {
		there, _, _ = findDevices(ctx, stderr)
	}
	use, err := devices.Select(load, there)
	if err == nil && len(use) > 1 {
		err = fmt.Errorf("%q are several devices: name one", load)
	}
	if err != nil {
		return exit{exitUsage, fmt.Errorf("--device: %w", err)}
	}
	node, err := harness.Fingerprint(harness.Roots{}, use)
	if err != nil {
		return err
	}
	on, err := harness.Place(harness.Roots{}, use, node, max(1, len(node.Settings.CPUs)))
	if err != nil {
		return err
	}
	part := harness.Part{Use: "mining", Device: on[0].Info}
	_, kernels, _, err := try(ctx, use, nil, []harness.Scenario{{Parts: []harness.Part{part}}})
	if err != nil {
		return err
	}
	f := runFlags{}
	c := harness.Check{
		Meters: meters, Device: on[0],
		Use: part.Use, Config: f.config(part, kernels),
		Worker: func() *exec.Cmd { return selfCommand(workerName) }, Step: step, Interval: interval,
		Progress: func(phase string, left time.Duration) {
			say(stderr, "%s for %v, %v left", phase, step, left)
		},
	}
	seen, err := c.Run(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return exit{exitInterrupted, fmt.Errorf("interrupted: a check says nothing before its end")}
		}
		return err
	}
	if format.Format == report.JSON {
		err = report.WriteJSON(cmd.OutOrStdout(), "  ", seen)
	} else {
		err = report.WriteLoadStep(cmd.OutOrStdout(), seen, options(cmd.OutOrStdout(), ""))
	}
	if err != nil {
		return err
	}
	for _, r := range seen.Channels {
		if r.Seen {
			return nil
		}
	}
	return exit{exitGate, fmt.Errorf("no channel saw the load of this machine: check the outlet, the address and the scale")}
}
