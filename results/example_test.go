package results_test

import (
	"bytes"
	"fmt"
	"os"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/resultstest"
)

// Read a record, derive its figures from the traces, and print the work per
// joule of mining, in SI units, with its interval and the origin of its watts.
func Example() {
	file, err := results.Seal(resultstest.Session(resultstest.Server("node7", 1), 0, 6, 1))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	rec, err := results.Read(bytes.NewReader(file), "node7.json")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	for _, row := range results.Derive(rec).Rows {
		if m := row.Metrics[results.WorkPerEnergy]; row.Use == "mining" && m.Status == results.Known {
			fmt.Printf("%s: %.4g %s, 95 %% interval %.4g to %.4g, %s at the %s, grade %s\n",
				row.Scenario, m.Value, m.Unit, m.Low, m.High, m.Origin, m.Boundary, m.Grade)
		}
	}
	// Output:
	// mining: 5.11e+06 hash/J, 95 % interval 5.096e+06 to 5.123e+06, measured at the wall, grade C
	// mullet: 1.509e+05 hash/J, 95 % interval 1.507e+05 to 1.512e+05, measured at the wall, grade C
}
