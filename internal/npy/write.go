package npy

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// A Writer writes one array of T in pieces. It is not safe for concurrent use.
type Writer[T Element] struct {
	w     io.Writer
	shape []int
	len   int // elements announced
	done  int // elements written
	raw   []byte
}

// NewWriter writes the header of an array of T with the given shape to w. The
// elements follow through Write, then Close. The caller buffers w if small
// pieces are to be written, and closes it.
func NewWriter[T Element](w io.Writer, shape ...int) (*Writer[T], error) {
	return newWriter[T](w, false, shape...)
}

// NewColumnWriter is NewWriter for a matrix that is written column by column
// ("Fortran order"): for a matrix that is made that way and too large to be held.
// NumPy reads it like any other; [NewReader] refuses it.
func NewColumnWriter[T Element](w io.Writer, rows, columns int) (*Writer[T], error) {
	return newWriter[T](w, true, rows, columns)
}

func newWriter[T Element](w io.Writer, fortran bool, shape ...int) (*Writer[T], error) {
	dtype := dtypeOf[T]()
	n, err := length(shape, dtype)
	if err != nil {
		return nil, fmt.Errorf("cannot write the array: %w", err)
	}
	if _, err := w.Write(formatHeader(shape, dtype, fortran)); err != nil {
		return nil, fmt.Errorf("cannot write the array: %w", err)
	}
	return &Writer[T]{w: w, shape: shape, len: n}, nil
}

// Write appends src, any number of elements, in the order of the file. More elements than the
// shape has are refused and nothing of src is written.
func (w *Writer[T]) Write(src []T) error {
	if len(src) > w.len-w.done {
		return fmt.Errorf("cannot write the array: %d elements after %d are more than its shape %v has", len(src), w.done, w.shape)
	}
	if w.raw == nil {
		w.raw = make([]byte, 0, chunk)
	}
	size := dtypeOf[T]().Size()
	for len(src) > 0 {
		n := min(len(src), chunk/size)
		w.raw = appendElements(w.raw[:0], src[:n])
		if _, err := w.w.Write(w.raw); err != nil {
			return fmt.Errorf("cannot write the array: %w", err)
		}
		src = src[n:]
		w.done += n
	}
	return nil
}

// Close checks that all elements were written. It does not close the underlying
// writer.
func (w *Writer[T]) Close() error {
	if w.done != w.len {
		return fmt.Errorf("cannot finish the array: only %d of the %d elements of its shape %v were written", w.done, w.len, w.shape)
	}
	return nil
}

// Write writes a whole array.
func Write[T Element](w io.Writer, data []T, shape ...int) error {
	a, err := NewWriter[T](w, shape...)
	if err != nil {
		return err
	}
	if err := a.Write(data); err != nil {
		return err
	}
	return a.Close()
}

func appendElements[T Element](b []byte, src []T) []byte {
	le := binary.LittleEndian
	switch src := any(src).(type) {
	case []bool:
		for _, v := range src {
			if v {
				b = append(b, 1)
			} else {
				b = append(b, 0)
			}
		}
	case []int8:
		for _, v := range src {
			b = append(b, byte(v))
		}
	case []uint8:
		b = append(b, src...)
	case []int16:
		for _, v := range src {
			b = le.AppendUint16(b, uint16(v))
		}
	case []uint16:
		for _, v := range src {
			b = le.AppendUint16(b, v)
		}
	case []int32:
		for _, v := range src {
			b = le.AppendUint32(b, uint32(v))
		}
	case []int64:
		for _, v := range src {
			b = le.AppendUint64(b, uint64(v))
		}
	case []float32:
		for _, v := range src {
			b = le.AppendUint32(b, math.Float32bits(v))
		}
	case []float64:
		for _, v := range src {
			b = le.AppendUint64(b, math.Float64bits(v))
		}
	case []complex64:
		for _, v := range src {
			b = le.AppendUint32(b, math.Float32bits(real(v)))
			b = le.AppendUint32(b, math.Float32bits(imag(v)))
		}
	case []complex128:
		for _, v := range src {
			b = le.AppendUint64(b, math.Float64bits(real(v)))
			b = le.AppendUint64(b, math.Float64bits(imag(v)))
		}
	}
	return b
}
