package power_test

import (
	"context"
	"fmt"

	"github.com/perwatt/perwatt/harness/power"
	"github.com/perwatt/perwatt/harness/power/declared"
	"github.com/perwatt/perwatt/results"
)

// Open a meter by its specification, as --meter names it, and read it. Each
// reading belongs to the channel at the same place, which says what the watts
// include and how they came about.
func Example() {
	spec, err := power.ParseSpec("declared:350,boundary=psu", declared.Options)
	if err != nil {
		panic(err)
	}
	m, err := declared.Open(spec)
	if err != nil {
		panic(err)
	}
	defer m.Close()
	readings, err := m.Read(context.Background())
	if err != nil {
		panic(err)
	}
	for i, c := range m.Info().Channels {
		if r := readings[i]; r.Err == nil {
			fmt.Printf("%s reads %v %s at the %s, %s\n", m.Info().Name, r.Value, c.Unit, c.Boundary, c.Origin)
		}
	}
	fmt.Println(m.Info().Channels[0].Total == results.PSU)
	// Output:
	// declared reads 350 W at the psu, declared
	// true
}
