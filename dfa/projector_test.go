package dfa

import (
	"context"
	"errors"
	"math"
	"testing"
)

func TestNewDigital(t *testing.T) {
	for _, shape := range [][2]int{{0, 1}, {1, 0}, {-1, 5}, {1 << 20, 1 << 20}, {math.MaxInt, 2}} {
		if _, err := NewDigital(shape[0], shape[1], 1); !errors.Is(err, ErrInput) {
			t.Errorf("%d x %d: %v", shape[0], shape[1], err)
		}
	}
	d, err := NewDigital(200, 100, 1)
	if err != nil {
		t.Fatal(err)
	}
	// 40000 real entries: mean 0, mean square 1/2, kurtosis 3
	var sum, square, fourth float64
	for _, x := range d.columns {
		x := float64(x)
		sum, square, fourth = sum+x, square+x*x, fourth+x*x*x*x
	}
	n := float64(len(d.columns))
	if n != 40000 || math.Abs(sum/n) > 0.015 || math.Abs(square/n-0.5) > 0.015 || math.Abs(fourth/n/math.Pow(square/n, 2)-3) > 0.15 {
		t.Errorf("%g entries of mean %g, mean square %g, kurtosis %g", n, sum/n, square/n, fourth/n/math.Pow(square/n, 2))
	}
}

// Project, ProjectFloat and a plain product agree; a row of zeros gives exact zeros.
func TestProject(t *testing.T) {
	const outputs, inputs = 9, 4
	d, err := NewDigital(outputs, inputs, 3)
	if err != nil {
		t.Fatal(err)
	}
	x := []int8{1, 0, -1, 1, 0, 0, 0, 0, -1, -1, 1, 1}
	y, reals, floats := make([]complex64, 3*outputs), make([]float32, 2*3*outputs), make([]float32, len(x))
	for i := range y {
		y[i] = 77 // must be overwritten
	}
	for i, v := range x {
		floats[i] = float32(v)
	}
	if err := d.Project(t.Context(), y, x); err != nil {
		t.Fatal(err)
	}
	d.ProjectFloat(reals, floats)
	b := matrixOf(t, source{projector: d})
	for r := range 3 {
		for i := range outputs {
			var re, im float64
			for j := range inputs {
				v := float64(x[r*inputs+j])
				re, im = re+v*b[2*i][j], im+v*b[2*i+1][j]
			}
			got := y[r*outputs+i]
			if math.Hypot(float64(real(got))-re, float64(imag(got))-im) > 1e-6 || r == 1 && got != 0 {
				t.Errorf("row %d, output %d: %v, want %g%+gi", r, i, got, re, im)
			}
			at := 2 * (r*outputs + i)
			if math.Abs(float64(reals[at])-re) > 1e-6 || math.Abs(float64(reals[at+1])-im) > 1e-6 {
				t.Errorf("row %d, output %d of floats: %g%+gi, want %g%+gi", r, i, reals[at], reals[at+1], re, im)
			}
		}
	}
	for _, wrong := range []struct{ dst, x int }{{9, 5}, {10, 4}, {9, 8}, {0, 4}} {
		if err := d.Project(t.Context(), make([]complex64, wrong.dst), make([]int8, wrong.x)); !errors.Is(err, ErrInput) {
			t.Errorf("%d entries into %d outputs: %v", wrong.x, wrong.dst, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Project(ctx, y, x); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
