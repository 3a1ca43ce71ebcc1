package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

var manual = flag.String("manual", "", "directory to write man pages and completions to, dated by SOURCE_DATE_EPOCH")

// Man pages and completions are written by this test, so that the program links
// no typesetter: go test ./cmd/perwatt -run '^TestManual$' -manual DIR writes
// DIR/man1/perwatt*.1 and DIR/perwatt.{bash,zsh,fish}. Every word of a command's
// help is on its page, and what help hides has none.
func TestManual(t *testing.T) {
	dir := *manual
	if dir == "" {
		dir = t.TempDir()
		t.Setenv("SOURCE_DATE_EPOCH", "1796083200") // 2026-12-01
	}
	pages := filepath.Join(dir, "man1")
	require.NoError(t, os.MkdirAll(pages, 0o755))
	root := manualCommand()
	require.NoError(t, doc.GenManTree(root, &doc.GenManHeader{Source: "perwatt", Manual: "perwatt"}, pages))
	root = manualCommand() // as it was before pages were written
	require.NoError(t, root.GenBashCompletionFileV2(filepath.Join(dir, "perwatt.bash"), true))
	require.NoError(t, root.GenZshCompletionFile(filepath.Join(dir, "perwatt.zsh")))
	require.NoError(t, root.GenFishCompletionFile(filepath.Join(dir, "perwatt.fish"), true))

	want := map[string]bool{}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		want[name] = true
		page, err := os.ReadFile(filepath.Join(pages, name))
		require.NoError(t, err)
		text := plain(string(page))
		if *manual == "" {
			require.Contains(t, string(page), `"Dec 2026"`, "%s: the date is that of the commit", name)
		}
		said := c.Short + " " + c.Long + " " + c.Example
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				said += " --" + f.Name + " " + f.Usage
			}
		})
		for word := range strings.FieldsSeq(said) {
			if !strings.Contains(text, word) {
				t.Errorf("%s: %q is not on the page", name, word)
			}
		}
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				visit(sub)
			}
		}
	}
	root = rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	visit(root)
	got, err := os.ReadDir(pages)
	require.NoError(t, err)
	for _, f := range got {
		require.True(t, want[f.Name()], "%s is of no command", f.Name())
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		script, err := os.ReadFile(filepath.Join(dir, "perwatt."+shell))
		require.NoError(t, err)
		require.Contains(t, string(script), "__complete")
	}
}

// manualCommand is perwatt with its texts as Markdown, from which pages are made.
func manualCommand() *cobra.Command {
	root := rootCommand()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		c.DisableAutoGenTag = true
		c.Short = markdown.Replace(c.Short)
		c.Long = paragraphs(c.Long)
		flags := func(f *pflag.Flag) {
			f.Usage = strings.ReplaceAll(markdown.Replace(f.Usage), "\n", "  \n")
			if f.Name == "threads" {
				f.DefValue = "CPUs" // not those of the machine that writes the page
			}
			f.DefValue = markdown.Replace(f.DefValue)
		}
		c.Flags().VisitAll(flags)
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(root)
	return root
}

// markdown escapes what Markdown would read as markup.
var markdown = strings.NewReplacer(`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `<`, `\<`, `>`, `\>`, `[`, `\[`, `]`, `\]`, `~`, `\~`, `|`, `\|`, `&`, `\&`, `#`, `\#`)

// paragraphs is text of help as Markdown: indented lines stay as they are.
func paragraphs(text string) string {
	var out strings.Builder
	verbatim := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if is := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t"); is != verbatim && line != "" {
			verbatim = is
			out.WriteString("\n")
		}
		if verbatim {
			fmt.Fprintf(&out, "    %s\n", strings.TrimLeft(line, "\t"))
		} else {
			fmt.Fprintln(&out, markdown.Replace(line))
		}
	}
	return out.String()
}

var roff = regexp.MustCompile(`(?m)\\f[A-Z]|\\f\[[A-Z]*\]|^\.[A-Z]{2}.*$|\\&`)

// plain is the text of a page without its fonts and requests.
func plain(page string) string {
	page = roff.ReplaceAllString(page, "")
	for _, c := range []struct{ is, was string }{{`\-`, `-`}, {`\(aq`, `'`}, {`\[aq]`, `'`}, {`\(ga`, "`"}, {`\(la`, `<`}, {`\(ra`, `>`}, {`\[la]`, `<`}, {`\[ra]`, `>`}, {`\~`, `~`}, {`\(ti`, `~`}, {`\(ha`, `^`}, {`\e`, `\`}} {
		page = strings.ReplaceAll(page, c.is, c.was)
	}
	return page
}
