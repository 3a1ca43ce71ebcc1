package fleet_test

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/fleet"
	"github.com/perwatt/perwatt/harness/fleet/fleettest"
	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// raw writes bytes as the record of a job.
func raw(text string) func(fleet.Job, *results.Record) error {
	return func(job fleet.Job, rec *results.Record) error {
		return os.WriteFile(filepath.Join(job.Dir, rec.ID+".json"), []byte(text), 0o600)
	}
}

// changed writes a sealed record after a change.
func changed(change func(*results.Record)) func(fleet.Job, *results.Record) error {
	return func(job fleet.Job, rec *results.Record) error {
		change(rec)
		_, err := fleettest.Write(job.Dir, rec)
		return err
	}
}

// TestHostileNodes: what is not the record of its node and attempt is refused by name and
// kept aside, and all others are unharmed.
func TestHostileNodes(t *testing.T) {
	var firstID string
	var secret string
	faults := []struct {
		name, want string
		write      func(fleet.Job, *results.Record) error
	}{
		{"another node's place", "it claims to be of the node \"n00001\", and came from n", changed(func(r *results.Record) { r.Plan.Fleet.Node = node(1) })},
		{"another node's host", "it names the host \"n00001.cluster\", which is another expected node", changed(func(r *results.Record) { r.Node.Name = node(1) + ".cluster" })},
		{"another node's record", "it has the identifier of a record that node n00001 gave", changed(func(r *results.Record) { r.ID = firstID })},
		{"another measurement", "it claims to be of the measurement \"other\"", changed(func(r *results.Record) { r.Plan.Fleet.Run = "other" })},
		{"another attempt", "it claims to be of attempt 7", changed(func(r *results.Record) { r.Plan.Fleet.Attempt = 7 })},
		{"no fleet", "it is the record of a session on its own", changed(func(r *results.Record) { r.Plan.Fleet = nil })},
		{"together", "it claims to be measured together with 3 nodes, and each was to be alone", changed(func(r *results.Record) { r.Plan.Fleet.Together = 3 })},
		{"another number of sessions", "it is session 1 of 5, and 1 were asked for", changed(func(r *results.Record) { r.Plan.Sessions = 5 })},
		{"a better summary", "its summary is not that of its traces", changed(func(r *results.Record) {
			better := r.Summary.Rows[0].Metrics[results.Throughput]
			better.Value *= 2
			r.Summary.Rows[0].Metrics[results.Throughput] = better
		})},
		{"a changed byte", "it is damaged", func(job fleet.Job, rec *results.Record) error {
			text, err := results.Seal(rec)
			if err != nil {
				return err
			}
			return raw(strings.Replace(string(text), "Simulated", "Simulatex", 1))(job, rec)
		}},
		{"a gigabyte", "1073741824 bytes: a record has at most 256 MiB", func(job fleet.Job, rec *results.Record) error {
			path := filepath.Join(job.Dir, rec.ID+".json")
			if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 1<<30)
		}},
		{"an endless line", "read", raw(`{"schema":2,"id":"` + strings.Repeat("a", 1<<20))},
		{"depth", "read", raw(strings.Repeat(`{"a":[`, 100_000))},
		{"no JSON", "neither JSON nor zstd", raw("\x1b]0;owned\x07 record")},
		{"nothing", "empty", raw("")},
		{"a bomb that calls itself small", "larger than a record may be (256 MiB)", func(job fleet.Job, rec *results.Record) error {
			// The first frame states its size. The second, of RFC 8878, does not: it repeats
			// a space 2^17 times a block, 2^28 times in all.
			text := append(results.Compress([]byte("{")), 0x28, 0xb5, 0x2f, 0xfd, 0, 7<<3)
			for range 1<<11 - 1 {
				text = append(text, 0x02, 0x00, 0x10, ' ')
			}
			text = append(text, 0x03, 0x00, 0x10, ' ')
			return os.WriteFile(filepath.Join(job.Dir, rec.ID+".json"), text, 0o600)
		}},
		{"escape sequences", "it claims to be of the node \"\\x1b[2J", changed(func(r *results.Record) { r.Plan.Fleet.Node = "\x1b[2J\x1b]0;owned\x07" })},
		{"a link", "it is a link, not a file", func(job fleet.Job, rec *results.Record) error {
			return os.Symlink(secret, filepath.Join(job.Dir, rec.ID+".json"))
		}},
		{"a FIFO", "it is a FIFO, not a file", func(job fleet.Job, rec *results.Record) error {
			return syscall.Mkfifo(filepath.Join(job.Dir, rec.ID+".json"), 0o600)
		}},
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3+len(faults), nil)
		w.Does = func(n string, attempt int) fleettest.Job {
			for i, f := range faults {
				if n == node(4+i) {
					return fleettest.Job{Queued: time.Minute, Write: f.write}
				}
			}
			return fleettest.Job{Write: func(job fleet.Job, rec *results.Record) error {
				if n == node(1) {
					firstID = rec.ID
				}
				_, err := fleettest.Write(job.Dir, rec)
				return err
			}}
		}
		// What another user owns, and a whole record in a directory that a link leads to.
		secret = filepath.Join(t.TempDir(), "secret.json")
		require.NoError(t, os.WriteFile(secret, []byte("{}"), 0o600))
		_, err := w.start(t, t.Context(), nil)
		require.NoError(t, err)
		all := w.outcomes(t)
		for i, f := range faults {
			o := all[node(4+i)]
			require.Equal(t, site.Refused, o.State, "%s: %+v", f.name, o)
			require.Contains(t, o.Reason, f.want, f.name)
			require.Equal(t, results.Line(o.Reason, 1000), o.Reason, f.name)
			require.Len(t, o.Attempts, 2, f.name)
			require.Equal(t, "aside", filepath.Dir(o.Attempts[0].Aside), f.name)
			_, err := os.Lstat(filepath.Join(w.dir, o.Attempts[0].Aside))
			require.NoError(t, err, f.name)
		}
		require.Equal(t, map[site.State]int{site.Done: 3, site.Refused: len(faults)}, states(all))
		require.Len(t, w.records, 3)
		left, err := os.ReadFile(secret)
		require.NoError(t, err)
		require.Equal(t, "{}", string(left), "what a link leads to is untouched")
		journal, err := os.ReadFile(filepath.Join(w.dir, "journal.jsonl"))
		require.NoError(t, err)
		require.NotContains(t, string(journal), "\x1b")
	})
}

// What an engine refuses of a node is refused, as a record is: it is kept aside once, with
// the reason and a command that shows it, also if the process ended in between.
func TestSentRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, func(n string, _ int) fleettest.Job {
			if n == node(1) {
				return fleettest.Job{Sends: fleet.Refusal{Reason: "it sent a \x1b[2Jlink", File: "refused.tar"}}
			}
			return fleettest.Job{}
		})
		_, err := w.start(t, t.Context(), func(r *site.Roster) { r.Attempts = 1 })
		require.NoError(t, err)
		o := w.outcomes(t)[node(1)]
		require.Equal(t, site.Refused, o.State)
		require.Equal(t, "its record is refused: it sent a \uFFFD[2Jlink", o.Reason)
		require.Equal(t, "tar tvf "+filepath.Join(w.dir, o.Attempts[0].Aside), o.More)
		aside, err := os.ReadDir(filepath.Join(w.dir, "aside"))
		require.NoError(t, err)
		require.Len(t, aside, 1)
		require.NoFileExists(t, filepath.Join(w.dir, "nodes", node(1), "1", "refused.tar"))

		// The process ended before the verdict was written.
		path := filepath.Join(w.dir, "journal.jsonl")
		journal, err := os.ReadFile(path)
		require.NoError(t, err)
		lines := slices.DeleteFunc(bytes.SplitAfter(journal, []byte("\n")), func(line []byte) bool { return bytes.Contains(line, []byte(`"event":"over"`)) })
		require.Less(t, len(bytes.Join(lines, nil)), len(journal))
		require.NoError(t, os.WriteFile(path, bytes.Join(lines, nil), 0o600))
		_, err = w.resume(t)
		require.NoError(t, err)
		require.Equal(t, o.Reason, w.outcomes(t)[node(1)].Reason)
		aside, err = os.ReadDir(filepath.Join(w.dir, "aside"))
		require.NoError(t, err)
		require.Len(t, aside, 1)
	})
}

// A job that ended before it did anything, for a reason that the next does not meet, does
// not count.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, func(_ string, attempt int) fleettest.Job {
			return fleettest.Job{Again: attempt == 1, Fails: map[int]string{1: "no shared directory", 2: "NODE_FAIL"}[attempt]}
		})
		_, err := w.start(t, t.Context(), nil)
		require.NoError(t, err)
		all := w.outcomes(t)
		require.Equal(t, map[site.State]int{site.Done: 3}, states(all), "two attempts count, of three")
		require.Equal(t, "no shared directory", all[node(1)].Attempts[0].Reason)
	})
}

// TestUnfinished: a session that was cut off is no refusal: its node failed, and what it
// had measured is named.
func TestUnfinished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, func(n string, _ int) fleettest.Job {
			return fleettest.Job{Write: func(job fleet.Job, rec *results.Record) error {
				rec.State = results.Interrupted
				rec.Summary = results.Derive(rec)
				path, err := fleettest.Write(job.Dir, rec)
				if n == node(2) && err == nil {
					err = os.Rename(path, strings.Replace(path, ".json", ".partial.json", 1))
				}
				return err
			}}
		})
		_, err := w.start(t, t.Context(), nil)
		require.NoError(t, err)
		all := w.outcomes(t)
		require.Equal(t, map[site.State]int{site.Failed: 2}, states(all))
		require.Contains(t, all[node(1)].Reason, `its session did not come to its end: it is "interrupted", with 1 run`)
		require.Contains(t, all[node(2)].Reason, "its session was cut off: what it had measured is in ")
		require.Contains(t, all[node(2)].Reason, ".partial.json")
	})
}

// TestOneRecordASession: a node that leaves two records of one session, so that the better
// figure may count, gives the first; a copy of its file is no second record.
func TestOneRecordASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, func(string, int) fleettest.Job {
			return fleettest.Job{Write: func(job fleet.Job, rec *results.Record) error {
				path, err := fleettest.Write(job.Dir, rec)
				if err != nil {
					return err
				}
				text, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				rec.ID = rec.ID[:25] + "Z"
				_, err = fleettest.Write(job.Dir, rec)
				return errors.Join(err, os.WriteFile(filepath.Join(job.Dir, "copy.json"), text, 0o600))
			}}
		})
		_, err := w.start(t, t.Context(), nil)
		require.NoError(t, err)
		o := w.outcomes(t)[node(1)]
		require.Equal(t, site.Done, o.State)
		require.Len(t, o.Attempts, 1)
		require.Len(t, o.Attempts[0].Records, 1)
		require.Len(t, w.records, 1)
		require.NotEmpty(t, o.Attempts[0].Aside)
	})
}

// TestSessions: all records that a node owes must be there, of one attempt.
func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, func(n string, attempt int) fleettest.Job {
			return fleettest.Job{Write: func(job fleet.Job, rec *results.Record) error {
				owes := 3
				if n == node(2) || attempt == 1 {
					owes = 2
				}
				for i := range owes {
					rec.Plan.Session, rec.Plan.Sessions = i+1, 3
					rec.ID = rec.ID[:25] + string("0123"[i])
					if _, err := fleettest.Write(job.Dir, rec); err != nil {
						return err
					}
				}
				return nil
			}}
		})
		_, err := w.start(t, t.Context(), func(r *site.Roster) { r.Sessions = 3 })
		require.NoError(t, err)
		all := w.outcomes(t)
		require.Equal(t, site.Done, all[node(1)].State)
		require.Equal(t, site.Failed, all[node(2)].State)
		require.Contains(t, all[node(2)].Reason, "2 of 3 records came")
		require.Len(t, w.records, 2+3+2+2, "what came is kept")
	})
}

// TestClocks: a record from before its job or from the future is taken, and the clock is
// said to be off; one that agrees is not.
func TestClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		off := map[string]time.Duration{node(1): 0, node(2): time.Minute, node(3): -time.Minute, node(4): 500 * time.Millisecond, node(5): -500 * time.Millisecond}
		w := newWorld(t, 5, func(n string, _ int) fleettest.Job {
			return fleettest.Job{Queued: time.Second, Takes: 30 * time.Second, Clock: off[n]}
		})
		_, err := w.start(t, t.Context(), nil)
		require.NoError(t, err)
		for n, o := range w.outcomes(t) {
			require.Equal(t, site.Done, o.State)
			if off[n].Abs() < time.Second {
				require.Nil(t, o.Clock, n)
				continue
			}
			require.NotNil(t, o.Clock, n)
			require.InDelta(t, off[n].Seconds(), o.Clock.Offset, o.Clock.Within, n)
			require.Less(t, o.Clock.Within, 10.0)
		}
	})
}

// TestByHand: records that came by other ways are taken for the node and the attempt that
// they name, once.
func TestByHand(t *testing.T) {
	w := newWorld(t, 4, nil)
	r := w.Roster("test")
	f, err := fleet.New(w.dir, r)
	require.NoError(t, err)
	defer f.Close()
	hand := t.TempDir()
	now := time.Now()
	record := func(n string, attempt int) *results.Record {
		return fleettest.Record(fleet.Job{Fleet: "test", Node: site.Node{Name: n}, Attempt: attempt}, now, now.Add(time.Second))
	}
	good, err := fleettest.Write(hand, record(node(1), 1))
	require.NoError(t, err)
	stranger, err := fleettest.Write(hand, record("n99999", 1))
	require.NoError(t, err)
	liar := record(node(2), 1)
	liar.Node.Name = node(3)
	lie, err := fleettest.Write(hand, liar)
	require.NoError(t, err)
	for i := range 2 {
		sum, err := f.Collect(t.Context(), &w.kept, func(int, int) {}, hand)
		require.NoError(t, err)
		require.Equal(t, 1-i, sum.Records, "taken once")
		require.Len(t, sum.Files, 2)
		require.Contains(t, sum.Files[0].Reason+sum.Files[1].Reason, "n99999\", which is not expected")
		require.Contains(t, sum.Files[0].Reason+sum.Files[1].Reason, "which is another expected node")
	}
	for _, path := range []string{good, stranger, lie} {
		_, err := os.Stat(path)
		require.NoError(t, err, "what came by hand stays where it is")
	}
	all := w.outcomes(t)
	require.Equal(t, map[site.State]int{site.Done: 1, site.Refused: 1, site.Waiting: 2}, states(all))
	require.Len(t, w.records, 1)
}

// fullStore is one that cannot take a record, or cannot make those hold that it took.
type fullStore struct {
	kept
	take, settle error
}

func (s *fullStore) Take(f *results.File) error { return cmp.Or(s.take, s.kept.Take(f)) }
func (s *fullStore) Settle() error              { return s.settle }

// TestStoreFull: where the store cannot be written, nothing is refused and nothing is said to
// be kept, and the next start takes the record, from jobs that ended and by hand.
func TestStoreFull(t *testing.T) {
	full := errors.New("no space left")
	for name, s := range map[string]*fullStore{"take": {take: full}, "settle": {settle: full}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 2, nil)
				f, err := fleet.New(w.dir, w.Roster("test"))
				require.NoError(t, err)
				o := w.options()
				o.Store = s
				_, err = f.Run(t.Context(), o)
				require.ErrorIs(t, err, full)
				_, err = f.Collect(t.Context(), s, func(int, int) {})
				require.ErrorIs(t, err, full)
				rec := fleettest.Record(fleet.Job{Fleet: "test", Node: site.Node{Name: node(1)}, Attempt: 2}, time.Now(), time.Now().Add(time.Second))
				hand, err := fleettest.Write(t.TempDir(), rec)
				require.NoError(t, err)
				at := filepath.Join(w.dir, "journal.jsonl")
				before, err := os.ReadFile(at)
				require.NoError(t, err)
				require.NotContains(t, string(before), `"record"`)
				_, err = f.Collect(t.Context(), s, func(int, int) {}, hand)
				require.ErrorIs(t, err, full)
				after, err := os.ReadFile(at)
				require.NoError(t, err)
				require.Equal(t, string(before), string(after))
				require.NoError(t, f.Close())
				_, err = w.resume(t)
				require.NoError(t, err)
				require.Equal(t, map[site.State]int{site.Done: 2}, states(w.outcomes(t)))
				require.Len(t, w.Submits(), 2)
			})
		})
	}
}

// TestKilled ends the process at every step that changes the disk, in turn: the next start
// goes on, and in the end each node has its records, each once in the journal.
func TestKilled(t *testing.T) {
	steps := 0
	fleet.OnStep(t, func(string) { steps++ })
	one := func(t *testing.T, at int) (killed bool) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 4, func(n string, attempt int) fleettest.Job {
				j := fleettest.Job{Takes: 7 * time.Second}
				switch {
				case n == node(2) && attempt == 1:
					j.Fails = "NODE_FAIL"
				case n == node(3):
					j.Write = raw("{}")
				}
				return j
			})
			type dead struct{}
			steps = 0
			func() {
				defer func() {
					if r := recover(); r != nil {
						killed = true
						require.Equal(t, dead{}, r)
					}
				}()
				fleet.OnStep(t, func(string) {
					if steps++; steps == at {
						panic(dead{})
					}
				})
				f, err := fleet.New(w.dir, w.Roster("test"))
				require.NoError(t, err)
				defer f.Close() // with the process, its locks go
				_, err = f.Run(t.Context(), w.options())
				require.NoError(t, err)
			}()
			fleet.OnStep(t, func(string) {})
			if _, err := os.Stat(filepath.Join(w.dir, "roster.json")); err != nil {
				return // it was ended before there was anything
			}
			if killed {
				_, err := w.resume(t)
				require.NoError(t, err, "at step %d", at)
			}
			all := w.outcomes(t)
			require.Equal(t, map[site.State]int{site.Done: 3, site.Refused: 1}, states(all), "at step %d", at)
			require.Len(t, w.records, 3)
			for n, times := range w.Submits() {
				want := 1
				if n == node(2) || n == node(3) {
					want = 2
				}
				require.Equal(t, want, times, "%s at step %d", n, at)
			}
			seen := map[string]bool{}
			for _, o := range all {
				for _, a := range o.Attempts {
					for _, id := range a.Records {
						require.False(t, seen[id])
						seen[id] = true
					}
					if a.Aside != "" {
						_, err := os.Lstat(filepath.Join(w.dir, a.Aside))
						require.NoError(t, err, "at step %d", at)
					}
				}
			}
		})
		return killed
	}
	at := 1
	for one(t, at) {
		at++
	}
	require.Greater(t, at, 30, "so many steps change the disk")
}

// TestTornJournal: what an interrupted write left at the end is passed over and cut off;
// damage before whole lines is an error.
func TestTornJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, nil)
		_, err := w.start(t, t.Context(), nil)
		require.NoError(t, err)
		path := filepath.Join(w.dir, "journal.jsonl")
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
		for cut := last; cut < len(whole); cut++ {
			require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
			all := w.outcomes(t)
			require.Equal(t, 1, states(all)[site.Running]+states(all)[site.Waiting], "cut at %d", cut)
		}
		n, err := w.resume(t)
		require.NoError(t, err)
		require.Zero(t, n)
		require.Equal(t, map[site.State]int{site.Done: 3}, states(w.outcomes(t)))

		broken := bytes.Replace(whole, []byte(`"event"`), []byte(`"ev`), 1)
		require.NoError(t, os.WriteFile(path, broken, 0o600))
		_, err = fleet.Open(w.dir)
		require.ErrorContains(t, err, "line 1 is broken, and whole lines follow it")
		require.NoError(t, os.WriteFile(path, append(whole, bytes.Repeat([]byte("x"), 1<<20)...), 0o600))
		_, err = fleet.Open(w.dir)
		require.ErrorContains(t, err, "is longer than")
	})
}
