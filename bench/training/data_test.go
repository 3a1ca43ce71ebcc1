package training

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/perwatt/perwatt/bench"
)

func TestDigits(t *testing.T) {
	const n = 400
	render := func(threads int, seed uint32, which byte) *dataset {
		set, err := digits(t.Context(), n, threads, seed, which)
		require.NoError(t, err)
		return set
	}
	train, heldOut, other := render(1, 5, trainStream), render(1, 5, heldOutStream), render(1, 6, trainStream)
	require.Equal(t, train, render(3, 5, trainStream), "the images do not depend on the threads")

	seen := map[string]bool{}
	var each [classes]int
	for _, set := range []*dataset{train, heldOut, other} {
		require.Equal(t, n, set.len())
		for i, l := range set.labels {
			each[l]++
			image := set.images[i*pixels:][:pixels]
			require.False(t, seen[string(image)], "an image came twice")
			seen[string(image)] = true
			ink := pixels - bytes.Count(image, []byte{0})
			require.Greater(t, ink, speckles, "there is a digit")
			require.Less(t, ink, pixels/2, "and paper around it")
		}
	}
	for _, count := range each {
		require.Equal(t, 3*n/classes, count, "as many of each digit")
	}
}

func TestGlyphs(t *testing.T) {
	digits, err := glyphs()
	require.NoError(t, err)
	for d, faces := range digits {
		require.Len(t, faces, 12)
		for _, g := range faces {
			require.NotEmpty(t, g.segments, "digit %d", d)
			require.Greater(t, g.height, 0.0, "digit %d", d)
		}
	}
}

func TestStream(t *testing.T) {
	const n = 10
	set := &dataset{images: make([]byte, n*pixels), labels: make([]byte, n)}
	for i := range n {
		set.labels[i], set.images[i*pixels] = byte(i), byte(i)
	}
	s := newStream(set, random(1, orderStream, 0))
	label := make([]int32, 3*n)
	s.next(label[:4])
	s.next(label[4:])
	require.NotEqual(t, label[:n], label[n:2*n], "each time round in another order")
	for at := 0; at < len(label); at += n {
		slices.Sort(label[at:][:n])
		require.Equal(t, []int32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, label[at:][:n], "every sample comes once in each round")
	}
}

// idx writes data as the IDX format has it.
func idx(data []byte, dims ...int) []byte {
	out := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		out = binary.BigEndian.AppendUint32(out, uint32(d))
	}
	return append(out, data...)
}

// writeMNIST writes set as the two files called name in dir.
func writeMNIST(t *testing.T, dir, name string, set *dataset, packed bool) {
	t.Helper()
	for file, data := range map[string][]byte{
		name + "-images-idx3-ubyte": idx(set.images, set.len(), side, side),
		name + "-labels-idx1-ubyte": idx(set.labels, set.len()),
	} {
		if packed {
			var buf bytes.Buffer
			z := gzip.NewWriter(&buf)
			_, err := z.Write(data)
			require.NoError(t, err)
			require.NoError(t, z.Close())
			file, data = file+".gz", buf.Bytes()
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), data, 0o600))
	}
}

// smallSet returns a directory with MNIST's files of a few rendered digits.
func smallSet(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, n := range map[string]int{"train": 2048, "t10k": 512} {
		set, err := digits(t.Context(), n, 2, 1, name[0])
		require.NoError(t, err)
		writeMNIST(t, dir, name, set, name == "t10k")
	}
	return dir
}

func TestMNIST(t *testing.T) {
	want, err := digits(t.Context(), 20, 1, 1, trainStream)
	require.NoError(t, err)
	dir := t.TempDir()
	writeMNIST(t, dir, "train", want, false)
	writeMNIST(t, dir, "t10k", want, true)
	train, heldOut, err := loadMNIST(t.Context(), dir)
	require.NoError(t, err)
	require.Equal(t, want, train)
	require.Equal(t, want, heldOut)
}

func TestMNISTErrors(t *testing.T) {
	digit := &dataset{images: make([]byte, pixels), labels: []byte{9}}
	images, labels := "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
	for _, c := range []struct {
		name, file string
		data       []byte
		want       string
	}{
		{"empty", images, nil, "IDX magic: EOF"},
		{"labels for images", images, idx([]byte{9}, 1), "IDX magic is 00 00 08 01, want 00 00 08 03"},
		{"two dimensions", images, idx(nil, 1, side), "IDX magic is 00 00 08 02"},
		{"half a header", images, idx(nil, 1, side, side)[:9], "IDX dimensions: unexpected EOF"},
		{"floats", labels, []byte{0, 0, 13, 1, 0, 0, 0, 1, 9}, "IDX magic is 00 00 0d 01"},
		{"short", images, idx(make([]byte, pixels-1), 1, side, side), "end after 783 of 784 bytes"},
		{"long", labels, idx([]byte{9, 9}, 1), "go on after the 1 bytes"},
		{"other size", images, idx(make([]byte, 20*20), 1, 20, 20), "images are 20×20 pixels, want 28×28"},
		{"large", images, idx(nil, 1, 29, 28), "dimension 1 is 29, more than 28"},
		{"huge", images, idx(nil, 1<<31, side, side), "dimension 0 is 2147483648, more than 1000000"},
		{"unmatched", labels, idx([]byte{9, 8}, 2), "2 labels for 1 images"},
		{"letter", labels, idx([]byte{10}, 1), "label 0 is 10, want a digit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeMNIST(t, dir, "train", digit, false)
			writeMNIST(t, dir, "t10k", digit, false)
			require.NoError(t, os.WriteFile(filepath.Join(dir, c.file), c.data, 0o600))
			w, err := New(bench.Config{Params: map[string]string{"dataset": dir}})
			require.NoError(t, err)
			err = w.Prepare(t.Context())
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, c.file)
		})
	}
	t.Run("missing", func(t *testing.T) {
		_, _, err := loadMNIST(t.Context(), t.TempDir())
		require.ErrorIs(t, err, os.ErrNotExist)
		require.ErrorContains(t, err, "train-images-idx3-ubyte")
	})
	t.Run("not compressed", func(t *testing.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "train-images-idx3-ubyte.gz")
		require.NoError(t, os.WriteFile(path, []byte("images"), 0o600))
		_, _, err := loadMNIST(t.Context(), dir)
		require.ErrorContains(t, err, path)
	})
}

// What is accepted is exactly what its dimensions and data are written as.
func FuzzIDX(f *testing.F) {
	f.Add(idx([]byte{1, 2, 3}, 3), 0)
	f.Add(idx(make([]byte, 12), 2, 3, 2), 2)
	f.Add(idx(nil, 0), 0)
	f.Add(idx(nil, 1<<31, side, side), 2)
	f.Fuzz(func(t *testing.T, file []byte, ndims int) {
		ndims = 1 + (ndims&3)%3
		dims, data, err := parseIDX(bytes.NewReader(file), ndims)
		if err == nil {
			require.Len(t, dims, ndims)
			require.Equal(t, file, idx(data, dims...))
		}
	})
}

// A stream that breaks off is an error, not an end.
func TestIDXReadError(t *testing.T) {
	file := idx(make([]byte, 10), 10)
	_, _, err := parseIDX(io.MultiReader(bytes.NewReader(file[:12]), brokenReader{}), 1)
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
