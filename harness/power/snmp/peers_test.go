package snmp

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gosnmp/gosnmp"
	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/powertest"
)

// start runs a peer until the test ends, and returns when it answers anything
// at all.
func start(t *testing.T, port int, community string, env []string, program string, args ...string) {
	t.Helper()
	var said bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Env = &said, &said, append(os.Environ(), env...)
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		x := &gosnmp.GoSNMP{Target: "127.0.0.1", Port: uint16(port), Community: community, Version: gosnmp.Version2c, Timeout: 200 * time.Millisecond}
		require.NoError(t, x.Connect())
		_, err := x.Get([]string{apc2Power})
		require.NoError(t, x.Close())
		if err == nil {
			return
		}
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", program, said.String())
		default:
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s does not answer", program)
		}
	}
}

// shared makes a directory in one that any user can reach and write: a peer
// does not stay root.
func shared(t *testing.T, root, name string) string {
	t.Helper()
	dir := filepath.Join(root, name)
	require.NoError(t, os.Mkdir(dir, 0o777))
	for _, d := range []string{dir, root, filepath.Dir(root)} {
		require.NoError(t, os.Chmod(d, 0o777))
	}
	return dir
}

// simulator is snmpsimd with a data file for each community. It returns the
// address and the options that name a community.
func simulator(t *testing.T, files map[string]string) (address string, as func(community string) string) {
	t.Helper()
	program := powertest.Peer(t, "snmpsimd", "snmpsim")
	root := t.TempDir()
	data, cache := shared(t, root, "data"), shared(t, root, "cache")
	for name, text := range files {
		lines := strings.Fields(text)
		slices.SortFunc(lines, byOID)
		require.NoError(t, os.WriteFile(filepath.Join(data, name+".snmprec"), []byte(strings.Join(lines, "\n")+"\n"), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(name), 0o600))
	}
	port := powertest.FreePort(t, "udp")
	args := []string{"--data-dir=" + data, "--cache-dir=" + cache, fmt.Sprintf("--agent-udpv4-endpoint=127.0.0.1:%d", port), "--logging-method=null"}
	if os.Getuid() == 0 {
		args = append(args, "--process-user=nobody", "--process-group=nogroup")
	}
	start(t, port, "apc2", nil, program, args...)
	return fmt.Sprintf("127.0.0.1:%d", port), func(c string) string { return ",community=file:" + filepath.Join(root, c) }
}

// byOID is the order that the simulator wants its records in.
func byOID(a, b string) int {
	arcs := func(record string) []string {
		oid, _, _ := strings.Cut(record, "|")
		return strings.Split(oid, ".")
	}
	return slices.CompareFunc(arcs(a), arcs(b), func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
}

// TestSimulator: the profiles and the traps as another's agent has them.
func TestSimulator(t *testing.T) {
	const odd = "1.3.6.1.4.1.9."
	sensor := func(measured, configured, of string, unit, digits int) string {
		return fmt.Sprintf("%[1]s%[2]s.2.%[4]s|2|1 %[1]s%[2]s.4.%[4]s|66|7000 %[1]s%[3]s.6.%[4]s|2|%[5]d %[1]s%[3]s.7.%[4]s|66|%[6]d %[1]s%[3]s.9.%[4]s|66|1 ", raritan, measured, configured, of, unit, digits)
	}
	address, as := simulator(t, map[string]string{
		"apc2": apc2Power + "|2|231 " + apc2Energy + "|2|12345 " + apc2Outlet + "3|2|200 " + apc2Outlet + "7|2|212 " + apc2Outlet + "8|2|-1",
		"apc":  apcPower + "|2|460",
		"raritan": sensor("5.2.3.1", "3.3.4.1", "1.1.5", 3, 0) + sensor("5.2.3.1", "3.3.4.1", "1.1.8", 5, 0) +
			sensor("5.4.3.1", "3.5.4.1", "2.24.5", 3, 1) + sensor("5.4.3.1", "3.5.4.1", "2.24.8", 5, 3),
		"odd": odd + "1|4|231 " + odd + "2|2|-1 " + odd + "3|2:error|op=get,status=resourceUnavailable " + odd + "4|2:delay|wait=400,value=231 " +
			odd + "5|67|231 " + odd + "6|5| " + odd + "7|65:numeric|rate=700000,offset=1000 " + odd + "8|70:numeric|rate=700000,offset=1000",
	})
	for name, c := range map[string]struct{ as, options, channels, values string }{
		"apc2":                     {"apc2", "", "inlet1-power/W gauge total=wall step=10; inlet1-energy/J counter total=wall step=360000", "2310 0"},
		"apc2 outlets":             {"apc2", ",outlet=3+7", "outlet3-power/W gauge total=wall step=1; outlet7-power/W gauge total=wall step=1", "200 212"},
		"apc":                      {"apc", "", "inlet1-power/W gauge total=wall step=23", "460"},
		"raritan":                  {"raritan", "", "inlet1-power/W gauge total=wall step=1; inlet1-energy/J counter total=wall step=3600", "7000 0"},
		"outlet of the second PDU": {"raritan", ",unit=2,outlet=24", "outlet24-energy/J counter total=wall step=3.6; outlet24-power/W gauge total=wall step=0.1", "0 700"},
	} {
		t.Run(name, func(t *testing.T) {
			m := must(t, address, as(c.as)+c.options)
			require.Equal(t, c.channels, describe(m))
			got, err := m.Read(t.Context())
			require.NoError(t, err)
			var values []string
			for _, r := range got {
				require.NoError(t, r.Err)
				values = append(values, fmt.Sprintf("%.6g", r.Value))
			}
			require.Equal(t, c.values, strings.Join(values, " "))
		})
	}
	for name, c := range map[string]struct{ as, options, want string }{
		"an outlet that is not measured": {"apc2", ",outlet=8", "outlet8-power: it gives -1"},
		"an outlet that is not there":    {"apc2", ",outlet=9", "outlet9-power: it gives nothing (NoSuchInstance)"},
		"a string":                       {"odd", ",oid=" + odd + "1", "it gives no integer (OctetString)"},
		"minus one":                      {"odd", ",oid=" + odd + "2", "it gives -1"},
		"an error":                       {"odd", ",oid=" + odd + "3", "the agent refuses " + odd + "3: ResourceUnavailable"},
		"a delay":                        {"odd", ",oid=" + odd + "4,timeout=100ms", "no answer within 100ms: check the address"},
		"a time":                         {"odd", ",oid=" + odd + "5", "it gives no integer (TimeTicks)"},
		"null":                           {"odd", ",oid=" + odd + "6", "it gives nothing (Null)"},
		"none of the PDUs":               {"odd", "", "profile="},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := try(t, address, as(c.as)+c.options)
			require.ErrorContains(t, err, c.want)
		})
	}
	for _, counter := range []string{"7", "8"} {
		t.Run("growing energy "+counter, func(t *testing.T) {
			m := must(t, address, as("odd")+",oid="+odd+counter+",kind=energy,scale=0.001")
			_, err := read1(t, m)
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				got, err := read1(t, m)
				return err == nil && got > 1 // J, of 700 W
			}, 5*time.Second, 5*time.Millisecond)
		})
	}
	t.Run("snmpget reads the same", func(t *testing.T) {
		got, err := read1(t, must(t, address, as("apc2")))
		require.NoError(t, err)
		cmd := exec.Command(powertest.Peer(t, "snmpget", "snmp"), "-v2c", "-capc2", "-t5", "-Oqv", address, apc2Power)
		cmd.Env = append(os.Environ(), "SNMP_PERSISTENT_DIR="+t.TempDir())
		out, err := cmd.Output()
		require.NoError(t, err)
		require.Equal(t, strings.TrimSpace(string(out)), fmt.Sprint(got/10))
	})
}

// TestNetSNMP: the agent of net-snmp with a script behind it.
func TestNetSNMP(t *testing.T) {
	program := powertest.Peer(t, "snmpd", "snmpd")
	root, port := t.TempDir(), powertest.FreePort(t, "udp")
	dir := shared(t, root, "values")
	script, err := filepath.Abs("testdata/pdu.sh")
	require.NoError(t, err)
	const lasting, passing = ".1.3.6.1.4.1.99999.", ".1.3.6.1.4.1.99998."
	conf := filepath.Join(root, "conf")
	require.NoError(t, os.WriteFile(conf, []byte(strings.Join([]string{
		fmt.Sprintf("agentaddress udp:127.0.0.1:%d", port),
		"rocommunity apc2 127.0.0.1",
		"rocommunity " + hunter + " 127.0.0.1",
		"createUser ops SHA " + hunter,
		"rouser ops auth",
		"createUser secretive SHA-256 " + hunter + " AES " + hunter,
		"rouser secretive priv",
		"pass_persist .1.3.6.1.4.1.99999 " + script + " " + dir,
		"pass .1.3.6.1.4.1.99998 " + script + " " + dir,
	}, "\n")+"\n"), 0o600))
	start(t, port, "apc2", []string{"SNMP_PERSISTENT_DIR=" + filepath.Join(root, "persistent")}, program,
		"-f", "-LF", "e", filepath.Join(root, "log"), "-C", "-c", conf, "-I", "-smux,mteTrigger,mteTriggerConf")
	address := fmt.Sprintf("127.0.0.1:%d", port)
	set := func(t *testing.T, oid, typ string, v int) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "new"), []byte(fmt.Sprintf("%s\n%d\n", typ, v)), 0o644))
		require.NoError(t, os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, oid)))
	}
	clocked := func(t *testing.T, options string) (m power.Meter, now *time.Time) {
		t.Helper()
		at := time.Now()
		s := parse(t, address+secretly(t, "community")+options)
		s.Now = func() time.Time { return at }
		m, err := Open(t.Context(), s)
		require.NoError(t, err)
		t.Cleanup(func() { _ = m.Close() })
		return m, &at
	}

	t.Run("growing energy", func(t *testing.T) {
		set(t, lasting+"1", "counter", 5000)
		m, now := clocked(t, ",kind=energy,oid="+lasting+"1")
		for i, want := range []float64{0, 700, 1400} {
			set(t, lasting+"1", "counter", 5000+700*i)
			*now = now.Add(time.Second)
			got, err := read1(t, m)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		require.NoError(t, os.Remove(filepath.Join(dir, lasting+"1")))
		*now = now.Add(time.Second)
		_, err := read1(t, m)
		require.ErrorContains(t, err, "it gives nothing (NoSuchInstance)")
		for i, want := range []float64{1400, 2100} { // what it counted meanwhile is not known
			set(t, lasting+"1", "counter", 9000+700*i)
			*now = now.Add(time.Second)
			got, err := read1(t, m)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	})
	for kind, typ := range map[string]string{"power": "gauge", "energy": "counter"} {
		t.Run("agents cache "+kind, func(t *testing.T) {
			oid := passing + map[string]string{"power": "1", "energy": "2"}[kind] // its own: they cache the type too
			set(t, oid, typ, 2310)
			m, now := clocked(t, ",kind="+kind+",oid="+oid)
			_, err := read1(t, m)
			require.NoError(t, err)
			require.NoError(t, os.Remove(filepath.Join(dir, oid)))
			*now = now.Add(30 * time.Second)
			_, err = read1(t, m)
			require.NoError(t, err, "it goes on serving what is gone")
			*now = now.Add(31 * time.Second)
			_, err = read1(t, m)
			require.ErrorContains(t, err, "stale")
		})
	}
	t.Run("users", func(t *testing.T) {
		set(t, lasting+"3", "gauge", 231)
		wrong := filepath.Join(t.TempDir(), "wrong")
		require.NoError(t, os.WriteFile(wrong, []byte(hunter+"x"), 0o600))
		for options, want := range map[string]string{
			",user=ops" + secretly(t, "password"):                                          "231",
			",user=secretive,auth=SHA-256" + secretly(t, "password", "privacy"):            "231",
			",user=secretive,auth=SHA-256" + secretly(t, "password"):                       "AuthorizationError",
			",user=secretive" + secretly(t, "password", "privacy"):                         "not authentic",
			",user=nobody" + secretly(t, "password"):                                       "not authentic",
			",user=ops,password=file:" + wrong:                                             "not authentic",
			",user=secretive,auth=SHA-256,privacy=file:" + wrong + secretly(t, "password"): "no answer",
		} {
			m, err := try(t, address, options+",timeout=1s,oid="+lasting+"3")
			if err != nil {
				require.ErrorContains(t, err, want, options)
				require.ErrorContains(t, err, "password=")
				require.NotContains(t, err.Error(), hunter)
				continue
			}
			got, err := read1(t, m)
			require.NoError(t, err)
			require.Equal(t, want, fmt.Sprint(got), options)
			require.NotContains(t, fmt.Sprintf("%+v", m.Info()), hunter)
		}
	})
}
