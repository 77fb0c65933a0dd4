package holo

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Direct demodulates by one dot product of a patch of pixels with a Kernel per
// output, in exact integer arithmetic, touching each pixel while it is in the cache.
// Outputs are in counts times weight. A Direct never changes after NewDirect and
// may be used concurrently.
//
// Patches lie on a regular grid, Kernel.Stride pixels apart, and all are weighed
// alike, so the carrier is not turned back from patch to patch: output i is the
// field times the phase exp(-i 2 pi f.p), p its Position. A constant phase per row
// of B makes it another random matrix of the same kind and costs nothing; Phases
// undoes it where the field itself is wanted.
type Direct struct {
	kernel        Kernel
	width, height int
	columns       int // of the output grid
	outputs       int
	packed        []int64 // Im<<32 + Re of each tap
}

// NewDirect returns the demodulator of frames of the given size that yields the first
// outputs of the grid, row by row; there can be MaxOutputs.
func NewDirect(k Kernel, width, height, outputs int) (*Direct, error) {
	if err := k.Check(); err != nil {
		return nil, err
	}
	const most = 1 << 15
	if width > most || height > most {
		return nil, fmt.Errorf("cannot demodulate frames of %dx%d pixels: each side must be 1 to %d: %w", width, height, most, ErrImage)
	}
	if n := MaxOutputs(k, width, height); outputs < 1 || outputs > n {
		return nil, fmt.Errorf("cannot make %d outputs: frames of %dx%d pixels with a kernel of %dx%d taps every %d pixels give 1 to %d; "+
			"ask for fewer, or use a larger region of the sensor: %w", outputs, width, height, k.Taps, k.Taps, k.Stride, n, ErrOutputs)
	}
	d := &Direct{width: width, height: height, outputs: outputs, packed: make([]int64, k.Taps*k.Taps)}
	d.kernel = Kernel{Taps: k.Taps, Stride: k.Stride, Re: append([]int8(nil), k.Re...), Im: append([]int8(nil), k.Im...)}
	d.columns, _ = k.grid(width, height)
	for i := range d.packed {
		d.packed[i] = int64(k.Im[i])<<32 + int64(k.Re[i])
	}
	return d, nil
}

// Outputs implements Demodulator.
func (d *Direct) Outputs() int { return d.outputs }

// Grid is the number of columns of the output grid and of rows that hold outputs.
func (d *Direct) Grid() (columns, rows int) {
	return d.columns, (d.outputs + d.columns - 1) / d.columns
}

// Position is the centre of output i's patch, in pixels.
func (d *Direct) Position(i int) (u, v float64) {
	s := float64(d.kernel.Stride)
	return s*float64(i%d.columns) + d.kernel.centre(), s*float64(i/d.columns) + d.kernel.centre()
}

// Phases writes exp(+i 2 pi f.p) for every output into dst, which must have Outputs
// elements. Multiplied by them, outputs sample A exp(-i phi) S at their positions,
// up to one factor that all have in common, as those of FFT do.
func (d *Direct) Phases(dst []complex64, b Band) error {
	if len(dst) != d.outputs {
		return fmt.Errorf("cannot write the phases of %d outputs into %d values; the two must be equal: %w", d.outputs, len(dst), ErrOutputs)
	}
	for i := range dst {
		u, v := d.Position(i)
		sin, cos := math.Sincos(2 * math.Pi * (b.Fu*u + b.Fv*v))
		dst[i] = complex(float32(cos), float32(sin))
	}
	return nil
}

// Demodulate implements Demodulator.
func (d *Direct) Demodulate(dst []complex64, img Image) error {
	if len(dst) != d.outputs {
		return img.fits(d.width, d.height, len(dst), d.outputs)
	}
	return d.DemodulateWindow(dst, 0, img)
}

// DemodulateWindow is Demodulate for the outputs first, first+1, ... that dst has room
// for. They are those of Demodulate to the last bit, and cost their share of the time.
func (d *Direct) DemodulateWindow(dst []complex64, first int, img Image) error {
	if first < 0 || first > d.outputs || len(dst) > d.outputs-first {
		return fmt.Errorf("cannot demodulate %d outputs from %d on: there are %d: %w", len(dst), first, d.outputs, ErrOutputs)
	}
	if err := img.fits(d.width, d.height, d.outputs, d.outputs); err != nil {
		return err
	}
	wide := img.bytesPerPixel() == 2
	step := d.kernel.Stride * img.bytesPerPixel()
	for len(dst) > 0 {
		line, column := first/d.columns, first%d.columns
		row := dst[:min(d.columns-column, len(dst))]
		pix := img.Pix[line*d.kernel.Stride*img.Stride+column*step:]
		switch {
		case d.kernel.Taps == 8 && !wide:
			dot8Narrow(row, pix, img.Stride, step, (*[64]int64)(d.packed))
		case d.kernel.Taps == 8:
			dot8Wide(row, pix, img.Stride, step, (*[64]int64)(d.packed))
		case !wide:
			dotNarrow(row, pix, img.Stride, step, d.packed, d.kernel.Taps)
		default:
			dotWide(row, pix, img.Stride, step, d.packed, d.kernel.Taps)
		}
		dst, first = dst[len(row):], first+len(row)
	}
	return nil
}

// The four functions below compute one row of outputs, the first of which has its
// patch at pix[0]; rows of pixels are stride bytes apart and patches step bytes. A
// tap's real and imaginary weight share one multiplication: with both sums below
// 2^31 in size, the lower half of the sum of packed products is the real part, and
// the upper half the imaginary part less what the lower one has borrowed.

func unpack(sum int64) complex64 {
	re := int32(sum)
	im := int32((sum - int64(re)) >> 32)
	return complex(float32(re), float32(im))
}

func dot8Narrow(dst []complex64, pix []byte, stride, step int, w *[64]int64) {
	for i := range dst {
		var even, odd int64 // two chains of additions
		at := i * step
		for v := 0; v < 64; v += 8 {
			p, r := (*[8]byte)(pix[at:]), (*[8]int64)(w[v:])
			even += int64(p[0])*r[0] + int64(p[2])*r[2] + int64(p[4])*r[4] + int64(p[6])*r[6]
			odd += int64(p[1])*r[1] + int64(p[3])*r[3] + int64(p[5])*r[5] + int64(p[7])*r[7]
			at += stride
		}
		dst[i] = unpack(even + odd)
	}
}

func dot8Wide(dst []complex64, pix []byte, stride, step int, w *[64]int64) {
	count := func(p []byte) int64 { return int64(binary.LittleEndian.Uint16(p)) }
	for i := range dst {
		var even, odd int64
		at := i * step
		for v := 0; v < 64; v += 8 {
			p, r := (*[16]byte)(pix[at:]), (*[8]int64)(w[v:])
			even += count(p[0:])*r[0] + count(p[4:])*r[2] + count(p[8:])*r[4] + count(p[12:])*r[6]
			odd += count(p[2:])*r[1] + count(p[6:])*r[3] + count(p[10:])*r[5] + count(p[14:])*r[7]
			at += stride
		}
		dst[i] = unpack(even + odd)
	}
}

func dotNarrow(dst []complex64, pix []byte, stride, step int, w []int64, taps int) {
	for i := range dst {
		var sum int64
		for v := range taps {
			p, r := pix[i*step+v*stride:], w[v*taps:(v+1)*taps]
			p = p[:len(r)]
			for u, weight := range r {
				sum += int64(p[u]) * weight
			}
		}
		dst[i] = unpack(sum)
	}
}

func dotWide(dst []complex64, pix []byte, stride, step int, w []int64, taps int) {
	for i := range dst {
		var sum int64
		for v := range taps {
			p, r := pix[i*step+v*stride:], w[v*taps:(v+1)*taps]
			p = p[:2*len(r)]
			for u, weight := range r {
				sum += int64(binary.LittleEndian.Uint16(p[2*u:])) * weight
			}
		}
		dst[i] = unpack(sum)
	}
}
