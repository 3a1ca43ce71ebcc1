#!/bin/sh
# Prints Debian's changelog of a package, dated by the commit: changelog.sh VERSION
set -eu
version=$(printf %s "$1" | sed 's/-/~/') # a candidate sorts before its release
cat <<END
perwatt ($version-1) unstable; urgency=medium

  * New upstream version; its changes are in changelog.gz.

 -- perwatt maintainers <perwatt@users.noreply.github.com>  $(LC_ALL=C date -u -R -d "@$(git log -1 --format=%ct)")
END
