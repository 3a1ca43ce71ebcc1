// Package schema holds the JSON Schema (draft 2020-12) of a record, for those
// who write or read records without this module. It says exactly what is
// written here and leaves room for members that are not known yet.
//
// It validates nothing itself: what a reader here insists on is in package
// results. What no schema can say (columns of equal length, rising times,
// the digest) is there too.
package schema

import (
	"bytes"
	_ "embed"
)

//go:embed record.schema.json
var record []byte

// Record returns the schema of a record of the current version.
func Record() []byte { return bytes.Clone(record) }
