// Package miner defines what a miner can report about itself. The APIs are its
// children, one package each; miner/all is the explicit list of them.
//
// A miner makes claims, not measurements: a [results.SelfReported] cannot be compared
// and is not accepted as a figure. Miners are only read: each API sends the requests of
// a fixed list, none of which changes anything, and logs in only as far as reading
// requires. Malformed answers are read where only one meaning is possible, and refused
// by name otherwise.
package miner

import (
	"context"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// Common are the options of every miner.
var Common = []endpoint.Option{
	{Key: "timeout", Help: "longest wait for an answer (2s)"},
	{Key: "name", Help: "its name in the record (its address)"},
}

// Client is one miner. Its methods are called by one goroutine.
type Client interface {
	// Info is constant.
	Info() Info
	// Read queries everything once. It returns an error if the miner cannot be
	// queried at all; a single invalid field is listed in Refused.
	Read(ctx context.Context) (Answer, error)
	Close() error
}

// Info describes a miner, as it described itself when it was opened.
type Info struct {
	Name     string // its name in the record
	API      string // cgminer, whatsminer, braiins, axeos
	Source   string // its address
	Model    string
	Firmware string
	Notes    []string // what its fields are, and which documents say so
}

// Claim starts the claim of a miner for a use of a run; use is empty if others
// work on it too.
func (i Info) Claim(use string) results.Claim {
	return results.Claim{Device: i.Name, Use: use, API: i.API, Source: i.Source, Model: i.Model, Firmware: i.Firmware, Samples: []results.SelfReportedSample{}, Notes: i.Notes}
}

// Answer is what a miner reported at one instant.
type Answer struct {
	At      time.Time                   // the middle of the request, with a monotonic part
	Slack   time.Duration               // half the round trip
	Mode    string                      // mode of work, in its own words; empty if unknown
	Figures []results.SelfReportedField // for each quantity the preferred one first
	Refused []string                    // invalid fields, by name
}

// Sample is the answer, or the error in its place, in a record that began at
// start.
func (a Answer) Sample(start time.Time, err error) results.SelfReportedSample {
	if err != nil {
		return results.SelfReportedSample{T: results.Float(time.Since(start).Seconds()), Slack: results.Absent(), Figures: []results.SelfReportedField{}, Refused: []string{err.Error()}}
	}
	return results.SelfReportedSample{T: results.Float(a.At.Sub(start).Seconds()), Slack: results.Float(a.Slack.Seconds()), Mode: a.Mode, Figures: a.Figures, Refused: a.Refused}
}
