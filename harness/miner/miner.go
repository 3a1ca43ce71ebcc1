// Package miner defines what a miner can be asked about itself. The APIs are
// its children, one folder each; miner/all is the explicit list of them.
//
// A device makes claims, never measurements: a [results.SelfReported] has no order and
// fits nowhere a figure belongs. It is only read: each API sends the requests
// of a fixed list, none of which changes anything, and logs in no further than
// reading needs. Whatever it answers is believed to be what it said, and
// nothing more: what is malformed is read where it can mean one thing only,
// and refused by name where it cannot.
package miner

import (
	"context"
	"time"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/results"
)

// Common are the options of every device.
var Common = []endpoint.Option{
	{Key: "timeout", Help: "longest wait for an answer (2s)"},
	{Key: "name", Help: "what the record calls it (its address)"},
}

// Client is one miner. Its methods are called by one goroutine.
type Client interface {
	// Info is constant.
	Info() Info
	// Read asks for everything once. The error is for a device that cannot be
	// asked at all; one value that means nothing is among the Refused.
	Read(ctx context.Context) (Answer, error)
	Close() error
}

// Info describes a device, as it described itself when it was opened.
type Info struct {
	Name     string // what the record calls it
	API      string // cgminer, whatsminer, braiins, axeos
	Source   string // where it is: an address
	Model    string
	Firmware string
	Notes    []string // what its figures are, and of which documents that is known
}

// Claim begins the claim of a device at the use of a run, which is empty if
// others work at it too.
func (i Info) Claim(use string) results.Claim {
	return results.Claim{Device: i.Name, Use: use, API: i.API, Source: i.Source, Model: i.Model, Firmware: i.Firmware, Samples: []results.SelfReportedSample{}, Notes: i.Notes}
}

// Answer is what a device said at one instant.
type Answer struct {
	At      time.Time                   // the middle of the request, with a monotonic part
	Slack   time.Duration               // half the round trip
	Mode    string                      // of work, as it calls it; empty if it does not say
	Figures []results.SelfReportedField // of each quantity, the one to quote comes first
	Refused []string                    // what it said and what means nothing, each by name
}

// SelfReportedSample is an answer, or the error in its place, as a record that began at
// start holds it.
func (a Answer) Sample(start time.Time, err error) results.SelfReportedSample {
	if err != nil {
		return results.SelfReportedSample{T: results.Float(time.Since(start).Seconds()), Slack: results.Absent(), Figures: []results.SelfReportedField{}, Refused: []string{err.Error()}}
	}
	return results.SelfReportedSample{T: results.Float(a.At.Sub(start).Seconds()), Slack: results.Float(a.Slack.Seconds()), Mode: a.Mode, Figures: a.Figures, Refused: a.Refused}
}
