// Package all is the explicit list of the workloads and of the kernels that
// they stand on. A new workload is a folder and a line here.
package all

import (
	"fmt"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/hashscan"
	"github.com/perwatt/perwatt/bench/matmul"
	"github.com/perwatt/perwatt/bench/stream"
	"github.com/perwatt/perwatt/bench/training"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// Use is something the hardware can be used for, the workload that measures it
// and the kernels that can be chosen for it, first the one that it spends most
// of its time in.
type Use struct {
	Name    string
	Kernels []string
	New     func(bench.Config) (bench.Workload, error)
}

// Uses lists every use, in the order of a session's first round. The control tells
// a change of the machine from one of the code.
func Uses() []Use {
	return []Use{
		{"control", nil, hashscan.Control},
		{"mining", []string{"sha256d"}, hashscan.New},
		{"training", []string{"sgemm", "vector"}, training.New},
		{"compute", []string{"sgemm"}, matmul.New},
		{"memory", []string{"stream"}, stream.New},
	}
}

// Runs reports whether a use runs on a device: each of its kernels has an
// implementation there. The control, which has no kernel, runs on the CPU.
func Runs(use string, on device.Info) bool {
	i := slices.IndexFunc(Uses(), func(u Use) bool { return u.Name == use })
	if i < 0 || len(Uses()[i].Kernels) == 0 {
		return i >= 0 && !on.Processor()
	}
	return !slices.ContainsFunc(Uses()[i].Kernels, func(kernel string) bool {
		for _, t := range tables {
			if t.ID() == kernel && t.RunsOn(on) {
				return false
			}
		}
		return true
	})
}

// Names lists the names of the uses.
func Names() (names []string) {
	for _, u := range Uses() {
		names = append(names, u.Name)
	}
	return names
}

// Config configures a use with the implementations that were chosen for a device:
// that of the use's first kernel is the workload's, the others are parameters
// with the kernel's name.
func Config(use, device string, chosen []results.Kernel) bench.Config {
	cfg := bench.Config{Params: map[string]string{}}
	for _, u := range Uses() {
		for _, k := range chosen {
			switch i := slices.Index(u.Kernels, k.Name); {
			case u.Name != use || k.Device != device || i < 0:
			case i == 0:
				cfg.Impl = k.Chosen
			default:
				cfg.Params[k.Name] = k.Chosen
			}
		}
	}
	return cfg
}

// Models lists the networks that training can train, the default first.
func Models() []string { return training.Models() }

// Open opens the workload of a use.
func Open(use string, cfg bench.Config) (bench.Workload, error) {
	for _, u := range Uses() {
		if u.Name == use {
			return u.New(cfg)
		}
	}
	return nil, fmt.Errorf("%w: unknown use %q: known are %s", bench.ErrUsage, use, strings.Join(Names(), ", "))
}
