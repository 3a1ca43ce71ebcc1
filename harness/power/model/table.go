package model

import "cmp"

// Source of the coefficients.
const Source = "Cloud Carbon Footprint, ccf-coefficients, output/coefficients-aws-use.csv at b0032d928c78 (2026), from SPECpower_ssj2008 submissions"

// row is one microarchitecture: watts per hardware thread of a whole server, at
// active idle and at full load. For every SPECpower submission with such a CPU,
// the source divides the AC power of the server by its threads, and averages the
// submissions.
type row struct {
	arch     string
	min, max float64 // W per thread
	gain     float64 // relative half-width claimed here; 0 for the usual gain
	note     string
}

const (
	gainKnown   = 0.5
	gainUnknown = 1.0
)

// rows are the published values to four digits. Values that the source cannot
// know are not used as they are: its Graviton rows repeat EPYC 2nd Gen, and its
// EPYC 5th Gen is four to five times its neighbours.
var rows = []row{
	{arch: "Sandy Bridge", min: 2.212, max: 8.631},
	{arch: "Ivy Bridge", min: 1.707, max: 5.557},
	{arch: "Haswell", min: 1.857, max: 5.595},
	{arch: "Broadwell", min: 0.7128, max: 3.685},
	{arch: "Skylake", min: 0.6130, max: 4.104},
	{arch: "Cascade Lake", min: 0.6903, max: 4.063},
	{arch: "Coffee Lake", min: 1.138, max: 5.422},
	{arch: "Ice Lake", min: 0.7668, max: 3.758},
	{arch: "Sapphire Rapids", min: 1.036, max: 4.160},
	{arch: "Emerald Rapids", min: 0.8140, max: 4.482},
	{arch: "Granite Rapids", min: 0.5816, max: 2.527},
	{arch: "EPYC 1st Gen", min: 0.8468, max: 2.604},
	{arch: "EPYC 2nd Gen", min: 0.4743, max: 1.693},
	{arch: "EPYC 3rd Gen", min: 0.4556, max: 1.957},
	{arch: "EPYC 4th Gen", min: 0.7391, max: 2.282},
}

// cpu is the first processor in /proc/cpuinfo.
type cpu struct {
	vendor, name            string
	family, model, stepping int
	implementer             int // arm64: 0x41 is Arm
}

// lookup returns the coefficients for a CPU and never fails: a CPU that is not in
// the table gets the mean of the table, with a note.
func lookup(c cpu) row {
	switch arch := c.arch(); arch {
	case "EPYC 5th Gen":
		r := find("EPYC 4th Gen")
		r.arch, r.gain = arch, gainUnknown
		r.note = "the source's EPYC 5th Gen (3.682 to 8.961 W) is four to five times its neighbours and is not used: EPYC 4th Gen stands in"
		return r
	case "Neoverse":
		r := find("EPYC 2nd Gen")
		r.arch, r.gain = arch, gainUnknown
		r.note = "the source has no Arm server and repeats EPYC 2nd Gen for Graviton; so is it done here"
		return r
	case "":
		mean := row{arch: "unknown", gain: gainUnknown, note: "this CPU is not in the table: the mean of its rows stands in"}
		for _, r := range rows {
			mean.min += r.min / float64(len(rows))
			mean.max += r.max / float64(len(rows))
		}
		return mean
	default:
		r := find(arch)
		r.gain = cmp.Or(r.gain, gainKnown)
		return r
	}
}

func find(arch string) row {
	for _, r := range rows {
		if r.arch == arch {
			return r
		}
	}
	panic("model: no row for " + arch)
}

// arch returns the name of the microarchitecture in the table, or "" (Intel SDM
// vol. 4 table 2-1; Linux arch/x86/include/asm/intel-family.h and amd.c).
func (c cpu) arch() string {
	switch {
	case c.vendor == "GenuineIntel" && c.family == 6:
		switch c.model {
		case 45:
			return "Sandy Bridge"
		case 62:
			return "Ivy Bridge"
		case 63:
			return "Haswell"
		case 79, 86:
			return "Broadwell"
		case 85: // stepping 5 to 7 Cascade Lake, 10 and 11 Cooper Lake
			if c.stepping >= 5 {
				return "Cascade Lake"
			}
			return "Skylake"
		case 158: // below 10: Kaby Lake
			if c.stepping >= 10 {
				return "Coffee Lake"
			}
		case 106, 108:
			return "Ice Lake"
		case 143:
			return "Sapphire Rapids"
		case 207:
			return "Emerald Rapids"
		case 173, 174:
			return "Granite Rapids"
		}
	case c.vendor == "AuthenticAMD":
		switch m := c.model; {
		case c.family == 23 && m < 0x30:
			return "EPYC 1st Gen"
		case c.family == 23:
			return "EPYC 2nd Gen"
		case c.family == 25 && m <= 0x0f:
			return "EPYC 3rd Gen"
		case c.family == 25 && (m >= 0x10 && m <= 0x1f || m >= 0xa0 && m <= 0xaf):
			return "EPYC 4th Gen"
		case c.family == 26:
			return "EPYC 5th Gen"
		}
	case c.implementer == 0x41:
		switch c.model { // CPU part: Neoverse N1, V1, N2, V2, N3, V3
		case 0xd0c, 0xd40, 0xd49, 0xd4f, 0xd8e, 0xd84:
			return "Neoverse"
		}
	}
	return ""
}
