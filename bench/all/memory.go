package all

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/bench"
	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/results"
)

// MemoryPlans says what memory each use takes with each of its models on each device
// where it runs, with the defaults of all else and every thread of a CPU. describe
// returns a device without calling its driver.
func MemoryPlans(on []device.Info, describe func(device.Config) device.Device) (plans []results.MemoryPlan) {
	for _, d := range on {
		for _, u := range Uses() {
			if u.Alone != "" { // a use of several devices: what is summed between them takes 64 MiB more of each at most
				continue
			}
			for _, model := range Models(u.Name, d) {
				p := results.MemoryPlan{Use: u.Name, Device: d.ID, Model: model, Free: d.Free}
				load, err := u.New(bench.Config{Device: describe(device.Config{Info: d, Threads: d.Lanes}), Params: map[string]string{"model": model}})
				if err != nil {
					_, p.Why, _ = strings.Cut(err.Error(), bench.ErrUsage.Error()+": ")
					p.Why = cmp.Or(p.Why, err.Error())
				} else {
					p.MemoryParts = load.(bench.Planned).Memory()
					p.Total = p.MemoryParts.Total()
					p.Batch, _ = strconv.Atoi(load.Info().Params["batch"]) // a number, for the workload has taken it
				}
				plans = append(plans, p)
			}
		}
	}
	return plans
}
