//go:build (linux || darwin) && (amd64 || arm64)

package foreign

import "github.com/ebitengine/purego"

func open(path string) (uintptr, error) {
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
}

func symbol(handle uintptr, name string) (uintptr, error) { return purego.Dlsym(handle, name) }

func register(function any, at uintptr) { purego.RegisterFunc(function, at) }
