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
		{-3250, results.Watt, "−3\u202f250 W"},
		{0.0038, results.Watt, "3.800 mW"},
		{999.94, results.Watt, "999.9 W"},
		{999.96, results.Watt, "1\u202f000 W"},
		{999.96e3, per(results.Hash, results.Second), "1.000 MH/s"},
		{-999.96e3, results.Joule, "−1.000 MJ"},
		{1e-30, results.Watt, "1.000e−30 W"},
		{1e30, results.Watt, "1.000e+30 W"},
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
		{0.62, results.Second, "620.0 ms"},
		{7200, results.Second, "7\u202f200 s"},
		{412, results.Step, "412 steps"},
		{412.5, results.Step, "412.5 steps"},
		{2.8e9, results.Hertz, "2.800 GHz"},
		{12345678, "widget", "12\u202f350\u202f000 widget"},
		{3, "J/widget", "3.000 J/widget"},
		{3, "", "3.000"},
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
		{1.33e-7, 2e-9, 8.88e-6, "J/hash", "", "133 [2, 8\u202f880] kJ/TH"}, // wide, and yet not zero
		{-1.33e-7, -8.88e-6, -2e-9, "J/hash", "", "−133 [−8\u202f880, −2] kJ/TH"},
		{1.88e9, 2.76e7, 1.27e11, "hash/s", "", "1.88 [0.03, 127.00] GH/s"},
		{3, 1e-9, 5, "W", "", "3.00000 [0.00000, 5.00000] W"}, // six digits at most
		{3, 2, 1e13, "W", "", "3.000e+00 [2.000e+00, 1.000e+13] W"},
		{0, -1, 1, "W", results.Measured, "0.0 [−1.0, 1.0] W"},
		{999.96, 999.4, 1000.6, "W", results.Measured, "1\u202f000.0 [999.4, 1\u202f000.6] W"},
		{2, 1.5, nan, "J/sample", results.Measured, "2.000 [1.500, ∞) J/sample"},
		{2, nan, 2.5, "W", results.Measured, "2.000 W"},
		{1e-30, 0.9e-30, 1.1e-30, "W", results.Measured, "1.000e−30 [9.000e−31, 1.100e−30] W"},
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
		got, err := strconv.ParseFloat(strings.NewReplacer("−", "-", string(results.ThinSpace), "").Replace(number), 64)
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
