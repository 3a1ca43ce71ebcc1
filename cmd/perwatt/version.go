package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	legal "github.com/perwatt/perwatt"
	"github.com/perwatt/perwatt/results"
)

// Set with -ldflags -X by the Makefile and .goreleaser.yaml: the tag, empty for
// a commit without one; the first 12 digits of the commit, with + where files
// differ from it; the commit's time by RFC 3339. What go install and go build
// record in the binary stands for those that are empty.
var version, revision, date string

// build says what a binary was made from. None of it depends on when or where
// the binary was made.
type build struct {
	version  string    // "v1.2.3", or "devel" between releases
	revision string    // as above, or empty
	date     time.Time // of the commit; zero: not known
}

// pseudo matches the version that Go gives a commit without a tag
// (go.dev/ref/mod#pseudo-versions).
var pseudo = regexp.MustCompile(`^v\d+\.(?:0\.0-|\d+\.\d+-(?:[^+]*\.)?0\.)(\d{14})-([0-9a-f]{12})(?:\+.*)?$`)

// buildOf reads what Go recorded: the version of the module, and of a build in
// a checkout the commit.
func buildOf(info *debug.BuildInfo) build {
	b := build{version: "devel"}
	if m := pseudo.FindStringSubmatch(info.Main.Version); m != nil {
		b.revision = m[2]
		b.date, _ = time.Parse("20060102150405", m[1]) // else not known
	} else if v, _, _ := strings.Cut(info.Main.Version, "+"); strings.HasPrefix(v, "v") { // +dirty is the mark of the revision
		b.version = v
	}
	modified := ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.revision = s.Value[:min(12, len(s.Value))]
		case "vcs.time":
			b.date, _ = time.Parse(time.RFC3339, s.Value) // else not known
		case "vcs.modified":
			if s.Value == "true" {
				modified = "+"
			}
		}
	}
	b.revision += modified
	return b
}

// thisBuild is that of this program.
func thisBuild() build {
	b := build{version: "devel"}
	if info, ok := debug.ReadBuildInfo(); ok {
		b = buildOf(info)
	}
	b.version, b.revision = cmp.Or(version, b.version), cmp.Or(revision, b.revision)
	if t, err := time.Parse(time.RFC3339, date); err == nil {
		b.date = t
	}
	return b
}

// tool says what this program is.
func tool() results.Tool {
	b := thisBuild()
	return results.Tool{Name: "perwatt", Version: b.version, Revision: b.revision, Go: runtime.Version()}
}

// toolName is this program with its version and revision, as pages show it.
func toolName() string {
	t := tool()
	return strings.TrimSpace(t.Name + " " + t.Version + " " + t.Revision)
}

func versionCommand() *cobra.Command {
	var licenses bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print version, revision, date and Go release", Args: args(cobra.NoArgs),
		Long: `Print the version, the commit and its date (UTC), the Go release and the platform. The
version is "devel" between releases. A commit with + was built with files that differ
from it. go install of a release records no commit.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if licenses {
				_, err := io.WriteString(cmd.OutOrStdout(), legal.Notice()+"\nLICENSE\n=======\n\n"+legal.License)
				return err
			}
			say(cmd.OutOrStdout(), "%s", versionLine(thisBuild()))
			return nil
		},
	}
	cmd.Flags().BoolVar(&licenses, "licenses", false, "print the licence of perwatt, and the notices and licences of all that is linked into it")
	return cmd
}

// versionLine leaves out what is not known.
func versionLine(b build) string {
	day := ""
	if !b.date.IsZero() {
		day = b.date.UTC().Format(time.DateOnly)
	}
	return strings.Join(strings.Fields(fmt.Sprintf("perwatt %s %s %s %s %s/%s", b.version, b.revision, day, runtime.Version(), runtime.GOOS, runtime.GOARCH)), " ")
}
