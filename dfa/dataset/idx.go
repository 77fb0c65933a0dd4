package dataset

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The four files of a set in idx format, in the order they are read.
const (
	trainImages = iota
	trainLabels
	testImages
	testLabels
)

var idxNames = [4]string{
	trainImages: "train-images-idx3-ubyte",
	trainLabels: "train-labels-idx1-ubyte",
	testImages:  "t10k-images-idx3-ubyte",
	testLabels:  "t10k-labels-idx1-ubyte",
}

// findIDX returns the paths of the four files in dir, and the names of those it
// does not hold. Some unpackers write a dot for the last dash but one.
func findIDX(dir string) (paths [4]string, missing []string) {
	for i, name := range idxNames {
		for _, n := range []string{name, strings.Replace(name, "-idx", ".idx", 1)} {
			for _, suffix := range []string{"", ".gz"} {
				if path := filepath.Join(dir, n+suffix); paths[i] == "" && exists(path) {
					paths[i] = path
				}
			}
		}
		if paths[i] == "" {
			missing = append(missing, name)
		}
	}
	return paths, missing
}

func loadIDX(ctx context.Context, dir string, paths [4]string) (Data, error) {
	var arrays [4]idxArray
	var genuine, other []string
	for i, path := range paths {
		dims := 3
		if i == trainLabels || i == testLabels {
			dims = 1
		}
		var err error
		if arrays[i], err = readIDXFile(ctx, path, dims); err != nil {
			return Data{}, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		if arrays[i].sha256 == mnist[i].raw {
			genuine = append(genuine, filepath.Base(path))
		} else {
			other = append(other, filepath.Base(path))
		}
	}
	if len(genuine) > 0 && len(other) > 0 {
		return Data{}, fmt.Errorf("%w: %q are MNIST's, but %q are not; download the latter again, or keep a set of your own as x.npy and y.npy",
			ErrChecksum, genuine, other)
	}

	images := arrays[trainImages]
	data := Data{Name: "idx:" + folderName(dir), Height: images.shape[1], Width: images.shape[2]}
	if len(other) == 0 {
		data.Name = "mnist"
	}
	if test := arrays[testImages]; test.shape[1] != data.Height || test.shape[2] != data.Width {
		return Data{}, fmt.Errorf("%w: the training images are %d x %d, the test images %d x %d",
			ErrFormat, data.Height, data.Width, test.shape[1], test.shape[2])
	}
	var err error
	if data.Train, err = idxSplit(arrays[trainImages], arrays[trainLabels]); err != nil {
		return Data{}, fmt.Errorf("training data: %w", err)
	}
	if data.Test, err = idxSplit(arrays[testImages], arrays[testLabels]); err != nil {
		return Data{}, fmt.Errorf("test data: %w", err)
	}
	return data, data.finish()
}

func idxSplit(images, labels idxArray) (Split, error) {
	if images.shape[0] != labels.shape[0] {
		return Split{}, fmt.Errorf("%w: %d images but %d labels", ErrFormat, images.shape[0], labels.shape[0])
	}
	s := Split{
		X:        make([]float32, len(images.values)),
		Y:        make([]int, len(labels.values)),
		Features: images.shape[1] * images.shape[2],
	}
	for i, v := range images.values {
		s.X[i] = float32(v) / 255
	}
	for i, v := range labels.values {
		s.Y[i] = int(v)
	}
	return s, nil
}

// An idxArray is the content of one idx file of bytes.
type idxArray struct {
	shape  []int
	values []byte
	sha256 string // of the whole uncompressed file, hexadecimal
}

func readIDXFile(ctx context.Context, path string, dims int) (idxArray, error) {
	f, err := os.Open(path)
	if err != nil {
		return idxArray{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return idxArray{}, err
	}
	in := contextReader{ctx, f}
	if !strings.HasSuffix(path, ".gz") {
		return readIDX(in, dims, info.Size())
	}
	z, err := gzip.NewReader(bufio.NewReader(in))
	if err != nil {
		return idxArray{}, formatError(err)
	}
	// No deflate stream expands by more than this factor (zlib's technical
	// notes), so what a small file can claim is small as well.
	const maxExpansion = 1032
	return readIDX(z, dims, maxExpansion*info.Size())
}

// readIDX reads an idx file of bytes with the given number of dimensions. The
// format (the MNIST page; integers big-endian): two zeros, 8 for "unsigned byte",
// the number of dimensions, each dimension as u32, then the values. A header that
// announces more than maxSize bytes or maxValues values is refused before
// anything is allocated for them.
func readIDX(r io.Reader, dims int, maxSize int64) (idxArray, error) {
	sum := sha256.New()
	r = io.TeeReader(r, sum)
	header := make([]byte, 4+4*dims)
	if _, err := io.ReadFull(r, header[:4]); err != nil {
		return idxArray{}, fmt.Errorf("in the header: %w", formatError(err))
	}
	if want := uint32(8<<8 | dims); binary.BigEndian.Uint32(header) != want {
		return idxArray{}, fmt.Errorf("%w: its magic number is %d and not %d (unsigned bytes in %d dimensions)",
			ErrFormat, binary.BigEndian.Uint32(header), want, dims)
	}
	if _, err := io.ReadFull(r, header[4:]); err != nil {
		return idxArray{}, fmt.Errorf("in the header: %w", formatError(err))
	}
	a := idxArray{shape: make([]int, dims)}
	n := int64(1)
	for i := range dims {
		d := binary.BigEndian.Uint32(header[4+4*i:])
		a.shape[i] = int(d)
		if d == 0 {
			return idxArray{}, fmt.Errorf("%w: it announces no values (shape %v)", ErrFormat, a.shape[:i+1])
		}
		if n *= int64(d); n > maxValues {
			return idxArray{}, fmt.Errorf("%w: shape %v is more than the %d values supported", ErrFormat, a.shape[:i+1], maxValues)
		}
	}
	if size := int64(len(header)) + n; size > maxSize {
		return idxArray{}, fmt.Errorf("%w: shape %v needs %d bytes, the file holds at most %d; it was cut short", ErrFormat, a.shape, size, maxSize)
	}
	a.values = make([]byte, n)
	if read, err := io.ReadFull(r, a.values); err != nil {
		return idxArray{}, fmt.Errorf("after %d of %d values: %w", read, n, formatError(err))
	}
	switch _, err := io.ReadFull(r, header[:1]); {
	case err == nil:
		return idxArray{}, fmt.Errorf("%w: it goes on after the %d values of its shape %v", ErrFormat, n, a.shape)
	case err != io.EOF:
		return idxArray{}, fmt.Errorf("at the end: %w", formatError(err))
	}
	a.sha256 = hex.EncodeToString(sum.Sum(nil))
	return a, nil
}

// formatError adds ErrFormat to errors that the bytes of the file are to blame for.
func formatError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it was cut short", ErrFormat)
	}
	var deflate flate.CorruptInputError
	if errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.As(err, &deflate) {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return err
}

// A contextReader ends with the context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
