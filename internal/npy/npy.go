// Package npy reads and writes NumPy arrays in the .npy format, as streams.
//
// A .npy file is one array: a short header that says element type and shape,
// then the elements, row-major. The header comes first and the size follows
// from it, so neither side ever needs the whole array in memory: a [Reader] fills
// the caller's slices piece by piece, a [Writer] takes them piece by piece.
//
//	in, err := npy.NewReader(file)    // reads the header only
//	rows, width := in.Shape[0], in.Shape[1]
//	out, err := npy.NewWriter[complex64](w, rows, outputs)
//	for {
//		n, err := npy.Read(in, x)     // any number type into []int8: 0.5 is an error, 1.0 is not
//		if err == io.EOF {
//			break
//		}
//		...
//		err = out.Write(y)
//	}
//	err = out.Close()                 // an error unless every element was written
//
// Reading is strict, because the file is somebody else's: the header is parsed,
// not evaluated, and nothing is allocated by the size it claims. Of the format's
// many element types those that measurements and data sets are made of are
// supported, see [DType]; both byte orders are read, little-endian is written.
// Column-major ("Fortran") arrays, structured types and pickled objects are
// refused with the remedy; [NewColumnWriter] writes the first of these.
//
// The format is NumPy's NEP 1 and the documentation of numpy.lib.format, versions
// 1.0 and 2.0.
package npy

import (
	"errors"
	"fmt"
	"math"
)

// ErrFormat is wrapped by every error that is about the content of a file and
// not about reading it.
var ErrFormat = errors.New("not a usable .npy file")

const magic = "\x93NUMPY"

// A DType is the type of an array's elements.
type DType uint8

// The supported types, named as NumPy names them.
const (
	Bool DType = iota + 1
	Int8
	Uint8
	Int16
	Uint16
	Int32
	Int64
	Float32
	Float64
	Complex64
	Complex128
)

var dtypes = [...]struct {
	code, name string
	size       int
}{
	Bool:       {"b1", "bool", 1},
	Int8:       {"i1", "int8", 1},
	Uint8:      {"u1", "uint8", 1},
	Int16:      {"i2", "int16", 2},
	Uint16:     {"u2", "uint16", 2},
	Int32:      {"i4", "int32", 4},
	Int64:      {"i8", "int64", 8},
	Float32:    {"f4", "float32", 4},
	Float64:    {"f8", "float64", 8},
	Complex64:  {"c8", "complex64", 8},
	Complex128: {"c16", "complex128", 16},
}

func (d DType) valid() bool { return d >= Bool && int(d) < len(dtypes) }

// Size returns the bytes one element takes in the file.
func (d DType) Size() int {
	if !d.valid() {
		return 0
	}
	return dtypes[d].size
}

// IsComplex reports whether the elements have an imaginary part.
func (d DType) IsComplex() bool { return d == Complex64 || d == Complex128 }

func (d DType) isFloat() bool { return d == Float32 || d == Float64 }

// String returns NumPy's name of the type.
func (d DType) String() string {
	if !d.valid() {
		return fmt.Sprintf("DType(%d)", uint8(d))
	}
	return dtypes[d].name
}

// Real are the Go types that real arrays are read into.
type Real interface {
	int8 | uint8 | int16 | uint16 | int32 | int64 | int | float32 | float64
}

// Complex are the Go types that complex arrays are read into.
type Complex interface{ complex64 | complex128 }

// Element are the Go types that can be written; each has its own DType.
type Element interface {
	bool | int8 | uint8 | int16 | uint16 | int32 | int64 | float32 | float64 | complex64 | complex128
}

func dtypeOf[T Element]() DType {
	var zero T
	switch any(zero).(type) {
	case bool:
		return Bool
	case int8:
		return Int8
	case uint8:
		return Uint8
	case int16:
		return Int16
	case uint16:
		return Uint16
	case int32:
		return Int32
	case int64:
		return Int64
	case float32:
		return Float32
	case float64:
		return Float64
	case complex64:
		return Complex64
	}
	return Complex128
}

// maxDims is NumPy's own limit before version 2.
const maxDims = 32

// length returns the number of elements of an array, refusing shapes whose bytes
// could not be counted.
func length(shape []int, dtype DType) (int, error) {
	if len(shape) > maxDims {
		return 0, fmt.Errorf("the array has %d dimensions, at most %d are supported", len(shape), maxDims)
	}
	n, empty := 1, false
	for _, d := range shape {
		switch {
		case d < 0:
			return 0, fmt.Errorf("the shape %v has a negative dimension", shape)
		case d == 0:
			empty = true
		case n > math.MaxInt/dtype.Size()/d:
			return 0, fmt.Errorf("the shape %v of %v is larger than any memory", shape, dtype)
		default:
			n *= d
		}
	}
	if empty {
		return 0, nil
	}
	return n, nil
}
