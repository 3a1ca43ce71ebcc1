// Package axeos queries Bitaxes and related miners through the HTTP API of ESP-Miner
// (main/http_server/openapi.yaml and system_api_json.c in its source, v2.15; the names
// of earlier releases, of NerdAxes and of Lucky Miners are understood).
//
// The power in the API is never that at the wall. A board with an INA260 measures the
// input at its DC socket. One with a TPS546 estimates it: it scales the regulator's
// output and adds a constant for the rest (main/power/power.c). The board's version
// tells which (main/device_config.h). The power of an unknown version, and of any other
// maker's board, counts as an estimate.
package axeos

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/perwatt/perwatt/harness/endpoint"
	"github.com/perwatt/perwatt/harness/miner"
	"github.com/perwatt/perwatt/results"
)

// Options are those of its spec.
var Options = slices.Concat(miner.Common, endpoint.WebOptions, endpoint.Login)

// Verbs are all requests that are ever sent.
var Verbs = miner.Verbs{"GET " + info}

const info = "/api/system/info"

// metered are the versions of Bitaxe boards with an INA260; early releases do not
// report the model.
var (
	metered = []string{"2.2", "102", "0.11", "201", "202", "203", "204", "205", "400", "401"}
	bitaxe  = regexp.MustCompile(`^(|(Bitaxe ?)?(Max|Ultra|Supra|Gamma|Hex).*)$`)
)

type client struct {
	web   *endpoint.Web
	power miner.Form
}

// Open queries the miner at HOST, HOST:PORT or a URL and identifies it.
func Open(ctx context.Context, s endpoint.Spec) (miner.Client, error) {
	d, err := open(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("axeos: %w", err)
	}
	return d, nil
}

func open(ctx context.Context, s endpoint.Spec) (miner.Client, error) {
	web, err := miner.Web(s, nil)
	if err != nil {
		return nil, err
	}
	m := &client{web: web, power: miner.Watts(results.Board, results.Modelled)}
	v, err := m.get(ctx)
	if err != nil {
		_ = web.Close()
		return nil, fmt.Errorf("%s: %w", web.Base.Host, err)
	}
	board, name := v.At("boardVersion").Text(), strings.TrimSpace(v.At("minerModel").Text()+" "+v.At("deviceModel").Text())
	what := "the regulator's output and a constant, an estimate of what the board draws"
	switch {
	case !bitaxe.MatchString(name):
		what = fmt.Sprintf("as a %s has it: nothing says that an instrument measures it, so it is an estimate of what the board draws", name)
	case slices.Contains(metered, board):
		m.power.Origin = results.Measured
		what = "measured at the board's DC input, without its supply"
	}
	if board != "" {
		board = "board " + board
	}
	model := strings.Join(strings.Fields(name+" "+board+" "+v.At("ASICModel").Text()), " ")
	var sheet miner.Collector
	summarise(&sheet, v, m.power)
	about := miner.Info{Source: web.Base.Host, Model: miner.Word(model), Firmware: v.At("version").Text(), Notes: []string{sheet.PowerNote(what, v)}}
	if v.At("hashRate").Absent() {
		about.Notes = append(about.Notes, "not said at the start: hashRate")
	}
	about.Notes = append(about.Notes, web.Notes...)
	return miner.New(s, about, m.read, web.Close), nil
}

// get queries everything. An answer without a rate is from another kind of server; a
// miner's rate may be null for a while.
func (m *client) get(ctx context.Context) (miner.Value, error) {
	v, err := Verbs.Get(ctx, m.web, info)
	if err == nil && !slices.Contains(v.Names(), "hashRate") && v.At("ASICModel").Absent() {
		err = fmt.Errorf("get %s: it has no hashRate and no ASICModel: is that a Bitaxe or its kin?", info)
	}
	return v, err
}

func (m *client) read(ctx context.Context, s *miner.Collector) (mode string, err error) {
	v, err := m.get(ctx)
	if err != nil {
		return "", err
	}
	return summarise(s, v, m.power), nil
}

// summarise collects the fields of an answer and returns the mode.
func summarise(s *miner.Collector, v miner.Value, power miner.Form) (mode string) {
	rate := func(over float64) miner.Form { return miner.Rate(1e9, results.SelfReport(over)) }
	difficulty := "poolDifficulty"
	if v.At(difficulty).Absent() {
		difficulty = "stratumDiff"
	}
	frequency := "actualFrequency"
	if v.At(frequency).Absent() {
		frequency = "frequency"
	}
	for _, f := range []struct {
		name string
		form miner.Form
	}{
		{"uptimeSeconds", miner.Form{Of: results.ReportedElapsed}},
		{"hashRate_1d", rate(86400)},
		{"hashRate_1h", rate(3600)},
		{"hashRate_10m", rate(600)},
		{"hashRate_1m", rate(60)},
		{"hashRate", miner.Rate(1e9, results.SelfReported{})},
		{"expectedHashrate", miner.Form{Of: results.ReportedNominal, Per: 1e9}},
		{"totalHashes", miner.Form{Of: results.ReportedWork}},
		{"sharesAccepted", miner.Form{Of: results.ReportedShares}},
		{"sharesRejected", miner.Form{Of: results.ReportedRefused}},
		{difficulty, miner.Difficulty(results.ReportedDifficulty)},
		{"power", power},
		{frequency, miner.MHz},
	} {
		s.Take(f.name, v.At(f.name), f.form)
	}
	// Chips without power have values below 0; a missing fan or sensor has 0.
	for _, name := range []string{"temp", "temp2", "vrTemp"} {
		if n, said, err := v.At(name).Number(""); err != nil || said && n > 0 {
			s.Take(name, v.At(name), miner.Celsius)
		}
	}
	for _, name := range []string{"fanrpm", "fan2rpm", "fanSpeed"} { // fanspeed is in percent
		s.Highest(name, []miner.Value{v.At(name)}, miner.RPM)
	}
	if v.At("miningPaused").Text() == "true" {
		mode = "paused"
	}
	return mode
}
