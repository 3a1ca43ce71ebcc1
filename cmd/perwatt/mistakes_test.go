package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refused has, for each flag of perwatt run, values that it refuses, with a flag that
// they need beside them.
var refused = map[string][]string{
	"preset":   {"huge", "smok", ""},
	"uses":     {"gaming", "minning", "gpu", "cpu", "cuda:0", "mining@cuda:9", "mining@", "idle@cpu"},
	"model":    {"resnet", "cnn,cnn", "transformr"},
	"meter":    {"rapl", "rappl", "declared", "declared:-5", "declared:1,boundry=wall", "auto:x", "snmp", "plug:ftp://x", "exec:echo 100 W,boundary=wall,period=1h", "exec:echo 100 W,boundary=moon"},
	"device":   {"gpuu", "cuda:0", "", "cpu,"},
	"threads":  {"0", "-1", "100000", "two", "99999999999999999999"},
	"impl":     {"sha256d=avx9", "sha=avx2", "fft=fast", "sha256d", "gemm-tf32=cuda"},
	"store":    {"DIR/file", "/proc/none"},
	"format":   {"yaml", "txt"},
	"report":   {"x.txt", "x", "DIR/none/x.html", "DIR", "/proc/x.html"},
	"label":    {"x"},
	"steps":    {"1", "1,1 --apply true{}"},
	"apply":    {"true {}", "true --steps 1", "no-such-command {} --steps 1"},
	"dataset":  {"DIR/none --uses training"},
	"batch":    {"-1 --uses training", "many"},
	"sysfs":    {"DIR/none --meter rapl"},
	"seed":     {"-1", "4294967296", "x"},
	"rounds":   {"0", "-3", "10001", "x"},
	"sessions": {"0", "1001"},
	"settle":   {"-1s", "25h", "abc", "10"},
	"warmup":   {"1ms", "abc"},
	"limit":    {"-1s", "25h"},
	"window":   {"1ms", "25h", "abc", "1"},
	"interval": {"1ms", "10s", "x"},
	"wait":     {"-1s", "200h", "x"},
	"alone":    {"perhaps"},
	"fleet":    {"x", "run=a", "run=a,node=b,attempt=0"},
	"at":       {"never", "2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"},
	"verbose":  {"perhaps"},
	"target":   {"perhaps"},
}

// remedy matches what tells a user how to go on.
var remedy = regexp.MustCompile(`must |must be|use |known are|did you mean|such as|as in|name |needs |choose|--help|later|it has|make it|write|meant|is a state of|at most|in \$PATH|known: |one of|those are|it is [a-z]+,|is no http|from 1 to|[a-z]+= | --[a-z]`)

// Every refused value of every flag is refused before anything is measured, in one
// sentence that names the flag, says nothing twice and says what to do.
func TestRefusedValues(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	seen := 0
	runCommand().Flags().VisitAll(func(fl *pflag.Flag) {
		values, ok := refused[fl.Name]
		require.True(t, ok, "--%s has no value that is refused: add some to the table", fl.Name)
		if testing.Short() {
			values = values[:1]
		}
		for _, v := range values {
			seen++
			v, rest, _ := strings.Cut(strings.ReplaceAll(v, "DIR", dir), " --")
			argv := []string{"run", "--preset", "smoke", "--store", filepath.Join(dir, "store"), "--" + fl.Name + "=" + v}
			if rest != "" {
				flag, value, _ := strings.Cut(rest, " ")
				argv = append(argv, "--"+flag, value)
			}
			code, stdout, stderr := perwatt(t, t.Context(), argv...)
			lines := strings.Split(strings.TrimSpace(stderr), "\n")
			last := lines[len(lines)-1]
			t.Logf("%s", last)
			assert.Contains(t, []int{exitUsage, exitData}, code, "%q: %s", argv, stderr)
			assert.Empty(t, stdout, "%q", argv)
			assert.NotContains(t, stderr, "run 1/", "%q was measured", argv)
			assert.NoError(t, sound(last), "%q", argv)
		}
	})
	require.GreaterOrEqual(t, seen, len(refused))
}

// sound returns an error unless a complaint is a sentence that says nothing twice and has
// a remedy.
func sound(complaint string) error {
	text := strings.TrimPrefix(complaint, "perwatt: ")
	if text == complaint {
		return fmt.Errorf("%q does not begin with perwatt", complaint)
	}
	parts := strings.Split(text, ": ")
	for i := range parts {
		for j := range parts[:i] {
			if a, b := bare(parts[i]), bare(parts[j]); a == b || strings.HasPrefix(parts[j], "--") && strings.HasPrefix(a, b+" ") {
				return fmt.Errorf("%q says %q twice", complaint, b)
			}
		}
	}
	words := strings.Fields(text)
	for i := 1; i < len(words); i++ {
		if words[i] == words[i-1] {
			return fmt.Errorf("%q has the word %q doubled", complaint, words[i])
		}
	}
	for _, unsaid := range []string{"strconv", "time: ", "pflag", "%!"} {
		if strings.Contains(text, unsaid) {
			return fmt.Errorf("%q speaks of the program, not to its user", complaint)
		}
	}
	flag, _, _ := strings.Cut(text, " ")
	if !remedy.MatchString(strings.TrimPrefix(text, flag)) {
		return fmt.Errorf("%q says no remedy", complaint)
	}
	return nil
}

// The check of the sentences finds what it is for.
func TestSound(t *testing.T) {
	for _, bad := range []string{
		`perwatt: --meter: meter "rapl": rapl: no zone: use auto`,
		`perwatt: --store: store: make x: use another`,
		`perwatt: --window "abc": time: invalid duration "abc": use another`,
		`perwatt: --seed "-1": strconv.ParseUint: parsing "-1": invalid syntax (see perwatt run --help)`,
		`perwatt: --rounds 0: that that is too few: use 1`,
		`perwatt: --model resnet: not there`,
		`--model resnet: must be another`,
	} {
		require.Error(t, sound(bad), bad)
	}
	require.NoError(t, sound(`perwatt: --rounds 0: must be from 1 to 10000`))
}

func TestOnce(t *testing.T) {
	for _, c := range [][2]string{
		{`--meter: meter "rapl": rapl: no zone under /sys: not here`, `--meter: "rapl": no zone under /sys: not here`},
		{`--store: store: make /proc/x: no`, `--store: make /proc/x: no`},
		{`a.json: a.json`, `a.json: a.json`}, // what went wrong stays
		{`--impl: unknown kernel "sha": known are x`, `--impl: unknown kernel "sha": known are x`},
		{`--meter: meter "declared:-5": declared: bad spec`, `--meter: "declared:-5": bad spec`},
		{`no colon`, `no colon`},
	} {
		require.Equal(t, c[1], once(c[0]))
	}
}

// What was probably meant is asked.
func TestSuggestions(t *testing.T) {
	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{"runn"}, `unknown command "runn" for "perwatt"; did you mean run?`},
		{[]string{"mining"}, `did you mean perwatt run --uses mining?`},
		{[]string{"help", "runn"}, `unknown command "runn" for "perwatt"; did you mean run?`},
		{[]string{"compare"}, `no argument was given: use perwatt compare RECORD... [flags]`},
		{[]string{"explain", "x"}, `one argument was given: use perwatt explain FIGURE RECORD...`},
		{[]string{"show", "a", "b"}, `2 arguments were given: use perwatt show ID`},
		{[]string{"fleet", "status", "a", "b"}, `2 arguments were given: use perwatt fleet status [NAME]`},
		{[]string{"fleet", "colect"}, `did you mean collect?`},
		{[]string{"run", "mining"}, `perwatt run takes no argument "mining"; did you mean perwatt run --uses mining?`},
		{[]string{"run", "smoke"}, `did you mean perwatt run --preset smoke?`},
		{[]string{"run", "gpu"}, `did you mean perwatt run --device gpu?`},
		{[]string{"run", "rapl"}, `did you mean perwatt run --meter rapl?`},
		{[]string{"run", "trainng"}, `did you mean perwatt run --uses training?`},
		{[]string{"run", "--use", "mining"}, `unknown flag: --use; did you mean --uses?`},
		{[]string{"run", "--presett", "smoke"}, `did you mean --preset?`},
		{[]string{"run", "--meter"}, `--meter needs a value: meter to read: auto, none`},
		{[]string{"run", "--uses", "minning"}, `; did you mean mining?`},
		{[]string{"run", "--uses", "gpu"}, `--uses "gpu": this is a device, not a use: --device gpu measures every use on it`},
		{[]string{"run", "--preset", "smok"}, `; did you mean smoke?`},
		{[]string{"run", "--device", "gpuu"}, `; did you mean gpu?`},
		{[]string{"run", "--meter", "rappl"}, `there is no such meter (did you mean rapl?)`},
		{[]string{"run", "--impl", "sha=avx2"}, `; did you mean sha256d?`},
		{[]string{"run", "--model", "transformr"}, `; did you mean transformer?`},
		{[]string{"run", "--rounds", "0"}, `--rounds 0: must be from 1 to 10000` + "\n"},
		{[]string{"run", "--impl", "sha256d=avx512x"}, `; did you mean avx512`},
	} {
		if strings.Contains(c.want, "avx512") && runtime.GOARCH != "amd64" {
			continue
		}
		code, stdout, stderr := perwatt(t, t.Context(), c.argv...)
		require.Equal(t, exitUsage, code, "%v: %s", c.argv, stderr)
		require.Empty(t, stdout)
		require.Contains(t, stderr, c.want, "%v", c.argv)
	}
}
