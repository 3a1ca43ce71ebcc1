//go:build (linux || darwin) && (amd64 || arm64)

package foreign

import (
	"runtime"

	"github.com/ebitengine/purego"
)

// open loads a library. The linker keeps its error for the thread that called
// (dlerror(3)): on another one a library that is not there fails without a word.
func open(path string) (uintptr, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func symbol(handle uintptr, name string) (uintptr, error) { return purego.Dlsym(handle, name) }

func register(function any, at uintptr) { purego.RegisterFunc(function, at) }
