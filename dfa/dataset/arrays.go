package dataset

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/light-in-the-loop/opu/internal/npy"
)

// loadArrays reads x.npy and y.npy and, where present, x_test.npy and y_test.npy.
func loadArrays(ctx context.Context, dir string) (Data, error) {
	data := Data{Name: "npy:" + folderName(dir)}
	train, shape, err := readSplit(ctx, dir, "x.npy", "y.npy")
	if err != nil {
		return Data{}, err
	}
	if len(shape) == 3 {
		data.Height, data.Width = shape[1], shape[2]
	}
	if exists(filepath.Join(dir, "x_test.npy")) || exists(filepath.Join(dir, "y_test.npy")) {
		data.Train = train
		if data.Test, _, err = readSplit(ctx, dir, "x_test.npy", "y_test.npy"); err != nil {
			return Data{}, err
		}
	} else {
		data.Name += " (one in six held out)"
		data.Classes = classes(train.Y) // before the only sample of a class is held out
		data.Train, data.Test = holdOut(train)
	}
	return data, data.finish()
}

// holdOut moves one sample in six to a second split. The choice is random, since
// files are often sorted by class, but the same in every run.
func holdOut(all Split) (train, test Split) {
	n := len(all.Y)
	order := rand.New(rand.NewPCG(1, 6)).Perm(n)
	pick := func(indices []int) Split {
		s := Split{Features: all.Features, X: make([]float32, 0, len(indices)*all.Features)}
		for _, i := range indices {
			s.X = append(s.X, all.X[i*all.Features:(i+1)*all.Features]...)
			s.Y = append(s.Y, all.Y[i])
		}
		return s
	}
	held := (n + 5) / 6
	return pick(order[held:]), pick(order[:held])
}

func readSplit(ctx context.Context, dir, xName, yName string) (Split, []int, error) {
	x, shape, err := readArray[float32](ctx, dir, xName)
	if err != nil {
		return Split{}, nil, err
	}
	y, yShape, err := readArray[int](ctx, dir, yName)
	if err != nil {
		return Split{}, nil, err
	}
	if len(yShape) != 1 && !(len(yShape) == 2 && yShape[1] == 1) {
		return Split{}, nil, fmt.Errorf("%w: %s has shape %v; one class per sample is needed (one-hot rows: save y.argmax(1))", ErrFormat, yName, yShape)
	}
	if len(shape) < 2 || len(x) == 0 || shape[0] != len(y) {
		return Split{}, nil, fmt.Errorf("%w: %s has shape %v and %s %v; samples x features and as many classes are needed", ErrFormat, xName, shape, yName, yShape)
	}
	features := len(x) / len(y)
	for i, v := range x {
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return Split{}, nil, fmt.Errorf("%w: %s: feature %d of sample %d is %v", ErrFormat, xName, i%features, i/features, v)
		}
	}
	for i, c := range y {
		if c < 0 || c >= maxClasses {
			return Split{}, nil, fmt.Errorf("%w: %s: the class of sample %d is %d; classes are 0 to %d", ErrFormat, yName, i, c, maxClasses-1)
		}
	}
	return Split{X: x, Y: y, Features: features}, shape, nil
}

// readArray reads one array. Bytes read as float32 are taken for pixels: 0 to 1.
func readArray[T float32 | int](ctx context.Context, dir, name string) (values []T, shape []int, err error) {
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%w: there is no %s beside the other arrays", ErrNotFound, name)
	}
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	r, err := npy.NewReader(bufio.NewReader(contextReader{ctx, f}))
	if err == nil {
		values, err = npy.ReadAll[T](r, maxValues)
	}
	var value *npy.ValueError
	if errors.Is(err, npy.ErrFormat) || errors.As(err, &value) {
		err = fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	if x, ok := any(values).([]float32); ok && r.DType == npy.Uint8 {
		for i := range x {
			x[i] /= 255
		}
	}
	return values, r.Shape, nil
}
