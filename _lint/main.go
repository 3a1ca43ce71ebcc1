// Command perwatt-lint finds what vet and staticcheck do not look for. golangci-lint has
// these analyzers, too, but takes more than four minutes of two cores to build. None here
// needs facts of the packages that are imported, whose sources are not read then.
//
// A finding is answered at its line, or the line above, by //lint:ignore ANALYZER reason,
// as for staticcheck.
package main

import (
	"go/token"
	"strings"

	"codeberg.org/polyfloyd/go-errorlint/errorlint"
	"github.com/golangci/misspell"
	"github.com/gordonklaus/ineffassign/pkg/ineffassign"
	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/multichecker"
)

func main() {
	all := []*analysis.Analyzer{
		errorlint.NewAnalyzer(), // errors that are compared or asserted without errors.Is and errors.As, or not wrapped
		ineffassign.Analyzer,    // values that nothing reads
		spelling,                // words that are often misspelled
	}
	for _, a := range all {
		answer(a)
	}
	multichecker.Main(all...)
}

// answer makes an analyzer pass over the lines that say //lint:ignore.
func answer(a *analysis.Analyzer) {
	run := a.Run
	a.Run = func(pass *analysis.Pass) (any, error) {
		type line struct {
			file string
			n    int
		}
		silent := map[line]bool{}
		for _, f := range pass.Files {
			for _, group := range f.Comments {
				for _, c := range group.List {
					words := strings.Fields(c.Text)
					if len(words) > 2 && words[0] == "//lint:ignore" && words[1] == a.Name {
						at := pass.Fset.Position(c.Pos())
						silent[line{at.Filename, at.Line}], silent[line{at.Filename, at.Line + 1}] = true, true
					}
				}
			}
		}
		report := pass.Report
		p := *pass
		p.Report = func(d analysis.Diagnostic) {
			if at := pass.Fset.Position(d.Pos); !silent[line{at.Filename, at.Line}] {
				report(d)
			}
		}
		return run(&p)
	}
}

var spelling = &analysis.Analyzer{
	Name: "misspell",
	Doc:  "finds words that are often misspelled",
	Run: func(pass *analysis.Pass) (any, error) {
		r := misspell.New()
		for _, f := range pass.Files {
			at := pass.Fset.File(f.FileStart)
			text, err := pass.ReadFile(at.Name())
			if err != nil {
				return nil, err
			}
			_, found := r.ReplaceGo(string(text))
			for _, d := range found {
				pass.Reportf(at.LineStart(d.Line)+token.Pos(d.Column), "%q is spelled %q", d.Original, d.Corrected)
			}
		}
		return nil, nil
	},
}
