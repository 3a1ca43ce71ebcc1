// Package whatsminer queries Whatsminers with API version 3 (MicroBT, Whatsminer API
// V3): TCP 4433, JSON in both directions, each message preceded by its length in four
// bytes, little-endian. Versions 1 and 2 use the RPC API of cgminer.
//
// It sends [Verbs] only; none of them needs a password.
package whatsminer

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = miner.Common

// Port is the default port of the API.
const Port = "4433"

// Verbs are all requests that are ever sent, each with its parameter. All begin with
// get.; commands that change something begin with set. and have to be signed.
var Verbs = miner.Verbs{information, status + " summary"}

const (
	information = "get.device.info"
	status      = "get.miner.status"
)

type client struct{ wire miner.Wire }

// Open queries the miner at HOST or HOST:PORT and identifies it.
func Open(ctx context.Context, s endpoint.Spec) (miner.Client, error) {
	d, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("whatsminer: %w", err)
	}
	return d, nil
}

func open(ctx context.Context, s endpoint.Spec) (miner.Client, error) {
	wire, err := miner.NewWire(s, Port)
	if err != nil {
		return nil, err
	}
	m := &client{wire}
	v, err := m.ask(ctx, information, "")
	said, other := m.ask(ctx, status, "summary")
	if err != nil && other != nil {
		return nil, fmt.Errorf("%s: %w", wire.Address, err)
	}
	var sheet miner.Collector
	summarise(&sheet, said.At("summary"))
	about := miner.Info{Source: wire.Address, Model: v.At("miner", "type").Text(), Firmware: v.At("system", "fwversion").Text(), Notes: []string{
		sheet.PowerNote(strings.TrimSpace("the input of its supply "+v.At("power", "model").Text())+", as that measures it; power-limit is what was configured", said),
	}}
	for _, err := range []error{err, other} { // a missing answer is queried again, or is not needed
		if err != nil {
			about.Notes = append(about.Notes, miner.Word(fmt.Sprintf("not said at the start: %v", err)))
		}
	}
	return miner.New(s, about, m.read, nil), nil
}

// ask sends one command and returns msg of the answer.
func (m *client) ask(ctx context.Context, command, parameter string) (miner.Value, error) {
	if err := Verbs.Allow(strings.TrimSpace(command + " " + parameter)); err != nil {
		return miner.Value{}, err
	}
	request := map[string]string{"cmd": command}
	if parameter != "" {
		request["param"] = parameter
	}
	text, err := json.Marshal(request)
	if err != nil {
		return miner.Value{}, err
	}
	raw, err := m.wire.Query(ctx, frame(text), unframe)
	if err != nil {
		return miner.Value{}, fmt.Errorf("%s: %w", command, err)
	}
	v, err := miner.Parse(raw)
	if err != nil {
		return v, fmt.Errorf("%s: %w", command, err)
	}
	if code := v.At("code").Text(); code != "0" {
		return v, fmt.Errorf("%s: it refuses: code %q: %q", command, code, v.At("msg").Text())
	}
	return v.At("msg"), nil
}

func frame(text []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...) // #nosec G115 -- a command of ours
}

// unframe reads the length and then as many bytes.
func unframe(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, fmt.Errorf("the length of the answer: %w", err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > miner.MaxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes is announced, more than %d: is that the API of version 3?", n, miner.MaxAnswer)
	}
	text := make([]byte, n)
	if got, err := io.ReadFull(r, text); err != nil {
		return text[:got], fmt.Errorf("%d bytes are announced and %d came: %w", n, got, err)
	}
	return text, nil
}

func (m *client) read(ctx context.Context, s *miner.Collector) (mode string, err error) {
	msg, err := m.ask(ctx, status, "summary")
	if err == nil {
		summarise(s, msg.At("summary"))
	}
	return "", err
}

// summarise collects the fields of a summary, where rates are in TH/s.
func summarise(s *miner.Collector, v miner.Value) {
	elapsed := s.Take("elapsed", v.At("elapsed"), miner.Form{Of: results.ReportedElapsed})
	for _, f := range []struct {
		name string
		form miner.Form
	}{
		{"hash-15min", miner.Rate(1e12, results.SelfReport(900))},
		{"hash-1min", miner.Rate(1e12, results.SelfReport(60))},
		{"hash-realtime", miner.Rate(1e12, results.SelfReported{})},
		{"hash-average", miner.Average(1e12, elapsed)},
		{"factory-hash", miner.Form{Of: results.ReportedNominal, Per: 1e12}},
		{"power-realtime", miner.Watts(results.PSU, results.Measured)},
		{"power-5min", miner.Watts(results.PSU, results.Measured)},
		{"power-limit", miner.Watts(results.PSU, results.Declared)},
		{"chip-temp-max", miner.Celsius},
		{"chip-temp-avg", miner.Celsius},
		{"environment-temperature", miner.Celsius},
		{"fan-speed-in", miner.RPM},
		{"fan-speed-out", miner.RPM},
		{"freq-avg", miner.MHz},
	} {
		if f.name == "power-5min" {
			f.form.Over = results.SelfReport(300)
		}
		s.Take(f.name, v.At(f.name), f.form)
	}
}
