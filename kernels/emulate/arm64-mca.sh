#!/bin/sh
# arm64-mca.sh prints how many cycles the inner loops of the rows for ARM take by
# LLVM's models of cores:
#
#	kernels/emulate/arm64-mca.sh [CORE...]
#
# It needs llvm-objdump and llvm-mca of one version, 17 or newer (Debian: llvm-22 of
# apt.llvm.org, or a later release); LLVM=-22 names the suffix. A model knows ports, latencies
# and the reorder buffer. It takes every load for a hit in the first cache and every
# branch for predicted, so that a figure says the best that can come.
set -eu
cd "$(dirname "$0")/../.."
llvm=${LLVM-}
if [ -z "$llvm" ]; then
	for v in "" -22 -21 -20 -19 -18 -17; do
		if n=$(llvm-mca$v --version 2>/dev/null | sed -n 's/.*LLVM version \([0-9]*\).*/\1/p') && [ "${n:-0}" -ge 17 ]; then
			llvm=$v
			break
		fi
	done
fi
if ! command -v "llvm-mca$llvm" >/dev/null || ! command -v "llvm-objdump$llvm" >/dev/null; then
	echo "arm64-mca: no llvm-mca of version 17 or newer: install the package llvm" >&2
	exit 120
fi
cores=${*:-neoverse-v1 neoverse-v2 neoverse-n2 apple-m1}
dir=$(mktemp -d)
trap 'rm -r "$dir"' EXIT

# loop FILE SYMBOL prints the instructions of the longest loop of a function that has
# no other loop in it.
loop() {
	"llvm-objdump$llvm" -d --no-show-raw-insn --disassemble-symbols="$2" "$1" | awk '
		/^ *[0-9a-f]+:/ {
			at[++n] = $1; sub(":", "", at[n]); place[at[n]] = n
			sub(/^ *[0-9a-f]+:[ \t]*/, ""); text[n] = $0
		}
		END {
			for (i = 1; i <= n; i++) {
				if (!match(text[i], /0x[0-9a-f]+ </)) continue
				to = substr(text[i], RSTART + 2, RLENGTH - 4)
				sub(/0x[0-9a-f]+ <.*/, "elsewhere", text[i])
				if (to in place && place[to] <= i && place[to] > inner) {
					if (i - place[to] > last - first) { first = place[to]; last = i }
					inner = i # what begins before its end has a loop in it
				}
			}
			if (!last) exit 1
			for (i = first; i <= last; i++) print text[i]
		}'
}

echo "Estimated by llvm-mca ($("llvm-mca$llvm" --version | sed -n 's/.*LLVM version/LLVM/p')), not yet run on hardware. In brackets: what ports alone allow."
format='%-9s %-7s %-22s'
printf "$format" kernel row of
printf ' %16s' $cores
echo

# row KERNEL ROW FUNCTION WHAT COUNT: a pass of the loop makes COUNT of what has cycles
# each, or minus COUNT of what is made in a cycle.
row() {
	[ -e "$dir/$1" ] || GOARCH=arm64 CGO_ENABLED=0 go test -c -o "$dir/$1" "./kernels/$1"
	loop "$dir/$1" "github.com/perwatt/perwatt/kernels/$1.$3.abi0" >"$dir/loop.s"
	printf "$format" "$1" "$2" "$4"
	for core in $cores; do
		"llvm-mca$llvm" -mtriple=aarch64 -mcpu="$core" -mattr=+sha2 -iterations=200 "$dir/loop.s" 2>"$dir/err" >"$dir/out" || { cat "$dir/err" >&2; exit 1; }
		awk -v count="$5" '/^Total Cycles/ { total = $3 } /^Block RThroughput/ { bound = $3 }
			function of(cycles) { return count > 0 ? cycles / count : -count / cycles }
			END { printf " %16s", sprintf("%.3g (%.3g)", of(total / 200), of(bound)) }' "$dir/out"
	done
	echo
}

row sha256d armv8 dismiss "cycles a hash" 4
for rows in 12 8 4 2 1; do
	row sgemm neon "tilesNEON$rows" "cycles a step, ${rows}x8" 1
done
row stream neon linesNEON "B a cycle, of STREAM" -192
echo "LLVM 22 has the model of Cyclone for apple-m1, with three vector pipes; the core has four."
