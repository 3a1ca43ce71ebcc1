// Command peers measures perwatt's CPU kernels beside the programs and libraries that
// do the same work best: make peers. It is for those who develop perwatt and is not
// part of it.
//
// Both sides of a row are pinned to the same CPUs and work in turns, so that a
// neighbour on the machine disturbs both. What counts is work per second of CPU time
// (getrusage), since wall time also measures the neighbours. A peer is forced to its
// best kernel where it knows this CPU only if told, and the kernel that it names is
// printed. A peer that is not here, fails or hangs costs only its own rows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	flags.SetOutput(stderr)
	markdown := flags.Bool("markdown", false, "print a table for a README")
	only := flags.String("only", "", "`pattern` of the rows to measure, as in 'sgemm.*oneDNN'")
	pairs := flags.Int("pairs", 7, "`number` of measurements of each side")
	serve := flags.String("serve", "", "answer as our side of a `test`: how this command starts itself")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	pattern, err := regexp.Compile(*only)
	if err == nil && (flags.NArg() > 0 || *pairs < 1) {
		err = errors.New("no arguments, and at least one pair")
	}
	if err != nil {
		fmt.Fprintln(stderr, "peers:", err)
		return 2
	}
	if *serve != "" {
		if err := serveOurs(ctx, *serve, os.Stdin, stdout); err != nil {
			fmt.Fprintln(stderr, "peers:", err)
			return 1
		}
		return 0
	}
	bin, err := os.MkdirTemp("", "peers")
	if err != nil {
		fmt.Fprintln(stderr, "peers:", err)
		return 1
	}
	defer os.RemoveAll(bin)
	host, err := thisHost(bin)
	if err != nil {
		fmt.Fprintln(stderr, "peers:", err)
		return 1
	}
	began := loadAverage()
	var results []result
	for _, row := range host.rows() {
		if !pattern.MatchString(row.name + " " + row.peer.name) {
			continue
		}
		results = append(results, row.measure(ctx, *pairs, stderr))
		if ctx.Err() != nil {
			return 1
		}
	}
	heading := fmt.Sprintf("%s, %d CPUs, %s; load %s before, %s after; medians of %d alternated pairs, ours ÷ peer in work per CPU-second",
		host.name, len(host.cpus), time.Now().UTC().Format("2006-01-02 15:04 UTC"), began, loadAverage(), *pairs)
	print(stdout, heading, results, *markdown)
	return 0
}
