package sim

import (
	"math/cmplx"
	"math/rand/v2"
	"testing"
	"time"

	"gonum.org/v1/gonum/dsp/fourier"
)

// The quick transform agrees with gonum's, whatever the length.
func TestInverseFFT(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, n := range []int{1, 2, 4, 8, 16, 30, 32, 96, 128, 512, 1000, 1024, 2048} {
		x := make([]complex128, n)
		for i := range x {
			x[i] = complex(random.NormFloat64(), random.NormFloat64())
		}
		want := fourier.NewCmplxFFT(n).Sequence(nil, x)
		f := newInverseFFT(n)
		f.transform(x)
		for i := range x {
			if cmplx.Abs(x[i]-want[i]) > 1e-11 {
				t.Fatalf("length %d: value %d is %v, want %v", n, i, x[i], want[i])
			}
		}
	}
}

// BenchmarkInverseFFT is a line of the field of a sensor of 256 pixels, beside gonum's.
func BenchmarkInverseFFT(b *testing.B) {
	const n = 512
	x, f, other := make([]complex128, n), newInverseFFT(n), fourier.NewCmplxFFT(n)
	x[1] = 1
	for b.Loop() {
		f.transform(x)
		clear(x[2:])
	}
	own := b.Elapsed().Seconds() / float64(b.N)
	const rounds = 2000
	start := time.Now()
	for range rounds {
		other.Sequence(x, x)
		clear(x[2:])
	}
	b.ReportMetric(time.Since(start).Seconds()/rounds/own, "x-gonum")
}
