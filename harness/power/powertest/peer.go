package powertest

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// Peers is an environment variable. The value "required", set in CI, makes a test fail
// if the independent program that it compares with is missing.
const Peers = "PERWATT_PEERS"

// Peer returns the path of an independent program from a Debian package. If it is
// missing the test is skipped, or fails where [Peers] is "required".
func Peer(t testing.TB, program, debian string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/"} {
		if path, err := exec.LookPath(dir + program); err == nil {
			return path
		}
	}
	if os.Getenv(Peers) == "required" {
		t.Fatalf("%s is missing and %s is set: apt-get install %s", program, Peers, debian)
	}
	t.Skipf("NOT TESTED: %s is missing: apt-get install %s", program, debian)
	return ""
}

// FreePort returns a loopback port that was free a moment ago, for a program that needs
// its port as an argument; network is "tcp" or "udp".
func FreePort(t testing.TB, network string) int {
	t.Helper()
	const any = "127.0.0.1:0"
	var addr net.Addr
	if network == "udp" {
		c, err := net.ListenPacket(network, any)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		addr = c.LocalAddr()
	} else {
		l, err := net.Listen(network, any)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addr = l.Addr()
	}
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
