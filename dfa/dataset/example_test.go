package dataset_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/light-in-the-loop/opu/dfa/dataset"
)

// Digits needs no files; a row of X is one image.
func ExampleDigits() {
	data := dataset.Digits(1, 1000, 200)
	fmt.Println(data.Name, data.Classes, "classes of", data.Width, "x", data.Height)
	fmt.Println(len(data.Train.Y), "to learn from,", len(data.Test.Y), "to be judged by")

	const sample = 3
	image := data.Test.X[sample*data.Test.Features : (sample+1)*data.Test.Features]
	fmt.Println("sample", sample, "shows a", data.Test.Y[sample], "in", len(image), "pixels")
	// Output:
	// drawn-digits 10 classes of 28 x 28
	// 1000 to learn from, 200 to be judged by
	// sample 3 shows a 3 in 784 pixels
}

// MNIST where it is, drawn digits where it is not. The name goes into the result,
// so nobody takes the one for the other.
func ExampleLoad() {
	data, err := dataset.Load(context.Background(), "mnist") // there is no such folder here
	if errors.Is(err, dataset.ErrNotFound) {
		data, err = dataset.Digits(1, 100, 20), nil
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(data.Name)
	// Output: drawn-digits
}
