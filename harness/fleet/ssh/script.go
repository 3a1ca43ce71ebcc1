package ssh

import (
	"fmt"
	"strings"

	"github.com/perwatt/perwatt/results"
)

// The scripts are for a POSIX shell on Linux with coreutils, util-linux's setsid and tar,
// or with busybox. Every value in them goes through [quote].

const cache = `case ${XDG_CACHE_HOME:-} in /*) c=$XDG_CACHE_HOME/perwatt;; *) c=$HOME/.cache/perwatt;; esac
`

// bootPath has a UUID of the kernel that runs, which is made at its start: two hosts that
// have the same are one machine. A machine identifier may come from a common disk image.
// kernel: Documentation/admin-guide/sysctl/kernel.rst, random.
const bootPath = "/proc/sys/kernel/random/boot_id"

// probing says what the host is, and then the time for each line that it is sent.
const probing = cache + `m=; for t in setsid sha256sum tar cut head; do command -v $t >/dev/null || m="$m $t"; done
uname -s; uname -m; uname -n; printf '%s\n' "$m" "$c" "$(cat ` + bootPath + `)"
while IFS= read -r x; do date +%s.%N; done
`

// installing keeps the binary of so many bytes that it reads under the name of its digest. Hosts may share
// the directory: the last of many equal copies stays.
func installing(digest string, size int64) string {
	return cache + fmt.Sprintf(`mkdir -p "$c/bin" && t=$c/bin/.new-$$-$(uname -n) && head -c %d >"$t" &&`, size) + ` echo ` + digest + `"  $t" | sha256sum -c >/dev/null &&
chmod 700 "$t" && mv "$t" "$c/bin/perwatt-` + digest + `" && echo installed || { rm -f "$t"; echo failed; exit; }
`
}

// A job is the leader of a session of its own, so that it outlives the connection. It
// writes which process it is, in a way that no later process of that number shares, and
// how it ended. It ends at once if it was cancelled before.
const job = `read -r b <` + bootPath + `; echo "$$ $(cut -d' ' -f22 /proc/$$/stat) $b" >pid.new && mv pid.new pid
[ -e code ] && exit
"$@" >/dev/null 2>log </dev/null
echo $? >code.new; mv code.new code`

// starting starts a job whose binary the host has. A second start of the same attempt
// does nothing, since the answer to the first may have been lost.
func starting(digest, id string, args []string) string {
	var b strings.Builder
	b.WriteString(cache + "d=$c/fleet/" + results.Command(id) + "; b=$c/bin/perwatt-" + digest + "\n")
	b.WriteString(`echo ` + digest + `"  $b" | sha256sum -c >/dev/null 2>&1 || { echo absent; exit; }
mkdir -p "${d%/*}"
if mkdir "$d" 2>/dev/null && cd "$d"; then setsid sh -c ` + results.Command(job) + ` perwatt "$b"`)
	b.WriteString(" " + results.Command(args...) + ` --store "$d/store" </dev/null >/dev/null 2>&1 & fi
[ -d "$d" ] && echo started || echo failed
`)
	return b.String()
}

// alive sets p to the process group of a job and is true while it lives. boot is whether
// the host has been up since.
const alive = cache + `alive() { boot=no; read -r p s b <"$d/pid" && read -r now <` + bootPath + ` && [ "$b" = "$now" ] && boot=same && [ "$s" = "$(cut -d' ' -f22 "/proc/$p/stat" 2>/dev/null)" ]; }
`

// polling prints a line for each job: its state, and the exit code of one that ended.
func polling(ids []string) string {
	return alive + `look() { d=$c/fleet/$1
if [ -f "$d/code" ]; then :
elif [ ! -d "$d" ]; then echo unknown; return
elif [ ! -f "$d/pid" ]; then echo queued; return
elif alive; then echo running; return
elif [ ! -f "$d/code" ]; then [ $boot = same ] && echo gone || echo restarted; return; fi
echo ended "$(head -c 16 "$d/code")"; }
` + forEach("look", ids)
}

// cancelling ends the process groups of jobs: politely, and by force after ten seconds. One
// whose start is still on its way finds its directory taken.
func cancelling(ids []string) string {
	return alive + `end() { d=$c/fleet/$1; mkdir -p "$d"; [ -f "$d/code" ] || echo cancelled >"$d/code"
alive 2>/dev/null || return; kill -s TERM -- "-$p"; i=0
while alive && [ $i -lt 10 ]; do sleep 1; i=$((i+1)); done; alive && kill -s KILL -- "-$p"; }
` + forEach("end", ids) + "echo cancelled\n"
}

// fetching sends the log and the records of a job as a tar archive.
func fetching(id string) string {
	return cache + `cd "$c"/fleet/` + results.Command(id) + ` && set -- && for f in log store/*/*.json store/*/*.json.zst; do [ -f "$f" ] && set -- "$@" "$f"; done
[ $# -gt 0 ] && tar cf - "$@"
`
}

func forEach(function string, ids []string) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, "%s %s\n", function, results.Command(id))
	}
	return b.String()
}
