package ssh

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/site"
)

// Limits on a file of hosts.
const (
	maxHosts      = 100_000
	maxHostsLine  = 1024
	maxHostsBytes = 16 << 20
)

// A name is a directory on both sides and an argument of ssh. An alias in ~/.ssh/config
// stands for whatever else a destination needs.
var nodeName = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9_.-]{0,63}@)?[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}$`)

// ReadHosts reads a file of hosts: one destination of OpenSSH a line, such as an alias of
// ~/.ssh/config, user@host or ssh://user@host:port, with labels such as rack=R1 and
// switch=S1 after it. # begins a comment. Editors that write UTF-16 or a byte order mark
// are understood. Errors name the line.
func ReadHosts(path string) ([]site.Node, error) {
	f, err := os.Open(path) // #nosec G304 -- the user names it
	if err != nil {
		return nil, fmt.Errorf("ssh: read hosts: %w", err)
	}
	defer f.Close()
	nodes, err := parseHosts(f)
	if err != nil {
		return nil, fmt.Errorf("ssh: %s: %w", path, err)
	}
	return nodes, nil
}

func parseHosts(r io.Reader) ([]site.Node, error) {
	var nodes []site.Node
	seen := map[string]int{}
	raw, err := io.ReadAll(io.LimitReader(r, maxHostsBytes+1))
	if err != nil {
		return nil, err
	} else if len(raw) > maxHostsBytes {
		return nil, fmt.Errorf("larger than a file of hosts may be (%d MiB)", maxHostsBytes>>20)
	}
	n := 0
	for line := range strings.SplitSeq(results.Decoded(raw), "\n") {
		if n++; len(line) > maxHostsLine {
			return nil, fmt.Errorf("line %d: longer than %d bytes", n, maxHostsLine)
		}
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		node := site.Node{Name: strings.TrimPrefix(words[0], "ssh://")}
		if !nodeName.MatchString(node.Name) {
			return nil, fmt.Errorf("line %d: %q is no destination that can name a node; give it an alias in ~/.ssh/config", n, results.Line(words[0], 60))
		}
		if at := seen[node.Name]; at != 0 {
			return nil, fmt.Errorf("line %d: %s is on line %d already", n, node.Name, at)
		}
		seen[node.Name] = n
		for _, word := range words[1:] {
			key, value, _ := strings.Cut(word, "=")
			if value == "" || results.Line(value, maxHostsLine) != value {
				return nil, fmt.Errorf("line %d: %q is not KEY=VALUE", n, results.Line(word, 60))
			}
			switch key {
			case "rack":
				node.Rack = value
			case "switch":
				node.Switch = value
			default:
				return nil, fmt.Errorf("line %d: unknown label %q; rack= and switch= are known", n, results.Line(key, 60))
			}
		}
		if nodes = append(nodes, node); len(nodes) > maxHosts {
			return nil, fmt.Errorf("more than %d hosts", maxHosts)
		}
	}
	if len(nodes) == 0 {
		return nil, errors.New("no hosts")
	}
	return nodes, nil
}

// Destination returns what ssh calls a node: its name, as a URI where it has a port. An
// IPv6 address has several colons and no port.
func Destination(node string) string {
	if strings.Count(node, ":") == 1 {
		return "ssh://" + node
	}
	return node
}
