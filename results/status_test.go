package results

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAbsentFiguresHaveAStatus: whatever a record lacks, each figure of its
// summary has a value or a status with its reason.
func TestAbsentFiguresHaveAStatus(t *testing.T) {
	seen := map[FigureStatus]bool{}
	var check func(v reflect.Value)
	check = func(v reflect.Value) {
		if m, ok := v.Interface().(Figure); ok {
			seen[m.Status] = true
			require.Equal(t, m.Status == Known, m.Why == "", "%+v", m)
			if m.Value.IsAbsent() {
				require.NotEqual(t, Known, m.Status, "%+v", m)
			}
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for _, m := range membersOf(v.Type()) {
				check(v.FieldByIndex(m.index))
			}
		case reflect.Slice:
			for i := range v.Len() {
				check(v.Index(i))
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				check(v.MapIndex(k))
			}
		case reflect.Pointer:
			if !v.IsNil() {
				check(v.Elem())
			}
		}
	}
	for name, change := range map[string]func(r *Record){
		"all":      func(*Record) {},
		"no meter": func(r *Record) { r.Meters = nil },
		"part": func(r *Record) {
			for i := range r.Meters[0].Channels {
				r.Meters[0].Channels[i].Total = ""
			}
		},
		"no reading": func(r *Record) { r.Meters[0].Channels[0].Name = "other" },
		"no idle":    func(r *Record) { r.Runs[0].Status = Failed },
		"no trace of work": func(r *Record) {
			for i := range r.Runs {
				r.Runs[i].Traces = r.Runs[i].Traces[:1]
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.rounds = 1
			rec := w.record()
			change(rec)
			check(reflect.ValueOf(Derive(rec)))
		})
	}
	for _, s := range []FigureStatus{NoMeter, PartialMeter, NoReading, IdleScenario, NoIdle, CounterGap, NoInterval} {
		require.True(t, seen[s], s)
	}
}
