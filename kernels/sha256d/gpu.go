package sha256d

import (
	"embed"

	"github.com/perwatt/perwatt/kernels/device"
)

//go:generate ../device/clang.sh scan.cl sm_75
//go:generate ../device/clang.sh scan.cl gfx90a gfx942 gfx1100 gfx1201

//go:embed scan.cl scan.*.ptx scan.*.co
var files embed.FS

// Program has the kernels for GPUs, described in scan.cl.
var Program = device.NewProgram(files, "scan")
