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
	"github.com/perwatt/perwatt/kernels/gemm"
	"github.com/perwatt/perwatt/results"
)

// Use is something the hardware can be used for and the workload that measures it.
// On a CPU and on a processor different kernels can be chosen for it, first the one
// that it spends most of its time in; nil where it does not run.
type Use struct {
	Name           string
	CPU, Processor []string
	New            func(bench.Config) (bench.Workload, error)
}

// Kernels are those that can be chosen on a device; nil if the use does not run
// there.
func (u Use) Kernels(on device.Info) []string {
	if on.Processor() {
		return u.Processor
	}
	return u.CPU
}

// KernelsOf are the kernels of a use on a device; nil if it does not run there.
func KernelsOf(use string, on device.Info) []string {
	for _, u := range Uses() {
		if u.Name == use {
			return u.Kernels(on)
		}
	}
	return nil
}

// Uses lists every use, in the order of a session's first round. The control tells
// a change of the machine from one of the code.
func Uses() []Use {
	return []Use{
		{"control", []string{}, nil, hashscan.Control},
		{"mining", []string{"sha256d"}, []string{"sha256d"}, hashscan.New},
		{"training", []string{"sgemm", "vector"}, nil, training.New},
		{"compute", []string{"sgemm"}, []string{"gemm-fp32"}, matmul.New},
		{"compute-tf32", nil, []string{"gemm-tf32"}, matmul.In(gemm.TF32)},
		{"compute-bf16", nil, []string{"gemm-bf16"}, matmul.In(gemm.BF16)},
		{"compute-fp16", nil, []string{"gemm-fp16"}, matmul.In(gemm.FP16)},
		{"compute-fp64", nil, []string{"gemm-fp64"}, matmul.In(gemm.FP64)},
		{"memory", []string{"stream"}, []string{"stream"}, stream.New},
		{"memory-copy", nil, []string{"stream"}, stream.Copy},
		{"memory-upload", nil, []string{"stream"}, stream.Upload},
		{"memory-download", nil, []string{"stream"}, stream.Download},
	}
}

// Runs reports whether a use runs on a device: each of its kernels there has an
// implementation for it.
func Runs(use string, on device.Info) bool {
	kernels := KernelsOf(use, on)
	return kernels != nil && !slices.ContainsFunc(kernels, func(kernel string) bool {
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
func Config(use string, on device.Info, chosen []results.Kernel) bench.Config {
	cfg := bench.Config{Params: map[string]string{}}
	for _, u := range Uses() {
		for _, k := range chosen {
			switch i := slices.Index(u.Kernels(on), k.Name); {
			case u.Name != use || k.Device != on.ID || i < 0:
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
