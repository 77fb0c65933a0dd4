package dfa

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/light-in-the-loop/opu/dfa/dataset"
)

// blobs are 4 classes of points around random centres in 20 dimensions, distance
// times the noise apart.
func blobs(seed uint64, train, test int, distance float64) *dataset.Data {
	const features, classes = 20, 4
	random := rand.New(rand.NewPCG(seed, 0))
	var centres [classes][features]float64
	for c := range centres {
		for j := range centres[c] {
			centres[c][j] = random.NormFloat64() * distance / math.Sqrt(2*features)
		}
	}
	split := func(n int) dataset.Split {
		s := dataset.Split{Features: features}
		for i := range n {
			c := i % classes
			for _, x := range centres[c] {
				s.X = append(s.X, float32(x+random.NormFloat64()))
			}
			s.Y = append(s.Y, c)
		}
		return s
	}
	d := &dataset.Data{Name: "blobs", Train: split(train), Test: split(test), Classes: classes}
	var sum, squares float64
	for _, x := range d.Train.X {
		sum, squares = sum+float64(x), squares+float64(x)*float64(x)
	}
	n := float64(len(d.Train.X))
	d.Mean = sum / n
	d.Std = math.Sqrt(squares/n - d.Mean*d.Mean)
	return d
}

// small is a run of 20-30-30-4 with eight steps an epoch for 128 samples.
func small(feedback string) Config {
	c := Default()
	c.Feedback, c.Layers, c.Batch, c.Epochs, c.Rate = feedback, []int{30, 30}, 16, 3, 0.01
	if feedback == Float {
		c.Error = Float
	}
	return c
}

// train trains to the end.
func train(t testing.TB, c Config, d *dataset.Data, p Projector, o Options) (*Result, *Model) {
	t.Helper()
	r, m, err := Train(t.Context(), c, d, p, o)
	if err != nil {
		t.Fatal(err)
	}
	return r, m
}

// parameters are all weights and biases as bits.
func parameters(n *network) []uint32 {
	var bits []uint32
	for _, l := range n.layers {
		for _, w := range [][]float32{l.weight, l.bias} {
			for _, x := range w {
				bits = append(bits, math.Float32bits(x))
			}
		}
	}
	return bits
}

// newSmallStepper is a stepper for d, and a projector as the caller's for Optical.
func newSmallStepper(t testing.TB, c Config, d *dataset.Data) *stepper {
	t.Helper()
	digital, err := NewDigital(c.outputsNeeded()+3, d.Classes, 99) // more than needed
	if err != nil {
		t.Fatal(err)
	}
	from, err := c.source(digital, d.Classes, Options{EpochOfB: "test"})
	if err != nil {
		t.Fatal(err)
	}
	act, err := findActivation(c.Activation)
	if err != nil {
		t.Fatal(err)
	}
	sizes := append(append([]int{d.Train.Features}, c.Layers...), d.Classes)
	return newStepper(c, scaling{d.Mean, d.Std}, &d.Train, newNetwork(sizes, act, c.Seed), from)
}

// steps makes n steps on consecutive batches.
func (s *stepper) steps(t testing.TB, n int) {
	t.Helper()
	for i := range n {
		if _, _, err := s.compute(t.Context(), s.batch(i), i); err != nil {
			t.Fatal(err)
		}
		s.apply(i, n)
	}
}

// batch are the samples of a step.
func (s *stepper) batch(step int) []int {
	samples := make([]int, s.config.Batch)
	for r := range samples {
		samples[r] = (step*s.config.Batch + r) % len(s.train.Y)
	}
	return samples
}
