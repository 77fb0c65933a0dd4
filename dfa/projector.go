package dfa

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"
)

// ErrInput is wrapped by errors about settings and data, found before anything
// is trained.
var ErrInput = errors.New("bad input")

// Projector computes y = B x for a fixed random complex matrix B: light does, a
// remote device does, Digital does.
type Projector interface {
	// Shape is that of B: complex outputs, and inputs.
	Shape() (outputs, inputs int)

	// Project computes a batch. x holds rows of inputs, each -1, 0 or 1, dst as many
	// rows of outputs; both are row-major. Rows of zeros give exact zeros.
	Project(ctx context.Context, dst []complex64, x []int8) error
}

// Digital is a Projector in memory: entries are circular complex Gaussian with a
// mean square of 1, from a seed. It also takes vectors of floats.
type Digital struct {
	outputs, inputs int
	columns         []float32 // inputs x 2*outputs: real and imaginary parts interleaved
}

var _ Projector = (*Digital)(nil)

// maxDigital bounds the memory of a Digital matrix, in complex entries.
const maxDigital = 1 << 28

// NewDigital makes the matrix.
func NewDigital(outputs, inputs int, seed uint64) (*Digital, error) {
	if outputs < 1 || inputs < 1 || outputs > maxDigital/inputs {
		return nil, fmt.Errorf("cannot make a digital matrix of %d x %d: 1 to %d entries fit: %w", outputs, inputs, maxDigital, ErrInput)
	}
	d := &Digital{outputs, inputs, make([]float32, 2*outputs*inputs)}
	random := rand.New(rand.NewPCG(seed, forMatrix))
	for i := range d.columns {
		d.columns[i] = float32(random.NormFloat64() * math.Sqrt2 / 2)
	}
	return d, nil
}

// Shape implements Projector.
func (d *Digital) Shape() (outputs, inputs int) { return d.outputs, d.inputs }

// Project implements Projector.
func (d *Digital) Project(ctx context.Context, dst []complex64, x []int8) error {
	rows := len(x) / d.inputs
	if len(x)%d.inputs != 0 || len(dst) != rows*d.outputs {
		return fmt.Errorf("cannot project %d entries into %d outputs with a matrix of %d x %d: %w", len(x), len(dst), d.outputs, d.inputs, ErrInput)
	}
	for r := range rows {
		y := dst[r*d.outputs : (r+1)*d.outputs]
		clear(y)
		for j, v := range x[r*d.inputs : (r+1)*d.inputs] {
			if v == 0 {
				continue
			}
			column := d.columns[2*j*d.outputs : 2*(j+1)*d.outputs]
			for i := range y {
				y[i] += complex(float32(v)*column[2*i], float32(v)*column[2*i+1])
			}
		}
	}
	return context.Cause(ctx)
}

// ProjectFloat is Project for rows of floats. dst holds 2*outputs reals a row, real
// and imaginary parts interleaved.
func (d *Digital) ProjectFloat(dst, x []float32) {
	rows := len(x) / d.inputs
	blas32.Gemm(blas.NoTrans, blas.NoTrans, 1,
		matrix(rows, d.inputs, x), matrix(d.inputs, 2*d.outputs, d.columns), 0, matrix(rows, 2*d.outputs, dst))
}

// matrix is a row-major matrix over data.
func matrix(rows, cols int, data []float32) blas32.General {
	return blas32.General{Rows: rows, Cols: cols, Stride: max(1, cols), Data: data[:rows*cols]}
}

// What a stream of random numbers is for; each purpose has streams of its own.
const (
	forMatrix = iota + 1
	forWeights
	forHoldout
	forShuffle            // plus 256 times the epoch
	forRounding = 1 << 32 // plus the step
)
