// Package perwatt holds the texts that ship with the program: its licence, and
// the notices of the works that are linked into it. A program that is copied
// without its source tree must still carry them, so it prints them itself. This
// package does nothing else.
package perwatt

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the texts below
	"io"
)

// License is the licence of perwatt, the Apache License 2.0.
//
//go:embed LICENSE
var License string

// The file NOTICE, of which the program carries a sixth this way.
//
//go:embed NOTICE.gz
var compressed []byte

// Notice names every module, font and script linked into the program, with its
// version, its licence, its copyright notices and the text of that licence.
func Notice() string {
	from, err := gzip.NewReader(bytes.NewReader(compressed))
	var text []byte
	if err == nil {
		text, err = io.ReadAll(from)
	}
	if err != nil { // it is part of this program
		panic(err)
	}
	return string(text)
}
