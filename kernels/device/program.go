package device

import (
	_ "embed" // dialect.h
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

//go:embed dialect.h
var dialect string

// Program is kernels in every form that a driver takes. They are written once,
// in the words of dialect.h, and compiled by clang.sh.
type Program struct {
	Name   string
	Source string          // OpenCL C 1.2; empty for kernels that need one vendor's instructions
	Code   map[string]Code // by architecture: PTX for sm_80, an AMD code object for gfx942
}

// Code is PTX or a code object, compressed by zstd: all of them are a tenth of the
// program otherwise, and a machine needs those of one architecture.
type Code []byte

// Text returns the code as a driver takes it.
func (c Code) Text() string {
	from, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	var text []byte
	if err == nil {
		defer from.Close()
		text, err = from.DecodeAll(c, nil)
	}
	if err != nil { // it is part of this program
		panic(err)
	}
	return string(text)
}

// NewProgram finds the forms of a program among files: NAME.cl,
// NAME.sm_80.ptx.zst, NAME.gfx942.co.zst. The files are part of this program, so that it panics if there
// are none.
func NewProgram(files fs.FS, name string) *Program {
	p := &Program{Name: name, Code: map[string]Code{}}
	list, err := fs.Glob(files, name+".*")
	for _, file := range list {
		text, failed := fs.ReadFile(files, file)
		if err == nil {
			err = failed
		}
		switch path.Ext(file) {
		case ".cl":
			p.Source = dialect + "\n" + include(files, string(text))
		case ".zst":
			p.Code[strings.Split(file, ".")[1]] = text
		}
	}
	if err != nil || len(list) == 0 {
		panic(fmt.Sprintf("program %s: %d files, %v", name, len(list), err))
	}
	return p
}

var included = regexp.MustCompile(`(?m)^#include "(.+)"$`)

// include puts the files that a source includes in their places, since drivers
// take a source as one text.
func include(files fs.FS, text string) string {
	return included.ReplaceAllStringFunc(text, func(line string) string {
		file, err := fs.ReadFile(files, included.FindStringSubmatch(line)[1])
		if err != nil {
			panic(err)
		}
		return include(files, string(file))
	})
}

// For returns the newest code that runs on an architecture: its own, or PTX for
// an older one. PTX for sm_90a runs on sm_90 alone.
func (p *Program) For(arch string) (code string, ok bool) {
	for _, name := range []string{arch, arch + "a"} {
		if c, ok := p.Code[name]; ok {
			return c.Text(), true
		}
	}
	var have, older, best int
	var nearest Code
	if n, _ := fmt.Sscanf(arch, "sm_%d", &have); n == 0 {
		return "", false
	}
	for name, c := range p.Code {
		if n, _ := fmt.Sscanf(name, "sm_%d", &older); n == 1 && older <= have && older > best && !strings.HasSuffix(name, "a") {
			best, nearest = older, c
		}
	}
	if best == 0 {
		return "", false
	}
	return nearest.Text(), true
}

// Architectures lists those that the program was compiled for.
func (p *Program) Architectures() []string {
	var list []string
	for arch := range p.Code {
		list = append(list, arch)
	}
	slices.Sort(list)
	return list
}
