package slurm

import (
	"archive/tar"
	"context"
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
// directory of the attempt what came back and, at last, its exit code.
const (
	archive    = "out.tar"
	archiveEnd = "ended"
	archiveMax = 64 << 20 // bytes
	logMax     = 4 << 20  // bytes
	filesMax   = 1000     // in an archive
)

// nodeScript runs on the node; $1 is the binary that sbcast left there. A signal ends
// perwatt, which keeps what is finished, and not the shell, which sends it.
func nodeScript(args []string) string {
	return `bin=$1
trap : TERM INT
dir=$(mktemp -d) || exit
mv "$bin" "$dir/perwatt" && cd "$dir" && mkdir store || exit
` + part("store/note") + words("./perwatt", args) + ` --store store >&2
code=$?
tar -C store -cf - .
cd / && rm -rf "$dir"
exit $code
`
}

// holder runs on the submitting host within the allocation. All CPUs of the job are the
// task's: srun would bind one task to one core. What the node prints without end stops
// srun.
func holder(binary string, args []string) string {
	return `bin=/tmp/perwatt-$SLURM_JOB_ID
sbcast -f ` + quote(binary) + ` "$bin" || exit
{
	{
		srun -N1 -n1 -c "${SLURM_JOB_CPUS_PER_NODE%%(*}" --cpu-bind=none --mpi=none --input=none \
			/bin/sh -c ` + quote(nodeScript(args)) + ` perwatt "$bin"
		echo $? >` + archiveEnd + `.srun
	} 2>&1 >&3 | head -c ` + strconv.Itoa(logMax) + ` >&2
} 3>&1 | head -c ` + strconv.Itoa(archiveMax) + ` >` + archive + `
exit "$(cat ` + archiveEnd + `.srun)"
`
}

var granted = regexp.MustCompile(`(?m)^salloc: (?:Granted|Pending) job allocation ([0-9]{1,18})$`)

// allocate starts the salloc and waits until it says which job it is.
func (e *Engine) allocate(ctx context.Context, j fleet.Job) (string, error) {
	log, end := filepath.Join(j.Dir, fleet.Log), filepath.Join(j.Dir, archiveEnd)
	args := append([]string{"salloc"}, e.request(j)...)
	args = append(args, "--no-bell", "/bin/sh", "-c", holder(e.Binary, j.Args))
	start := `{ ` + words(args[0], args[1:]) + `; echo $? >` + archiveEnd + `; } </dev/null >` + fleet.Log + ` 2>&1 &`
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", start) // #nosec G204 -- every word is quoted
	cmd.Dir, cmd.Env = j.Dir, environment(os.Environ())
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

// unpack waits a moment for salloc to end, which is after the job, and unpacks what came.
func (e *Engine) unpack(ctx context.Context, dir string) error {
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
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the job never ran
	} else if err != nil {
		return fmt.Errorf("slurm: %w", err)
	}
	defer f.Close()
	if err := untar(io.LimitReader(f, archiveMax), dir); err != nil {
		return fmt.Errorf("slurm: what came back of %s: %w", dir, err)
	}
	return nil
}

// kept are the files of a store that are taken from an archive: a file of a month, or the
// note.
var kept = regexp.MustCompile(`^([0-9]{4}-[0-9]{2}/[0-9A-Z]{26}(\.partial)?\.json(\.zst)?|` + fleet.Note + `)$`)

// untar writes the files of a node's store to dir, where none of them may lie outside
// and none is overwritten. The node may send anything: other names, links and devices
// are passed over, and a file that is cut short is not left there.
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
			return errors.New("no archive")
		case err != nil:
			return fmt.Errorf("it is cut short: %w", err)
		case n >= filesMax:
			return fmt.Errorf("more than %d files", filesMax)
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
		b, err := io.ReadAll(in)
		if err != nil {
			return fmt.Errorf("it is cut short in %s: %w", name, err)
		}
		f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return err
		}
		if _, err = f.Write(b); err == nil {
			err = f.Sync()
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return errors.Join(err, root.Remove(name))
		}
	}
}
