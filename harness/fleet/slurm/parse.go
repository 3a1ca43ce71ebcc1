package slurm

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

var (
	nodeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$`)
	jobID    = regexp.MustCompile(`^[0-9]{1,18}$`)
)

// oneLine makes one line of each record that begins with a mark.
func oneLine(out, mark string) string {
	var b strings.Builder
	for i, record := range strings.Split(out, mark) {
		if record = strings.TrimSpace(record); i > 0 || record != "" { // what comes before the first is an error of its parser
			b.WriteString(strings.ReplaceAll(record, "\n", " ") + "\n")
		}
	}
	return b.String()
}

// parseNodes reads the lines of sinfo -N -o '%N|%T|%u|%H|%E': node, state, and of the
// reason the user, the time and the text. A node of several partitions comes once.
func parseNodes(out string) (hosts []fleet.Host, err error) {
	seen := map[string]bool{}
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimSpace(line), "|", 5)
		if len(f) != 5 || !nodeName.MatchString(f[0]) {
			return nil, fmt.Errorf("slurm: sinfo: %q is no node", results.Line(line, 200))
		}
		if seen[f[0]] {
			continue
		}
		seen[f[0]] = true
		h := fleet.Host{Node: site.Node{Name: f[0]}, Idle: f[1] == "idle", Absent: absent(f[1])}
		if h.Absent != "" {
			if f[4] != "" && f[4] != "none" {
				h.Absent += ": " + results.Line(f[4], 200)
			}
			if user, at := results.Line(f[2], 64), results.Line(f[3], 32); user != "Unknown" && user != "" {
				h.Absent += " (" + user + ", " + at + "Z)"
			}
			h.More = "scontrol show node " + h.Name
		}
		hosts = append(hosts, h)
	}
	return hosts, nil
}

// absent says why a node in this state runs no job, or is empty. The words are those of
// sinfo -o %T; a * says that the node does not answer. A node that is saved power, in
// maintenance or reserved may run a job of the right user: Slurm decides.
func absent(state string) string {
	word := strings.TrimRight(state, "*~#!%$@^-+")
	switch word {
	case "down", "drained", "draining", "drain", "fail", "failing", "error", "inval", "invalid", "unknown", "unk", "future", "blocked":
	default:
		if !strings.Contains(state[len(word):], "*") {
			return ""
		}
	}
	if strings.Contains(state[len(word):], "*") {
		return word + ", does not answer"
	}
	return word
}

// fields returns the values of a line of scontrol -o, "Key=value Key=value", for the keys.
// A value ends at a space.
func fields(line string, keys ...string) []string {
	values := make([]string, len(keys))
	for word := range strings.FieldsSeq(line) {
		name, value, ok := strings.Cut(word, "=")
		for i, key := range keys {
			if ok && name == key && values[i] == "" {
				values[i] = value
			}
		}
	}
	return values
}

// parseHostNames reads scontrol -o show node: the name that each node gives itself.
func parseHostNames(out string) map[string]string {
	names := map[string]string{}
	for line := range strings.Lines(out) {
		f := fields(line, "NodeName", "NodeHostName")
		if nodeName.MatchString(f[0]) && nodeName.MatchString(f[1]) {
			names[f[0]] = f[1]
		}
	}
	return names
}

// group is a hostlist that is in one place.
type group struct {
	place
	nodes string
}

// parseTopology reads scontrol show topology: the leaf switches of topology/tree
// (SwitchName=s1 Level=0 … Nodes=n[1-4]) and the blocks of topology/block
// (BlockName=b1 … Nodes=n[1-4]).
func parseTopology(out string) (groups []group) {
	for line := range strings.Lines(out) {
		f := fields(line, "SwitchName", "Level", "BlockName", "Nodes")
		g := group{place{results.Line(f[2], 200), results.Line(f[0], 200)}, f[3]}
		if g.nodes != "" && (g.leaf != "" && f[1] == "0" || g.rack != "") {
			groups = append(groups, g)
		}
	}
	return groups
}

// queued is a job that squeue lists.
type queued struct{ id, state, reason, comment string }

// parseQueue reads the lines of squeue -o '%i|%T|%r|%k'.
func parseQueue(out string) (all []queued, err error) {
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimSpace(line), "|", 4)
		if len(f) == 4 && strings.ContainsAny(f[0], "_+") {
			continue // of an array or of several parts: not ours
		}
		if len(f) != 4 || !jobID.MatchString(f[0]) {
			return nil, fmt.Errorf("slurm: squeue: %q is no job", results.Line(line, 200))
		}
		all = append(all, queued{f[0], results.Line(f[1], 40), results.Line(f[2], 200), f[3]})
	}
	return all, nil
}

// parseComment reads the node and the attempt of a job of this measurement: of one whose
// directories are in dir.
func parseComment(comment, dir string) (node string, attempt int) {
	what, where, _ := strings.Cut(comment, " ")
	at := strings.LastIndexByte(what, '.')
	if at < 1 || !strings.HasPrefix(where, filepath.Clean(dir)+"/") {
		return "", 0
	}
	n, err := strconv.Atoi(what[at+1:])
	if err != nil || n < 1 || !nodeName.MatchString(what[:at]) {
		return "", 0
	}
	return what[:at], n
}

// phase maps the states of squeue -o %T (man squeue, JOB STATE CODES). A state that is
// not known is that of a job which may still write.
func phase(state string) fleet.Phase {
	switch state {
	case "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD":
		return fleet.Queued
	case "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT", "LAUNCH_FAILED", "RECONFIG_FAIL":
		return fleet.Ended
	}
	return fleet.Started
}

// parseSubmitted reads what sbatch --parsable prints: 12, or 12;cluster.
func parseSubmitted(out string) (string, error) {
	id, _, _ := strings.Cut(strings.TrimSpace(out), ";")
	if !jobID.MatchString(id) {
		return "", fmt.Errorf("slurm: sbatch: %q is no job", results.Line(out, 200))
	}
	return id, nil
}

// parseJob says how a job of scontrol -o show job stands: "FAILED, exit code 1:0
// (NonZeroExitCode)".
func parseJob(out string) string {
	f := fields(out, "JobState", "ExitCode", "Reason")
	said := results.Line(f[0], 40)
	if said == "" {
		return "Slurm does not say how the job ended"
	}
	if f[1] != "" && f[1] != "0:0" {
		said += ", exit code " + results.Line(f[1], 20)
	}
	if f[2] != "" && f[2] != "None" {
		said += " (" + results.Line(f[2], 100) + ")"
	}
	return said
}

// parseAccount reads the last line of sacct -n -P -o State,ExitCode.
func parseAccount(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	state, code, _ := strings.Cut(lines[len(lines)-1], "|")
	if state = results.Line(state, 60); state != "" && code != "0:0" {
		state += ", exit code " + results.Line(code, 20)
	}
	return state
}

// passing are errors that another try may not meet: the controller is away or busy, or
// the user has as many jobs as may be submitted. The texts are those of slurm_strerror.
var passing = []string{
	"Unable to contact slurm controller",
	"Socket timed out",
	"Zero Bytes were transmitted or received",
	"Slurm temporarily unable to accept job",
	"Resource temporarily unavailable",
	"Connection refused",
	"Connection timed out",
	"Communication connection failure",
	"Transport endpoint is not connected",
	"Unexpected message received",
	"Slurm controller in standby mode",
	"slurm_persist_conn_open",
	"Munge",
	"Protocol authentication error",
	"Unable to establish controller machine",
	"MaxSubmit", "MaxJobs", "GrpSubmit", "GrpJobs",
	"job limit reached",
	"Required node not available (down, drained or reserved)", // with --immediate
	"Requested nodes are busy",
	"Immediate execution impossible",
}

// verdicts are how sbatch and salloc begin the answer of the controller.
var verdicts = []string{"Batch job submission failed:", "Job submit/allocate failed:"}

// refusal turns what sbatch or salloc said into a [fleet.Refusal] if another try would
// meet it again: the controller decided, or the options are not understood. "Job violates
// accounting/QOS policy" alone may be the greatest number of jobs, and is none.
func refusal(f *failure) error {
	for _, text := range passing {
		if strings.Contains(f.said, text) {
			return f
		}
	}
	for _, begin := range verdicts {
		if _, verdict, ok := strings.Cut(f.said, begin); ok {
			if strings.Contains(verdict, "policy") && !strings.Contains(f.said, "Limit") {
				return f
			}
			return fleet.Refusal{Reason: f.Error()}
		}
	}
	if errors.Is(f.err, os.ErrDeadlineExceeded) || f.said == "" {
		return f
	}
	for _, text := range []string{"unrecognized option", "invalid option", "requires an argument", "Invalid", "invalid", "is less than minimum"} {
		if strings.Contains(f.said, text) {
			return fleet.Refusal{Reason: f.Error()}
		}
	}
	return f
}

// exited is what srun adds to the log of a step that failed, before or after the last line
// of the node: it says less than that line, and no more than the state of the job.
var exited = regexp.MustCompile(`^srun: error: .*: tasks? .*: Exited with exit code \d+$`)

// lastLine returns the last line of a log that is not empty, and not srun's [exited] if
// there is another. The node writes it: only its end is read.
func lastLine(path string) string {
	f, err := os.Open(path) // #nosec G304 -- of this measurement
	if err != nil {
		return ""
	}
	defer f.Close()
	const tail = 4 << 10
	if size, err := f.Seek(0, io.SeekEnd); err == nil && size > tail {
		_, _ = f.Seek(-tail, io.SeekEnd)
	} else {
		_, _ = f.Seek(0, io.SeekStart)
	}
	b, _ := io.ReadAll(io.LimitReader(f, tail))
	lines := strings.FieldsFunc(string(b), func(r rune) bool { return r == '\n' || r == '\r' })
	last := ""
	for _, text := range slices.Backward(lines) {
		line := results.Line(text, 200)
		if line != "" && !exited.MatchString(line) {
			return line
		}
		last = cmp.Or(last, line)
	}
	return last
}
