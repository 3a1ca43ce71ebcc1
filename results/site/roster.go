// Package site says what the records of many nodes tell together: which of the nodes
// that were expected have a figure and why the others do not, how a figure is spread
// over equal nodes, which nodes are outliers or computed wrongly, and what racks and the
// whole site draw and deliver. It starts nothing and asks no engine: harness/fleet does,
// and writes the roster and the outcomes that are read here.
package site

import "time"

// RosterVersion is that of the format of [Roster] and of the journal beside it.
const RosterVersion = 1

// Roster is what the measurement of a fleet set out to do. It is written once, before
// the first job, and never changed: the nodes in it are the nodes that are expected.
type Roster struct {
	Version int       `json:"version"`
	Name    string    `json:"name"`  // of the measurement, unique in its store
	Start   time.Time `json:"start"` // UTC
	Engine  string    `json:"engine"`
	Args    []string  `json:"args"`              // of perwatt run on each node, without --fleet and --store
	Options []string  `json:"options,omitempty"` // passed through to the engine, such as those of sbatch
	// Place is where the engine runs them, by the flags of perwatt fleet run that say so:
	// partition, nodes, hosts. With it an engine is opened again.
	Place    map[string]string `json:"place,omitempty"`
	Limit    float64           `json:"limit"`              // s, the longest time of one job from its start
	Together bool              `json:"together,omitempty"` // the nodes of a rack start at the same time
	Lead     float64           `json:"lead,omitempty"`     // s, from the submission of a rack to that time
	Sessions int               `json:"sessions"`           // records that a node owes
	Attempts int               `json:"attempts"`           // most of one node
	Nodes    []Node            `json:"nodes"`
}

// Node is one node that is expected to measure.
type Node struct {
	Name   string `json:"name"`             // that the engine gives it, unique in the roster
	Host   string `json:"host,omitempty"`   // that the node gives itself, if the engine knows it
	Rack   string `json:"rack,omitempty"`   // or chassis; by a label or the engine's topology
	Switch string `json:"switch,omitempty"` // nearest, by the engine's topology
}

// State is how far a node came.
type State string

// States of a node. A node is Done by its records alone, whatever the engine says.
const (
	Waiting State = "waiting" // not yet submitted, or queued by the engine
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed"  // every attempt ended without a record
	Refused State = "refused" // what it sent was not its record: it is kept aside
	Lost    State = "lost"    // the engine no longer knows its job, and there is no record
	Absent  State = "absent"  // down, drained or unreachable: it was not submitted
)

// Outcome is what became of a node.
type Outcome struct {
	Node     string    `json:"node"`
	State    State     `json:"state"`
	Reason   string    `json:"reason,omitempty"` // why it has no record
	More     string    `json:"more,omitempty"`   // a command that says more
	Attempts []Attempt `json:"attempts,omitempty"`
	Clock    *Clock    `json:"clock,omitempty"` // nil if nothing is known of it
}

// Attempt is one job of a node.
type Attempt struct {
	Number  int       `json:"number"` // 1-based
	Job     string    `json:"job,omitempty"`
	Start   time.Time `json:"start"`             // UTC at which it was submitted
	End     time.Time `json:"end,omitzero"`      // UTC at which its end was seen
	Records []string  `json:"records,omitempty"` // identifiers, in the store
	Aside   string    `json:"aside,omitempty"`   // where a refused record is kept
	Reason  string    `json:"reason,omitempty"`  // why it gave no record
	Note    string    `json:"note,omitempty"`    // of the engine: "the job may use 2 of the 4 CPUs"
}

// Clock is how far the clock of a node is ahead of that of the host that submits.
type Clock struct {
	Offset float64 `json:"offset"` // s, node minus submitting host
	Within float64 `json:"within"` // s, half-width: half of the round trip
}
