// Package perwatt holds the texts that ship with the program: its licence, and
// the notices of the works that are linked into it. A program that is copied
// without its source tree must still carry them, so it prints them itself. This
// package does nothing else.
package perwatt

import _ "embed" // the texts below

// License is the licence of perwatt, the Apache License 2.0.
//
//go:embed LICENSE
var License string

// Notice names every module, font and script linked into the program, with its
// version, its licence, its copyright notices and the text of that licence.
//
//go:embed NOTICE
var Notice string
