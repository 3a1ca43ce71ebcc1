package compare

import (
	"slices"

	"github.com/perwatt/perwatt/results"
)

// standing are the trainings that stand for the use on a kind of device, and why.
var standing = []struct {
	on            results.DeviceKind
	scenario, why string
}{
	{results.KindGPU, "training-bf16-gpt-124m", "stands for training on GPUs: it is the model and the precision for which others publish tokens/s and MFU."},
	{results.KindCPU, "training-gpt-mini", "stands for training on CPUs: it is a language model that a CPU trains to its target in seconds, and CPUs train in fp32."},
}

// Standing says in one sentence which training stands for the use where one figure is
// shown, and why: that on GPUs if every candidate that trains has it, or else that on
// CPUs. If no training at all is common to these candidates, none stands for it, and
// their training is not ranked. It is empty where no language model was trained.
func (c *Comparison) Standing() (scenario, sentence string) {
	var who []string                                   // that train
	by := map[string]map[results.DeviceKind][]string{} // candidates, by scenario and kind
	tokens, common := false, false
	for i := range c.Tables {
		t := &c.Tables[i]
		if !t.trains || t.Role != results.Alone {
			continue
		}
		tokens = tokens || t.Unit == results.Token
		if by[t.Scenario] == nil {
			by[t.Scenario] = map[results.DeviceKind][]string{}
		}
		for _, r := range t.rows() {
			for _, d := range r.On {
				by[t.Scenario][d.Kind] = with(by[t.Scenario][d.Kind], r.Candidate)
			}
			who = with(who, r.Candidate)
		}
	}
	if !tokens {
		return "", ""
	}
	for _, s := range standing {
		if len(by[s.scenario][s.on]) == len(who) {
			return s.scenario, s.scenario + " " + s.why
		}
	}
	for _, kinds := range by {
		var all []string
		for _, of := range kinds {
			for _, id := range of {
				all = with(all, id)
			}
		}
		common = common || len(all) == len(who)
	}
	if !common {
		return "", "No training stands for the use, and training is not ranked over all candidates: they have no model in common in one precision."
	}
	return "", "No training stands for the use: of training-bf16-gpt-124m on GPUs and training-gpt-mini on CPUs, neither was measured of all candidates. Each table ranks those that it has."
}

// StandingOf is the sentence of [Comparison.Standing] for one record: that on GPUs if the
// record has it, or else that on CPUs. It is empty if the record has neither.
func StandingOf(rec *results.Record) string {
	for _, s := range standing {
		for i, at := range rec.Places() {
			k := keyOf(rec.Summary.Rows[i], at)
			if k.scenario == s.scenario && k.role == results.Alone && slices.ContainsFunc(at.On, func(d results.DeviceCount) bool { return d.Kind == s.on }) {
				return s.scenario + " " + s.why
			}
		}
	}
	return ""
}

func with(list []string, name string) []string {
	if slices.Contains(list, name) {
		return list
	}
	return append(list, name)
}
