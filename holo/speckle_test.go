package holo

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/dsp/fourier"
)

// The tests' own bench: fields with a disc for a spectrum, a plane reference, a
// camera. It shares no code with the demodulators; its pixels have no extent, so the
// fringes have full contrast.

// newRand is a generator with a fixed seed, which is logged.
func newRand(tb testing.TB, seed uint64) *rand.Rand {
	tb.Helper()
	tb.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0x686f6c6f))
}

// speckle is a circular Gaussian field of unit mean power whose spectrum fills the
// disc |k| <= radius. The periodic kind repeats at the frame's edges; the other is cut
// from one on a grid of twice the size, as a real one is.
func speckle(rnd *rand.Rand, width, height int, radius float64, periodic bool) []complex128 {
	return filteredSpeckle(rnd, width, height, radius, periodic, func(ku, kv float64) complex128 { return 1 })
}

// filteredSpeckle is the same field after a linear filter.
func filteredSpeckle(rnd *rand.Rand, width, height int, radius float64, periodic bool, filter func(ku, kv float64) complex128) []complex128 {
	w, h := width, height
	if !periodic {
		w, h = 2*width, 2*height
	}
	grid := make([]complex128, w*h)
	bins := 0
	for j := range h {
		for i := range w {
			ku, kv := centred(i, w), centred(j, h)
			if ku*ku+kv*kv <= radius*radius {
				grid[j*w+i] = complex(rnd.NormFloat64(), rnd.NormFloat64()) / complex(math.Sqrt2, 0) * filter(ku, kv)
				bins++
			}
		}
	}
	inverse2D(grid, w, h)
	out := make([]complex128, 0, width*height)
	scale := complex(1/math.Sqrt(float64(bins)), 0)
	for v := range height {
		for _, z := range grid[v*w : v*w+width] {
			out = append(out, z*scale)
		}
	}
	return out
}

// centred is the frequency of bin i of n.
func centred(i, n int) float64 {
	f := float64(i) / float64(n)
	if f >= 0.5 {
		f--
	}
	return f
}

func inverse2D(grid []complex128, w, h int) {
	row, column := fourier.NewCmplxFFT(w), fourier.NewCmplxFFT(h)
	for j := range h {
		row.Sequence(grid[j*w:(j+1)*w], grid[j*w:(j+1)*w])
	}
	line := make([]complex128, h)
	for i := range w {
		for j := range h {
			line[j] = grid[j*w+i]
		}
		column.Sequence(line, line)
		for j := range h {
			grid[j*w+i] = line[j]
		}
	}
}

// camera makes frames of fields: reference, intensity, electrons, counts.
type camera struct {
	width, height int
	band          Band
	rho           float64
	electrons     float64 // mean, for a field of unit power
	fullWell      float64
	bits          int
	noise         *rand.Rand // nil for none
	readNoise     float64
}

// reference is the reference beam at a pixel.
func (c camera) reference(u, v int) complex128 {
	return cmplx.Rect(math.Sqrt(c.rho), 2*math.Pi*(c.band.Fu*float64(u)+c.band.Fv*float64(v))+0.7)
}

// expose returns the frame of a field; nil means darkness but for the reference.
func (c camera) expose(field []complex128) Image {
	bpp := 1
	if c.bits > 8 {
		bpp = 2
	}
	img := Image{Width: c.width, Height: c.height, Stride: c.width * bpp, BitDepth: c.bits, Pix: make([]byte, c.width*c.height*bpp)}
	most := float64(int(1)<<c.bits - 1)
	for i := range c.width * c.height {
		e := c.reference(i%c.width, i/c.width)
		if field != nil {
			e += field[i]
		}
		x := (real(e)*real(e) + imag(e)*imag(e)) * c.electrons / (1 + c.rho)
		if c.noise != nil {
			// A Gaussian of the same variance: there are always many electrons.
			x += c.noise.NormFloat64() * math.Sqrt(x+c.readNoise*c.readNoise)
		}
		count := uint16(math.Round(math.Max(0, math.Min(most, x/c.fullWell*most))))
		img.Pix[i*bpp] = byte(count)
		if bpp == 2 {
			img.Pix[i*bpp+1] = byte(count >> 8)
		}
	}
	return img
}

// snr is the power of the best complex multiple of truth in z over that of the
// rest, in dB.
func snr(z []complex64, truth []complex128) float64 {
	var cross complex128
	var power, energy float64
	for i, t := range truth {
		x := complex128(z[i])
		cross += x * cmplx.Conj(t)
		power += real(t)*real(t) + imag(t)*imag(t)
		energy += real(x)*real(x) + imag(x)*imag(x)
	}
	signal := real(cross)*real(cross)/power + imag(cross)*imag(cross)/power
	return 10 * math.Log10(signal/(energy-signal))
}

// demodulate runs d on an image into a new slice.
func demodulate(tb testing.TB, d Demodulator, img Image) []complex64 {
	tb.Helper()
	z := make([]complex64, d.Outputs())
	if err := d.Demodulate(z, img); err != nil {
		tb.Fatal(err)
	}
	return z
}

// linearity is how well y(a) + y(b) = y(a + b), in dB, y less the output without
// signal. Fields a and b have half the power of a pattern each.
func linearity(tb testing.TB, d Demodulator, c camera, a, b []complex128) float64 {
	tb.Helper()
	half := func(x, y []complex128) []complex128 {
		out := make([]complex128, len(x))
		for i := range out {
			out[i] = x[i] / math.Sqrt2
			if y != nil {
				out[i] += y[i] / math.Sqrt2
			}
		}
		return out
	}
	off := demodulate(tb, d, c.expose(nil))
	ya, yb := demodulate(tb, d, c.expose(half(a, nil))), demodulate(tb, d, c.expose(half(b, nil)))
	both := demodulate(tb, d, c.expose(half(a, b)))
	var wrong, power float64
	for i := range off {
		sum := complex128(ya[i]) + complex128(yb[i]) - 2*complex128(off[i])
		y := complex128(both[i]) - complex128(off[i])
		wrong += sq(sum - y)
		power += sq(y)
	}
	return 10 * math.Log10(power/wrong)
}

func sq(z complex128) float64 { return real(z)*real(z) + imag(z)*imag(z) }
