#!/bin/bash
# avx512-run.sh BINARY [ARGS...]
# Runs a static linux/amd64 binary under Bochs, which emulates a whole machine
# with AVX-512 and SHA, on a minimal Linux: for
#   CGO_ENABLED=0 go test -short -exec "$PWD/kernels/emulate/avx512-run.sh" ./kernels/...
# Output (both streams on standard output) and exit status are the binary's. Only
# the folder testdata reaches the guest; its clock is its own, so measure nothing.
#
#   EMU_ENV      the guest's environment, separated by blanks  (default PERWATT_REQUIRE=avx512)
#   EMU_TIMEOUT  seconds for the whole emulation               (default 300)
#   EMU_CPU      Bochs' name of the CPU                        (default corei3_cnl)
#   EMU_CACHE    where the kernel is kept                      (default ~/.cache/perwatt-emulate)
#
# It needs Debian or one like it: what is missing is installed by apt-get, which
# takes root; the kernel is only unpacked. Exit status 120: no emulator; 124:
# timed out; 125: the guest did not report one.
set -u -o pipefail
[ $# -ge 1 ] || { sed -n '2,18p' "$0" >&2; exit 120; }
die() { echo "avx512-run: $*" >&2; exit 120; }
binary=$(readlink -f -- "$1"); shift
[ -f "$binary" ] || die "no such file: $binary"
cache=${EMU_CACHE:-$HOME/.cache/perwatt-emulate}
mkdir -p "$cache" || die "make the folder $cache"

# One at a time: go test runs packages in parallel.
exec 9>"$cache/lock"; flock -w 600 9 || die "wait for $cache/lock"
export DEBIAN_FRONTEND=noninteractive
apt() { timeout 300 apt-get -qq -o DPkg::Lock::Timeout=240 "$@" >>"$cache/apt.log" 2>&1; }
packages=()
[ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || packages+=(busybox-static)
[ -x /usr/bin/bochs ] || packages+=(bochs bochs-term bochsbios vgabios)
[ -f /usr/lib/ISOLINUX/isolinux.bin ] || packages+=(isolinux)
[ -f /usr/lib/syslinux/modules/bios/ldlinux.c32 ] || packages+=(syslinux-common)
for tool in cpio xorriso; do command -v "$tool" >/dev/null || packages+=("$tool"); done
if [ ${#packages[@]} != 0 ]; then
  apt install -y --no-install-recommends "${packages[@]}" ||
    { apt update; apt install -y --no-install-recommends "${packages[@]}"; } ||
    die "install ${packages[*]}: see $cache/apt.log"
fi
kernel() {
  local d; d=$(mktemp -d "$cache/kernel.XXXXXX") || return
  ( cd "$d" && p=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }') && [ -n "$p" ] &&
    apt -o APT::Sandbox::User=root download "$p" && dpkg-deb -x ./*.deb x && cp x/boot/vmlinuz-* "$cache/vmlinuz.new" )
  local status=$?
  rm -rf "$d"
  [ $status = 0 ] && mv "$cache/vmlinuz.new" "$cache/vmlinuz"
}
[ -s "$cache/vmlinuz" ] || kernel || { apt update; kernel; } || die "fetch linux-image-cloud-amd64: see $cache/apt.log"
exec 9>&-

work=$(mktemp -d "${TMPDIR:-/tmp}/avx512-run.XXXXXX") || die "make a folder in ${TMPDIR:-/tmp}"
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/guest/{bin,proc,dev,tmp,wd} "$work/iso/isolinux"
cp /bin/busybox "$work/guest/bin/"
cp "$binary" "$work/guest/test"; chmod 755 "$work/guest/test"
[ -d testdata ] && cp -rL testdata "$work/guest/wd/"
{ echo '#!/bin/busybox sh'
  echo 'b=/bin/busybox; $b mount -t proc proc /proc; $b mount -t devtmpfs dev /dev; $b mount -t tmpfs tmp /tmp'
  echo 'export HOME=/tmp TMPDIR=/tmp PATH=/bin; cd /wd; $b stty -onlcr </dev/console 2>/dev/null'
  for e in ${EMU_ENV-PERWATT_REQUIRE=avx512}; do printf 'export %q\n' "$e"; done
  echo 'echo "@@BEGIN@@"'
  printf '/test'; for a in "$@"; do printf " '%s'" "${a//\'/\'\\\'\'}"; done; echo
  echo 'r=$?; echo; echo "@@EXIT $r@@"; $b reboot -f'
} >"$work/guest/init"; chmod 755 "$work/guest/init"
( cd "$work/guest" && find . | cpio -o -H newc --quiet ) >"$work/iso/initrd" || die "pack the guest's files"
cp "$cache/vmlinuz" /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/isolinux/"

# clearcpuid: XSAVEC, XSAVES and PKU. Bochs' CPUID contradicts itself about
# them, and Linux would then do without XSAVE and so without AVX. reboot=t: a
# triple fault, on which Bochs exits.
cat >"$work/iso/isolinux/isolinux.cfg" <<X
DEFAULT l
PROMPT 0
LABEL l
 KERNEL /isolinux/vmlinuz
 INITRD /initrd
 APPEND console=ttyS0,115200 quiet loglevel=1 panic=-1 reboot=t acpi=off nokaslr mitigations=off tsc=reliable no_timer_check clocksource=tsc lpj=1000000 nomodeset random.trust_cpu=on clearcpuid=321,323,515 initcall_blacklist=trace_eval_init cryptomgr.notests rdinit=/init
X
xorriso -as mkisofs -quiet -o "$work/boot.iso" -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table "$work/iso" >"$work/iso.log" 2>&1 ||
  die "make the boot image: $(tail -1 "$work/iso.log")"
cat >"$work/bochsrc" <<X
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model=${EMU_CPU:-corei3_cnl}, count=1, ips=20000000, reset_on_triple_fault=0
megs: 512
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
boot: cdrom
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
clock: sync=none, time0=utc
com1: enabled=1, mode=file, dev=$work/serial
pci: enabled=1, chipset=i440fx
log: $work/bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
X
echo c >"$work/rc"; : >"$work/serial"
space=(); unshare -n true 2>/dev/null && space=(unshare -n) # the display opens a port
( cd "$work" && exec timeout -k 5 "${EMU_TIMEOUT:-300}" "${space[@]}" bochs -q -f bochsrc -rc rc ) </dev/null >"$work/out" 2>&1
status=$?
tr -d '\r' <"$work/serial" | awk '/^@@EXIT [0-9]+@@$/ { exit } begun { if (n++) print line; line = $0 } /^@@BEGIN@@$/ { begun = 1 } END { if (n && line != "") print line }'
code=$(tr -d '\r' <"$work/serial" | grep -ao '^@@EXIT [0-9]*@@$' | tail -1 | tr -dc 0-9)
[ -z "$code" ] || exit "$code"
echo "avx512-run: the guest reported no exit status (bochs: $status)" >&2
tail -n 20 "$work/serial" "$work/out" >&2
[ "$status" = 124 ] && exit 124
exit 125
