//go:build amd64 || arm64

package nvml

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"

	"github.com/ebitengine/purego"

	"github.com/perwatt/perwatt/harness/power"
)

// load binds the functions of the library at path. What it lacks stays nil.
func load(path string) (*library, error) {
	// The linker keeps its error for the thread that called (dlerror(3)): on another
	// a library that is not there fails without a word, and is not known as absent.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		// The dynamic linker has words and no code for a file that is not there.
		if strings.Contains(err.Error(), "No such file") {
			return nil, fmt.Errorf("%w: %w", err, power.ErrAbsent)
		}
		return nil, fmt.Errorf("load the library: %w", err)
	}
	l := &library{}
	for i, v := 0, reflect.ValueOf(l).Elem(); i < v.NumField(); i++ {
		name := v.Type().Field(i).Tag.Get("nvml")
		symbol, err := purego.Dlsym(handle, name)
		switch {
		case err == nil:
			purego.RegisterFunc(v.Field(i).Addr().Interface(), symbol)
		case i < needed:
			return nil, fmt.Errorf("%s has no %s: it is older than the driver 319 of 2013, or something else: %w", path, name, err)
		}
	}
	return l, nil
}
