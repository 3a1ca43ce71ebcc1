package power

import "regexp"

// Words by which firmware and drivers label a part of a node's power: the output
// of its supplies, one of several supplies, a rail by its voltage or name, or
// another part.
var (
	LabelOutput = labelled(`output|\bp?out[0-9]*\b`)
	LabelOneOf  = labelled(`\b(psu|ps|(power )?supply|feed|phase|inlet) ?[#-]?[0-9a-c]\b`)
	LabelRail   = labelled(`(^|[^0-9.])1?[0-9](\.[0-9]+)? ?(v(dc)?|volts?)\b|\bp[0-9]{1,2}v|\b[0-9]{1,2}v?sb\b|standby|stby|\brail\b|\bvdd|\bvcc|\bvcore|\bvrm?\b`)
	LabelPart   = labelled(`cpu|processor|socket|package|\bpkg\b|core|fpga|\bdpu\b|dram|dimm|ddr|memory|gpu|accelerator|\b(sys)?io\b|i/o|module|blade|sled|drive|disk|hdd|ssd|nvme|fan|pump|cool|riser|backplane|midplane|\bhsc|hot.?swap|slot|pcie|nic\b`)
)

func labelled(pattern string) *regexp.Regexp { return regexp.MustCompile(`(?i)` + pattern) }

// Whole reports whether a label names no part, so that its value may be of the
// whole node.
func Whole(label string) bool {
	for _, part := range []*regexp.Regexp{LabelOutput, LabelOneOf, LabelRail, LabelPart} {
		if part.MatchString(label) {
			return false
		}
	}
	return true
}
