package fleet

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// Event is what an [Entry] of the journal says.
type Event string

// Events. All but Absence, Presence and ClockRead are about one attempt.
const (
	Submitting Event = "submitting" // the engine is about to be asked; without a Submitted or Unsent it is not known whether it was
	Submitted  Event = "submitted"  // Job is the engine's name for it
	Unsent     Event = "unsent"     // there is no such attempt: the engine was not asked, or did not answer and has no job of it
	Began      Event = "began"      // it runs
	Record     Event = "record"     // ID is in the store; File is where it lay in the attempt's directory
	Refuse     Event = "refused"    // File is no record of this attempt: Reason; it goes to Aside
	Over       Event = "over"       // it ended, or never began, without all its records: State, Reason, More
	Absence    Event = "absent"     // the node can run nothing: Reason, More
	Presence   Event = "present"    // it can again
	Noted      Event = "note"       // Reason is what the engine noted in the attempt's directory
	Beside     Event = "beside"     // Reason is what became of nodes that were to measure at the same time
	ClockRead  Event = "clock"      // Clock of the node
)

// Entry is one line of the journal.
type Entry struct {
	Time    time.Time `json:"time"` // UTC
	Event   Event     `json:"event"`
	Node    string    `json:"node"`
	Attempt int       `json:"attempt,omitempty"`
	Job     string    `json:"job,omitempty"`
	// At is the common start of nodes that are measured together, and Together how many
	// they are; of Submitting.
	At       time.Time   `json:"at,omitzero"`
	Together int         `json:"together,omitempty"`
	Leader   string      `json:"leader,omitempty"` // the first node of their job, if they have one job
	ID       string      `json:"record,omitempty"`
	Session  int         `json:"session,omitempty"`
	File     string      `json:"file,omitempty"`
	Aside    string      `json:"aside,omitempty"` // in the directory of the measurement
	State    site.State  `json:"state,omitempty"` // Failed, Lost, Refused; Waiting if the attempt does not count
	Last     bool        `json:"last,omitempty"`  // another attempt would meet the same
	Reason   string      `json:"reason,omitempty"`
	More     string      `json:"more,omitempty"`
	Clock    *site.Clock `json:"clock,omitempty"`
}

const (
	journalName = "journal.jsonl"
	lockName    = "lock"

	mostReason = 400     // runes of a reason or a command that are kept
	mostName   = 128     // bytes of a job's name
	mostLine   = 1 << 16 // bytes of the journal
)

// journal is the file to which this process alone appends.
type journal struct {
	file *os.File
	lock *os.File
}

// openJournal takes the lock of a measurement and hands every entry of its journal to
// apply. What an interrupted write left at the end is cut off.
func openJournal(dir string, apply func(Entry) error) (*journal, error) {
	lock, err := takeLock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, journalName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|unix.O_NOFOLLOW, 0o644) // #nosec G302 G304 -- it is there to be read, by whom the umask lets
	if err != nil {
		lock.Close() // #nosec G104 -- the error that counts is returned
		return nil, fmt.Errorf("fleet: open the journal: %w", err)
	}
	j := &journal{file, lock}
	end, err := readJournal(file, apply)
	if err == nil {
		err = file.Truncate(end)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		j.Close() // #nosec G104 -- the error that counts is returned
		return nil, fmt.Errorf("fleet: read %s: %w", path, err)
	}
	return j, nil
}

// takeLock locks a file that names its holder. The lock goes with the process.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o644) // #nosec G302 G304 -- it is there to be read, by whom the umask lets
	if err != nil {
		return nil, fmt.Errorf("fleet: lock the measurement: %w", err)
	}
	switch err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); {
	case errors.Is(err, unix.EWOULDBLOCK):
		holder := make([]byte, 200)
		n, _ := f.ReadAt(holder, 0) // an empty one says nothing
		err = fmt.Errorf("%w: %s", ErrHeld, results.Line(string(holder[:n]), 200))
	case err == nil:
		host, _ := os.Hostname() // it stays empty
		err = f.Truncate(0)
		if err == nil {
			_, err = fmt.Fprintf(f, "process %d of user %d on %s since %s\n", os.Getpid(), os.Getuid(), host, time.Now().UTC().Format("2006-01-02 15:04:05 UTC"))
		}
	}
	if err != nil {
		f.Close() // #nosec G104 -- the error that counts is returned
		return nil, fmt.Errorf("fleet: lock %s: %w", path, err)
	}
	return f, nil
}

// ErrHeld means that another process runs, resumes, cancels or collects the measurement.
var ErrHeld = errors.New("another perwatt fleet works on it: wait for its end, or stop it")

// readJournal hands the entries in r to apply and returns where the last whole one ends.
// Only the end may be broken: a whole line behind a broken one is an error.
func readJournal(r io.Reader, apply func(Entry) error) (end int64, err error) {
	in := bufio.NewReaderSize(r, mostLine)
	broken := 0
	for n := 1; ; n++ {
		line, err := in.ReadSlice('\n')
		switch {
		case err == io.EOF: // what stands there was not written to its end
			return end, nil
		case errors.Is(err, bufio.ErrBufferFull):
			return end, fmt.Errorf("line %d is longer than %d bytes", n, mostLine)
		case err != nil:
			return end, err
		}
		var e Entry
		if bad := json.Unmarshal(line, &e); bad != nil {
			broken = n
			continue
		}
		if broken > 0 {
			return end, fmt.Errorf("line %d is broken, and whole lines follow it: it was altered", broken)
		}
		if err := apply(e); err != nil {
			return end, fmt.Errorf("line %d: %w", n, err)
		}
		end += int64(len(line))
	}
}

// append writes entries and, if sync, waits until they are on the disk.
func (j *journal) append(sync bool, entries ...Entry) error {
	var text bytes.Buffer
	out := json.NewEncoder(&text)
	out.SetEscapeHTML(false)
	for _, e := range entries {
		if err := out.Encode(e); err != nil {
			return fmt.Errorf("fleet: write the journal: %w", err)
		}
	}
	_, err := j.file.Write(text.Bytes())
	step("journal")
	if err == nil && sync {
		err = j.file.Sync()
		step("sync")
	}
	if err != nil {
		return fmt.Errorf("fleet: write %s: %w: free space there, then perwatt fleet resume", j.file.Name(), err)
	}
	return nil
}

func (j *journal) Close() error { return errors.Join(j.file.Close(), j.lock.Close()) }

// step is called after each step that changes the disk; tests end the process there.
var step = func(string) {}

// syncDir makes the names in a directory durable, where its file system can.
func syncDir(dir string) error {
	f, err := os.Open(dir) // #nosec G304 -- a directory of the measurement
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// writeNew writes a file that must not be there yet, whole or not at all.
func writeNew(path string, text []byte) error {
	tmp := path + ".tmp"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o644) // #nosec G302 G304 -- it is there to be read, by whom the umask lets
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		step("roster")
		err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system that cannot, such as NFS
			err = os.Link(tmp, path)
		}
	}
	os.Remove(tmp) // #nosec G104 -- it has its name now, or is of no use
	if err != nil {
		return &fs.PathError{Op: "write", Path: path, Err: err}
	}
	return syncDir(filepath.Dir(path))
}
