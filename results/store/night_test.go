//go:build unix

package store_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/results/report"
	"github.com/perwatt/perwatt/results/serve"
	"github.com/perwatt/perwatt/results/store"
	"github.com/perwatt/perwatt/results/track"
)

// BenchmarkNight judges one night of five years of 10 to 1,000 groups of 20
// series and their ratios to the control, the night before having been judged,
// and makes the overview. Filling the largest index takes eight minutes
// and 3 GB.
func BenchmarkNight(b *testing.B) {
	const nights = 5 * 365
	noon := track.Calendar{Begin: 12}
	open := func(b *testing.B, groups, nights int) (*store.Index, int) {
		dir := b.TempDir()
		_, err := store.Open(dir)
		require.NoError(b, err)
		x, err := store.OpenIndex(b.Context(), dir)
		require.NoError(b, err)
		b.Cleanup(func() { x.Close() })
		_, err = x.Fill(groups, 20, nights)
		require.NoError(b, err)
		last := time.Time{}
		for h, err := range x.Records(b.Context(), store.Filter{Group: "g0000"}) {
			require.NoError(b, err)
			last = h.Start
		}
		return x, noon.Night(last)
	}

	// What is kept of series in which nothing was found, of a store as small
	// as can be.
	small, night := open(b, 1, 10)
	_, err := track.Now(b.Context(), small, track.Options{Calendar: noon, Night: night}, nil)
	require.NoError(b, err)
	found, err := small.Kept(b.Context(), "g0000", store.Filter{})
	require.NoError(b, err)
	nothing := ""
	for _, k := range found {
		nothing = k.Text
	}
	require.NotEmpty(b, nothing)

	for _, groups := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint("groups=", groups), func(b *testing.B) {
			x, night := open(b, groups, nights)
			before := noon.Begins(night)
			kept := map[store.Key]store.Kept{}
			for g := range groups {
				for s, err := range x.Series(b.Context(), store.Filter{Group: fmt.Sprintf("g%04d", g), Since: before}) {
					require.NoError(b, err)
					if !strings.HasPrefix(s.Metric, "relative") {
						kept[s.Key] = store.Kept{Before: before, Text: nothing}
					}
				}
			}
			require.Len(b, kept, 20*groups)
			b.Run("track", func(b *testing.B) {
				for b.Loop() {
					b.StopTimer()
					require.NoError(b, x.Keep(b.Context(), store.Filter{}, kept))
					b.StartTimer()
					r, err := track.Now(b.Context(), x, track.Options{Calendar: noon, Night: night}, nil)
					require.NoError(b, err)
					require.Len(b, r.Groups, groups)
				}
				b.ReportMetric(float64(20*groups)*float64(b.N)/b.Elapsed().Seconds(), "series/s")
				if size, err := os.Stat(x.Place()); err == nil {
					b.ReportMetric(float64(size.Size())/1e6, "MB")
				}
			})
			// As perwatt track -o writes it, of what is found.
			b.Run("overview", func(b *testing.B) {
				t := report.Tracking{Calendar: noon, Night: night}
				r, err := track.Now(b.Context(), x, track.Options{Calendar: noon, Night: night}, t.Add)
				require.NoError(b, err)
				t.Report = r
				var page bytes.Buffer
				for b.Loop() {
					page.Reset()
					require.NoError(b, t.WriteOverview(&page))
				}
				b.ReportMetric(float64(page.Len())/1e6, "MB")
				if file := os.Getenv("PERWATT_WRITE_OVERVIEW"); file != "" {
					require.NoError(b, os.WriteFile(file, page.Bytes(), 0o644))
				}
			})
			// As perwatt serve answers, at first and when nothing changed since.
			ask := func(b *testing.B, s *serve.Server) {
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://localhost/", nil))
				require.Equal(b, http.StatusOK, w.Code, "%.200s", w.Body)
			}
			serving := func() *serve.Server {
				s := serve.New(x)
				s.Now = func() time.Time { return before.Add(23 * time.Hour) }
				return s
			}
			b.Run("serve/first", func(b *testing.B) {
				for b.Loop() {
					ask(b, serving())
				}
			})
			b.Run("serve/again", func(b *testing.B) {
				s := serving()
				ask(b, s)
				for b.Loop() {
					ask(b, s)
				}
			})
		})
	}
}
