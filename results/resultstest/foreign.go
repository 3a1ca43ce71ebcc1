package resultstest

import (
	"reflect"
	"regexp"
	"time"

	"github.com/perwatt/perwatt/results"
)

// Hostile is text of a stranger with whatever a terminal, a log of CI, a
// spreadsheet, a browser or a reader takes for more than text: titles, clearing
// and colours of a terminal, 8-bit controls, bidi overrides, marks that do not
// show, ends of lines, commands of workflows, formulas, tags, links.
const Hostile = "=cmd|'/C calc'!A0\n::error title=x::forged\r\n ::stop-commands::x\n##[group]x ##vso[task.complete]x ##teamcity[message]\u2028::notice::x\u0085::warning::x" +
	"\x00\x07\x08\x0b\x0c\x7f\x1b]0;title\x07\x1b]8;;http://x.example\x1b\\\x1b[2J\x1b[31m\x1bc\u009b2J\u009d0;x\u009c\u0090" +
	"\u202e\u2066\u200b\u200d\u200e\u2029\ufeff\u00ad\U000E0041\ufff9\ue000\U0010ffff\xff\xc3(\xed\xa0\x80" +
	"%0A::error::x%0D%3A, </style></svg></script><script>alert(1)</script>\"'><img src=x onerror=alert(2)><a href=\"javascript:alert(3)\">" +
	"{{.}}|`]](http://x.example)![x](http://x.example) @all #1 \\ \t end"

// Texts walks a value and replaces every string in it that may be any text; at
// says where the string stands, as .Meters.Channels.Name.
func Texts(v any, replace func(at, s string) string) { texts(reflect.ValueOf(v), "", replace) }

func texts(v reflect.Value, at string, f func(at, s string) string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			texts(v.Elem(), at, f)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type() != reflect.TypeFor[time.Time]() && v.Type() != reflect.TypeFor[results.SelfReported]() && v.Type().Field(i).IsExported() {
				texts(v.Field(i), at+"."+v.Type().Field(i).Name, f)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			texts(v.Index(i), at, f)
		}
	case reflect.Map:
		old := v.MapKeys()
		for _, k := range old {
			e := reflect.New(v.Type().Elem()).Elem()
			e.Set(v.MapIndex(k))
			texts(e, at+"[]", f)
			v.SetMapIndex(k, reflect.Value{})
			v.SetMapIndex(reflect.ValueOf(f(at+"[key]", k.String())), e)
		}
	case reflect.String:
		if t := v.Type(); t == reflect.TypeFor[string]() || t == reflect.TypeFor[results.Unit]() {
			v.SetString(f(at, v.String()))
		}
	}
}

// arithmetic are the texts of a record by which it is reckoned with.
var arithmetic = regexp.MustCompile(`^\.(ID|Node\.Devices\.ID|Kernels\.Device|Runs\.(Uses|Checks)\.(Use|Device)|Runs\.Uses\.Params\[key\]|Runs\.Phases\.Name|Runs\.Traces\.Key\.\w+)$|\.Unit$|^\.Digest|\.Metrics\[key\]$`)

// Plant puts foreign text, by where it stands, behind every text of a record
// but those by which it is reckoned with.
func Plant(rec *results.Record, text func(at string) string) {
	Texts(rec, func(at, s string) string {
		if arithmetic.MatchString(at) {
			return s
		}
		return s + text(at)
	})
	for r := range rec.Runs {
		for t := range rec.Runs[r].Traces {
			if key := &rec.Runs[r].Traces[t].Key; key.Kind == results.TraceMeter {
				*key = results.MeterKey(rec.Meters[0].Name, rec.Meters[0].Channels[0].Name)
			}
		}
	}
}
