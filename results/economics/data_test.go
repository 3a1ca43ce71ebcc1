package economics

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

var dated = regexp.MustCompile(`^20[0-9]{2}-[01][0-9](-[0-3][0-9])?$`)

func TestNameplates(t *testing.T) {
	want := map[string]float64{"Antminer S19 XP": 21.5, "Antminer S21": 17.5, "Antminer S21 XP": 13.5, "Avalon A16": 13.8}
	require.Len(t, Nameplates(), len(want))
	for _, n := range Nameplates() {
		require.InDelta(t, want[n.Model], float64(n.Efficiency.Value)/PerTH, 1e-9, n.Model)
		require.Equal(t, results.Declared, n.Efficiency.Origin, n.Model)
		require.Equal(t, results.Grade("E"), n.Efficiency.Grade, "a nameplate is never ranked")
		require.Regexp(t, dated, n.AsOf, n.Model)
		require.Greater(t, len(n.Source), 20, n.Model)
		if !n.Power.IsAbsent() {
			require.InEpsilon(t, float64(n.Power/n.Rate), float64(n.Efficiency.Value), 0.01, "%s: its watts, rate and J/TH agree", n.Model)
		}
	}
}

func TestThresholds(t *testing.T) {
	want := map[string]float64{"EU AI Act, systemic risk": 1e25, "California SB 53": 1e26, "California SB 1047": 1e26}
	section := regexp.MustCompile(`Article 51\(2\)|§ 22757\.11\(i\)\(1\)|§ 22602`)
	require.Len(t, Thresholds(), len(want))
	for _, l := range Thresholds() {
		require.Equal(t, want[l.Name], l.FLOP, l.Name)
		require.Regexp(t, dated, l.AsOf, l.Name)
		require.Regexp(t, section, l.Source, l.Name)
		require.Equal(t, l.Name == "California SB 1047", l.Status == "vetoed", l.Name)
	}
}
