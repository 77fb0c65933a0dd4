package dfa

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/light-in-the-loop/opu/dfa/dataset"
)

// Where the feedback of the hidden layers comes from.
const (
	Optical = "optical" // a Projector that the caller gives
	// "ternary" (the constant Ternary): the same with a digital B
	// "float" (the constant Float): digital B and the unquantised error
	Backprop = "bp"     // backpropagation
	Frozen   = "frozen" // none: hidden layers stay as they were drawn
)

// Feedbacks lists the names that Config.Feedback takes.
func Feedbacks() []string { return []string{Optical, Ternary, Float, Backprop, Frozen} }

// Step-size schedules.
const (
	Constant = "constant"
	Cosine   = "cosine" // 0.5 (1 + cos(pi step/steps)) times the rate
)

// Scalings of the inputs.
const (
	Standard = "standard" // (x - mean)/std of the training set
	Unit     = "unit"     // as they are: images in 0..1
)

// Config is a training run. Default returns the paper's.
type Config struct {
	Feedback   string  `json:"feedback"`
	Error      string  `json:"error"`
	Epochs     int     `json:"epochs"`
	Batch      int     `json:"batch"`
	Rate       float64 `json:"rate"`
	Schedule   string  `json:"schedule"`
	Threshold  float64 `json:"threshold"`
	InputScale string  `json:"input_scale"`
	Layers     []int   `json:"layers"` // widths of the hidden layers
	Activation string  `json:"activation"`
	Val        int     `json:"val"` // training samples held out for validation
	Seed       uint64  `json:"seed"`
	Alignment  bool    `json:"alignment"` // measure the angle to backpropagation after each epoch
}

// Default is the paper's network with the settings of the reference, section 11.
func Default() Config {
	return Config{
		Feedback: Ternary, Error: Ternary, Epochs: 10, Batch: 128, Rate: 0.001, Schedule: Constant,
		Threshold: 0.1, InputScale: Standard, Layers: []int{1024, 1024}, Activation: "tanh", Seed: 1,
	}
}

// Limits of a run, which keep a slip of the finger from asking for terabytes.
const (
	maxEpochs  = 1 << 20
	maxBatch   = 1 << 16
	maxWidth   = 1 << 20
	maxWeights = 1 << 28 // with Adam's moments, what a checkpoint can hold
	maxOutputs = 1 << 28 // of all layers for a batch
)

// Check says whether the run makes sense, without looking at data.
func (c Config) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot train: %s: %w", fmt.Sprintf(format, args...), ErrInput)
	}
	oneOf := func(what, value string, names []string) error {
		if !slices.Contains(names, value) {
			return fail("there is no %s %q, only %s", what, value, strings.Join(names, ", "))
		}
		return nil
	}
	for _, x := range []struct {
		what, value string
		names       []string
	}{
		{"feedback", c.Feedback, Feedbacks()}, {"error coding", c.Error, Errors()},
		{"schedule", c.Schedule, []string{Constant, Cosine}}, {"input scale", c.InputScale, []string{Standard, Unit}},
		{"activation", c.Activation, Activations()},
	} {
		if err := oneOf(x.what, x.value, x.names); err != nil {
			return err
		}
	}
	switch {
	case c.Feedback == Optical && c.Error == Float:
		return fail("a DMD cannot show the unquantised error; use %s, %s or %s", Ternary, Gain, Stochastic)
	case c.Feedback == Float && c.Error != Float:
		return fail("float feedback takes the unquantised error; use feedback %s for the error coding %s", Ternary, c.Error)
	case c.Feedback == Ternary && c.Error == Float:
		return fail("ternary feedback takes a quantised error; use feedback %s", Float)
	case c.Epochs < 1 || c.Epochs > maxEpochs:
		return fail("%d epochs are not 1 to %d", c.Epochs, maxEpochs)
	case c.Batch < 1 || c.Batch > maxBatch:
		return fail("a batch of %d samples is not 1 to %d", c.Batch, maxBatch)
	case !(c.Rate > 0) || c.Rate > 10:
		return fail("the rate %g is not above 0 and at most 10", c.Rate)
	case !(c.Threshold >= 0) || c.Threshold >= 1:
		return fail("the threshold %g is not 0 or more and below 1", c.Threshold)
	case len(c.Layers) == 0:
		return fail("there are no hidden layers, so there is nothing to feed back to")
	case c.Val < 0:
		return fail("%d samples cannot be held out", c.Val)
	}
	for _, width := range c.Layers {
		if width < 1 || width > maxWidth {
			return fail("a layer of %d neurons is not 1 to %d", width, maxWidth)
		}
	}
	return nil
}

// checkData says whether the run fits the data.
func (c Config) checkData(d *dataset.Data) error {
	if d == nil {
		return fmt.Errorf("cannot train: no data was given: %w", ErrInput)
	}
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot train on %s: %s: %w", d.Name, fmt.Sprintf(format, args...), ErrInput)
	}
	switch {
	case len(d.Train.Y) == 0 || len(d.Test.Y) == 0:
		return fail("it has %d samples to learn from and %d to test on", len(d.Train.Y), len(d.Test.Y))
	case d.Train.Features < 1 || d.Test.Features != d.Train.Features:
		return fail("samples have %d features to learn from and %d to test on", d.Train.Features, d.Test.Features)
	case d.Classes < 2:
		return fail("it has %d classes; two are needed", d.Classes)
	case len(d.Train.Y)-c.Val < c.Batch:
		return fail("%d samples, %d of them held out, do not fill a batch of %d; use a smaller batch", len(d.Train.Y), c.Val, c.Batch)
	case c.InputScale == Standard && !(d.Std > 0 && finite(d.Mean) && finite(d.Std)):
		return fail("inputs of mean %g and standard deviation %g cannot be standardised; use the input scale %s", d.Mean, d.Std, Unit)
	}
	weights, outputs, in := 0, d.Train.Features*c.Batch, d.Train.Features
	for _, out := range append(slices.Clone(c.Layers), d.Classes) {
		weights, outputs, in = weights+in*out, outputs+out*c.Batch, out
		if weights > maxWeights || outputs > maxOutputs {
			return fail("%d features, layers %v, %d classes and a batch of %d need more than %d weights or outputs; use narrower layers or a smaller batch",
				d.Train.Features, c.Layers, d.Classes, c.Batch, maxWeights)
		}
	}
	if err := checkSplit(&d.Train, d.Classes); err != nil {
		return fail("samples to learn from: %v", err)
	}
	if err := checkSplit(&d.Test, d.Classes); err != nil {
		return fail("samples to test on: %v", err)
	}
	return nil
}

// checkSplit looks at every number: one that is not finite makes all weights so.
func checkSplit(s *dataset.Split, classes int) error {
	if len(s.X) != len(s.Y)*s.Features {
		return fmt.Errorf("%d values are not %d samples of %d features", len(s.X), len(s.Y), s.Features)
	}
	for i, y := range s.Y {
		if y < 0 || y >= classes {
			return fmt.Errorf("the label of sample %d is %d, not 0 to %d", i, y, classes-1)
		}
	}
	for i, x := range s.X {
		if !finite(float64(x)) {
			return fmt.Errorf("feature %d of sample %d is %g; replace it by a number", i%s.Features, i/s.Features, x)
		}
	}
	return nil
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// outputsNeeded is how many complex outputs a Projector must have. The feedbacks of
// the hidden layers are slices of the projection's real and imaginary parts, taken
// as reals in their order: layer 1 the first ones, then layer 2.
func (c Config) outputsNeeded() int {
	reals := 0
	for _, width := range c.Layers {
		reals += width
	}
	return (reals + 1) / 2
}

// NeedsProjector tells whether the caller must give a Projector, and of which
// shape for data with so many classes.
func (c Config) NeedsProjector(classes int) (outputs, inputs int, needed bool) {
	return c.outputsNeeded(), classes, c.Feedback == Optical
}

// rate is that of a step (from 0) of steps.
func (c Config) rate(step, steps int) float64 {
	if c.Schedule == Cosine {
		return c.Rate * 0.5 * (1 + math.Cos(math.Pi*float64(step)/float64(steps)))
	}
	return c.Rate
}
