package dfa

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"github.com/light-in-the-loop/opu/dfa/dataset"
)

// scaling is how raw features become the network's inputs: (x - mean)/std.
type scaling struct{ Mean, Std float64 }

// apply writes the scaled features of sample i to dst.
func (s scaling) apply(dst []float32, split *dataset.Split, i int) {
	mean, factor := float32(s.Mean), float32(1/s.Std)
	for j, x := range split.X[i*split.Features : (i+1)*split.Features] {
		dst[j] = (x - mean) * factor
	}
}

// stepper makes single training steps. It owns all their memory, so that a step
// allocates next to nothing.
type stepper struct {
	config    Config
	scale     scaling
	train     *dataset.Split
	net       *network
	projector Projector // optical or ternary
	digital   *Digital  // float
	serial    bool      // update the layers one after the other, for the test

	inputs  []float32 // batch x features
	outs    outputs
	errors  []float32 // batch x classes
	updates []update

	codes     []int8      // batch x classes
	gains     []float32   // batch
	active    []int       // rows with any feedback
	all       []int       // all rows
	projected []complex64 // batch x outputs of the projector
	reals     []float32   // the same for float feedback
	lossOf    []float64   // by row
}

// update is what one layer needs for its gradient and its step.
type update struct {
	delta   []float32 // rows x out, compact: only the rows that count
	inputT  []float32 // in x rows
	weight  []float32 // gradient, in x out
	bias    []float32
	moments [2]moments // of weight and bias
}

func newStepper(c Config, scale scaling, train *dataset.Split, net *network) *stepper {
	classes := net.layers[len(net.layers)-1].out
	s := &stepper{
		config: c, scale: scale, train: train, net: net,
		inputs: make([]float32, c.Batch*train.Features), outs: net.newOutputs(c.Batch),
		errors: make([]float32, c.Batch*classes), codes: make([]int8, c.Batch*classes),
		gains: make([]float32, c.Batch), lossOf: make([]float64, c.Batch),
	}
	for r := range c.Batch {
		s.all = append(s.all, r)
	}
	for _, l := range net.layers {
		s.updates = append(s.updates, update{
			delta: make([]float32, c.Batch*l.out), inputT: make([]float32, c.Batch*l.in),
			weight: make([]float32, l.in*l.out), bias: make([]float32, l.out),
			moments: [2]moments{newMoments(l.in * l.out), newMoments(l.out)},
		})
	}
	return s
}

// step trains on one batch: samples are indices into the training set, number
// counts steps from 0 of total. It returns the summed cross-entropy and how many
// samples were right, both before the update.
func (s *stepper) step(ctx context.Context, samples []int, number, total int) (loss float64, right int, err error) {
	loss, right = s.forward(samples)
	last := len(s.net.layers) - 1
	s.gather(last, s.all, s.errors, 0, s.net.layers[last].out, nil)
	trained := last // layers from this one on are updated
	if s.config.Feedback != Frozen {
		if err := s.feedback(ctx, number); err != nil {
			return 0, 0, err
		}
		trained = 0
	}
	rate := s.config.rate(number, total)
	s.eachLayer(trained, func(i int) {
		rows := s.active
		if i == last || s.config.Feedback == Backprop || s.config.Feedback == Float {
			rows = s.all
		}
		s.update(i, rows, rate, number+1)
	})
	return loss, right, nil
}

// forward runs the batch through the network and computes the errors.
func (s *stepper) forward(samples []int) (loss float64, right int) {
	features := s.train.Features
	for r, i := range samples {
		s.scale.apply(s.inputs[r*features:(r+1)*features], s.train, i)
	}
	s.net.forward(s.outs, s.inputs, len(samples))
	classes := s.net.layers[len(s.net.layers)-1].out
	for r, i := range samples {
		p := s.outs[len(s.outs)-1][r*classes : (r+1)*classes]
		label := s.train.Y[i]
		if argmax(p) == label {
			right++
		}
		loss += softmax(p, label)
		e := s.errors[r*classes : (r+1)*classes]
		copy(e, p)
		e[label]--
	}
	return loss, right
}

// eachLayer calls f for the layers from first on, concurrently: no layer's update
// needs another's.
func (s *stepper) eachLayer(first int, f func(i int)) {
	var wg sync.WaitGroup
	for i := first; i < len(s.net.layers); i++ {
		if s.serial {
			f(i)
		} else {
			wg.Go(func() { f(i) })
		}
	}
	wg.Wait()
}

// feedback fills the deltas of the hidden layers.
func (s *stepper) feedback(ctx context.Context, number int) error {
	classes := s.net.layers[len(s.net.layers)-1].out
	switch s.config.Feedback {
	case Backprop:
		s.backpropagate()
		return nil
	case Float:
		m, _ := s.digital.Shape()
		if s.reals == nil {
			s.reals = make([]float32, s.config.Batch*2*m)
		}
		s.digital.ProjectFloat(s.reals, s.errors)
		s.spread(s.all, s.reals, 2*m, nil)
		return nil
	}
	random := rand.New(rand.NewPCG(s.config.Seed, forRounding+uint64(number)))
	s.active = s.active[:0]
	for r := range s.all {
		gain, any := quantise(s.codes[r*classes:(r+1)*classes], s.errors[r*classes:(r+1)*classes],
			s.config.Error, float32(s.config.Threshold), random)
		s.gains[r] = gain
		if any {
			s.active = append(s.active, r)
		}
	}
	m, _ := s.projector.Shape()
	if s.projected == nil {
		s.projected = make([]complex64, s.config.Batch*m)
		s.reals = make([]float32, s.config.Batch*2*m)
	}
	if err := s.projector.Project(ctx, s.projected, s.codes); err != nil {
		return err
	}
	for _, r := range s.active {
		for j, z := range s.projected[r*m : (r+1)*m] {
			s.reals[2*(r*m+j)], s.reals[2*(r*m+j)+1] = real(z), imag(z)
		}
	}
	s.spread(s.active, s.reals, 2*m, s.gains)
	return nil
}

// spread hands each hidden layer its own range of the projections.
func (s *stepper) spread(rows []int, feedback []float32, stride int, gains []float32) {
	first := 0
	for i, width := range s.config.Layers {
		s.gather(i, rows, feedback[first:], stride, width, gains)
		first += width
	}
}

// gather fills the deltas of layer i from rows of width values, stride apart (0:
// width): times the row's gain, if any, and for hidden layers times the slope.
func (s *stepper) gather(i int, rows []int, from []float32, stride, width int, gains []float32) {
	if stride == 0 {
		stride = width
	}
	hidden := i < len(s.net.layers)-1
	for k, r := range rows {
		d, f := s.updates[i].delta[k*width:(k+1)*width], from[r*stride:r*stride+width]
		copy(d, f)
		if gains != nil && gains[r] != 1 {
			for j := range d {
				d[j] *= gains[r]
			}
		}
		if hidden {
			for j, h := range s.outs[i][r*width : (r+1)*width] {
				d[j] *= s.net.act.slope(h)
			}
		}
	}
}

// backpropagate fills the deltas of the hidden layers from those above them.
func (s *stepper) backpropagate() {
	rows := len(s.all)
	for i := len(s.net.layers) - 2; i >= 0; i-- {
		above := &s.net.layers[i+1]
		d := s.updates[i].delta
		blas32.Gemm(blas.NoTrans, blas.Trans, 1, matrix(rows, above.out, s.updates[i+1].delta),
			matrix(above.in, above.out, above.weight), 0, matrix(rows, above.in, d))
		for j, h := range s.outs[i][:rows*above.in] {
			d[j] *= s.net.act.slope(h)
		}
	}
}

// update computes the gradient of layer i from the rows that count (their deltas
// are compact) and makes Adam's step. Rows without feedback add exact zeros to the
// hidden layers' gradients, so leaving them out changes nothing but the time.
func (s *stepper) update(i int, rows []int, rate float64, number int) {
	l, u := &s.net.layers[i], &s.updates[i]
	n := len(rows)
	if n == 0 {
		clear(u.weight)
		clear(u.bias)
	} else {
		below := s.inputs
		if i > 0 {
			below = s.outs[i-1]
		}
		for k, r := range rows {
			for j, x := range below[r*l.in : (r+1)*l.in] {
				u.inputT[j*n+k] = x
			}
		}
		mean := float32(1 / float64(s.config.Batch))
		blas32.Gemm(blas.NoTrans, blas.NoTrans, mean, matrix(l.in, n, u.inputT), matrix(n, l.out, u.delta), 0, matrix(l.in, l.out, u.weight))
		clear(u.bias)
		for k := range rows {
			for j, x := range u.delta[k*l.out : (k+1)*l.out] {
				u.bias[j] += mean * x
			}
		}
	}
	u.moments[0].update(l.weight, u.weight, rate, number)
	u.moments[1].update(l.bias, u.bias, rate, number)
}

// alignment is the cosine of the angle between the present deltas of each hidden
// layer and those of backpropagation, over the whole batch. It overwrites the
// deltas.
func (s *stepper) alignment() []float64 {
	classes := s.net.layers[len(s.net.layers)-1].out
	own := make([][]float32, len(s.config.Layers))
	rows := s.active
	if s.config.Feedback == Backprop || s.config.Feedback == Float {
		rows = s.all
	}
	for i, width := range s.config.Layers {
		own[i] = make([]float32, len(s.all)*width)
		for k, r := range rows {
			copy(own[i][r*width:(r+1)*width], s.updates[i].delta[k*width:(k+1)*width])
		}
	}
	s.gather(len(s.net.layers)-1, s.all, s.errors, 0, classes, nil)
	s.backpropagate()
	cosines := make([]float64, len(own))
	for i, d := range own {
		var ab, aa, bb float64
		for j, x := range d {
			y := float64(s.updates[i].delta[j])
			ab, aa, bb = ab+float64(x)*y, aa+float64(x)*float64(x), bb+y*y
		}
		if aa > 0 && bb > 0 {
			cosines[i] = ab / math.Sqrt(aa*bb)
		}
	}
	return cosines
}

// checkShape says whether the projector fits the run.
func (c Config) checkShape(p Projector, classes int) error {
	m, n := p.Shape()
	if need := c.outputsNeeded(); m < need || n != classes {
		return fmt.Errorf("cannot train with a projector of %d outputs and %d inputs: the layers %v need %d complex outputs, the %d classes as many inputs: %w",
			m, n, c.Layers, need, classes, ErrInput)
	}
	return nil
}
