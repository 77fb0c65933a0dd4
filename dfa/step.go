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
	config Config
	scale  scaling
	train  *dataset.Split
	net    *network
	source source
	serial bool // update the layers one after the other, for the test

	inputs  []float32 // batch x features
	outs    outputs
	errors  []float32   // batch x classes
	deltas  [][]float32 // by layer: rows x out, compact (see rowsOf)
	updates []update

	all       []int       // all rows of the batch
	active    []int       // those whose quantised error is not zero
	stream    rand.PCG    // of random
	random    *rand.Rand  // for the rounding
	codes     []int8      // batch x classes
	gains     []float32   // batch
	projected []complex64 // batch x outputs of the projector
	reals     []float32   // the same: real and imaginary parts interleaved
}

// source is where the feedback comes from; without any (backpropagation, frozen) all
// but the name is unset.
type source struct {
	projector Projector // ternary codes
	digital   *Digital  // unquantised errors
	outputs   int
	epochOfB  string
}

// update is what one layer needs for its gradient and its step.
type update struct {
	inputT  []float32 // in x rows
	weight  []float32 // gradient, in x out
	bias    []float32
	moments [2]moments // of weight and bias
}

func newStepper(c Config, scale scaling, train *dataset.Split, net *network, from source) *stepper {
	classes := net.layers[len(net.layers)-1].out
	s := &stepper{
		config: c, scale: scale, train: train, net: net, source: from,
		inputs: make([]float32, c.Batch*train.Features), outs: net.newOutputs(c.Batch),
		errors: make([]float32, c.Batch*classes), deltas: net.newOutputs(c.Batch),
		codes: make([]int8, c.Batch*classes), gains: make([]float32, c.Batch),
		reals: make([]float32, c.Batch*2*from.outputs),
	}
	if from.projector != nil {
		s.projected = make([]complex64, c.Batch*from.outputs)
	}
	for r := range c.Batch {
		s.all = append(s.all, r)
	}
	s.active = make([]int, 0, c.Batch)
	s.random = rand.New(&s.stream)
	for _, l := range net.layers {
		s.updates = append(s.updates, update{
			inputT: make([]float32, c.Batch*l.in),
			weight: make([]float32, l.in*l.out), bias: make([]float32, l.out),
			moments: [2]moments{newMoments(l.in * l.out), newMoments(l.out)},
		})
	}
	return s
}

// A step is compute and then apply: the first changes no weight, so that a step whose
// projection failed can be made again.

// compute runs a batch (indices into the training set) through the network and fills
// the deltas. number counts steps from 0. It returns the summed cross-entropy and how
// many samples were right.
func (s *stepper) compute(ctx context.Context, samples []int, number int) (loss float64, right int, err error) {
	loss, right = s.forward(samples)
	if !finite(loss) {
		return 0, 0, fmt.Errorf("the loss is %g; lower the rate: %w", loss, ErrDiverged)
	}
	last := len(s.net.layers) - 1
	copy(s.deltas[last], s.errors) // the output layer takes the exact error
	switch s.config.Feedback {
	case Backprop:
		s.backpropagate(s.deltas)
	case Float:
		s.source.digital.ProjectFloat(s.reals, s.errors)
		s.spread(nil)
	case Optical, Ternary:
		s.quantise(number)
		if err := s.source.projector.Project(ctx, s.projected, s.codes); err != nil {
			return 0, 0, err
		}
		if err := s.takeProjections(); err != nil {
			return 0, 0, err
		}
		s.spread(s.gains)
	}
	return loss, right, nil
}

// apply updates the weights with what compute found, as step number of total. No
// layer's update needs another's, so they run concurrently.
func (s *stepper) apply(number, total int) {
	rate := s.config.rate(number, total)
	first := 0
	if s.config.Feedback == Frozen {
		first = len(s.net.layers) - 1
	}
	var wg sync.WaitGroup
	for i := first; i < len(s.net.layers); i++ {
		if s.serial {
			s.update(i, rate, number+1)
		} else {
			wg.Go(func() { s.update(i, rate, number+1) })
		}
	}
	wg.Wait()
}

// rowsOf are the rows of the batch that the deltas of layer i stand for. Rows without
// feedback add exact zeros to the gradients, so leaving them out changes nothing but
// the time.
func (s *stepper) rowsOf(i int) []int {
	if i < len(s.net.layers)-1 && s.source.projector != nil {
		return s.active
	}
	return s.all
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

// quantise codes the errors and notes which rows have any feedback.
func (s *stepper) quantise(number int) {
	classes := len(s.codes) / len(s.all)
	s.stream.Seed(s.config.Seed, forRounding+uint64(number))
	s.active = s.active[:0]
	for _, r := range s.all {
		q, e := s.codes[r*classes:(r+1)*classes], s.errors[r*classes:(r+1)*classes]
		gain, any := quantise(q, e, s.config.Error, float32(s.config.Threshold), s.random)
		s.gains[r] = gain
		if any {
			s.active = append(s.active, r)
		}
	}
}

// takeProjections reads those of the rows with feedback as reals. One that is no
// number would make all weights so, and every checkpoint after it.
func (s *stepper) takeProjections() error {
	m := s.source.outputs
	for _, r := range s.active {
		reals, odd := s.reals[2*r*m:2*(r+1)*m], float32(0)
		for j, y := range s.projected[r*m : (r+1)*m] {
			reals[2*j], reals[2*j+1] = real(y), imag(y)
			odd += 0*real(y) + 0*imag(y) // stays 0 unless one is infinite or NaN
		}
		if odd != 0 {
			return fmt.Errorf("the projector returned a number that is infinite or NaN for row %d of the batch; check the projector: %w", r, ErrProjection)
		}
	}
	return nil
}

// spread hands each hidden layer its own range of the projections, times the row's
// gain, if any, and the activation's slope.
func (s *stepper) spread(gains []float32) {
	first := 0
	for i, width := range s.config.Layers {
		for k, r := range s.rowsOf(i) {
			d, h := s.deltas[i][k*width:(k+1)*width], s.outs[i][r*width:(r+1)*width]
			gain := float32(1)
			if gains != nil {
				gain = gains[r]
			}
			for j, y := range s.reals[2*r*s.source.outputs+first:][:width] {
				d[j] = gain * y * s.net.act.slope(h[j])
			}
		}
		first += width
	}
}

// backpropagate fills the deltas of the hidden layers from the last layer's, which
// must be set.
func (s *stepper) backpropagate(deltas [][]float32) {
	rows := len(s.all)
	for i := len(s.net.layers) - 2; i >= 0; i-- {
		above := &s.net.layers[i+1]
		blas32.Gemm(blas.NoTrans, blas.Trans, 1, matrix(rows, above.out, deltas[i+1]),
			matrix(above.in, above.out, above.weight), 0, matrix(rows, above.in, deltas[i]))
		for j, h := range s.outs[i] {
			deltas[i][j] *= s.net.act.slope(h)
		}
	}
}

// update computes the gradient of layer i and makes Adam's step number (from 1).
func (s *stepper) update(i int, rate float64, number int) {
	s.gradient(i)
	l, u := &s.net.layers[i], &s.updates[i]
	u.moments[0].update(l.weight, u.weight, rate, number)
	u.moments[1].update(l.bias, u.bias, rate, number)
}

// gradient computes that of layer i: the mean over the batch.
func (s *stepper) gradient(i int) {
	l, u, delta, rows := &s.net.layers[i], &s.updates[i], s.deltas[i], s.rowsOf(i)
	n := len(rows)
	clear(u.bias)
	if n == 0 {
		clear(u.weight)
		return
	}
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
	blas32.Gemm(blas.NoTrans, blas.NoTrans, mean, matrix(l.in, n, u.inputT), matrix(n, l.out, delta), 0, matrix(l.in, l.out, u.weight))
	for k := range rows {
		for j, x := range delta[k*l.out : (k+1)*l.out] {
			u.bias[j] += mean * x
		}
	}
}

// alignment is the cosine of the angle between the deltas of each hidden layer and
// those of backpropagation, over the whole batch. It belongs between compute and
// apply: afterwards the weights are others.
func (s *stepper) alignment() []float64 {
	last := len(s.net.layers) - 1
	exact := s.net.newOutputs(len(s.all))
	copy(exact[last], s.errors)
	s.backpropagate(exact)
	cosines := make([]float64, last)
	for i, width := range s.config.Layers {
		var ab, aa, bb float64
		for k, r := range s.rowsOf(i) {
			for j, x := range s.deltas[i][k*width : (k+1)*width] {
				ab += float64(x) * float64(exact[i][r*width+j])
				aa += float64(x) * float64(x)
			}
		}
		for _, x := range exact[i] {
			bb += float64(x) * float64(x)
		}
		if aa > 0 && bb > 0 {
			cosines[i] = ab / math.Sqrt(aa*bb)
		}
	}
	return cosines
}
