package harness

// microarchitecture names the design of an x86 core, or "". Intel server and
// client parts of one core design share its name; stepping tells apart what
// Intel sold under one model number. Source: Linux, arch/x86/include/asm/
// intel-family.h and arch/x86/kernel/cpu/amd.c.
func microarchitecture(vendor string, family, model, stepping int) string {
	for _, row := range x86Cores {
		if row.vendor == vendor && row.family == family && row.from <= model && model <= row.to &&
			stepping >= row.stepping {
			return row.name
		}
	}
	return ""
}

// x86Cores is searched from the top: the first row that fits.
var x86Cores = []struct {
	vendor           string
	family, from, to int
	stepping         int // at least
	name             string
}{
	{intel, 6, 26, 26, 0, "Nehalem"},
	{intel, 6, 30, 31, 0, "Nehalem"},
	{intel, 6, 46, 46, 0, "Nehalem"},
	{intel, 6, 37, 37, 0, "Westmere"},
	{intel, 6, 44, 44, 0, "Westmere"},
	{intel, 6, 47, 47, 0, "Westmere"},
	{intel, 6, 42, 42, 0, "Sandy Bridge"},
	{intel, 6, 45, 45, 0, "Sandy Bridge"},
	{intel, 6, 58, 58, 0, "Ivy Bridge"},
	{intel, 6, 62, 62, 0, "Ivy Bridge"},
	{intel, 6, 60, 60, 0, "Haswell"},
	{intel, 6, 63, 63, 0, "Haswell"},
	{intel, 6, 69, 70, 0, "Haswell"},
	{intel, 6, 61, 61, 0, "Broadwell"},
	{intel, 6, 71, 71, 0, "Broadwell"},
	{intel, 6, 79, 79, 0, "Broadwell"},
	{intel, 6, 86, 86, 0, "Broadwell"},
	{intel, 6, 78, 78, 0, "Skylake"},
	{intel, 6, 94, 94, 0, "Skylake"},
	{intel, 6, 85, 85, 10, "Cooper Lake"},
	{intel, 6, 85, 85, 5, "Cascade Lake"},
	{intel, 6, 85, 85, 0, "Skylake"},
	{intel, 6, 142, 142, 0, "Kaby Lake"},
	{intel, 6, 158, 158, 0, "Kaby Lake"},
	{intel, 6, 165, 166, 0, "Comet Lake"},
	{intel, 6, 106, 106, 0, "Ice Lake"},
	{intel, 6, 108, 108, 0, "Ice Lake"},
	{intel, 6, 125, 126, 0, "Ice Lake"},
	{intel, 6, 167, 167, 0, "Rocket Lake"},
	{intel, 6, 140, 141, 0, "Tiger Lake"},
	{intel, 6, 143, 143, 0, "Sapphire Rapids"},
	{intel, 6, 207, 207, 0, "Emerald Rapids"},
	{intel, 6, 173, 174, 0, "Granite Rapids"},
	{intel, 6, 175, 175, 0, "Sierra Forest"},
	{intel, 6, 151, 151, 0, "Alder Lake"},
	{intel, 6, 154, 154, 0, "Alder Lake"},
	{intel, 6, 183, 183, 0, "Raptor Lake"},
	{intel, 6, 186, 186, 0, "Raptor Lake"},
	{intel, 6, 191, 191, 0, "Raptor Lake"},
	{intel, 6, 170, 170, 0, "Meteor Lake"},
	{intel, 6, 172, 172, 0, "Meteor Lake"},
	{intel, 6, 197, 198, 0, "Arrow Lake"},
	{intel, 6, 181, 181, 0, "Arrow Lake"},
	{intel, 6, 189, 189, 0, "Lunar Lake"},
	{amd, 0x17, 0x00, 0x2f, 0, "Zen"}, // and Zen+
	{amd, 0x17, 0x50, 0x5f, 0, "Zen"},
	{amd, 0x17, 0x30, 0x4f, 0, "Zen 2"},
	{amd, 0x17, 0x60, 0xaf, 0, "Zen 2"},
	{amd, 0x19, 0x00, 0x0f, 0, "Zen 3"},
	{amd, 0x19, 0x20, 0x5f, 0, "Zen 3"},
	{amd, 0x19, 0x10, 0x1f, 0, "Zen 4"},
	{amd, 0x19, 0x60, 0xaf, 0, "Zen 4"},
	{amd, 0x1a, 0x00, 0x2f, 0, "Zen 5"},
	{amd, 0x1a, 0x40, 0x4f, 0, "Zen 5"},
	{amd, 0x1a, 0x60, 0x7f, 0, "Zen 5"},
	{amd, 0x1a, 0x50, 0x5f, 0, "Zen 6"},
	{amd, 0x1a, 0x80, 0xaf, 0, "Zen 6"},
	{amd, 0x1a, 0xc0, 0xcf, 0, "Zen 6"},
	{"HygonGenuine", 0x18, 0x00, 0x0f, 0, "Zen"},
}

const (
	intel = "GenuineIntel"
	amd   = "AuthenticAMD"
)

// armMakers and armCores are the implementer and part fields of MIDR_EL1.
// Source: Linux, arch/arm64/include/asm/cputype.h; util-linux, lscpu-arm.c.
var armMakers = map[int]string{
	0x41: "ARM", 0x42: "Broadcom", 0x43: "Cavium", 0x46: "Fujitsu", 0x48: "HiSilicon", 0x4e: "NVIDIA",
	0x51: "Qualcomm", 0x61: "Apple", 0x6d: "Microsoft", 0xc0: "Ampere",
}

var armCores = map[armCore]string{
	{0x41, 0xd03}: "Cortex-A53",
	{0x41, 0xd04}: "Cortex-A35",
	{0x41, 0xd05}: "Cortex-A55",
	{0x41, 0xd07}: "Cortex-A57",
	{0x41, 0xd08}: "Cortex-A72",
	{0x41, 0xd09}: "Cortex-A73",
	{0x41, 0xd0a}: "Cortex-A75",
	{0x41, 0xd0b}: "Cortex-A76",
	{0x41, 0xd0c}: "Neoverse N1",
	{0x41, 0xd0d}: "Cortex-A77",
	{0x41, 0xd40}: "Neoverse V1",
	{0x41, 0xd41}: "Cortex-A78",
	{0x41, 0xd44}: "Cortex-X1",
	{0x41, 0xd49}: "Neoverse N2",
	{0x41, 0xd4a}: "Neoverse E1",
	{0x41, 0xd4f}: "Neoverse V2",
	{0x41, 0xd83}: "Neoverse V3AE",
	{0x41, 0xd84}: "Neoverse V3",
	{0x41, 0xd8e}: "Neoverse N3",
	{0x43, 0x0af}: "ThunderX2",
	{0x46, 0x001}: "A64FX",
	{0x48, 0xd01}: "TaiShan v110",
	{0xc0, 0xac3}: "Ampere-1",
	{0xc0, 0xac4}: "Ampere-1a",
}
