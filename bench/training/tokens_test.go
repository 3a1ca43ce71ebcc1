package training

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// tokenFile writes tokens as llm.c does; edit changes the header.
func tokenFile(tokens []uint16, edit map[int]int32) []byte {
	header := make([]int32, 256)
	header[0], header[1], header[2] = 20240520, 1, int32(len(tokens))
	for i, v := range edit {
		header[i] = v
	}
	var out bytes.Buffer
	_ = binary.Write(&out, binary.LittleEndian, header)
	_ = binary.Write(&out, binary.LittleEndian, tokens)
	return out.Bytes()
}

func counting(n int) (tokens []uint16) {
	for i := range n {
		tokens = append(tokens, uint16(i%500))
	}
	return
}

func TestTokenFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*?")
	require.NoError(t, os.Mkdir(dir, 0o700))
	for name, data := range map[string][]byte{
		"shard_train_000001.bin": tokenFile(counting(30), nil),
		"shard_train_000002.bin": tokenFile([]uint16{7, 8, 9, 10}, nil),
		"shard_val_000000.bin":   tokenFile(counting(9), nil),
		"readme.txt":             []byte("train"),
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	text, err := loadTokens(t.Context(), dir, 512, 8)
	require.NoError(t, err)
	to := make([]int32, 9)
	for _, c := range []struct {
		set   byte
		i     int
		first int32
	}{{trainStream, 0, 0}, {trainStream, 3, 24}, {trainStream, 4, 0}, {heldOutStream, 0, 0}, {heldOutStream, 5, 0}} {
		require.True(t, math.IsNaN(text.sample(c.set, c.i, to)))
		require.Equal(t, c.first, to[0], "%+v", c)
		require.Equal(t, c.first+5, to[5], "%+v", c)
	}
	text.sample(trainStream, 3, to)
	require.Equal(t, []int32{24, 25, 26, 27, 28, 29, 7, 8, 9}, to, "files follow each other")

	_, err = loadTokens(t.Context(), t.TempDir(), 512, 8)
	require.ErrorContains(t, err, "has 0 tokens in files *train*.bin")
	_, err = loadTokens(t.Context(), dir, 512, 9)
	require.ErrorContains(t, err, "has 9 tokens in files *val*.bin, want more than the 9 of a document")
	_, err = loadTokens(t.Context(), dir, 29, 8)
	require.ErrorContains(t, err, "shard_train_000001.bin: token 29 of the file is 29, beyond")
}

func TestTokenFileErrors(t *testing.T) {
	good := tokenFile(counting(40), nil)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "header of token file: EOF"},
		{"half a header", good[:1000], "header of token file: unexpected EOF"},
		{"other magic", tokenFile(nil, map[int]int32{0: 20240801}), "magic 20240801 and version 1, want 20240520 and 1"},
		{"other version", tokenFile(nil, map[int]int32{1: 7}), "version 7"},
		{"negative", tokenFile(nil, map[int]int32{2: -1}), "announces -1 tokens"},
		{"short", good[:len(good)-1], "ends before the 40 tokens"},
		{"huge", tokenFile(nil, map[int]int32{2: math.MaxInt32}), "ends before the 2147483647 tokens"},
		{"long", append(bytes.Clone(good), 0), "goes on after the 40 tokens"},
		{"foreign token", tokenFile([]uint16{1, 2, 512}, nil), "token 2 of the file is 512, beyond the model's vocabulary of 512"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseTokens(nil, bytes.NewReader(c.data), 512, 100)
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := parseTokens(nil, io.MultiReader(bytes.NewReader(good), brokenReader{}), 512, 100)
	require.ErrorContains(t, err, "goes on", "an error at the end is no end")

	got, err := parseTokens(counting(90), bytes.NewReader(good), 512, 100)
	require.NoError(t, err)
	require.Len(t, got, 100, "of a larger set the first tokens are used")
}

// What is accepted is exactly what its tokens are written as, unless it was cut.
func FuzzTokens(f *testing.F) {
	f.Add(tokenFile(counting(3), nil), 512)
	f.Add(tokenFile(nil, map[int]int32{2: math.MaxInt32}), 9)
	f.Add(tokenFile(counting(60), map[int]int32{5: 1}), 65536)
	f.Fuzz(func(t *testing.T, file []byte, vocabulary int) {
		const most = 50
		tokens, err := parseTokens(nil, bytes.NewReader(file), vocabulary, most)
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(tokens), most)
		for i, token := range tokens {
			require.Less(t, int(token), vocabulary)
			require.Equal(t, binary.LittleEndian.Uint16(file[1024+2*i:]), token)
		}
		if len(tokens) < most {
			require.Len(t, file, 1024+2*len(tokens))
		}
	})
}
