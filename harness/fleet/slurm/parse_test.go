package slurm

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results/site"
)

func TestNodes(t *testing.T) {
	// The first four lines are those of sinfo 22.05.8.
	got, err := parseNodes(`n1|drained|root|2026-11-30T13:02:56|fan | is slow
n2|idle|Unknown|Unknown|none
n2|idle|Unknown|Unknown|none
n3|down*|slurm|2026-11-30T13:04:00|Not responding
n4|idle*|Unknown|Unknown|none
n5|allocated|Unknown|Unknown|none
n6|idle~|Unknown|Unknown|none
n7|maint|Unknown|Unknown|none
n8|draining@|ann|2026-11-30T13:04:00|` + "\x1b[31mred\x07\n")
	require.NoError(t, err)
	show := "scontrol show node "
	require.Equal(t, []fleet.Host{
		{Node: site.Node{Name: "n1"}, Absent: "drained: fan | is slow (root, 2026-11-30T13:02:56Z)", More: show + "n1"},
		{Node: site.Node{Name: "n2"}, Idle: true},
		{Node: site.Node{Name: "n3"}, Absent: "down, does not answer: Not responding (slurm, 2026-11-30T13:04:00Z)", More: show + "n3"},
		{Node: site.Node{Name: "n4"}, Absent: "idle, does not answer", More: show + "n4"},
		{Node: site.Node{Name: "n5"}},
		{Node: site.Node{Name: "n6"}},
		{Node: site.Node{Name: "n7"}},
		{Node: site.Node{Name: "n8"}, Absent: "draining: �[31mred� (ann, 2026-11-30T13:04:00Z)", More: show + "n8"},
	}, got)
	for _, bad := range []string{"n1|idle", "|idle|a|b|c", "../x|idle|a|b|c", "CLUSTER: lab", "-w|idle|a|b|c"} {
		_, err := parseNodes(bad)
		require.Error(t, err, bad)
	}
}

// A reason or a comment of several lines makes neither a node nor a job.
func TestOneLine(t *testing.T) {
	require.Equal(t, "n1|drained|a b\nn2|idle|\n", oneLine("m|n1|drained|a\nb\nm|n2|idle|\n", "m|"))
	require.Equal(t, "n1|drained|fan n2|idle|x|y|z\n", oneLine("m|n1|drained|fan\nn2|idle|x|y|z\n", "m|"))
	require.Equal(t, "a banner\nn1|idle\n", oneLine("a banner\nm|n1|idle\n", "m|"), "which its parser refuses")
	require.Empty(t, oneLine("", "m|"))
	for _, dir := range []string{`/a\b`, "/a\nb", "/a\tb"} {
		_, err := New(Options{Fleet: "x", Dir: dir, Binary: "/x", Unshared: true})
		if errors.Is(err, exec.ErrNotFound) {
			t.Skip("NOT TESTED: Slurm is missing")
		}
		require.ErrorContains(t, err, "name another --store", dir)
	}
}

func TestOnly(t *testing.T) {
	hosts := []fleet.Host{{Node: site.Node{Name: "n1"}}, {Node: site.Node{Name: "n2"}}, {Node: site.Node{Name: "n3"}}}
	got, err := only(hosts, []string{"n3", "n1", "n3"})
	require.NoError(t, err)
	require.Equal(t, []fleet.Host{{Node: site.Node{Name: "n1"}}, {Node: site.Node{Name: "n3"}}}, got)
	// scontrol show hostnames 'n[1-' prints n] and ends with 0.
	_, err = only([]fleet.Host{{Node: site.Node{Name: "n1"}}}, []string{"n1", "n]"})
	require.EqualError(t, err, `there is no node "n]"`)
}

func TestTopology(t *testing.T) {
	require.Equal(t, []group{{place{leaf: "leaf1"}, "n[1-4]"}, {place{leaf: "leaf2"}, "n[5-8]"}},
		parseTopology(`SwitchName=leaf1 Level=0 LinkSpeed=1 Nodes=n[1-4]
SwitchName=leaf2 Level=0 LinkSpeed=1 Nodes=n[5-8]
SwitchName=spine Level=1 LinkSpeed=1 Nodes=n[1-8] Switches=leaf[1-2]
`))
	require.Equal(t, []group{{place{rack: "b1"}, "n[1-4]"}}, parseTopology("BlockName=b1 BlockIndex=0 Nodes=n[1-4] BlockSize=4\n"))
	require.Empty(t, parseTopology("No topology information available\nSwitchName=s Level=0\n"))
}

func TestQueue(t *testing.T) {
	got, err := parseQueue(`6|FAILED|BadConstraints|n2.1 /s/fleet/x/nodes/n2/1
5|PENDING|ReqNodeNotAvail, UnavailableNodes:n1|(null)
2|RUNNING|None|a|b
7_[1-4]|PENDING|None|of an array
`)
	require.NoError(t, err)
	require.Equal(t, []queued{
		{"6", "FAILED", "BadConstraints", "n2.1 /s/fleet/x/nodes/n2/1"},
		{"5", "PENDING", "ReqNodeNotAvail, UnavailableNodes:n1", "(null)"},
		{"2", "RUNNING", "None", "a|b"},
	}, got)
	for _, bad := range []string{"x|RUNNING|None|a", "2|RUNNING", "CLUSTER: lab\n"} {
		_, err := parseQueue(bad)
		require.Error(t, err, bad)
	}
	for state, want := range map[string]fleet.Phase{
		"PENDING": fleet.Queued, "CONFIGURING": fleet.Queued, "RUNNING": fleet.Started, "COMPLETING": fleet.Started,
		"SUSPENDED": fleet.Started, "A_STATE_OF_TOMORROW": fleet.Started,
		"COMPLETED": fleet.Ended, "NODE_FAIL": fleet.Ended, "TIMEOUT": fleet.Ended, "PREEMPTED": fleet.Ended,
	} {
		require.Equal(t, want, phase(state), state)
	}
	for comment, want := range map[string]site.Attempt{
		"n2.3 /s/fleet/x/nodes/n2/3": {Job: "n2", Number: 3}, "n2.example.org.1 /s/fleet/x/a": {Job: "n2.example.org", Number: 1},
		"n2.3 /other/fleet/x/nodes/n2/3": {}, "n2.3 /s/fleet/xy/n2": {}, "n2.3": {}, "n2.0 /s/fleet/x/a": {}, "n2.-1 /s/fleet/x/a": {},
		".1 /s/fleet/x/a": {}, "(null)": {}, "": {}, "n2.99999999999999999999 /s/fleet/x/a": {},
	} {
		node, attempt := parseComment(comment, "/s/fleet/x")
		require.Equal(t, want, site.Attempt{Job: node, Number: attempt}, comment)
	}
}

func TestSubmitted(t *testing.T) {
	for out, want := range map[string]string{"12\n": "12", "12;lab\n": "12", "": "", "Submitted batch job 12": "", "-1": ""} {
		got, err := parseSubmitted(out)
		require.Equal(t, want, got)
		require.Equal(t, want == "", err != nil, out)
	}
}

// What the controller decides is met again; what passes is not. The first ten texts are
// those of 22.05.8, the others those of slurm_strerror and man resource_limits.
func TestRefusal(t *testing.T) {
	for said, want := range map[string]bool{
		"sbatch: error: invalid partition specified: nope sbatch: error: Batch job submission failed: Invalid partition name specified":                                                  true,
		"sbatch: error: Batch job submission failed: Invalid node name specified":                                                                                                        true,
		"sbatch: unrecognized option '--frob' Try \"sbatch --help\" for more information":                                                                                                true,
		"sbatch: error: Memory specification can not be satisfied sbatch: error: Batch job submission failed: Requested node configuration is not available":                             true,
		"sbatch: error: Batch job submission failed: Requested reservation is invalid":                                                                                                   true,
		"sbatch: error: Invalid generic resource (gres) specification":                                                                                                                   true,
		"sbatch: error: Invalid --time specification":                                                                                                                                    true,
		"sbatch: error: Maximum node count 1 is less than minimum node count 2":                                                                                                          true,
		"salloc: error: invalid partition specified: nope salloc: error: Job submit/allocate failed: Invalid partition name specified":                                                   true,
		"salloc: error: Job submit/allocate failed: Required node not available (down, drained or reserved)":                                                                             false,
		"sbatch: error: Batch job submission failed: Invalid account or account/partition combination specified":                                                                         true,
		"sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)":                                                                    true,
		"sbatch: error: QOSMaxWallDurationPerJobLimit sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)": true,
		"sbatch: error: AssocMaxSubmitJobLimit sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)":        false,
		"sbatch: error: QOSMaxSubmitJobPerUserLimit sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)":   false,
		"sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)":                                              false,
		"sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)":                                                                               false,
		"sbatch: error: Batch job submission failed: Socket timed out on send/recv operation":                                                                                            false,
		"sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying":                                                                                                   false,
		"sbatch: error: Munge encode failed: Failed to access \"/run/munge/munge.socket.2\": No such file or directory":                                                                  false,
		"no answer within 1m0s": false,
		"":                      false,
	} {
		err := refusal(&failure{"sbatch", said, errors.New("exit status 1")})
		require.Equal(t, want, errors.As(err, new(fleet.Refusal)), said)
		require.Contains(t, err.Error(), said)
	}
}

func TestJobs(t *testing.T) {
	for out, want := range map[string]string{
		"JobId=2 JobName=x JobState=COMPLETED Reason=None Dependency=(null) ExitCode=0:0": "COMPLETED",
		"JobId=2 JobState=FAILED Reason=NonZeroExitCode ExitCode=3:0":                     "FAILED, exit code 3:0 (NonZeroExitCode)",
		"JobId=2 JobState=NODE_FAIL Reason=NodeDown ExitCode=0:0":                         "NODE_FAIL (NodeDown)",
		"": "Slurm does not say how the job ended",
	} {
		require.Equal(t, want, parseJob(out))
	}
	for out, want := range map[string]string{"NODE_FAIL|0:0\nCOMPLETED|0:0\n": "COMPLETED", "FAILED|1:0": "FAILED, exit code 1:0", "CANCELLED by 0|0:0": "CANCELLED by 0", "": ""} {
		require.Equal(t, want, parseAccount(out))
	}
}

func TestLastLine(t *testing.T) {
	name := filepath.Join(t.TempDir(), "log")
	require.Empty(t, lastLine(name))
	for text, want := range map[string]string{
		"": "", "\n\n": "", "a\nb\n\n": "b", "1%\r2%\r": "2%",
		"no such card\nsrun: error: n3: task 0: Exited with exit code 1\n": "no such card",
		"srun: error: n3: task 0: Exited with exit code 1\nno such card\n": "no such card",
		"srun: error: n[1-2]: tasks 0-1: Exited with exit code 1\n":        "srun: error: n[1-2]: tasks 0-1: Exited with exit code 1",
		"starts\nsrun: error: n3: task 0: Killed\n":                        "srun: error: n3: task 0: Killed",
		"\x1b[2Jx\xff\n\x00\n": "�",
		"\x1b[2Jx\n\n":         "�[2Jx", strings.Repeat("x", 1<<20): strings.Repeat("x", 199) + "…",
	} {
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
		require.Equal(t, want, lastLine(name))
	}
}

func TestEnvironment(t *testing.T) {
	require.Equal(t, []string{"SLURM_CONF=/c", "SBATCH_ACCOUNT=a", "HOME=/h", "LC_ALL=C"}, environment([]string{
		"SLURM_CONF=/c", "SLURM_JOB_ID=3", "SQUEUE_FORMAT=%i", "SACCT_FORMAT=x", "SINFO_FORMAT=x", "SLURM_TIME_FORMAT=relative",
		"SBATCH_ACCOUNT=a", "SLURM_CLUSTERS=all", "HOME=/h", "LC_ALL=tr_TR", "SBATCH_ARRAY_INX=0-9"}))
}

// Whatever a command prints, what is made of it is short and has no control characters.
func FuzzParse(f *testing.F) {
	f.Add("n1|drained|root|2026-11-30T13:02:56|fan | is slow\n")
	f.Add("5|PENDING|ReqNodeNotAvail, UnavailableNodes:n1|n1.2 /s/a\n")
	f.Add("SwitchName=leaf1 Level=0 LinkSpeed=1 Nodes=n[1-4]\nBlockName=\x1b Nodes=x")
	f.Add("JobId=2 JobState=FAILED Reason=NonZeroExitCode ExitCode=3:0")
	f.Fuzz(func(t *testing.T, out string) {
		clean := func(texts ...string) {
			for _, s := range texts {
				require.LessOrEqual(t, utf8.RuneCountInString(s), 600)
				require.NotContains(t, s, "\n")
				require.Equal(t, -1, strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }), s)
			}
		}
		if hosts, err := parseNodes(out); err == nil {
			seen := map[string]bool{}
			for _, h := range hosts {
				require.False(t, seen[h.Name] || h.Idle && h.Absent != "")
				seen[h.Name] = true
				clean(h.Name, h.Absent, h.More)
			}
		} else {
			clean(err.Error())
		}
		if jobs, err := parseQueue(out); err == nil {
			for _, q := range jobs {
				clean(q.id, q.state, q.reason)
				node, attempt := parseComment(q.comment, "/s")
				require.Equal(t, node == "", attempt == 0)
				clean(node)
			}
		} else {
			clean(err.Error())
		}
		for _, g := range parseTopology(out) {
			clean(g.leaf, g.rack)
		}
		for name, host := range parseHostNames(out) {
			clean(name, host)
		}
		clean(parseJob(out), parseAccount(out))
		if id, err := parseSubmitted(out); err == nil {
			require.Regexp(t, jobID, id)
		}
	})
}
