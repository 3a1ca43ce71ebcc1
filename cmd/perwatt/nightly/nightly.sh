#!/bin/sh
# Measures this machine, reports what changed since the nights before, and writes
# pages and metrics into site/. cron, systemd and the workflow run this script.
# Arguments are passed to perwatt track: --format github annotates a workflow.
#
# Exit codes: 0 no regression, 1 a new regression, 2 wrong usage, 3 tonight has no
# measurement or only part of one, 75 another session is running.
#
# Written by perwatt track --init of <% .Tool %>, which replaces no file: edit it.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 2
store=<% sh .Store %> # kept from night to night: back it up
export PERWATT_STORE="${PERWATT_STORE:-$store}"
PATH=$PATH:<% sh .Bin %> # where perwatt lies if PATH has none
rules=$here/perwatt-track.toml
prometheus=$here/site/perwatt.prom # the textfile collector of node_exporter reads this directory

mkdir -p "$PERWATT_STORE" "$here/site" || exit 2
# Two sessions at once measure each other. The lock ends with the processes.
exec 9>"$PERWATT_STORE/.nightly.lock" || exit 2
flock -n 9 || {
	echo "perwatt: $PERWATT_STORE/.nightly.lock is held: another session is running" >&2
	exit 75
}

ran=0
perwatt run --preset quick --label job=nightly || ran=$?
case $ran in
0 | 1 | 3) ;; # 1: some runs gave no result; 3: none did
*) exit "$ran" ;;
esac

judged=0
perwatt track --gate --confirm --label job=nightly --rules "$rules" "$@" || judged=$?

# Pages and metrics, of a bad night too.
shown=0
perwatt track --label job=nightly --rules "$rules" -o "$here/site" >/dev/null || shown=$?
perwatt track --label job=nightly --rules "$rules" --format prometheus -o "$prometheus" || shown=$?

[ "$judged" = 0 ] || exit "$judged"
[ "$ran" = 0 ] || exit 3
exit "$shown"
