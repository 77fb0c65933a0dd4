package calib

import "math"

// correlator makes inner products of known fields (columns) with fields of frames, in
// integers: real and imaginary part of a product then share their multiplications, as
// they do in holo.Direct, which makes frames with thousands of outputs prove themselves
// in a fraction of the time of their demodulation.
type correlator struct {
	outputs int
	columns [][2]int16 // real and imaginary part, columns x outputs, in steps
	steps   []float64  // of each column
}

// A block of correlateBlock outputs keeps its sums within 32 bits: twice its length times
// the square of correlateMax is below 2^31. Rounding then adds noise of 70 dB below the
// field, that of a camera is 30 dB below at best.
const (
	correlateBlock = 256
	correlateMax   = 2047
)

// newCorrelator keeps fields, columns x outputs, rounded to twelve bits.
func newCorrelator(fields Field, outputs int) *correlator {
	c := &correlator{outputs: outputs, columns: make([][2]int16, len(fields)), steps: make([]float64, len(fields)/outputs)}
	for j := range c.steps {
		column := fields[j*outputs : (j+1)*outputs]
		largest := float32(0)
		for _, x := range column {
			largest = max(largest, abs(real(x)), abs(imag(x)))
		}
		if largest == 0 {
			continue
		}
		c.steps[j] = float64(largest) / correlateMax
		scale := correlateMax / largest
		for i, x := range column {
			c.columns[j*outputs+i] = [2]int16{int16(nearest(real(x) * scale)), int16(nearest(imag(x) * scale))}
		}
	}
	return c
}

// between is the inner product of two columns, conj(a) times b.
func (c *correlator) between(a, b int) complex128 {
	var re, im int64
	second := c.columns[b*c.outputs : (b+1)*c.outputs]
	for i, x := range c.columns[a*c.outputs : (a+1)*c.outputs] {
		xr, xi, yr, yi := int64(x[0]), int64(x[1]), int64(second[i][0]), int64(second[i][1])
		re += xr*yr + xi*yi
		im += xr*yi - xi*yr
	}
	scale := c.steps[a] * c.steps[b]
	return complex(scale*float64(re), scale*float64(im))
}

// correlate writes the inner product of each column with z - dark, conj(column) times
// it, to dst, and returns the power of z - dark. It allocates nothing.
func (c *correlator) correlate(dst []complex128, z, dark []complex64) (total float64) {
	clear(dst)
	var field [correlateBlock]complex64
	// (wr - i wi)(zr + i zi), with the imaginary part in the upper half of a word, is
	// wr (zr + zi 2^32) + wi (zi - zr 2^32).
	var straight, turned [correlateBlock]int64
	for first := 0; first < c.outputs; first += correlateBlock {
		n := min(correlateBlock, c.outputs-first)
		largest := float32(0)
		for i, d := range dark[first : first+n] {
			x := z[first+i] - d
			field[i] = x
			largest = max(largest, abs(real(x)), abs(imag(x)))
			total += power(x)
		}
		if !(largest > 0 && largest <= math.MaxFloat32) {
			continue // nothing, or no numbers, which total tells
		}
		scale := correlateMax / largest
		for i, x := range field[:n] {
			re, im := nearest(real(x)*scale), nearest(imag(x)*scale)
			straight[i], turned[i] = re+im<<32, im-re<<32
		}
		step := float64(largest) / correlateMax
		for j := 0; j < len(dst); j += 2 {
			next := min(j+1, len(dst)-1) // of an odd number, the last stands alone
			one, two := packedProducts(c.columns[j*c.outputs+first:], c.columns[next*c.outputs+first:], straight[:n], turned[:n])
			dst[j] += unpack(one, step*c.steps[j])
			if next > j {
				dst[next] += unpack(two, step*c.steps[next])
			}
		}
	}
	return total
}

// packedProducts takes two columns at a time, which share their loads of the field.
func packedProducts(a, b [][2]int16, straight, turned []int64) (one, two int64) {
	a, b, turned = a[:len(straight)], b[:len(straight)], turned[:len(straight)]
	for i, s := range straight {
		t := turned[i]
		one += int64(a[i][0])*s + int64(a[i][1])*t
		two += int64(b[i][0])*s + int64(b[i][1])*t
	}
	return one, two
}

func unpack(sum int64, step float64) complex128 {
	re := int32(sum)
	im := int32((sum - int64(re)) >> 32)
	return complex(step*float64(re), step*float64(im))
}

func abs(x float32) float32 { return max(x, -x) }

// nearest rounds half up; x is small.
func nearest(x float32) int64 { return int64(x+(1<<20+0.5)) - 1<<20 }
