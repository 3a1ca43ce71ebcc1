package site

import (
	"time"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/economics"
	"github.com/perwatt/perwatt/results/store"
)

// Options of an analysis. Fix them before you see its figures.
type Options struct {
	Margin  float64            // relative deviation that nobody acts on, below which no node is an outlier; compare.DefaultMargin if 0
	Budgets map[string]float64 // W of a rack by its name; that of "" is for every other rack
	Prices  *economics.Prices  // nil without
	AsOf    time.Time          // of the prices
	Racks   []RackPower        // what meters of whole racks read
}

// Analysis is what the records of a fleet tell together.
type Analysis struct {
	Roster  Roster         `json:"roster"`
	Margin  float64        `json:"margin"`
	Counts  map[Health]int `json:"counts"` // of nodes
	Nodes   []NodeResult   `json:"nodes"`  // in the order of the roster
	Figures []Distribution `json:"figures"`
	// Racks and Switches are those that labels or the engine's topology name, by name.
	Racks    []Rack  `json:"racks,omitempty"`
	Switches []Rack  `json:"switches,omitempty"`
	Totals   []Total `json:"totals"`
	// Together is the number of nodes that measured at the same time as others of their
	// rack on purpose; 0 where each was measured whatever the others did.
	Together  int               `json:"together,omitempty"`
	Mix       []Best            `json:"mix,omitempty"` // one a kind of machine, with prices
	Economics *economics.Result `json:"economics,omitempty"`
	Warnings  []results.Warning `json:"warnings"`
}

// Health is what is concluded about a node, or about one figure of it.
type Health string

// Conclusions, the worst first. A node has the worst of those that hold.
const (
	Wrong      Health = "wrong answers" // it computes wrongly, which is worse than slowly
	Missing    Health = "missing"       // it has no record, or none of a use that its equals have
	Outlier    Health = "outlier"       // a figure is further from those of equal nodes than chance explains
	CannotTell Health = "cannot tell"   // it would be an outlier, but its own interval reaches the others, or healthy nodes reach as far
	NotJudged  Health = "not judged"    // there are too few equal nodes
	Good       Health = "good"
)

// Healths lists the conclusions, the worst first.
func Healths() []Health { return []Health{Wrong, Missing, Outlier, CannotTell, NotJudged, Good} }

// NodeResult is a node with what became of it.
type NodeResult struct {
	Node
	State    State    `json:"state"`
	Health   Health   `json:"health"`
	Why      string   `json:"why,omitempty"`  // empty of a good node
	More     string   `json:"more,omitempty"` // a command that says more
	Attempts int      `json:"attempts"`
	Records  []string `json:"records,omitempty"`
	Hardware string   `json:"hardware,omitempty"` // what it is; equal nodes have the same
	Clock    *Clock   `json:"clock,omitempty"`
}

// Distribution is one figure over equal nodes: the same hardware, scenario, use,
// device, workload, implementation, threads and unit, and, for a figure with watts,
// the same meter, boundary, origin and grade.
type Distribution struct {
	ID       string `json:"id"`       // unique in the analysis
	Hardware string `json:"hardware"` // see [NodeResult]
	store.Key
	results.Provenance
	N      int           `json:"n"`
	Median results.Float `json:"median"` // of the nodes' values, in Key.Unit, and so are the quantiles
	Low    results.Float `json:"low"`
	P1     results.Float `json:"p1"`
	Q1     results.Float `json:"q1"`
	Q3     results.Float `json:"q3"`
	P99    results.Float `json:"p99"`
	High   results.Float `json:"high"`
	MAD    results.Float `json:"mad"` // median of the distances from the median
	// Spread is the relative standard deviation of healthy nodes, by a robust
	// estimate: see [Spread]. Sigmas of it make a node an outlier, if that is more
	// than the margin: Limit is the larger of the two, relative.
	Spread results.Float `json:"spread"`
	Sigmas results.Float `json:"sigmas"`
	Limit  results.Float `json:"limit"`
	// Step is what the values, or the power in them, were rounded to, relative; absent where
	// that is not seen. The spread is taken to be half of it at least.
	Step results.Float `json:"step"`
	// Finds is how much lower than it would be, relative, a node must be to be found in 99
	// of 100 such fleets.
	Finds results.Float `json:"finds"`
	// Shape is not empty where healthy values are not spread normally: see [Tails]. Falsely
	// is the part of healthy nodes that lies beyond the limit, if that is more than is
	// promised. Then a node is called an outlier only beyond TailLow and TailHigh,
	// relative; between, it cannot be told.
	Shape   string        `json:"shape,omitempty"`
	Falsely results.Float `json:"falsely"`
	// FalselyAtMost is the part of healthy nodes that is called an outlier by this figure
	// with the longest tails that the nodes do not exclude: where values are spread
	// normally it is far less, at most 1 in 10,000 over all figures of a node.
	FalselyAtMost results.Float `json:"falsely_at_most"`
	TailLow       results.Float `json:"tail_low"`
	TailHigh      results.Float `json:"tail_high"`
	Why           string        `json:"why,omitempty"` // no node of it is judged
	// Levels are there where the fleet is not one population: its nodes are judged
	// each against its own level.
	Levels []Level `json:"levels,omitempty"`
	Points []Point `json:"points"`
}

// Level is one of several values about which the nodes of a distribution gather.
type Level struct {
	By     string        `json:"by,omitempty"` // what the nodes of it have in common: microcode, firmware; empty if the records do not show it
	Value  string        `json:"value,omitempty"`
	N      int           `json:"n"`
	Median results.Float `json:"median"`
}

// Point is one node in a distribution.
type Point struct {
	Node      int           `json:"node"` // index into [Analysis.Nodes]
	Value     results.Float `json:"value"`
	Low       results.Float `json:"low"` // of the 95 % interval of its windows; absent with too few
	High      results.Float `json:"high"`
	Deviation results.Float `json:"deviation"` // relative, from where the node should be: its level, or its rack if that is off as a whole
	Score     results.Float `json:"score"`     // the deviation in robust standard deviations
	Health    Health        `json:"health"`
	InTail    bool          `json:"in_tail,omitempty"` // it cannot be told because healthy nodes reach as far: see [Distribution.Shape]
	Differs   []string      `json:"differs,omitempty"` // of a node that is off: what its record shows and few others do
	level     int           // index into Levels
}

// Rack is a rack, or the nodes of a switch.
type Rack struct {
	Name     string         `json:"name"`
	Nodes    int            `json:"nodes"`
	Measured int            `json:"measured"` // of them, with figures
	Counts   map[Health]int `json:"counts"`
	Figures  []RackFigure   `json:"figures"`
	Watts    []RackWatts    `json:"watts,omitempty"` // one an origin, boundary and grade
	Budget   results.Float  `json:"budget"`          // W; null without one
	// Facility is what the rack's own meter read; nil without one. Beyond is that less the
	// sum of the nodes at the same use: switches, fans, losses. It is nil unless all nodes
	// of the rack measured it at the same time, at one boundary; BeyondWhy says so.
	Facility   *RackPower      `json:"facility,omitempty"`
	AtFacility []RackWatts     `json:"at_facility,omitempty"` // sums of the nodes at the use of Facility, one a boundary and origin
	Beyond     *results.Figure `json:"beyond,omitempty"`
	BeyondWhy  string          `json:"beyond_reason,omitempty"`
	Power      BudgetVerdict   `json:"power,omitempty"`     // empty without a budget
	PowerBy    string          `json:"judged_by,omitempty"` // the watts that the verdict is of: "rack's meter", "sum of nodes"
	PowerWhy   string          `json:"reason,omitempty"`    // of a verdict that is not plain
}

// RackFigure is one figure of a rack against that of the other nodes.
type RackFigure struct {
	Figure    int           `json:"figure"` // index into [Analysis.Figures]
	N         int           `json:"n"`
	Median    results.Float `json:"median"`    // in the unit of the distribution
	Deviation results.Float `json:"deviation"` // relative, of the median of the rack from that of all other nodes
	Score     results.Float `json:"score"`     // the deviation in its standard deviations
	Off       bool          `json:"off"`       // it is further than chance and the margin explain
}

// RackWatts is the sum of the power of nodes at the scenario that draws most.
type RackWatts struct {
	results.Figure
	Scenario string `json:"scenario"`
	Nodes    int    `json:"nodes"` // in the sum
}

// BudgetVerdict compares a rack's watts with its budget.
type BudgetVerdict string

// Verdicts on a budget. Watts that were not measured are never judged.
const (
	Within     BudgetVerdict = "within"
	Over       BudgetVerdict = "over"
	Unsettled  BudgetVerdict = "cannot tell" // nodes or parts of nodes are missing in the sum
	Unmeasured BudgetVerdict = "not judged"
)

// Total is what a use delivers and draws over all nodes that were measured at it.
type Total struct {
	Scenario string         `json:"scenario"`
	Use      string         `json:"use"`
	Device   string         `json:"device,omitempty"`
	Nodes    int            `json:"nodes"` // in the sum of the rates
	Rate     results.Figure `json:"rate"`
	Power    []RackWatts    `json:"power,omitempty"` // one a boundary and origin
	// PerEnergy is the work per joule of the nodes that have watts; nil where these are
	// of several boundaries or origins, or of none.
	PerEnergy *results.Figure `json:"work_per_energy,omitempty"`
}

// Best is the use at which the machines of one kind leave most of a connected MWh.
type Best struct {
	Hardware string                  `json:"hardware"`
	Nodes    int                     `json:"nodes"`
	Use      string                  `json:"use"`
	Margin   economics.Figure        `json:"margin"` // $/MWh connected
	Daily    results.Figure          `json:"daily"`  // $/day of one machine
	Verdict  economics.Profitability `json:"verdict"`
	Why      string                  `json:"why,omitempty"`
}
