package devicetest

import (
	"fmt"

	"github.com/perwatt/perwatt/kernels/device"
	"github.com/perwatt/perwatt/kernels/sha256d"
)

// Scan holds a processor's scan to the known answers that every implementation
// is held to.
func Scan(p device.Processor) error {
	row, err := sha256d.Table.Pick(p.Info(), "")
	if err != nil {
		return err
	}
	scan, err := row.On(p)
	if err != nil {
		return err
	}
	if err := sha256d.Table.Check(scan); err != nil {
		return err
	}
	// Every digest meets this target: more hits than one launch can report.
	var job sha256d.Job
	all := sha256d.Target{}
	for i := range all {
		all[i] = 0xff
	}
	job.Set(new(sha256d.Header), &all)
	const n = 10_000
	hits := scan(nil, &job, 1<<32-n/2, n)
	for i, nonce := range hits {
		if want := uint32(1<<32 - n/2 + i); nonce != want {
			return fmt.Errorf("hit %d of %d is nonce %d, want %d", i, len(hits), nonce, want)
		}
	}
	if len(hits) != n {
		return fmt.Errorf("%d hits, want %d", len(hits), n)
	}
	return p.Sync()
}
