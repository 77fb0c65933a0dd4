package sim

import (
	"math"
	"math/bits"

	"gonum.org/v1/gonum/dsp/fourier"
)

// inverseFFT makes unnormalised inverse DFTs of one length: dst[k] is the sum over j of
// src[j] exp(2 pi i j k/n). Lengths that are powers of two, those of nearly all sensors,
// take Stockham's algorithm with radix 4, several times as fast as gonum, which does
// the others. It is for one goroutine.
type inverseFFT struct {
	n       int
	twiddle []complex128 // exp(2 pi i k/n), k up to 3n/4; nil: not a power of two
	room    []complex128
	other   *fourier.CmplxFFT
}

func newInverseFFT(n int) *inverseFFT {
	if bits.OnesCount(uint(n)) != 1 {
		return &inverseFFT{n: n, other: fourier.NewCmplxFFT(n)}
	}
	f := &inverseFFT{n: n, twiddle: make([]complex128, max(1, 3*n/4)), room: make([]complex128, n)}
	for k := range f.twiddle {
		sin, cos := math.Sincos(2 * math.Pi * float64(k) / float64(n))
		f.twiddle[k] = complex(cos, sin)
	}
	return f
}

// transform replaces x, of n values, by its inverse DFT.
func (f *inverseFFT) transform(x []complex128) {
	if f.other != nil {
		f.other.Sequence(x, x)
		return
	}
	from, to := x, f.room
	stride := 1
	for ; stride*4 <= f.n; stride *= 4 {
		f.pass4(to, from, stride)
		from, to = to, from
	}
	if stride < f.n { // a factor of two is left
		half := f.n / 2
		for q, a := range from[:half] {
			b := from[half+q]
			to[q], to[half+q] = a+b, a-b
		}
		from, to = to, from
	}
	if &from[0] != &x[0] {
		copy(x, from)
	}
}

// pass4 merges four transforms of n/(4 stride) values each into one, for every
// residue below stride.
func (f *inverseFFT) pass4(dst, src []complex128, stride int) {
	quarter := f.n / 4
	for p := 0; p < quarter; p += stride {
		w1, w2, w3 := f.twiddle[p], f.twiddle[2*p], f.twiddle[3*p]
		a, b := src[p:p+stride], src[quarter+p:][:stride]
		c, d := src[2*quarter+p:][:stride], src[3*quarter+p:][:stride]
		to := dst[4*p : 4*p+4*stride]
		t0, t1, t2, t3 := to[:stride], to[stride:][:stride], to[2*stride:][:stride], to[3*stride:][:stride]
		for q := range a {
			ac, bd := a[q]+c[q], b[q]+d[q]
			x, y := a[q]-c[q], b[q]-d[q]
			turned := complex(-imag(y), real(y)) // i times y
			t0[q] = ac + bd
			t1[q] = w1 * (x + turned)
			t2[q] = w2 * (ac - bd)
			t3[q] = w3 * (x - turned)
		}
	}
}
