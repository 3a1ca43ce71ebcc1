#!/bin/sh
# arm64-run.sh BINARY [ARGUMENT...] runs a static linux/arm64 binary under QEMU:
#
#	GOARCH=arm64 CGO_ENABLED=0 go test -exec "$PWD/kernels/emulate/arm64-run.sh" ./kernels/...
#
# Output and exit status are the binary's, the environment reaches it. EMU_CPU
# names the CPU (default max, which has everything; QEMU_CPU=help lists them).
# It says whether the instructions are right, nothing about how fast they are.
# Exit status 120: there is no emulator.
set -eu
cpu=${EMU_CPU:-max}
for qemu in qemu-aarch64-static qemu-aarch64; do
	if command -v "$qemu" >/dev/null; then
		exec "$qemu" -cpu "$cpu" "$@"
	fi
done
echo "arm64-run: no qemu-aarch64-static: install the package qemu-user-static" >&2
exit 120
