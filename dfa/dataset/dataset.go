// Package dataset provides labelled data to train networks on.
//
// There are three sources. [Load] reads a folder: the four idx files of MNIST
// (or of any set in that format), or plain NumPy arrays of one's own.
// [Download] fetches MNIST, and believes nothing but its checksums. [Digits]
// needs no files at all: it draws handwritten-looking digits, for tests, for
// demonstrations and for machines without a network.
//
// All of them end in a [Data]: samples as rows of float32, classes as small
// integers, cut into a part to learn from and a part to be judged by.
//
// What a result is worth depends on what it was measured on, so every Data has
// a Name to print beside it, and "mnist" is a name that has to be earned: it is
// given to files whose checksums are MNIST's, and to nothing else.
package dataset

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// Errors that callers tell apart with errors.Is. Their texts carry the file and
// the remedy.
var (
	// ErrNotFound: the folder holds no data set.
	ErrNotFound = errors.New("no data set found")
	// ErrFormat: a file is there but broken, or the files do not fit each other.
	ErrFormat = errors.New("not a usable data set")
	// ErrChecksum: the bytes are not those that were published.
	ErrChecksum = errors.New("wrong checksum")
)

// A Split is one part of a data set: samples and their classes.
type Split struct {
	// X holds the samples as rows, row-major: len(X) == len(Y)*Features. Images
	// are 0 (background) to 1 (ink), byte/255; a user's own numbers are kept as given.
	X []float32
	// Y holds the class of each sample, 0..Classes-1.
	Y []int
	// Features is the length of one row of X.
	Features int
}

// Data is a data set for classification.
type Data struct {
	// Name says what the data is. "mnist" is only ever said of files whose
	// checksums are those of MNIST.
	Name        string
	Train, Test Split
	Classes     int
	// Mean and Std are the mean and the standard deviation of all of Train.X.
	Mean, Std float64
	// Width and Height are the shape of one sample if it is an image, else 0.
	Width, Height int
}

const (
	// maxValues bounds the numbers of one array: 1 GiB as float32, six times MNIST.
	// A forged header or a gzip bomb can cost that much memory and no more.
	maxValues = 1 << 28
	// maxClasses bounds the labels, because a network has one output for each: a
	// label of a million is a column mistaken for labels.
	maxClasses = 1 << 16
)

// Load reads the data set in the folder dir, which holds one of these:
//
//   - the four idx files of MNIST or of another set, under MNIST's names, plain
//     or with .gz. They are called "mnist" if the sha256 of all four is MNIST's
//     and "idx:" with the name of the folder if none is. If some are and some
//     are not, a file is damaged or sets are mixed: ErrChecksum.
//   - x.npy and y.npy: samples (the first dimension counts them, the others are
//     the features; three dimensions are images) and their classes. uint8 is
//     divided by 255, anything else is kept as given; it must be finite. Beside
//     them, x_test.npy and y_test.npy; if they are missing, one sample in six,
//     always the same ones, is held out for the test and the name says so.
//
// The number of classes is the largest label plus one, held-out labels included;
// test labels of their own file must stay below it. What dir does
// not hold is ErrNotFound, what it holds but cannot be used is ErrFormat.
func Load(ctx context.Context, dir string) (Data, error) {
	data, err := load(ctx, dir)
	if err != nil {
		return Data{}, fmt.Errorf("cannot load a data set from %s: %w", dir, err)
	}
	return data, nil
}

func load(ctx context.Context, dir string) (Data, error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return Data{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	} else if err != nil {
		return Data{}, err
	}
	idx, missing := findIDX(dir)
	arrays := exists(filepath.Join(dir, "x.npy"))
	switch {
	case arrays && len(missing) < len(idx):
		return Data{}, fmt.Errorf("%w: it holds both idx files and x.npy; keep one of the two", ErrFormat)
	case arrays:
		return loadArrays(ctx, dir)
	case len(missing) == 0:
		return loadIDX(ctx, dir, idx)
	case len(missing) < len(idx):
		return Data{}, fmt.Errorf("%w: %q missing beside the other idx files", ErrNotFound, missing)
	}
	return Data{}, fmt.Errorf("%w: looked for the idx files %q (plain or .gz) and for x.npy with y.npy", ErrNotFound, missing)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// folderName is how a user's own data is called.
func folderName(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return filepath.Base(dir)
}

// finish derives Classes, Mean and Std from the splits and checks what no single
// file shows.
func (d *Data) finish() error {
	if len(d.Train.Y) == 0 || len(d.Test.Y) == 0 {
		return fmt.Errorf("%w: %d training and %d test samples; both need at least one", ErrFormat, len(d.Train.Y), len(d.Test.Y))
	}
	if d.Train.Features != d.Test.Features {
		return fmt.Errorf("%w: the training samples have %d features, the test samples %d", ErrFormat, d.Train.Features, d.Test.Features)
	}
	d.Classes = max(d.Classes, classes(d.Train.Y))
	for i, y := range d.Test.Y {
		if y >= d.Classes {
			return fmt.Errorf("%w: test label %d is %d, but the training labels end at %d", ErrFormat, i, y, d.Classes-1)
		}
	}
	d.Mean, d.Std = meanStd(d.Train.X)
	return nil
}

// classes returns how many classes the labels need.
func classes(labels []int) int { return slices.Max(labels) + 1 }

// meanStd returns 0, 0 for no values.
func meanStd(values []float32) (mean, std float64) {
	if len(values) == 0 {
		return 0, 0
	}
	n := float64(len(values))
	for _, v := range values {
		mean += float64(v)
	}
	mean /= n
	for _, v := range values {
		std += (float64(v) - mean) * (float64(v) - mean)
	}
	return mean, math.Sqrt(std / n)
}
