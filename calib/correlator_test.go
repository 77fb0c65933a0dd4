package calib

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"
)

// Products in integers are those by definition, for fields of any size and length.
func TestCorrelator(t *testing.T) {
	const seed = 5
	draw := rand.New(rand.NewPCG(seed, seed))
	normal := func(n int, size float64) []complex64 {
		out := make([]complex64, n)
		for i := range out {
			out[i] = complex64(complex(size*draw.NormFloat64(), size*draw.NormFloat64()))
		}
		return out
	}
	product := func(a, b []complex64) (sum complex128) {
		for i, x := range a {
			sum += cmplx.Conj(complex128(x)) * complex128(b[i])
		}
		return sum
	}
	for _, x := range []struct {
		outputs, columns int
		size, frame      float64
	}{{1, 1, 1, 1}, {255, 3, 1e-6, 1e6}, {256, 2, 1, 1}, {257, 2, 1e9, 1e-9}, {4096, 28, 30, 900}} {
		fields, dark := normal(x.outputs*x.columns, x.size), normal(x.outputs, x.frame)
		c := newCorrelator(fields, x.outputs)
		z := normal(x.outputs, x.frame)
		for i := range z {
			z[i] += dark[i] + complex64(complex(0.1*x.frame/x.size, 0))*fields[i]
		}
		light := make([]complex64, len(z))
		for i := range z {
			light[i] = z[i] - dark[i]
		}
		got := make([]complex128, x.columns)
		total := c.correlate(got, z, dark)
		if want := real(product(light, light)); math.Abs(total/want-1) > 1e-5 {
			t.Errorf("seed %d, %+v: power %g, want %g", seed, x, total, want)
		}
		for j := range got {
			column := fields[j*x.outputs : (j+1)*x.outputs]
			norm := real(product(column, column))
			// What chance makes of fields that have nothing in common, and a thousandth of it.
			limit := 1e-3 * math.Sqrt(norm*total) * max(1, 1/math.Sqrt(float64(x.outputs)))
			if want := product(column, light); cmplx.Abs(got[j]-want) > limit {
				t.Errorf("seed %d, %+v: column %d: %v, want %v within %g", seed, x, j, got[j], want, limit)
			}
			if self := real(c.between(j, j)); math.Abs(self/norm-1) > 2e-3 {
				t.Errorf("seed %d, %+v: column %d has the norm %g, want %g", seed, x, j, self, norm)
			}
			if a, b := c.between(j, 0), c.between(0, j); cmplx.Abs(a-cmplx.Conj(b)) > 1e-9*norm {
				t.Errorf("seed %d, %+v: %v and %v are no conjugates", seed, x, a, b)
			}
		}
	}
}

// The largest values that there are stay within their half of a word.
func TestCorrelatorDoesNotOverflow(t *testing.T) {
	const outputs = 2*correlateBlock + 1
	field, none := make([]complex64, outputs), make([]complex64, outputs)
	for _, x := range []complex64{1 + 1i, 1 - 1i, -1 + 1i, -1 - 1i} {
		for _, y := range []complex64{1 + 1i, 1 - 1i, -1 + 1i, -1 - 1i} {
			for i := range field {
				field[i] = x
			}
			c := newCorrelator(field, outputs)
			for i := range field {
				field[i] = y
			}
			var got [1]complex128
			c.correlate(got[:], field, none)
			want := cmplx.Conj(complex128(x)) * complex128(y) * outputs
			if cmplx.Abs(got[0]-want) > 1e-6*outputs {
				t.Errorf("conj(%v) times %v, %d times: %v, want %v", x, y, outputs, got[0], want)
			}
		}
	}
	field[3] = complex64(cmplx.NaN())
	var got [1]complex128
	if total := newCorrelator(none, outputs).correlate(got[:], field, none); !math.IsNaN(total) {
		t.Errorf("a field that is no number has the power %g", total)
	}
}
