#!/bin/sh
# clang.sh SOURCE ARCH...: compile a kernel for GPUs, in the folder of its
# package: to PTX for sm_NN, to a code object for gfxNNN, compressed by zstd. Debian's clang-22 and
# lld-22 do it; no vendor's SDK is needed.
set -eu
source=$1
shift
name=${source%.*}
include=$(dirname "$0")
# Names no file and no version, so that every machine writes the same bytes.
flags="-x $([ "${1#gfx}" = "$1" ] && echo cuda || echo hip) -nogpulib -nogpuinc -O3 -std=c++17 -Wno-unknown-cuda-version -fno-ident -fno-jump-tables -I$include -include dialect.h"
for arch; do
	case $arch in
	sm_*)
		ptx=$([ "${arch#sm_9}" = "$arch" ] && echo 70 || echo 80)
		clang-22 $flags --cuda-device-only --cuda-gpu-arch="$arch" --cuda-feature=+ptx$ptx -S "$source" -o "$name.$arch.ptx"
		zstd -19 --ultra -22 -qf --rm "$name.$arch.ptx"
		;;
	gfx*)
		clang-22 $flags --cuda-device-only --offload-arch="$arch" -mcode-object-version=5 -cuid=0 --no-gpu-bundle-output -c "$source" -o "$name.$arch.co"
		chmod 644 "$name.$arch.co"
		zstd -19 --ultra -22 -qf --rm "$name.$arch.co"
		;;
	esac
done
