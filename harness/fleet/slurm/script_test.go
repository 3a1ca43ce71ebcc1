package slurm

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results/site"
)

// echo is a binary that writes down what it is given, and where.
func echo(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "bin ary'$(exit 9)")
	require.NoError(t, os.WriteFile(name, []byte("#!/bin/sh\nfor a; do printf '%s\\n' \"$a\"; done\npwd\nexit 7\n"), 0o700))
	return name
}

func TestScript(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's $HOME `x`\n\"d\"")
	require.NoError(t, os.Mkdir(dir, 0o700))
	hostile := []string{"run", "", "a b", "$(touch pwned)", "`touch pwned`", "'; touch pwned; '", "\\", "*", "node=" + NodeName + ",x", "${HOME}", "-n"}
	cmd := exec.Command("/bin/sh", "-s")
	cmd.Stdin = strings.NewReader(Script(echo(t), dir, hostile))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SLURMD_NODENAME=n;7", "OMP_NUM_THREADS=1"}
	out, err := cmd.Output()
	require.ErrorContains(t, err, "exit status 7", "the job ends as the binary does")
	want := append([]string{}, hostile...)
	want[8] = "node=n;7,x"
	resolved, err := filepath.EvalSymlinks(dir)
	require.NoError(t, err)
	require.Equal(t, strings.Join(append(want, "--store", ".", resolved), "\n")+"\n", string(out))
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left, "nothing ran that was quoted, and a job of the whole node has no note")

	cmd = exec.Command("/bin/sh", "-s")
	cmd.Stdin = strings.NewReader(Script("true", dir+"x", nil))
	out, err = cmd.CombinedOutput()
	require.ErrorContains(t, err, "exit status 72")
	require.Contains(t, string(out), "this node does not share")
}

// A job that got less than the machine has says so: by its affinity, or by Slurm's count.
func TestPart(t *testing.T) {
	all, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !bytes.Contains(all, []byte("processor\t")) {
		t.Skip("NOT TESTED: /proc/cpuinfo counts no processors")
	}
	n := strings.Count("\n"+string(all), "\nprocessor")
	note := func(env string, prefix ...string) string {
		dir := t.TempDir()
		cmd := exec.Command("/bin/sh", "-s")
		if len(prefix) > 0 {
			cmd = exec.Command(prefix[0], append(prefix[1:], "/bin/sh", "-s")...)
		}
		cmd.Stdin = strings.NewReader(Script("true", dir, nil))
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), env}
		said, err := cmd.CombinedOutput()
		require.NoError(t, err, string(said))
		text, _ := os.ReadFile(filepath.Join(dir, "note"))
		return string(text)
	}
	count := strconv.Itoa(n)
	if runtime.NumCPU() == n {
		require.Empty(t, note("SLURM_CPUS_ON_NODE="+count))
		require.Empty(t, note("OMP_NUM_THREADS=1"))
		require.Equal(t, "the job may use "+count+" of the machine's "+count+" CPUs, and Slurm gave it 0\n", note("SLURM_CPUS_ON_NODE=0"))
	}
	if _, err := exec.LookPath("taskset"); err == nil && n > 1 && runtime.NumCPU() == n {
		require.Equal(t, "the job may use 1 of the machine's "+count+" CPUs, and Slurm gave it "+count+"\n", note("SLURM_CPUS_ON_NODE="+count, "taskset", "-c", "0"))
	}
}

// The node's side of a job without a shared file system, run here.
func TestNodeScript(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "bcast")
	require.NoError(t, os.WriteFile(bin, []byte(`#!/bin/sh
echo to standard output
[ "$*" = "run it's --at 2026-11-30T12:00:00Z --store store" ] || exit 4
while [ "$1" != --store ]; do shift; done
mkdir "$2/2026-11" && echo {} >"$2/2026-11/01KBABCDEFGHJKMNPQRSTVWXYZ.json"
exit 3
`), 0o700))
	tmp := t.TempDir()
	var out, said bytes.Buffer
	cmd := exec.Command("/bin/sh", "-c", nodeScript(), "perwatt", bin, "2026-11-30T12:00:00Z", "run", "it's")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + tmp}
	cmd.Stdout, cmd.Stderr = &out, &said
	require.ErrorContains(t, cmd.Run(), "exit status 3")
	require.Equal(t, "to standard output\n", said.String())
	dir := t.TempDir()
	require.NoError(t, untar(&out, dir))
	text, err := os.ReadFile(filepath.Join(dir, "2026-11", "01KBABCDEFGHJKMNPQRSTVWXYZ.json"))
	require.NoError(t, err)
	require.Equal(t, "{}\n", string(text))
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left, "the node is left as it was")
	require.NoFileExists(t, bin)
}

func TestUntar(t *testing.T) {
	const id = "2026-11/01KBABCDEFGHJKMNPQRSTVWXYZ"
	pack := func(headers ...tar.Header) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, h := range headers {
			h.Mode = 0o777
			if h.Typeflag == tar.TypeReg {
				h.Size = 4
			}
			require.NoError(t, w.WriteHeader(&h))
			if h.Size > 0 {
				_, err := w.Write([]byte("new\n"))
				require.NoError(t, err)
			}
		}
		require.NoError(t, w.Close())
		return b.Bytes()
	}
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
	outside := t.TempDir()
	for name, c := range map[string]struct {
		archive []byte
		want    []string // beside the file that is there already
		err     string
	}{
		"records": {pack(file("./"+id+".json"), file("note"), file(id+".partial.json"), file(id+".json.zst")),
			[]string{id + ".json", id + ".json.zst", id + ".partial.json", "note"}, ""},
		"other names": {pack(file("../up.json"), file(outside+"/x.json"), file("log"), file("ended"), file("2026-11/x.json"), file(id+".amend.json"), file("./note")), []string{"note"}, ""},
		"links": {pack(tar.Header{Typeflag: tar.TypeSymlink, Name: "2026-11", Linkname: outside}, tar.Header{Typeflag: tar.TypeSymlink, Name: id + ".json", Linkname: "/etc/passwd"},
			tar.Header{Typeflag: tar.TypeLink, Name: "note", Linkname: "/etc/passwd"}, tar.Header{Typeflag: tar.TypeChar, Name: "note"}, file(id+".json")), []string{id + ".json"}, ""},
		"what is there":   {pack(file("2026-01/01KBABCDEFGHJKMNPQRSTVWXYZ.json"), file("note")), []string{"note"}, ""},
		"cut short":       {pack(file(id+".json"), file(id+".json.zst"))[:512+512+512+2], []string{id + ".json"}, "cut short in " + id + ".json.zst"},
		"cut in a header": {pack(file("note"), file(id+".json"))[:512+512+100], []string{"note"}, "cut short"},
		"nothing":         {nil, nil, ""}, // the job ended before it sent any: Explain says why
		"noise":           {bytes.Repeat([]byte("segfault "), 200), nil, "no archive"},
		"too many":        {pack(make([]tar.Header, filesMax+1)...), nil, "more than 1000 files"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			there := filepath.Join("2026-01", "01KBABCDEFGHJKMNPQRSTVWXYZ.json")
			require.NoError(t, os.Mkdir(filepath.Join(dir, "2026-01"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, there), []byte("old\n"), 0o600))
			// A call that was ended in the middle of a file leaves that for no record.
			require.NoError(t, os.WriteFile(filepath.Join(dir, partName), []byte("half of a long one"), 0o600))
			err := untar(bytes.NewReader(c.archive), dir)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				require.Equal(t, name == "noise" || name == "too many", errors.As(err, new(fleet.Refusal)))
			} else {
				require.NoError(t, err)
			}
			var got []string
			require.NoError(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
				if rel, _ := filepath.Rel(dir, p); err == nil && !d.IsDir() && rel != there && rel != partName {
					got = append(got, filepath.ToSlash(rel))
				}
				return err
			}))
			require.Equal(t, c.want, got)
			old, err := os.ReadFile(filepath.Join(dir, there))
			require.NoError(t, err)
			require.Equal(t, "old\n", string(old))
		})
	}
	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, left)
}

// A controller that does not answer: salloc is asked to end, so that no job starts later
// that nobody knows of; what an earlier submission of the attempt left is no answer.
func TestSallocWithoutAnswer(t *testing.T) {
	dir, bin := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"salloc": "#!/bin/sh\ntrap 'echo withdrawn >withdrawn; exit 1' TERM\n: >asked\nsleep 600 &\nwait\n",
		"sbcast": "", "srun": "",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte(text), 0o700))
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for name, text := range map[string]string{fleet.Log: "salloc: Granted job allocation 7\n", archiveEnd: "1\n"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(filepath.Join(dir, "asked")); err == nil {
				cancel()
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	e := &Engine{Options: Options{Fleet: "x", Dir: dir, Unshared: true}}
	_, err := e.Submit(ctx, fleet.Job{Dir: dir, Attempt: 1, Node: site.Node{Name: "n1"}})
	require.ErrorContains(t, err, "no answer within")
	require.False(t, errors.As(err, new(fleet.Refusal)))
	require.Eventually(t, func() bool { _, err := os.Stat(filepath.Join(dir, "withdrawn")); return err == nil }, time.Minute, 10*time.Millisecond)
}

// What the user's environment says to sbatch is said to salloc.
func TestForSalloc(t *testing.T) {
	env := forSalloc(environment([]string{"PATH=/bin", "SBATCH_ACCOUNT=bench", "SLURM_JOB_ID=7", "SALLOC_ACCOUNT=other"}))
	require.Equal(t, []string{"PATH=/bin", "SBATCH_ACCOUNT=bench", "LC_ALL=C", "SALLOC_ACCOUNT=bench"}, env)
}
