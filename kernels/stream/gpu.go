package stream

import (
	"embed"

	"github.com/perwatt/perwatt/kernels/device"
)

//go:generate ../device/clang.sh stream.cl sm_75
//go:generate ../device/clang.sh stream.cl gfx90a gfx942 gfx1100 gfx1201

//go:embed stream.cl stream.*.ptx stream.*.co
var files embed.FS

// Program has the kernels for GPUs, described in stream.cl.
var Program = device.NewProgram(files, "stream")
