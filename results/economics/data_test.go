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
	require.Len(t, nameplates(), len(want))
	for _, n := range nameplates() {
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
	want := map[string]struct {
		flop    float64
		section string
		status  map[string]string // by day
	}{
		"EU AI Act, systemic risk": {1e25, `Article 51\(2\)`, map[string]string{
			"2025-08-01": "signed 2024-06-13, not in force before 2025-08-02", "2025-08-02": "signed 2024-06-13, in force since 2025-08-02"}},
		"California SB 53": {1e26, `§ 22757\.11\(i\)\(1\)`, map[string]string{
			"2025-09-28": "not signed before 2025-09-29", "2025-12-31": "signed 2025-09-29, not in force before 2026-01-01", "2026-01-01": "signed 2025-09-29, in force since 2026-01-01"}},
		"New York RAISE Act": {1e26, `General Business Law § 1420.*signed 2026-03-27`, map[string]string{
			"2025-12-18": "not signed before 2025-12-19", "2026-12-31": "signed 2025-12-19, not in force before 2027-01-01", "2027-01-01": "signed 2025-12-19, in force since 2027-01-01"}},
		"California SB 1047": {1e26, `§ 22602`, map[string]string{
			"2024-09-03": "not signed", "2024-09-29": "vetoed 2024-09-29", "2030-01-01": "vetoed 2024-09-29"}},
	}
	require.Len(t, thresholds(), len(want))
	for _, l := range thresholds() {
		require.Equal(t, want[l.Name].flop, l.FLOP, l.Name)
		require.Regexp(t, want[l.Name].section, l.Source, l.Name)
		for on, status := range want[l.Name].status {
			require.Equal(t, status, l.Status(day(on)), "%s on %s", l.Name, on)
		}
	}
}
