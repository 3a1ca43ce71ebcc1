#!/usr/bin/env bash
# Makes a snapshot of a release in dist/ and tries what it made. What this machine
# cannot do is skipped and named at the end; anything else that fails ends it.
# make release-check puts goreleaser and cyclonedx-gomod on the PATH.
set -euo pipefail
cd "$(dirname "$0")/.."
skipped=()
skip() { skipped+=("$1"); printf '\n== skipped: %s\n' "$1"; }
step() { printf '\n== %s (%s)\n' "$1" "$(date -u +%T)"; }
work=$(mktemp -d)
# A root that is mounted is not removed.
trap 'mountpoint -q "$work/root/proc" && umount "$work/root/proc"; mountpoint -q "$work/root/proc" || rm -rf "$work"' EXIT

step "goreleaser"
git remote | grep -q . || { echo "goreleaser needs a checkout with a remote: git remote add origin https://github.com/perwatt/perwatt"; exit 1; }
goreleaser check
without=publish,announce
docker buildx version >/dev/null 2>&1 && docker info >/dev/null 2>&1 && getent hosts docker.io >/dev/null ||
	{ without+=,docker; skip "image: no docker with buildx, or no registry for its base"; }
goreleaser release --snapshot --clean --skip="$without"

step "checksums, and a build that is the same again"
(cd dist && sha256sum --quiet -c checksums.txt)
for arch in amd64 arm64; do
	for kind in tar.gz cdx.json; do ls dist/perwatt_*_linux_$arch.$kind; done
	ls dist/perwatt_*"_$arch.deb"
done
ls dist/perwatt-*.x86_64.rpm dist/perwatt-*.aarch64.rpm
binary=$(ls dist/perwatt_linux_amd64_v1/perwatt)
read -r revision date < <(git log -1 --format='%H %cI')
CGO_ENABLED=0 GOARCH=amd64 GOAMD64=v1 go build -a -trimpath -buildvcs=false -o "$work/again" \
	-ldflags "-s -w -X main.version= -X main.revision=${revision:0:12}$(test -z "$(git status --porcelain)" || echo +) -X main.date=$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)" ./cmd/perwatt
cmp "$binary" "$work/again"
"$binary" version
if command -v qemu-aarch64-static >/dev/null; then
	qemu-aarch64-static -L "${QEMU_LD_PREFIX:-/usr/aarch64-linux-gnu}" dist/perwatt_linux_arm64_v8.0/perwatt version || skip "the arm64 binary: qemu has no glibc of arm64 (Debian: libc6-arm64-cross)"
else
	skip "the arm64 binary: no qemu-aarch64-static"
fi

step "lintian"
if command -v lintian >/dev/null; then
	lintian --fail-on error dist/*.deb
else
	skip "lintian: not installed"
fi

step "rpm"
if command -v rpm >/dev/null; then
	for f in dist/*.rpm; do
		rpm -K --nosignature "$f"
		rpm -qp --requires "$f" | grep -x glibc # not -q: rpm would end of a closed pipe
		rpm -qlp "$f" | grep -x /usr/share/man/man1/perwatt-run.1.gz
	done
else
	skip "rpm: not installed"
fi

step "the package in a clean Debian"
deb=$(ls "$PWD"/dist/perwatt_*_"$(dpkg --print-architecture)".deb)
if [ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null && debootstrap --variant=minbase bookworm "$work/root" >"$work/debootstrap.log" 2>&1; then
	mount -t proc proc "$work/root/proc"
	go test ./packaging -run '^TestPackage$' -count 1 -v -args -deb "$deb" -root "$work/root"
	umount "$work/root/proc"
else
	skip "a clean Debian: needs root, debootstrap and Debian's archive; the package is installed in an empty directory instead"
	go test ./packaging -run '^TestPackage$' -count 1 -v -args -deb "$deb"
fi

step "go install by module path, of a release"
git clone -q "file://$PWD" "$work/src"
git -C "$work/src" tag v0.0.1
# Git finds the repository here, and Go the other modules where they are already.
GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="url.file://$work/src.insteadOf" GIT_CONFIG_VALUE_0=https://github.com/perwatt/perwatt \
	GOPRIVATE=github.com/perwatt/perwatt GOPROXY="file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)" \
	GOFLAGS=-modcacherw GOMODCACHE=$work/modules GOBIN=$work/bin CGO_ENABLED=0 \
	go install github.com/perwatt/perwatt/cmd/perwatt@v0.0.1
"$work/bin/perwatt" version | grep '^perwatt v0\.0\.1 '

printf '\nEverything else is good. Skipped: %s\n' "${#skipped[@]}"
printf '  %s\n' "${skipped[@]}"
