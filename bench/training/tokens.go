package training

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"github.com/perwatt/perwatt/results"
)

// maxTokens bounds how much of a set of token files is used: 268 MB in memory.
const maxTokens = 1 << 27

// tokenFiles is a text whose documents are read from files, one after the other; after
// the last the first comes again. Its source is not known, so its loss has no floor.
type tokenFiles struct {
	context int
	sets    [2][]uint16 // trainStream, heldOutStream
}

// loadTokens reads the token files in dir whose names have train or val in them, as
// llm.c's scripts write them (tiny_shakespeare_train.bin, fineweb_val_000000.bin), in the
// order of their names. Tokens from the vocabulary on are refused. Of more than
// [maxTokens] the first ones are used.
func loadTokens(ctx context.Context, dir string, vocabulary, context int) (*tokenFiles, error) {
	t := &tokenFiles{context: context}
	for set, name := range []string{trainStream: "train", heldOutStream: "val"} {
		paths, err := filepath.Glob(filepath.Join(escaped(dir), "*"+name+"*.bin"))
		if err != nil {
			return nil, fmt.Errorf("training: list %s: %w", dir, err)
		}
		for _, path := range paths {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if t.sets[set], err = appendTokens(t.sets[set], path, vocabulary); err != nil {
				return nil, err
			}
		}
		if n := len(t.sets[set]); n <= context {
			return nil, fmt.Errorf("training: %s has %d tokens in files *%s*.bin, want more than the %d of a document", dir, n, name, context)
		}
	}
	return t, nil
}

// escaped is a path as a pattern that matches only it.
func escaped(path string) string {
	var out []rune
	for _, r := range path {
		switch r {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, r)
	}
	return string(out)
}

func appendTokens(to []uint16, path string, vocabulary int) ([]uint16, error) {
	file, err := results.OpenFile(path)
	if err != nil {
		return nil, fmt.Errorf("training: read token file: %w", err)
	}
	defer file.Close()
	to, err = parseTokens(to, file, vocabulary, maxTokens)
	if err != nil {
		return nil, fmt.Errorf("training: read %s: %w", path, err)
	}
	return to, nil
}

// Of llm.c's token files (llmc/dataloader.h, dev/data/data_common.py): a header of 256
// little-endian int32, of which the first are the magic, the version and the number of
// tokens; then the tokens as little-endian uint16, and nothing else.
const (
	tokensMagic   = 20240520
	tokensVersion = 1
	tokensHeader  = 256 * 4
)

// parseTokens appends the tokens of a file to a set, of at most so many tokens. The rest
// of a larger file is not read.
func parseTokens(to []uint16, r io.Reader, vocabulary, most int) ([]uint16, error) {
	header := make([]byte, tokensHeader)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, fmt.Errorf("header of token file: %w", err)
	}
	field := func(i int) int32 { return int32(binary.LittleEndian.Uint32(header[4*i:])) } // #nosec G115 -- the format's int32
	if field(0) != tokensMagic || field(1) != tokensVersion {
		return nil, fmt.Errorf("token file has magic %d and version %d, want %d and %d (uint16 tokens, as llm.c writes for GPT-2)", field(0), field(1), tokensMagic, tokensVersion)
	}
	left := int(field(2))
	if left < 0 {
		return nil, fmt.Errorf("token file announces %d tokens", left)
	}
	// The header may be wrong, so memory is allocated as tokens arrive.
	buf := make([]byte, 1<<16)
	for at := 0; left > 0 && len(to) < most; {
		n := min(2*left, 2*(most-len(to)), len(buf))
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return nil, fmt.Errorf("token file ends before the %d tokens that its header announces: %w", field(2), errors.Join(err, io.ErrUnexpectedEOF))
		}
		for i := 0; i < n; i += 2 {
			token := binary.LittleEndian.Uint16(buf[i:])
			if int(token) >= vocabulary {
				return nil, fmt.Errorf("token %d of the file is %d, beyond the model's vocabulary of %d", at+i/2, token, vocabulary)
			}
			to = append(to, token)
		}
		at += n / 2
		left -= n / 2
	}
	if left == 0 {
		if n, err := io.ReadFull(r, buf[:1]); n > 0 || !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("token file goes on after the %d tokens that its header announces", field(2))
		}
	}
	return to, nil
}

func (t *tokenFiles) sample(set byte, i int, to []int32) float64 {
	tokens := t.sets[set]
	at := i % ((len(tokens) - 1) / t.context) * t.context
	for j := range to {
		to[j] = int32(tokens[at+j])
	}
	return math.NaN()
}
