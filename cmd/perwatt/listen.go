package main

import (
	"context"
	"net"
	"strings"
)

// listen opens a TCP port for others. An address without a host, such as :3333 or 3333,
// is on the loopback interface; to admit other machines, give 0.0.0.0:3333 or the
// address of an interface.
func listen(ctx context.Context, address string) (net.Listener, error) {
	full := address
	if !strings.Contains(full, ":") {
		full = ":" + full
	}
	host, port, err := net.SplitHostPort(full)
	if err != nil {
		return nil, usagef("--listen %.80q: use HOST:PORT, or :PORT for this machine alone", address)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, usagef("--listen %.80q: %w: choose another port, or an address of this machine: HOST:PORT, or :PORT for this machine alone", address, err)
	}
	return l, nil
}
