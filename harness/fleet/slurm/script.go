package slurm

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/perwatt/perwatt/harness/fleet"
)

// exitUnseen is the exit code of a job whose node does not see the attempt's directory.
// perwatt has no such code.
const exitUnseen = 72

// NodeName stands for the name that Slurm gives the node, in what [Script] is given: the
// shell of the job puts it there.
const NodeName = "${SLURMD_NODENAME}"

// Script returns the commands that measure a node, for a POSIX shell that a job runs on
// it: a job of [Engine], or one that a site starts in its own way. The binary, the
// arguments (run, and all that follows, but for the store) and the directory of the
// attempt are quoted, except for [NodeName] in them.
//
// A job may have got less than the node whatever was asked for: Slurm's count of CPUs and
// the affinity are held against those that the machine has, and what is missing is noted
// beside the records, in a file note. nproc would believe OMP_NUM_THREADS.
func Script(binary, dir string, args []string) string {
	return "#!/bin/sh\n" + enter("cd "+quote(dir), dir) + part("note") + "exec " + words(binary, args) + " --store .\n"
}

// enter ends a script unless a command is true, which looks for a directory.
func enter(command, dir string) string {
	return command + ` || { echo "this node does not share "` + quote(dir) + fmt.Sprintf(` >&2; exit %d; }
`, exitUnseen)
}

// batchScript is that of a job that writes to the directories of its attempts. A directory of
// the same name may be another one on the node: the token tells.
func (e *Engine) batchScript(jobs []fleet.Job, lead time.Duration) string {
	look := "{ read -r token; } 2>/dev/null <" + quote(e.tokenPath()) + ` && [ "$token" = ` + e.token + " ]"
	first, script := jobs[0], Script(e.Binary, jobs[0].Dir, jobs[0].Args)
	if lead > 0 {
		script = "#!/bin/sh\n" + together(jobs, lead, "cd \"$1\" || exit 72\nat=$2\nshift 2\n"+part("note")+`exec `+quote(e.Binary)+` "$@" --at "$at" --store .`, `
	dir=$1 node=$2
	shift 2
	`+srun+` "$script" perwatt "$dir" "$at" "$@" >>"$dir/`+fleet.Log+`" 2>&1
`)
	}
	head, rest, _ := strings.Cut(script, "\n")
	return head + "\n" + enter(look, first.Dir) + rest
}

// srun runs a script on one of the nodes of a job. All CPUs of the node are the task's: srun
// would bind one task to one core. Nodes of one size get their number by name, since a
// release may give a step less than there is; of several sizes the number is not known.
const srun = `srun -N1 -n1 -w "$node" $cpus --cpu-bind=none --mpi=none --input=none /bin/sh -c`

// together starts a step on each node of a job, in the background, and waits for all: script
// runs on the nodes, and step, a shell function's body, here, with the directory of the
// attempt, its node and its arguments. They begin to measure at one time, a lead from now; a
// lead of 0 leaves it to them.
func together(jobs []fleet.Job, lead time.Duration, script, step string) string {
	var b strings.Builder
	b.WriteString("at=\n")
	if lead > 0 {
		b.WriteString("at=$(date -u -d \"@$(($(date +%s) + " + strconv.Itoa(int((lead+time.Second-1)/time.Second)) + "))\" +%Y-%m-%dT%H:%M:%SZ) || exit\n")
	}
	b.WriteString(`cpus="-c ${SLURM_JOB_CPUS_PER_NODE%%(*}"
case $SLURM_JOB_CPUS_PER_NODE in *,*) cpus= ;; esac
script=` + quote(script) + "\nstep() {" + step + "}\npids=\n")
	for _, j := range jobs {
		b.WriteString(words("step", append([]string{j.Dir, j.Node.Name}, j.Args...)) + " &\npids=\"$pids $!\"\n")
	}
	b.WriteString("code=0\nfor pid in $pids; do wait \"$pid\" || code=$?; done\nexit $code\n")
	return b.String()
}

// part are the commands that note in a file what the job did not get of the machine.
func part(file string) string {
	return `all=$(grep -c '^processor' /proc/cpuinfo)
may=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
got=${SLURM_CPUS_ON_NODE:-$all}
if [ "$may" -lt "$all" ] || [ "$got" -lt "$all" ]; then
	echo "the job may use $may of the machine's $all CPUs, and Slurm gave it $got" >` + file + `
fi
`
}

// words quotes a command.
func words(binary string, args []string) string {
	quoted := []string{quote(binary)}
	for _, arg := range args {
		quoted = append(quoted, quote(arg))
	}
	return strings.Join(quoted, " ")
}

// quote returns a word of a POSIX shell that has this value, with NodeName expanded.
func quote(s string) string {
	parts := strings.Split(s, NodeName)
	for i, p := range parts {
		parts[i] = "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
	}
	return strings.Join(parts, `"`+NodeName+`"`)
}
