package power

import "regexp"

// What firmware and drivers call a quantity that is not all that a node draws:
// what its supplies give, one of several that feed it, a rail with its low
// voltage or by its name, and some other part.
var (
	LabelOutput = labelled(`output|\bp?out[0-9]*\b`)
	LabelOneOf  = labelled(`\b(psu|ps|(power )?supply|feed|phase|inlet) ?[#-]?[0-9a-c]\b`)
	LabelRail   = labelled(`(^|[^0-9.])1?[0-9](\.[0-9]+)? ?v(dc)?\b|\brail\b|\bvdd|\bvcore|\bvr\b`)
	LabelPart   = labelled(`cpu|processor|socket|core|dram|dimm|ddr|memory|gpu|accelerator|\b(sys)?io\b|i/o|module|blade|sled|drive|disk|hdd|ssd|nvme|fan|pump|cool|riser|slot|pcie|nic\b`)
)

func labelled(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)` + pattern) }

// Whole reports whether a label names no part: what it says may be of the whole
// node.
func Whole(label string) bool {
	for _, part := range []*regexp.Regexp{LabelOutput, LabelOneOf, LabelRail, LabelPart} {
		if part.MatchString(label) {
			return false
		}
	}
	return true
}
