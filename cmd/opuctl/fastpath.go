package main

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/light-in-the-loop/opu/driver"
)

// fastPath stands in for an OPU with few inputs: it measures the columns of B once,
// keeps them, and adds noise of the calibrated size to each projection (reference,
// section 10). It is for trying settings quickly; results made with it say so.
type fastPath struct {
	outputs, inputs int
	columns         []complex64 // inputs x outputs
	sigma           float64     // of the noise of one exposure, per real part, in units of B
	random          *rand.Rand
}

// fastPathRepeats is how often each column is measured: the noise that is left in
// it is small against that of one exposure.
const fastPathRepeats = 32

func newFastPath(ctx context.Context, opu *driver.OPU, seed uint64) (*fastPath, error) {
	m, n := opu.Shape()
	f := &fastPath{outputs: m, inputs: n, columns: make([]complex64, m*n), random: rand.New(rand.NewPCG(seed, 0x66617374))}
	x, y := make([]int8, n), make([]complex64, m)
	var noise float64
	first := make([]complex64, m)
	for j := range n {
		clear(x)
		x[j] = 1
		column := f.columns[j*m : (j+1)*m]
		for k := range fastPathRepeats {
			if err := opu.Project(ctx, y, x); err != nil {
				return nil, err
			}
			for i, z := range y {
				column[i] += z / fastPathRepeats
				if k == 0 {
					first[i] = z
				} else if k == 1 {
					d := complex128(z - first[i])
					noise += real(d)*real(d) + imag(d)*imag(d)
				}
			}
		}
	}
	// Two projections of two exposures each differ here; a real part has half of it.
	f.sigma = math.Sqrt(noise / float64(m*n) / 4 / 2)
	return f, nil
}

// Shape implements dfa.Projector.
func (f *fastPath) Shape() (outputs, inputs int) { return f.outputs, f.inputs }

// Project implements dfa.Projector.
func (f *fastPath) Project(ctx context.Context, dst []complex64, x []int8) error {
	sigma := float32(f.sigma * math.Sqrt2) // a row is the difference of two exposures
	for r := range len(x) / f.inputs {
		y := dst[r*f.outputs : (r+1)*f.outputs]
		clear(y)
		zero := true
		for j, v := range x[r*f.inputs : (r+1)*f.inputs] {
			if v == 0 {
				continue
			}
			zero = false
			for i, b := range f.columns[j*f.outputs : (j+1)*f.outputs] {
				y[i] += complex(float32(v), 0) * b
			}
		}
		if zero {
			continue
		}
		for i := range y {
			y[i] += complex(sigma*float32(f.random.NormFloat64()), sigma*float32(f.random.NormFloat64()))
		}
	}
	return context.Cause(ctx)
}
