// Package all is the explicit list of the workloads and of the kernels that
// they stand on. A new workload is a folder and a line here.
package all

import (
	"fmt"
	"strings"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/bench/hashscan"
	"github.com/perwatt/perwatt/bench/matmul"
	"github.com/perwatt/perwatt/bench/stream"
	"github.com/perwatt/perwatt/bench/training"
)

// Use is something the hardware can be used for, the workload that measures it
// and the kernel that the workload spends its time in, empty if none can be
// chosen for it.
type Use struct {
	Name, Kernel string
	New          func(bench.Config) (bench.Workload, error)
}

// Uses lists every use.
func Uses() []Use {
	return []Use{
		{"control", "", hashscan.Control},
		{"mining", "sha256d", hashscan.New},
		{"training", "sgemm", training.New},
		{"compute", "sgemm", matmul.New},
		{"memory", "stream", stream.New},
	}
}

// Models lists the networks that training can train, the default first.
func Models() []string { return training.Models() }

// Open opens the workload of a use.
func Open(use string, cfg bench.Config) (bench.Workload, error) {
	var known []string
	for _, u := range Uses() {
		if u.Name == use {
			return u.New(cfg)
		}
		known = append(known, u.Name)
	}
	return nil, fmt.Errorf("%w: unknown use %q: known are %s", bench.ErrUsage, use, strings.Join(known, ", "))
}
