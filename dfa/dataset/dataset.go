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
package dataset

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
