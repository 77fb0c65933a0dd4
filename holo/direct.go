package holo

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/cmplx"
)

// Direct demodulates by the dot product of a patch of pixels with a kernel
// (reference, section 2b). Outputs lie on a grid over the frame, one every Stride
// pixels, row-major; a demodulator may stop after the first of them. Sums are exact
// integers, so every implementation agrees bit for bit.
//
// Output i is the field at Position(i) with the reference's own phase there,
// exp(-i 2 pi f.r): a constant turn of row i of the matrix, which no user of a
// random matrix notices. Phase gives it, for comparison with the true field.
//
// Demodulate may be called from any number of goroutines and allocates nothing.
type Direct struct {
	kernel        Kernel
	width, height int
	columns       int // of the grid
	outputs       int

	// weights holds im<<32 + re of each tap: one multiplication by a pixel makes both
	// products, and sums of them both sums, which unpack separates.
	weights []int64
}

var _ Demodulator = (*Direct)(nil)

// MaxOutputs is how many outputs a kernel has on frames of width x height pixels;
// 0 if it does not fit.
func MaxOutputs(k Kernel, width, height int) int {
	if width < k.Taps || height < k.Taps || k.Stride < 1 {
		return 0
	}
	return ((width-k.Taps)/k.Stride + 1) * ((height-k.Taps)/k.Stride + 1)
}

// NewDirect makes a demodulator of the first outputs of the grid.
func NewDirect(k Kernel, width, height, outputs int) (*Direct, error) {
	if err := k.Check(); err != nil {
		return nil, err
	}
	most := 0
	if width <= maxSide && height <= maxSide {
		most = MaxOutputs(k, width, height)
	}
	if outputs < 1 || outputs > most {
		return nil, fmt.Errorf("cannot demodulate %d outputs from frames of %dx%d pixels: 1 to %d are possible with %d taps every %d pixels: %w",
			outputs, width, height, most, k.Taps, k.Stride, ErrInput)
	}
	d := &Direct{kernel: k, width: width, height: height, columns: (width-k.Taps)/k.Stride + 1, outputs: outputs}
	for i := range k.Re {
		d.weights = append(d.weights, int64(k.Im[i])<<32+int64(k.Re[i]))
	}
	return d, nil
}

// Outputs implements Demodulator.
func (d *Direct) Outputs() int { return d.outputs }

// Position is the centre of output i's patch, in pixels.
func (d *Direct) Position(i int) (u, v float64) {
	centre := float64(d.kernel.Taps-1) / 2
	return float64(i%d.columns*d.kernel.Stride) + centre, float64(i/d.columns*d.kernel.Stride) + centre
}

// Phase is the constant factor of output i, for a carrier: the field at Position
// is the output divided by it.
func (d *Direct) Phase(i int, b Band) complex128 {
	u, v := d.Position(i)
	return cmplx.Rect(1, -2*math.Pi*(b.Fu*u+b.Fv*v))
}

// Demodulate implements Demodulator. Outputs are in counts times the kernel's gain.
func (d *Direct) Demodulate(dst []complex64, img Image) error {
	if err := img.fits(d.width, d.height); err != nil {
		return err
	}
	if len(dst) != d.outputs {
		return fmt.Errorf("cannot demodulate into %d outputs, there are %d: %w", len(dst), d.outputs, ErrInput)
	}
	for row := 0; len(dst) > 0; row++ {
		line := dst[:min(d.columns, len(dst))]
		pixels := img.Pix[row*d.kernel.Stride*img.Stride:]
		switch {
		case img.BitDepth > 8:
			d.row16(line, pixels, img.Stride)
		case d.kernel.Taps == 8:
			d.row8x8(line, pixels, img.Stride)
		default:
			d.row8(line, pixels, img.Stride)
		}
		dst = dst[len(line):]
	}
	return nil
}

// unpack separates the two sums of packed products.
func unpack(sum int64) complex64 {
	re := int32(sum)
	return complex(float32(re), float32((sum-int64(re))>>32))
}

// row8x8 makes one row of outputs from 8-bit pixels with 8 x 8 taps.
func (d *Direct) row8x8(dst []complex64, pixels []byte, stride int) {
	w := (*[64]int64)(d.weights)
	for i := range dst {
		at := i * d.kernel.Stride
		var sum int64
		for v := range 8 {
			p := (*[8]byte)(pixels[at:])
			k := (*[8]int64)(w[8*v:])
			sum += k[0]*int64(p[0]) + k[1]*int64(p[1]) + k[2]*int64(p[2]) + k[3]*int64(p[3]) +
				k[4]*int64(p[4]) + k[5]*int64(p[5]) + k[6]*int64(p[6]) + k[7]*int64(p[7])
			at += stride
		}
		dst[i] = unpack(sum)
	}
}

// row8 is row8x8 for any number of taps.
func (d *Direct) row8(dst []complex64, pixels []byte, stride int) {
	taps := d.kernel.Taps
	for i := range dst {
		var sum int64
		for v := range taps {
			p := pixels[i*d.kernel.Stride+v*stride:][:taps]
			for u, w := range d.weights[v*taps:][:taps] {
				sum += w * int64(p[u])
			}
		}
		dst[i] = unpack(sum)
	}
}

// row16 is row8 for pixels of two bytes.
func (d *Direct) row16(dst []complex64, pixels []byte, stride int) {
	taps := d.kernel.Taps
	for i := range dst {
		var sum int64
		for v := range taps {
			p := pixels[2*i*d.kernel.Stride+v*stride:][:2*taps]
			for u, w := range d.weights[v*taps:][:taps] {
				sum += w * int64(binary.LittleEndian.Uint16(p[2*u:]))
			}
		}
		dst[i] = unpack(sum)
	}
}
