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
	"github.com/perwatt/perwatt/kernels/nn"
	"github.com/perwatt/perwatt/results"
)

// Use is something the hardware can be used for and the workload that measures it.
// On a CPU and on a processor different kernels can be chosen for it, first the one
// that it spends most of its time in; nil where it does not run.
type Use struct {
	Name           string
	CPU, Processor []string
	New            func(bench.Config) (bench.Workload, error)
	Models         func(device.Info) []string // that it trains on a device, the default first; nil for a use that trains none
	Stages         func(device.Info) []string // that it infers at; nil for a use without
	Alone          string                     // of a use in which several equal processors do one piece of work: the same on one
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
		{Name: "control", CPU: []string{}, New: hashscan.Control},
		{Name: "mining", CPU: []string{"sha256d"}, Processor: []string{"sha256d"}, New: hashscan.New},
		{Name: "training", CPU: []string{"sgemm", "vector"}, Processor: []string{"gemm-fp32"}, New: training.New, Models: training.Models},
		{Name: "training-bf16", Processor: []string{"gemm-bf16"}, New: training.BF16, Models: training.Models},
		{Name: training.ParallelUse(nn.FP32), Processor: []string{"gemm-fp32"}, New: training.Parallel(nn.FP32), Models: training.Models, Alone: "training"},
		{Name: training.ParallelUse(nn.BF16), Processor: []string{"gemm-bf16"}, New: training.Parallel(nn.BF16), Models: training.Models, Alone: "training-bf16"},
		{Name: "compute", CPU: []string{"sgemm"}, Processor: []string{"gemm-fp32"}, New: matmul.New},
		{Name: "compute-tf32", Processor: []string{"gemm-tf32"}, New: matmul.In(gemm.TF32)},
		{Name: "compute-bf16", Processor: []string{"gemm-bf16"}, New: matmul.In(gemm.BF16)},
		{Name: "compute-fp16", Processor: []string{"gemm-fp16"}, New: matmul.In(gemm.FP16)},
		{Name: "compute-fp64", Processor: []string{"gemm-fp64"}, New: matmul.In(gemm.FP64)},
		{Name: "memory", CPU: []string{"stream"}, Processor: []string{"stream"}, New: stream.New},
		{Name: "memory-copy", Processor: []string{"stream"}, New: stream.Copy},
		{Name: "memory-upload", Processor: []string{"stream"}, New: stream.Upload},
		{Name: "memory-download", Processor: []string{"stream"}, New: stream.Download},
		{Name: "inference", CPU: []string{"sgemm", "vector"}, Processor: []string{"gemm-fp32"}, New: training.Inference, Stages: training.Stages},
		{Name: "inference-bf16", Processor: []string{"gemm-bf16"}, New: training.InferenceBF16, Stages: training.Stages},
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

// Together lists the uses in which several equal processors do one piece of work, each
// with the use of one that it is compared with.
func Together() map[string]string {
	list := map[string]string{}
	for _, u := range Uses() {
		if u.Alone != "" {
			list[u.Name] = u.Alone
		}
	}
	return list
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

// Models lists the networks that a use can train on a device, the default first;
// none if it trains none there.
func Models(use string, on device.Info) []string {
	for _, u := range Uses() {
		if u.Name == use && u.Models != nil && Runs(use, on) {
			return u.Models(on)
		}
	}
	return nil
}

// Stages lists the stages that a use infers at on a device; none if it does not infer
// there.
func Stages(use string, on device.Info) []string {
	for _, u := range Uses() {
		if u.Name == use && u.Stages != nil && Runs(use, on) {
			return u.Stages(on)
		}
	}
	return nil
}

// AllModels lists the networks that can be trained on some device.
func AllModels() []string { return training.AllModels() }

// Open opens the workload of a use.
func Open(use string, cfg bench.Config) (bench.Workload, error) {
	for _, u := range Uses() {
		if u.Name == use {
			return u.New(cfg)
		}
	}
	return nil, fmt.Errorf("%w: unknown use %q: known are %s", bench.ErrUsage, use, strings.Join(Names(), ", "))
}
