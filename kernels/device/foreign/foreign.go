// Package foreign binds the functions of a driver's shared library, which is
// found at run time. No cgo is needed, and a machine without the library is
// normal.
package foreign

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"unsafe"
)

// ErrAbsent is the error for a library that is not on this machine.
var ErrAbsent = errors.New("the library is not on this machine")

// Bind opens the first of paths that exists and sets the fields of functions, a
// pointer to a structure of function variables: each is the symbol that its tag
// c names. "a|b" is b in a library that has no a. A symbol that is missing leaves
// nil if the tag ends in ",optional", and is an error otherwise. The fields of an
// embedded structure are set too; a field without the tag is left alone.
func Bind(functions any, paths ...string) error {
	var handle uintptr
	var tried []string
	for _, path := range paths {
		h, err := open(path)
		if err == nil {
			handle = h
			break
		}
		// The dynamic linker has words and no code for a file that is not there.
		if !strings.Contains(err.Error(), "No such file") {
			return fmt.Errorf("load %s: %w", path, err)
		}
		tried = append(tried, path)
	}
	if handle == 0 {
		return fmt.Errorf("%s: %w", strings.Join(tried, ", "), ErrAbsent)
	}
	return bind(reflect.ValueOf(functions).Elem(), handle, paths[len(tried)])
}

// Paths lists where a library can be, for [Bind]: for each folder in turn, its
// files of one of names. An empty folder is wherever the dynamic linker looks. A
// folder is an absolute pattern of [filepath.Glob] and may have variables of the
// environment in it ("$CUDA_HOME/lib64"); it is left out if one is not set.
func Paths(names []string, folders ...string) (paths []string) {
	for _, folder := range folders {
		unset := false
		pattern := os.Expand(folder, func(name string) string {
			v := os.Getenv(name)
			unset = unset || v == ""
			return v
		})
		for _, name := range names {
			if folder == "" {
				paths = append(paths, name)
			} else if !unset && filepath.IsAbs(pattern) {
				found, _ := filepath.Glob(filepath.Join(pattern, name)) // the only error is of a pattern
				paths = append(paths, found...)
			}
		}
	}
	return paths
}

func bind(v reflect.Value, handle uintptr, path string) error {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		if field.Anonymous {
			if err := bind(v.Field(i), handle, path); err != nil {
				return err
			}
			continue
		}
		names, optional := strings.CutSuffix(field.Tag.Get("c"), ",optional")
		if names == "" {
			continue
		}
		var at uintptr
		var err error
		for name := range strings.SplitSeq(names, "|") {
			if at, err = symbol(handle, name); err == nil {
				break
			}
		}
		switch {
		case err == nil:
			register(v.Field(i).Addr().Interface(), at)
		case !optional:
			return fmt.Errorf("%s has no %s: %w", path, names, err)
		}
	}
	return nil
}

// String is the C string at p, or its first 1,024 bytes.
func String(p *byte) string {
	n := 0
	for p != nil && n < 1024 && *(*byte)(unsafe.Add(unsafe.Pointer(p), n)) != 0 {
		n++
	}
	return string(unsafe.Slice(p, n))
}

// Text is a C string that a function writes into a buffer of size bytes.
func Text(size int, fill func(buf *byte, size uintptr)) string {
	buf := make([]byte, size)
	fill(&buf[0], uintptr(size))
	text, _, _ := strings.Cut(string(buf), "\x00")
	return strings.TrimSpace(text)
}

// Arguments are the values of a kernel's parameters, each of one or more words of
// 64 bits, and pointers to them, as C takes them. They stay where they are until
// Release.
type Arguments struct {
	values   []uint64
	Pointers []unsafe.Pointer
	pin      runtime.Pinner
}

// Set replaces the values: 4 bytes of a value of 32 bits are its first 4. first has
// the index of each value's first word.
func (a *Arguments) Set(words []uint64, first []int) {
	a.pin.Unpin()
	a.values = append(a.values[:0], words...)
	a.Pointers = a.Pointers[:0]
	for _, i := range first {
		a.Pointers = append(a.Pointers, unsafe.Pointer(&a.values[i]))
	}
	if len(first) > 0 {
		a.pin.Pin(&a.values[0])
		a.pin.Pin(&a.Pointers[0])
	}
}

// Release lets the values go.
func (a *Arguments) Release() { a.pin.Unpin() }
