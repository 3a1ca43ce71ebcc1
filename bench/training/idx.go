package training

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/perwatt/perwatt/results"
)

// maxSamples bounds what is read from a file: 784 MB of images.
const maxSamples = 1_000_000

// loadMNIST reads the training and the held-out set from the four files of
// MNIST in dir, each as it is or compressed (.gz).
func loadMNIST(ctx context.Context, dir string) (train, heldOut *dataset, err error) {
	if train, err = loadSet(ctx, dir, "train"); err != nil {
		return nil, nil, err
	}
	heldOut, err = loadSet(ctx, dir, "t10k")
	return train, heldOut, err
}

func loadSet(ctx context.Context, dir, name string) (*dataset, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name+"-images-idx3-ubyte")
	dims, images, err := readIDX(path, 3)
	if err != nil {
		return nil, err
	}
	if dims[1] != side || dims[2] != side {
		return nil, fmt.Errorf("training: read %s: images are %d×%d pixels, want %d×%d", path, dims[1], dims[2], side, side)
	}
	path = filepath.Join(dir, name+"-labels-idx1-ubyte")
	counts, labels, err := readIDX(path, 1)
	if err != nil {
		return nil, err
	}
	if counts[0] != dims[0] || dims[0] == 0 {
		return nil, fmt.Errorf("training: read %s: %d labels for %d images, want as many, and some", path, counts[0], dims[0])
	}
	for i, l := range labels {
		if l >= classes {
			return nil, fmt.Errorf("training: read %s: label %d is %d, want a digit", path, i, l)
		}
	}
	return &dataset{images: images, labels: labels}, nil
}

// readIDX reads the file at path, or the compressed one beside it, as bytes in
// the given number of dimensions.
func readIDX(path string, ndims int) (dims []int, data []byte, err error) {
	file, err := results.OpenFile(path)
	packed := errors.Is(err, fs.ErrNotExist)
	if packed {
		path += ".gz"
		file, err = results.OpenFile(path)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("training: read MNIST file, plain or compressed: %w", err)
	}
	defer file.Close()
	var in io.Reader = bufio.NewReader(file)
	if packed {
		if in, err = gzip.NewReader(in); err != nil {
			return nil, nil, fmt.Errorf("training: read %s: %w", path, err)
		}
	}
	if dims, data, err = parseIDX(in, ndims); err != nil {
		return nil, nil, fmt.Errorf("training: read %s: %w", path, err)
	}
	return dims, data, nil
}

// parseIDX reads one array of bytes in the IDX format: two zero bytes, the
// type (8 for unsigned bytes), the number of dimensions, each dimension as a
// big-endian uint32, and the elements (Y. LeCun, C. Cortes and C. Burges, "The
// MNIST database of handwritten digits"). Nothing may follow.
func parseIDX(r io.Reader, ndims int) (dims []int, data []byte, err error) {
	var magic [4]byte
	if _, err := io.ReadFull(r, magic[:]); err != nil {
		return nil, nil, fmt.Errorf("IDX magic: %w", err)
	}
	if want := [4]byte{0, 0, 8, byte(ndims)}; magic != want { // #nosec G115 -- 1 or 3, ours
		return nil, nil, fmt.Errorf("IDX magic is % x, want % x: bytes in %d dimensions", magic, want, ndims)
	}
	header := make([]byte, 4*ndims)
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, nil, fmt.Errorf("IDX dimensions: %w", err)
	}
	size := int64(1)
	for i := range ndims {
		limit := uint32(side)
		if i == 0 {
			limit = maxSamples
		}
		d := binary.BigEndian.Uint32(header[4*i:])
		if d > limit {
			return nil, nil, fmt.Errorf("IDX dimension %d is %d, more than %d", i, d, limit)
		}
		dims = append(dims, int(d))
		size *= int64(d)
	}
	// The header may be wrong, so memory is allocated as data arrive.
	var buf bytes.Buffer
	n, err := io.Copy(&buf, io.LimitReader(r, size+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("IDX data: %w", err)
	case n < size:
		return nil, nil, fmt.Errorf("IDX data end after %d of %d bytes: %w", n, size, io.ErrUnexpectedEOF)
	case n > size:
		return nil, nil, fmt.Errorf("IDX data go on after the %d bytes that the header announces", size)
	}
	return dims, buf.Bytes(), nil
}
