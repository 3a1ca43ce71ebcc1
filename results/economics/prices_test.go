package economics

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write golden files again")

func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile("testdata/"+name, []byte(got), 0o666))
	}
	want, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "go test -update writes testdata/%s again", name)
}

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func mustParse(t *testing.T, rows ...string) *Prices {
	t.Helper()
	p, err := Parse(strings.NewReader("key,value,unit,as_of,source,note,low,high\n"+strings.Join(rows, "\n")), day("2026-02-01"))
	require.NoError(t, err)
	return p
}

func TestExample(t *testing.T) {
	golden(t, "example.csv", Example())
	p, err := Parse(strings.NewReader(Example()), day("2026-01-01"))
	require.NoError(t, err)
	for _, x := range p.Sheet {
		require.True(t, x.Source == "example" || strings.HasPrefix(x.Source, "Bitcoin consensus"), "%s: no source is invented", x.Key)
	}
	for _, k := range keys {
		require.Contains(t, Example(), k.Name)
		require.Positive(t, k.Fresh, k.Name)
		require.Less(t, k.Min, k.Max, k.Name)
		require.NotEmpty(t, k.Help, k.Name)
	}
	warnings := p.Warnings(day("2026-01-01"))
	require.Len(t, warnings, 1, "a fresh example has one warning")
	require.Equal(t, "example-price", warnings[0].Code)
	old, _ := p.faults(day("2027-01-02"))
	require.Len(t, old, len(p.Sheet)-1, "after a year all but the subsidy are old")
}

func TestUnits(t *testing.T) {
	p := mustParse(t,
		"power_price,50,$/MWh,2026-02-01,contract,,40,70",
		"mining_operations,0.05,$/kWh,2026-02-01,contract,,,",
		"hashprice,39.53,$/PH/day,2026-01-12,Luxor,,,",
		"network_difficulty,146470000000000,1,2026-01-12,node,,,",
		"pool_fee,2,%,2026-01-12,contract,,,",
		"marketplace_fee,0.02,1,2026-01-12,contract,,,",
		"training_price.mlp,2,$/million samples,2026-01-12,contract,,,",
		"asic_price.antminer-s21,15,$/TH,2026-01-12,quote,,,",
		"training_capex,8,$/W,2026-01-12,quote,,,",
		"colocation_price,130,$/kW/month,2026-01-31T23:00:00-05:00,lease,,,",
	)
	for key, want := range map[string]float64{
		"power_price": 50 / 3.6e9, "mining_operations": 50 / 3.6e9, "hashprice": 39.53 / 86400e15, "network_difficulty": 146.47e12,
		"pool_fee": 0.02, "marketplace_fee": 0.02, "training_price.mlp": 2e-6, "asic_price.antminer-s21": 15e-12, "training_capex": 8, "colocation_price": 0.13 / 2628000,
	} {
		x, ok := p.Find(key)
		require.True(t, ok, key)
		require.InEpsilon(t, want, x.SI, 1e-12, key)
	}
	x, _ := p.Find("power_price")
	require.Equal(t, []float64{40, 70}, []float64{x.Low, x.High})
	x, _ = p.Find("pool_fee")
	require.True(t, math.IsNaN(x.Low))

	own, ok := p.Find("asic_price", "Antminer S21")
	require.True(t, ok)
	require.Equal(t, "asic_price.antminer-s21", own.Key)
	_, ok = p.Find("asic_price", "Avalon")
	require.False(t, ok, "the price of one machine is not that of another")
}

func TestAge(t *testing.T) {
	p := mustParse(t, "bitcoin_price,90000,$/BTC,2026-01-12,exchange,,,").Sheet[0]
	require.Equal(t, 2, p.Age(day("2026-01-14")))
	require.False(t, p.Old(day("2026-01-14")), "fresh for two days")
	require.True(t, p.Old(day("2026-01-15")))
	require.Equal(t, -1, p.Age(day("2026-01-11")))
	require.Equal(t, 1, p.Age(time.Date(2026, 1, 13, 0, 30, 0, 0, time.FixedZone("", 14*3600))), "a day is one of the calendar where it is read")
}

func TestSheetErrors(t *testing.T) {
	const head = "key,value,unit,as_of,source,note\n"
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "the file is empty: write the header key,value,unit"},
		{"only comments", "# nothing\n", "the file is empty"},
		{"only a header", head, "holds no price: perwatt prices --example"},
		{"another header", "a,b\n1,2\n", `line 1: the header is "a,b"`},
		{"unknown key", head + "power,50,$/MWh,2026-01-12,x,\n", "line 2: power: unknown key: did you mean power_price"},
		{"unknown key, nothing near", head + "\n\nxyz,50,$/MWh,2026-01-12,x,\n", "line 4: xyz: unknown key: perwatt prices --example"},
		{"unit", head + "power_price,50,EUR/MWh,2026-01-12,x,\n", `power_price: the unit is "EUR/MWh": must be $/MWh, $/kWh`},
		{"no unit", head + "power_price,50,,2026-01-12,x,\n", `the unit is ""`},
		{"thousands", head + `bitcoin_price,"90,000",$/BTC,2026-01-12,x,` + "\n", `value "90,000": write a plain decimal number`},
		{"currency", head + "bitcoin_price,$90000,$/BTC,2026-01-12,x,\n", "write a plain decimal number"},
		{"hex", head + "bitcoin_price,0x10,$/BTC,2026-01-12,x,\n", "write a plain decimal number"},
		{"not a number", head + "bitcoin_price,NaN,$/BTC,2026-01-12,x,\n", "write a plain decimal number"},
		{"infinite", head + "bitcoin_price,1e999,$/BTC,2026-01-12,x,\n", "too large"},
		{"empty value", head + "bitcoin_price,,$/BTC,2026-01-12,x,\n", "write a plain decimal number"},
		{"below the range", head + "pue_mining,0.9,1,2026-01-12,x,\n", `pue_mining: value "0.9": must be from 1 to 3`},
		{"a share as a percentage", head + "mining_uptime,95,1,2026-01-12,x,\n", "must be from 1 to 100 %"},
		{"a price per kWh as one per MWh", head + "power_price,50,$/kWh,2026-01-12,x,\n", "must be from -1000 to 10000 $/MWh"},
		{"day of another kind", head + "pool_fee,2,%,12.01.2026,x,\n", `as_of "12.01.2026": write the day as 2006-01-02`},
		{"no such day", head + "pool_fee,2,%,2026-02-30,x,\n", "write the day as"},
		{"day ahead", head + "pool_fee,2,%,2026-02-02,x,\n", "as_of 2026-02-02 is after 2026-02-01"},
		{"day before bitcoin", head + "pool_fee,2,%,1970-01-01,x,\n", "older than bitcoin"},
		{"no source", head + "pool_fee,2,%,2026-01-12, ,\n", "it has no source"},
		{"twice", head + "pool_fee,2,%,2026-01-12,x,\npool_fee,3,%,2026-01-12,x,\n", "line 3: pool_fee: duplicate of line 2"},
		{"fields", head + "pool_fee,2,%,2026-01-12,x\n", "pool_fee: 5 fields, the header has 6"},
		{"quotes", head + `pool_fee,2,%,2026-01-12,"x,` + "\n", "line 2"},
		{"a name where there is none", head + "power_price.site,50,$/MWh,2026-01-12,x,\n", "power_price takes no name: remove .site"},
		{"a name that is no slug", head + "training_price.My CNN,1,$/sample,2026-01-12,x,\n", "the workload after the dot must be in lower-case letters, digits and hyphens, such as my-cnn"},
		{"an empty name", head + "training_price.,1,$/sample,2026-01-12,x,\n", "such as mlp"},
		{"escape", head + "pool_fee,2,%,2026-01-12,x\x1b[31m,\n", "source has unprintable characters"},
		{"not UTF-8", head + "pool_fee,2,%,2026-01-12,x,\xff\n", "note has unprintable characters"},
		{"long", head + "pool_fee,2,%,2026-01-12," + strings.Repeat("x", 501) + ",\n", "source has 501 bytes: at most 500"},
		{"rows", head + strings.Repeat("pool_fee,2,%,2026-01-12,x,\n", 1) + strings.Repeat("#\n", 3000) + "x", "fields"},
		{"range", strings.TrimSpace(head) + ",low,high\npool_fee,2,%,2026-01-12,x,,3,4\n", "low 3 and high 4 must enclose the value 2"},
		{"half a range", strings.TrimSpace(head) + ",low,high\npool_fee,2,%,2026-01-12,x,,1,\n", `high "": write a plain`},
		{"large", head + strings.Repeat("#", maxSheet), "larger than 1048576 bytes"},
	} {
		_, err := Parse(strings.NewReader(c.in), day("2026-02-01"))
		require.ErrorContains(t, err, c.want, c.name)
		require.NotContains(t, err.Error(), "\x1b", c.name)
	}
	_, err := Parse(iotest.ErrReader(errors.New("disk")), day("2026-02-01"))
	require.ErrorContains(t, err, "disk")

	_, err = Parse(strings.NewReader(head+"a,1,1,1,1,1\nb,1,1,1,1,1\n"), day("2026-02-01"))
	require.ErrorContains(t, err, "line 2: a:")
	require.ErrorContains(t, err, "line 3: b:", "all that is wrong is said at once")
	_, err = Parse(strings.NewReader(head+strings.Repeat("a,1,1,1,1,1\n", 500)), day("2026-02-01"))
	require.Len(t, strings.Split(err.Error(), "\n"), maxErrors, "and no more than can be read")
}

func TestSpreadsheetsCSV(t *testing.T) {
	p, err := Parse(strings.NewReader("\ufeffkey,value,unit,as_of,source,note\r\npool_fee,2,%,2026-01-12,\"a \"\"pool\"\"\",\"one, two\"\r\n"), day("2026-02-01"))
	require.NoError(t, err)
	require.Equal(t, `a "pool"`, p.Sheet[0].Source)
	require.Equal(t, "one, two", p.Sheet[0].Note)
	require.Equal(t, 2, p.Sheet[0].Line)
}

func TestSlug(t *testing.T) {
	for in, want := range map[string]string{"Antminer S21 XP": "antminer-s21-xp", "  a/../b ": "a-b", "": "", "***": "", "mlp_2": "mlp_2", "ÄÖ 7": "äö-7"} {
		require.Equal(t, want, slug(in))
		require.Equal(t, want, slug(want), "a slug is its own")
	}
}

// What is accepted is within its limits, evaluates, and is old by the calendar.
func FuzzParse(f *testing.F) {
	f.Add([]byte(Example()))
	f.Add([]byte("key,value,unit,as_of,source,note,low,high\npower_price,-3,$/MWh,2026-01-12,x,,-5,9\n"))
	f.Add([]byte("key,value,unit,as_of,source,note\n\"a\nb\",,,,,\n"))
	f.Add([]byte("\ufeffkey,value,unit,as_of,source,note\r\ntraining_price.mlp,1,$/sample,2026-01-12T00:00:00Z,x,\r\n"))
	on := day("2026-02-01")
	f.Fuzz(func(t *testing.T, in []byte) {
		p, err := Parse(bytes.NewReader(in), on)
		if err != nil {
			require.Contains(t, err.Error(), "prices: ")
			return
		}
		seen := map[string]bool{}
		for _, x := range p.Sheet {
			require.False(t, seen[x.Key], "no key twice")
			seen[x.Key] = true
			k := x.key()
			require.NotEmpty(t, k.Name)
			v := x.SI / k.Units[0].Factor
			require.True(t, v >= k.Min-1e-9*math.Abs(k.Min) && v <= k.Max+1e-9*math.Abs(k.Max), "%s %v", x.Key, v)
			require.GreaterOrEqual(t, x.Age(on), 0)
		}
		evaluates(t, *p, on)
	})
}

// A sheet is read as spreadsheets save it, or refused with the remedy.
func TestSheetsOfSpreadsheets(t *testing.T) {
	const plain = "key,value,unit,as_of,source,note\npower_price,62.5,$/MWh,2026-01-12,contract,\ngpu_hour_price,2.60,$/GPU-hour,2026-01-12,quote,\nbitcoin_price,98765,$/BTC,2026-01-12,exchange,day's mean\n"
	want, err := Parse(strings.NewReader(plain), day("2026-02-01"))
	require.NoError(t, err)
	swap := func(s string, pairs ...string) string { return strings.NewReplacer(pairs...).Replace(s) }
	german := swap(plain, ",", ";", "62.5", "62,5", "2.60", "2,60")
	utf16 := func(s string, big bool) string {
		var out strings.Builder
		for _, r := range "\ufeff" + s {
			if b := [2]byte{byte(r), byte(r >> 8)}; big {
				out.WriteString(string([]byte{b[1], b[0]}))
			} else {
				out.WriteString(string(b[:]))
			}
		}
		return out.String()
	}
	for name, text := range map[string]string{
		"a byte order mark":           "\ufeff" + plain,
		"two, of joined files":        "\ufeff\ufeff" + plain,
		"a mark before a quoted head": "\ufeff" + swap(plain, "key,", "\"key\","),
		"CRLF":                        "\ufeff" + swap(plain, "\n", "\r\n"),
		"UTF-16, little end first":    utf16(swap(plain, "\n", "\r\n"), false),
		"UTF-16, big end first":       utf16(plain, true),
		"Unicode text of Excel":       utf16(swap(plain, ",", "\t", "\n", "\r\n"), false),
		"Excel in German":             "\ufeff" + swap(german, "\n", "\r\n"),
		"German, in UTF-16":           utf16(german, false),
		"padded by Excel":             swap(plain, "note\n", "note,,\n\n,,,,,,,\n", "contract,", "contract,,,"),
		"zero-width characters":       swap(plain, "key", "\u200bkey\u200d", "power_price", "power_price\u200b"),
		"spaces that do not break":    swap(plain, "value", "\u00a0value\u00a0", "$/MWh", "$/MWh\u00a0"),
		"comments before the head":    "# a; b, c\n\n" + german,
	} {
		got, err := Parse(strings.NewReader(text), day("2026-02-01"))
		require.NoError(t, err, name)
		require.Len(t, got.Sheet, len(want.Sheet), name)
		for i, x := range got.Sheet {
			require.Equal(t, []any{want.Sheet[i].Key, want.Sheet[i].Value, want.Sheet[i].SI, want.Sheet[i].Unit, want.Sheet[i].Source, want.Sheet[i].Note}, []any{x.Key, x.Value, x.SI, x.Unit, x.Source, x.Note}, name)
		}
	}
	for name, c := range map[string]struct{ text, says string }{
		"thousands or a fraction":  {swap(german, "98765", "98,765"), "could be before a fraction or part thousands: write a point"},
		"both":                     {swap(german, "98765", "98.765,00"), "write a plain decimal number"},
		"thousands, quoted":        {swap(plain, "98765", "\"98,765\""), "write a plain decimal number"},
		"a German day":             {swap(german, "2026-01-12", "12.01.2026"), "write the day as 2006-01-02"},
		"a code page":              {swap(plain, "day's", "Tag\xfcber"), "save as CSV UTF-8"},
		"a character within a key": {swap(plain, "power_price", "power\u200b_price"), "unprintable characters"},
		"a mark within the sheet":  {plain + "\ufeff" + plain, "unknown key"},
		"the wrong head":           {swap(german, "value", "wert"), "write key,value,unit,as_of,source,note"},
	} {
		_, err := Parse(strings.NewReader(c.text), day("2026-02-01"))
		require.ErrorContains(t, err, c.says, name)
	}
	h, err := ParseHours(strings.NewReader(utf16("time;price [$/MWh]\r\n2026-01-01T00:00:00Z;40,5\r\n2026-01-01T01:00:00Z;-2\r\n", false)))
	require.NoError(t, err)
	require.InEpsilon(t, 40.5/MWh, h.Prices[0], 1e-12)
}
