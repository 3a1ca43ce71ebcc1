//go:build !(linux && (amd64 || arm64))

package nvml

import (
	"fmt"
	"runtime"

	"github.com/perwatt/perwatt/harness/power"
)

func load(string) (*library, error) {
	return nil, fmt.Errorf("not read on %s/%s: %w", runtime.GOOS, runtime.GOARCH, power.ErrAbsent)
}
