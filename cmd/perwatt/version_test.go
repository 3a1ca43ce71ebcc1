package main

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

// What Go records differs with how a binary is made: in a checkout at a tag or
// not, by go install of a release or a commit, without any version control.
func TestBuildOf(t *testing.T) {
	suffix := " " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "8fe4701fd4a2c1d7e9b0a3c4d5e6f708192a3b4c"}, {Key: "vcs.time", Value: "2026-11-30T23:30:00-02:00"}}
	modified := append(commit[:2:2], debug.BuildSetting{Key: "vcs.modified", Value: "true"})
	for _, c := range []struct {
		name, module string
		settings     []debug.BuildSetting
		want         string
	}{
		{"go install of a release", "v1.2.3", nil, "perwatt v1.2.3"},
		{"go install of a release candidate", "v1.2.3-rc.1", nil, "perwatt v1.2.3-rc.1"},
		{"go install of a commit before any release", "v0.0.0-20261130213000-8fe4701fd4a2", nil, "perwatt devel 8fe4701fd4a2 2026-11-30"},
		{"go install of a commit after a release", "v1.2.4-0.20261130213000-8fe4701fd4a2", nil, "perwatt devel 8fe4701fd4a2 2026-11-30"},
		{"go install of a commit after a candidate", "v1.2.3-rc.1.0.20261130213000-8fe4701fd4a2", nil, "perwatt devel 8fe4701fd4a2 2026-11-30"},
		{"checkout at a tag", "v1.2.3", commit, "perwatt v1.2.3 8fe4701fd4a2 2026-12-01"},
		{"changed checkout at a tag", "v1.2.3+dirty", modified, "perwatt v1.2.3 8fe4701fd4a2+ 2026-12-01"},
		{"checkout between tags", "v1.2.4-0.20261130213000-8fe4701fd4a2", commit, "perwatt devel 8fe4701fd4a2 2026-12-01"},
		{"changed checkout between tags", "v1.2.4-0.20261130213000-8fe4701fd4a2+dirty", modified, "perwatt devel 8fe4701fd4a2+ 2026-12-01"},
		{"sources without version control", "(devel)", nil, "perwatt devel"},
		{"a test binary", "", nil, "perwatt devel"},
		{"a commit and a time that are none", "(devel)", []debug.BuildSetting{{Key: "vcs.revision", Value: "8fe4"}, {Key: "vcs.time", Value: "today"}}, "perwatt devel 8fe4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want+suffix, versionLine(buildOf(&debug.BuildInfo{Main: debug.Module{Version: c.module}, Settings: c.settings})))
		})
	}
}

// The linker's words come before those of Go.
func TestThisBuild(t *testing.T) {
	require.Equal(t, build{version: "devel"}, thisBuild(), "a test binary says nothing")
	defer func() { version, revision, date = "", "", "" }()
	version, revision, date = "v1.2.3", "8fe4701fd4a2", "2026-11-30T23:30:00-02:00"
	require.Equal(t, "perwatt v1.2.3 8fe4701fd4a2", toolName())
	require.Contains(t, versionLine(thisBuild()), " 2026-12-01 ")
}
