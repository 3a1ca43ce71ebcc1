package slurm

import "strings"

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
	return `#!/bin/sh
cd ` + quote(dir) + ` || { echo "this node does not share "` + quote(dir) + ` >&2; exit 72; }
` + part("note") + "exec " + words(binary, args) + " --store .\n"
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
