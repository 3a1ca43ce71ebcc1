package sgemm

import (
	"embed"

	"github.com/perwatt/perwatt/kernels/device"
)

//go:generate ../device/clang.sh gemm.cl sm_75
//go:generate ../device/clang.sh gemm.cl gfx90a gfx942 gfx1100 gfx1201
//go:generate ../device/clang.sh mma.cu sm_80
//go:generate ../device/clang.sh wgmma.cu sm_90a

//go:embed *.cl *.ptx *.co
var files embed.FS

// Programs for GPUs. SIMT runs on all of them; MMA and WGMMA use the tensor
// cores of NVIDIA's since Ampere and of Hopper. Each is described in its source.
var (
	SIMT  = device.NewProgram(files, "gemm")
	MMA   = device.NewProgram(files, "mma")
	WGMMA = device.NewProgram(files, "wgmma")
)
