package slurm

import (
	"archive/tar"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/results"
)

// Without a shared file system the binary goes to the node by sbcast, and what the
// session leaves comes back as an archive on the output of srun. An salloc holds the
// allocation, in a session of its own: it goes on when perwatt ends, and writes to the
// directories of the attempts what came back and, at last, its exit code.
const (
	archive    = "out.tar"
	archiveEnd = "ended"
	startName  = "start.sh" // in the directory of the first attempt
	holderName = "holder.sh"
	archiveMax = 64 << 20 // bytes
	logMax     = 4 << 20  // bytes
	filesMax   = 1000     // in an archive
)

// unsharedNeeds are commands that are needed then.
var unsharedNeeds = []string{"salloc", "sbcast", "srun"}

// nodeScript runs on the node; $1 is the binary that sbcast left there, $2 the time at which
// to begin, if it is not empty. A signal ends perwatt, which keeps what is finished, and not
// the shell, which sends it.
func nodeScript() string {
	return `bin=$1 at=$2
shift 2
trap : TERM INT
dir=$(mktemp -d) || exit
mv "$bin" "$dir/perwatt" && cd "$dir" && mkdir store || exit
` + part("store/note") + `./perwatt "$@" ${at:+--at "$at"} --store store >&2
code=$?
tar -C store -cf - .
cd / && rm -rf "$dir"
exit $code
`
}

// holder runs on the submitting host within the allocation. What the node prints without end
// stops srun. Others may write to /tmp of the node too: sbcast creates the file, under a name
// that cannot be foreseen, and fails if it is there.
func holder(binary string, jobs []fleet.Job, lead time.Duration) string {
	return "bin=/tmp/perwatt-" + rand.Text() + `
sbcast ` + quote(binary) + ` "$bin" || exit
` + together(jobs, lead, nodeScript(), `
	cd "$1" || exit
	node=$2
	shift 2
	{
		{
			`+srun+` "$script" perwatt "$bin" "$at" "$@"
			echo $? >`+archiveEnd+`.srun
		} 2>&1 >&3 | head -c `+strconv.Itoa(logMax)+` >>`+fleet.Log+`
	} 3>&1 | head -c `+strconv.Itoa(archiveMax)+` >`+archive+`
	return "$(cat `+archiveEnd+`.srun)"
`)
}

// start runs salloc, and tells every attempt of its end.
func start(options []string, jobs []fleet.Job) string {
	var b strings.Builder
	b.WriteString(words("salloc", options) + "\ncode=$?\n")
	for _, j := range jobs {
		b.WriteString("echo $code >" + quote(filepath.Join(j.Dir, archiveEnd)) + "\n")
	}
	return b.String()
}

var granted = regexp.MustCompile(`(?m)^salloc: (?:Granted|Pending) job allocation ([0-9]{1,18})$`)

// salloc starts an salloc and waits until it says which job it is.
func (e *Engine) salloc(ctx context.Context, jobs []fleet.Job, lead time.Duration) (string, error) {
	for _, name := range unsharedNeeds {
		if _, err := exec.LookPath(name); err != nil {
			return "", fleet.Refusal{Reason: fmt.Sprintf("slurm: the nodes do not share %s, and without %s nothing comes back over the job's output", e.Dir, name)}
		}
	}
	dir := jobs[0].Dir
	log, end := filepath.Join(dir, fleet.Log), filepath.Join(dir, archiveEnd)
	// A submission of the same attempts that was cut off left no job, but may have left these.
	for _, j := range jobs {
		for _, name := range []string{archive, archiveEnd, fleet.Log} {
			if err := os.Remove(filepath.Join(j.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("slurm: %w", err)
			}
		}
	}
	// In files: an argument has at most 128 KiB.
	err := errors.Join(
		os.WriteFile(filepath.Join(dir, holderName), []byte(holder(e.Binary, jobs, lead)), 0o600),
		os.WriteFile(filepath.Join(dir, startName), []byte(start(append(e.request(jobs), "--no-bell", "/bin/sh", holderName), jobs)), 0o600))
	if err != nil {
		return "", fmt.Errorf("slurm: %w", err)
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "/bin/sh "+startName+" </dev/null >>"+fleet.Log+" 2>&1 &") // #nosec G204 -- constants
	cmd.Dir, cmd.Env = dir, forSalloc(environment(os.Environ()))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C leaves it running
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("slurm: start salloc: %w", err)
	}
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		_, failed := os.Stat(end) // before the log: it is complete then
		said, err := head(log, errorMax)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("slurm: %w", err)
		}
		if m := granted.FindStringSubmatch(said); m != nil {
			return m[1], nil
		}
		if failed == nil {
			return "", refusal(&failure{"salloc", results.Line(said, 500), errors.New("it ended at once")})
		}
		select {
		case <-limited.Done():
			// Its job would be nobody's when the controller answers at last. It is asked to
			// end, and takes back its request.
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
			return "", &failure{"salloc", "no answer within " + patience.String(), limited.Err()}
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// head reads the first bytes of a file.
func head(name string, max int64) (string, error) {
	f, err := os.Open(name) // #nosec G304 -- of this measurement
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, max))
	return string(b), err
}

// forSalloc gives salloc what the user's environment says to sbatch, such as
// SBATCH_ACCOUNT: which of them submits is not the user's choice.
func forSalloc(env []string) []string {
	for _, v := range env {
		if rest, ok := strings.CutPrefix(v, "SBATCH_"); ok {
			env = append(env, "SALLOC_"+rest)
		}
	}
	return env
}

// unpack waits a moment for salloc to end, which is after the job, and unpacks what came. A
// job of sbatch has neither.
func (e *Engine) unpack(ctx context.Context, dir string) error {
	if _, err := os.Stat(filepath.Join(dir, archive)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		if _, err := os.Stat(filepath.Join(dir, archiveEnd)); err == nil {
			break
		}
		select {
		case <-limited.Done():
			return fmt.Errorf("slurm: salloc of %s has not ended", dir)
		case <-time.After(50 * time.Millisecond):
		}
	}
	f, err := os.Open(filepath.Join(dir, archive)) // #nosec G304 -- of this measurement
	if err != nil {
		return fmt.Errorf("slurm: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil {
		err = untar(f, dir)
	}
	if err != nil && info != nil && info.Size() >= archiveMax {
		err = fleet.Refusal{Reason: fmt.Sprintf("it sent %d MiB or more", archiveMax>>20), File: archive}
	}
	if err != nil {
		return fmt.Errorf("slurm: what came back of %s: %w", dir, err)
	}
	return nil
}

// kept are the files of a store that are taken from an archive: a file of a month, or the
// note.
var kept = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}/[0-9A-Z]{26}(\.partial)?\.json(\.zst)?|` + fleet.Note + `)$`)

// untar writes the files of a node's store to dir, where none of them may lie outside
// and none is overwritten. The node may send anything: other names, links and devices
// are passed over, a file that is cut short is not left there, and what is no archive, or of
// too many files, is a [fleet.Refusal].
func untar(r io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	in := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := in.Next()
		switch {
		case errors.Is(err, io.EOF): // at once, if the job ended before it sent anything
			return nil
		case err != nil && n == 0:
			return fleet.Refusal{Reason: "what it sent is no archive", File: archive}
		case err != nil:
			return fmt.Errorf("it is cut short: %w", err)
		case n >= filesMax:
			return fleet.Refusal{Reason: fmt.Sprintf("it sent more than %d files", filesMax), File: archive}
		}
		name := strings.TrimPrefix(h.Name, "./")
		if h.Typeflag != tar.TypeReg || !kept.MatchString(name) {
			continue
		}
		if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if _, err := root.Lstat(name); err == nil {
			continue
		}
		if err := whole(root, name, in); err != nil {
			return err
		}
	}
}

// partName is that of a file until it is whole: no record, wherever perwatt is ended.
const partName = ".part"

// whole writes a file that is there as a whole or not at all.
func whole(root *os.Root, name string, in io.Reader) error {
	f, err := root.OpenFile(partName, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, in); errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("it is cut short in %s: %w", name, err)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(partName, name)
	}
	if err != nil {
		return errors.Join(err, root.Remove(partName))
	}
	return nil
}
