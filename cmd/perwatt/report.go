package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results"
	"github.com/perwatt/perwatt/results/compare"
	"github.com/perwatt/perwatt/results/report"
)

func reportCommand() *cobra.Command {
	var (
		a   against
		out string
	)
	cmd := &cobra.Command{
		Use:   "report RECORD... -o FILE",
		Short: "Write a page that compares candidates, to base a purchase on",
		Long: `Compare records as perwatt compare does and write one self-contained page: rankings,
watts with their meters, the exchange between uses, what the meters recorded, how the
machines differ, method and disclosure, and, with a price sheet, what each candidate
earns. The page needs no network and no script. The ending of FILE selects the format:
.html, .md, .csv, or .pdf (needs Chromium). The .csv is for a spreadsheet: SI base units in
a column of their own, one header, no cell that is a formula.`,
		Example: `  perwatt report *.json -o report.html
  perwatt report *.json --prices prices.csv --reference node7 -o report.pdf`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, argv []string) error {
			kind := strings.ToLower(filepath.Ext(out))
			switch kind {
			case ".html", ".htm", ".md", ".csv", ".pdf":
			case "":
				return usagef("say with -o which file to write: it must end in .html, .md, .csv or .pdf")
			default:
				return usagef("-o %q: must end in .html, .md, .csv or .pdf", out)
			}
			files, err := a.store.files(cmd, argv)
			if err != nil {
				return err
			}
			page, how, err := a.load(cmd.Context(), cmd.InOrStdin(), files)
			if err != nil {
				return err
			}
			for _, i := range report.Traced(page) {
				if err := results.ReadSamples(page.Records[i], files[i]); err != nil {
					return exit{exitData, err}
				}
			}
			warn(cmd, page.Comparison)
			again := append([]string{"perwatt", "report"}, files...)
			if a.reference != "" {
				again = append(again, "--reference", a.reference)
			}
			again = append(again, "--margin", fmt.Sprint(a.margin), "--seed", fmt.Sprint(a.seed))
			page.Command = results.Command(append(append(again, how...), "-o", out)...)
			if err := writePage(cmd.Context(), out, kind, page); err != nil {
				return err
			}
			say(cmd.OutOrStdout(), "%s", out)
			return nil
		},
	}
	a.flags(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write: .html, .md, .csv or .pdf")
	return cmd
}

// writePage writes the page to a file, whole or not at all.
func writePage(ctx context.Context, out, kind string, page report.Page) error {
	page.Tool = toolName()
	var body bytes.Buffer
	var err error
	switch kind {
	case ".md":
		err = report.WriteComparison(&body, report.Markdown, page, report.Options{})
	case ".csv":
		err = report.WriteComparison(&body, report.CSV, page, report.Options{})
	default:
		err = report.WriteHTML(&body, page)
	}
	if err == nil && kind == ".pdf" {
		return pdf(ctx, out, body.Bytes())
	}
	if err != nil {
		return err
	}
	text := results.PrintableText(body.Bytes())
	if kind == ".csv" && bytes.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		text = append([]byte("\ufeff"), text...) // without it Excel takes UTF-8 for the code page of its country
	}
	return replaceFile(out, bytes.NewReader(text))
}

// replaceFile writes beside a file and renames, so that a reader sees the old
// one or the new one. To what this process has open, /dev/stdout or >(…) of a
// shell, it writes on.
func replaceFile(name string, body io.Reader) error {
	open, err := results.Descriptor(name)
	if open == nil && err == nil && filepath.Clean(name) == os.DevNull {
		open, err = os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	}
	if open != nil {
		_, err = io.Copy(open, body)
		err = errors.Join(err, open.Close())
	} else if err == nil {
		err = results.Replaceable(name)
	}
	switch {
	case err != nil:
		return exit{exitUsage, fmt.Errorf("-o: %w", err)}
	case open != nil:
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return exit{exitUsage, fmt.Errorf("-o: %w", err)}
	}
	defer os.Remove(f.Name()) // gone if it was renamed
	_, err = io.Copy(f, body)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("-o: %w", err)
	}
	return nil
}

// browser finds a Chromium.
func browser() (path string, err error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("a PDF is printed by Chromium, which is not installed: write .html and print it, or install chromium")
}

// pdf has a Chromium print the page.
func pdf(ctx context.Context, out string, page []byte) error {
	browser, err := browser()
	if err != nil {
		return exit{exitUsage, fmt.Errorf("-o: %w", err)}
	}
	dir, err := os.MkdirTemp("", "perwatt-pdf")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	html := filepath.Join(dir, "report.html")
	if err := os.WriteFile(html, page, 0o600); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	argv := []string{"--headless", "--disable-gpu", "--no-pdf-header-footer", "--user-data-dir=" + filepath.Join(dir, "profile"), "--print-to-pdf=" + filepath.Join(dir, "report.pdf")}
	if os.Getuid() == 0 { // it refuses root otherwise
		argv = append(argv, "--no-sandbox")
	}
	if said, err := exec.CommandContext(ctx, browser, append(argv, "file://"+html)...).CombinedOutput(); err != nil { // #nosec G204 -- the browser found on PATH, and names in a directory of our own
		return fmt.Errorf("-o: %s: %w: %s", browser, err, results.Line(string(said), 300))
	}
	f, err := os.Open(filepath.Join(dir, "report.pdf")) // #nosec G304 -- in a directory of our own
	if err != nil {
		return fmt.Errorf("-o: %s printed no PDF: %w", browser, err)
	}
	defer f.Close()
	return replaceFile(out, f)
}

// pageOf writes the page on the records of one run of this program.
func pageOf(ctx context.Context, out string, files []string, records []*results.Record) error {
	c, err := compare.New(ctx, records, files, compare.Options{Seed: 1})
	if err != nil {
		return err
	}
	again := append(append([]string{"perwatt", "report"}, files...), "-o", out)
	return writePage(ctx, out, strings.ToLower(filepath.Ext(out)), report.Page{Comparison: c, Records: records, Command: results.Command(again...)})
}
