package npy

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// A Reader hands out the elements of one array in order, see [Read] and
// [ReadComplex]. It is not safe for concurrent use.
type Reader struct {
	DType DType
	// Shape is as in NumPy: a matrix of 3 rows and 4 columns is [3 4].
	Shape []int

	r     io.Reader
	order binary.ByteOrder
	len   int // elements in the file
	done  int // elements handed out
	raw   []byte
}

// NewReader reads and checks the header of the array in r. The elements follow
// through [Read] or [ReadComplex]. Content that is not a supported array gives
// an error that wraps [ErrFormat].
func NewReader(r io.Reader) (*Reader, error) {
	shape, dtype, order, err := readHeader(r)
	if err != nil {
		return nil, fmt.Errorf("cannot read the array: %w", err)
	}
	n, err := length(shape, dtype)
	if err != nil {
		return nil, fmt.Errorf("cannot read the array: %w: %w", ErrFormat, err)
	}
	return &Reader{DType: dtype, Shape: shape, r: r, order: order, len: n}, nil
}

// Len returns the number of elements the header announces.
func (r *Reader) Len() int { return r.len }

// A ValueError is a value that the type it is read into cannot hold.
type ValueError struct {
	// Position is the index of the value in each dimension.
	Position []int
	Value    float64
	// Type is the type that was asked for.
	Type string
}

func (e *ValueError) Error() string {
	index := strings.Join(strings.Fields(strings.Trim(fmt.Sprint(e.Position), "[]")), ", ")
	return fmt.Sprintf("the element [%s] is %v, which is no %s", index, e.Value, e.Type)
}

// Read fills dst with the next elements of a real array and returns how many it
// stored: fewer than len(dst) only at the end of the array, where it returns 0
// and io.EOF. Every real type is converted to T; a value that an integer T
// cannot hold exactly (0.5, NaN, 300 as int8) is a [*ValueError], while floating
// point T rounds. False and true are 0 and 1.
//
// An array that ends before its announced size, or goes on after it, and a
// complex array are errors that wrap [ErrFormat]. After an error other than
// io.EOF the Reader is of no further use.
func Read[T Real](r *Reader, dst []T) (int, error) {
	if r.DType.IsComplex() {
		return 0, fmt.Errorf("cannot read the array: %w: its elements are %v where real ones are needed; save its real part", ErrFormat, r.DType)
	}
	size := r.DType.Size()
	half := 0.5
	rounds := T(half) != 0 // T is a floating point type
	return r.read(len(dst), func(at int, raw []byte) int {
		for i := range len(raw) / size {
			var v T
			var exact bool
			if b := raw[i*size:]; r.DType.isFloat() {
				x := r.float(b)
				// What T(x) is for an x out of range differs between processors, but
				// it never is x.
				v = T(x)
				exact = float64(v) == x
			} else {
				x := r.int(b)
				v = T(x)
				exact = int64(v) == x
			}
			if !exact && !rounds {
				return i
			}
			dst[at+i] = v
		}
		return len(raw) / size
	}, func(raw []byte) error {
		return &ValueError{r.position(), r.real(raw), fmt.Sprintf("%T", *new(T))}
	})
}

// int returns the first element of b, which is an integer or a truth value.
func (r *Reader) int(b []byte) int64 {
	switch r.DType {
	case Bool:
		return min(int64(b[0]), 1)
	case Int8:
		return int64(int8(b[0]))
	case Uint8:
		return int64(b[0])
	case Int16:
		return int64(int16(r.order.Uint16(b)))
	case Uint16:
		return int64(r.order.Uint16(b))
	case Int32:
		return int64(int32(r.order.Uint32(b)))
	}
	return int64(r.order.Uint64(b))
}

// float returns the first element of b, which is a Float32 or a Float64. Two of
// them in a row are a complex number.
func (r *Reader) float(b []byte) float64 {
	switch r.DType {
	case Float32, Complex64:
		return float64(math.Float32frombits(r.order.Uint32(b)))
	}
	return math.Float64frombits(r.order.Uint64(b))
}

// real returns the first element of b, which is not complex.
func (r *Reader) real(b []byte) float64 {
	if r.DType.isFloat() {
		return r.float(b)
	}
	return float64(r.int(b))
}

// ReadComplex is [Read] for arrays of any type, real ones included.
func ReadComplex[T Complex](r *Reader, dst []T) (int, error) {
	size := r.DType.Size()
	return r.read(len(dst), func(at int, raw []byte) int {
		for i := range len(raw) / size {
			if b := raw[i*size:]; r.DType.IsComplex() {
				dst[at+i] = T(complex(r.float(b), r.float(b[size/2:])))
			} else {
				dst[at+i] = T(complex(r.real(b), 0))
			}
		}
		return len(raw) / size
	}, nil)
}

// chunk is how many bytes are read at a time: enough to amortise the call, small
// enough to stay in the cache between reading and converting.
const chunk = 1 << 15

// read passes the raw bytes of the next want elements to convert, piece by piece.
// convert returns how many elements it accepted; refused describes the first one
// it did not.
func (r *Reader) read(want int, convert func(at int, raw []byte) int, refused func(raw []byte) error) (int, error) {
	if want == 0 {
		return 0, nil
	}
	want = min(want, r.len-r.done)
	if want == 0 {
		return 0, r.end()
	}
	if r.raw == nil {
		r.raw = make([]byte, chunk)
	}
	size := r.DType.Size()
	for at := 0; at < want; {
		raw := r.raw[:min(want-at, chunk/size)*size]
		if n, err := io.ReadFull(r.r, raw); err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				err = fmt.Errorf("%w: it ends after %d of %d elements; the file was cut short", ErrFormat, r.done+n/size, r.len)
			}
			return at, fmt.Errorf("cannot read the array: %w", err)
		}
		n := convert(at, raw)
		r.done += n
		at += n
		if n < len(raw)/size {
			return at, fmt.Errorf("cannot read the array: %w", refused(raw[n*size:]))
		}
	}
	return want, nil
}

// end returns io.EOF if the file ends where the array does.
func (r *Reader) end() error {
	var b [1]byte
	switch _, err := io.ReadFull(r.r, b[:]); err {
	case io.EOF:
		return io.EOF
	case nil:
		return fmt.Errorf("cannot read the array: %w: the file goes on after the %d announced elements; save one array per file", ErrFormat, r.len)
	default:
		return fmt.Errorf("cannot read the array: %w", err)
	}
}

// position returns the index of the next element.
func (r *Reader) position() []int {
	index := make([]int, len(r.Shape))
	rest := r.done
	for i := len(index) - 1; i >= 0; i-- {
		index[i] = rest % r.Shape[i]
		rest /= r.Shape[i]
	}
	return index
}

// ReadAll reads the rest of a real array. An array of more than limit elements
// is refused before any of them is read; below that, memory grows with what the
// file really holds and not with what its header claims.
func ReadAll[T Real](r *Reader, limit int) ([]T, error) {
	if left := r.len - r.done; left > limit {
		return nil, fmt.Errorf("cannot read the array: %w: shape %v has %d elements, at most %d are supported here", ErrFormat, r.Shape, left, limit)
	}
	total := r.len - r.done
	// One element more than needed, so that the last Read finds the end of the file.
	all := make([]T, 0, min(total, 1<<16)+1)
	for {
		if len(all) == cap(all) {
			all = append(make([]T, 0, min(total, 2*len(all))+1), all...)
		}
		n, err := Read(r, all[len(all):cap(all)])
		all = all[:len(all)+n]
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
