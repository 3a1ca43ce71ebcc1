package table

import (
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results"
)

var nan = results.Absent()

func TestQuantity(t *testing.T) {
	per := results.Unit.Per
	for _, c := range []struct {
		value results.Float
		unit  results.Unit
		want  string
	}{
		{0, results.Watt, "0 W"},
		{nan, results.Watt, "–"},
		{-3.25, results.Watt, "−3.250 W"},
		{-3250, results.Watt, "−3,250 W"},
		{0.0038, results.Watt, "3.800 mW"},
		{999.94, results.Watt, "999.9 W"},
		{999.96, results.Watt, "1,000 W"},
		{999.96e3, per(results.Hash, results.Second), "1.000 MH/s"},
		{-999.96e3, results.Joule, "−1.000 MJ"},
		{1e-30, results.Watt, "1.000×10⁻³⁰ W"},
		{1e30, results.Watt, "1.000×10³⁰ W"},
		{9.9999e-13, results.Joule, "1.000 pJ"},
		{9.9996, results.Watt, "10.00 W"},
		{1e-14, results.Joule, "0.01000 pJ"},
		{0.5, per(results.Hash, results.Second), "0.5000 H/s"},
		{1.2345e12, per(results.Hash, results.Second), "1.234 TH/s"}, // the double lies below the tie
		{1e21, per(results.Hash, results.Second), "1.000 ZH/s"},
		{1.73e-11, per(results.Joule, results.Hash), "17.30 J/TH"},
		{2e-5, per(results.Joule, results.Hash), "20.00 MJ/TH"},
		{1.2e-10, per(results.Joule, results.FLOP), "120.0 mJ/GFLOP"},
		{27.3e9, per(results.Byte, results.Second), "27.30 GB/s"},
		{1.1e9, per(results.Byte, results.Joule), "1.100 GB/J"},
		{9.1e-10, per(results.Joule, results.Byte), "910.0 mJ/GB"},
		{0.00545, per(results.Joule, results.Sample), "5.450 mJ/sample"},
		{48210, per(results.Sample, results.Second), "48.21 ksamples/s"},
		{2.345e12, per(results.FLOP, results.Second), "2.345 TFLOP/s"},
		{8.43e9, per(results.FLOP, results.Joule), "8.430 GFLOP/J"},
		{27900, per(results.Hash, results.Sample), "27.90 kH/sample"},
		{0.9731, results.Ratio, "97.31 %"},
		{1.5, results.Ratio, "150.0 %"},
		{1, results.Ratio, "100 %"},
		{0.62, results.Second, "620.0 ms"},
		{7200, results.Second, "7,200 s"},
		{412, results.Step, "412 steps"},
		{412.5, results.Step, "412.5 steps"},
		{2.8e9, results.Hertz, "2.800 GHz"},
		{12345678, "widget", "12.35 M widget"},
		{3, "J/widget", "3.000 J/widget"},
		{3, "", "3.000"},
		{1000, "widget", "1,000 widget"},
		{99_949, "widget", "99,950 widget"},
		{99_996, "widget", "100.0 k widget"},
		{194_986, "J/TH", "195.0 kJ/TH"},
		{18416.7, "MWh", "18.42 GWh"},
		{3.5e10, "node-hour", "35.00 bn node-hours"},
		{2.4, "year", "2.400 years"},
		{1.86e12, "%", "1,860 bn %"},
		{1e20, results.Ratio, "1.000×10²² %"},
		{1e6, results.Step, "1,000,000 steps"},
		{1e27, per(results.Hash, results.Second), "1.000×10²⁷ H/s"},

		{0, "$", "$0"},
		{nan, "$", "–"},
		{0.042, "$", "$0.0420"},
		{-0.042, "$", "−$0.0420"},
		{7.03e-5, "$", "$7.03×10⁻⁵"},
		{-7.03e-5, "$", "−$7.03×10⁻⁵"},
		{9.996, "$", "$10.0"},
		{1234, "$", "$1,230"},
		{9994, "$", "$9,990"},
		{9996, "$", "$10.0 k"},
		{-42_812, "$", "−$42.8 k"},
		{883_714_417, "$", "$884 M"},
		{1.186e9, "$", "$1.19 bn"},
		{999.6e6, "$", "$1.00 bn"},
		{1.2e14, "$", "$120,000 bn"},
		{1.2e15, "$", "$1.20×10¹⁵"},
		{1.2e6, "$/MW", "1.20 M $/MW"},
		{16_740, "$/MWh", "16,700 $/MWh"},
		{99_940, "$/MWh", "99,900 $/MWh"},
		{99_960, "$/MWh", "100 k $/MWh"},
		{-15.96, "$/MWh", "−16.0 $/MWh"},
		{0.001889, "$/1000 h", "0.00189 $/1000 h"},
		{7.03e-5, "$/1000 h", "7.03×10⁻⁵ $/1000 h"},
		{3, "\x1b[31m", "3.000 \uFFFD[31m"},
		{results.Float(math.Inf(1)), results.Watt, "∞ W"},
	} {
		require.Equal(t, c.want, Quantity(c.value, c.unit), "%v %s", float64(c.value), c.unit)
	}
}

func TestFigure(t *testing.T) {
	for _, c := range []struct {
		value, low, high results.Float
		unit             results.Unit
		origin           results.Origin
		want             string
	}{
		{12.3e6, 12.1e6, 12.5e6, "hash/s", "", "12.3 [12.1, 12.5] MH/s"},
		{3.8, nan, nan, "W", results.Modelled, "~3.800 W"},
		{3.8, nan, nan, "W", results.Declared, "~3.800 W"},
		{3.8, nan, nan, "W", results.Measured, "3.800 W"},
		{nan, nan, nan, "W", results.Modelled, "–"},
		{241.1, 240.2, 241.9, "W", results.Measured, "241.1 [240.2, 241.9] W"},
		{8.25, 6.3, 9.9, "W", results.Measured, "8.2 [6.3, 9.9] W"},      // never one digit alone
		{213.4, 190, 240, "W", results.Measured, "210 [190, 240] W"},     // known to tens
		{100, 100, 100, "W", results.Measured, "100.0 [100.0, 100.0] W"}, // all repeats alike
		{5, 5 - 1e-9, 5 + 1e-9, "W", results.Measured, "5.00000 [5.00000, 5.00000] W"},
		{0.01, -2, 3, "W", results.Measured, "0.0 [−2.0, 3.0] W"},        // the interval sets the prefix
		{0.001, -2.04, 2.04, "W", results.Measured, "0.0 [−2.0, 2.0] W"}, // never -0
		{-0.001, -2.04, 2.04, "W", results.Measured, "0.0 [−2.0, 2.0] W"},
		{0, 0, 0, "W", results.Measured, "0 [0, 0] W"},
		{1.33e-7, 2e-9, 8.88e-6, "J/hash", "", "133 [2, 8,880] kJ/TH"}, // wide, and yet not zero
		{-1.33e-7, -8.88e-6, -2e-9, "J/hash", "", "−133 [−8,880, −2] kJ/TH"},
		{1.88e9, 2.76e7, 1.27e11, "hash/s", "", "1.88 [0.03, 127.00] GH/s"},
		{3, 1e-9, 5, "W", "", "3.00000 [0.00000, 5.00000] W"}, // six digits at most
		{3, 2, 1e13, "W", "", "3.000 [2.000, 1.000×10¹³] W"},
		{0, -1, 1, "W", results.Measured, "0.0 [−1.0, 1.0] W"},
		{999.96, 999.4, 1000.6, "W", results.Measured, "1,000.0 [999.4, 1,000.6] W"},
		{2, 1.5, nan, "J/sample", results.Measured, "2.000 [1.500, ∞) J/sample"},
		{2, nan, 2.5, "W", results.Measured, "2.000 W"},
		{16_740, 16_738, 16_742, "$/MWh", "", "16,740 $/MWh"}, // no price is known to five digits
		{-6924.02, -6924.04, -6924.01, "$/MWh", results.Modelled, "~−6,924 $/MWh"},
		{0.010372, 0.010300, 0.010444, "$/MWh", "", "0.01037 [0.01030, 0.01044] $/MWh"},
		{1, nan, nan, results.Ratio, results.Modelled, "100 %"}, // the reference
		{1, nan, nan, results.Ratio, results.Measured, "100 %"},
		{1.0004, nan, nan, results.Ratio, results.Modelled, "~100.0 %"},
		{1, 0.98, 1.02, results.Ratio, results.Modelled, "~100 [98, 102] %"},
		{-42_812, -43_140, -42_490, "$", "", "−$42.8 k [−$43.1 k, −$42.5 k]"},
		{-42_812, -43_140, -42_490, "$", results.Modelled, "~−$42.8 k [−$43.1 k, −$42.5 k]"},
		{1.186e9, 1.184e9, 1.189e9, "$/MW", "", "1.186 bn [1.184 bn, 1.189 bn] $/MW"},
		{0.2, -120_000, 130_000, "$/MWh", "", "0 [−120 k, 130 k] $/MWh"},
		{64_312, 64_120, 64_500, "$/BTC", results.Measured, "64,300 [64,100, 64,500] $/BTC"},
		{1e-30, 0.9e-30, 1.1e-30, "W", results.Measured, "1.000×10⁻³⁰ [9.000×10⁻³¹, 1.100×10⁻³⁰] W"},
	} {
		m := results.Figure{Value: c.value, Low: c.low, High: c.high, Unit: c.unit, Provenance: results.Provenance{Origin: c.origin}}
		require.Equal(t, c.want, One(m), "%+v", c)
		value, interval := Split(m)
		require.Equal(t, strings.Fields(c.want)[0], strings.Fields(value)[0])
		require.Equal(t, strings.Contains(c.want, "["), interval != "")
	}
}

// What is printed is what is there, to the digits printed, for any figure.
func FuzzFigure(f *testing.F) {
	f.Add(12.3e6, 12.1e6, 12.5e6, "hash/s")
	f.Add(999.96, 999.0, 1001.0, "W")
	f.Add(0.0, -1.0, 1.0, "J/hash")
	f.Add(1e-30, math.NaN(), 1e300, "s")
	f.Add(math.MaxFloat64, -math.MaxFloat64, math.Inf(1), "1")
	factors := map[byte]float64{'p': 1e-12, 'n': 1e-9, 'm': 1e-3, 'k': 1e3, 'M': 1e6, 'G': 1e9, 'T': 1e12, 'P': 1e15, 'E': 1e18, 'Z': 1e21}
	f.Fuzz(func(t *testing.T, v, lo, hi float64, unit string) {
		m := results.Figure{Value: results.Float(v), Low: results.Float(lo), High: results.Float(hi), Unit: results.Unit(unit)}
		out := One(m)
		require.LessOrEqual(t, len(out), 4*24+100)
		if unit != "W" || math.IsNaN(v) || math.IsInf(v, 0) {
			return
		}
		value, _ := Split(m)
		number, symbol, ok := strings.Cut(value, " ")
		require.True(t, ok)
		got, err := strconv.ParseFloat(strings.NewReplacer("−", "-", ",", "").Replace(number), 64)
		require.NoError(t, err)
		if p := strings.TrimSuffix(symbol, "W"); p == "µ" {
			got *= 1e-6
		} else if p != "" {
			got *= factors[p[0]]
		}
		slack := 0.06 * math.Abs(v) // two digits at least
		if hi-lo > math.Abs(v) || math.IsInf(hi-lo, 0) {
			slack = math.Inf(1)
		}
		require.LessOrEqual(t, math.Abs(got-v), slack, out)
	})
}
