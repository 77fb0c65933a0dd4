package dfa

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// oracle is the network of a stepper in plain loops of float64, as the reference
// (section 11) writes it. Weights are taken at the time of the call.
type oracle struct {
	w, b [][]float64 // by layer: weights in x out, biases
	in   []int
	out  []int
	act  string
}

func newOracle(s *stepper) *oracle {
	o := &oracle{act: s.net.act.name}
	for _, l := range s.net.layers {
		w, b := make([]float64, len(l.weight)), make([]float64, len(l.bias))
		for i, x := range l.weight {
			w[i] = float64(x)
		}
		for i, x := range l.bias {
			b[i] = float64(x)
		}
		o.w, o.b, o.in, o.out = append(o.w, w), append(o.b, b), append(o.in, l.in), append(o.out, l.out)
	}
	return o
}

func (o *oracle) value(a float64) float64 {
	switch o.act {
	case "tanh":
		return math.Tanh(a)
	case "relu":
		return math.Max(a, 0)
	case "sigmoid":
		return 1 / (1 + math.Exp(-a))
	}
	return a
}

// slope is taken of the sum, not of the output as the fast path does.
func (o *oracle) slope(a float64) float64 {
	switch o.act {
	case "tanh":
		return 1 / (math.Cosh(a) * math.Cosh(a))
	case "relu":
		if a > 0 {
			return 1
		}
		return 0
	case "sigmoid":
		return math.Exp(-a) / ((1 + math.Exp(-a)) * (1 + math.Exp(-a)))
	}
	return 1
}

// forward returns the layers' sums and outputs; the last outputs are probabilities.
func (o *oracle) forward(x []float64) (sums, outs [][]float64) {
	for i := range o.w {
		a, h := slices.Clone(o.b[i]), make([]float64, o.out[i])
		for j := range x {
			for k := range a {
				a[k] += x[j] * o.w[i][j*o.out[i]+k]
			}
		}
		norm := 0.0
		for k := range a {
			h[k] = o.value(a[k])
			norm += math.Exp(a[k])
		}
		if i == len(o.w)-1 {
			for k := range a {
				h[k] = math.Exp(a[k]) / norm
			}
		}
		sums, outs, x = append(sums, a), append(outs, h), h
	}
	return sums, outs
}

// loss is the mean cross-entropy of a batch.
func (o *oracle) loss(x [][]float64, labels []int) float64 {
	sum := 0.0
	for r := range x {
		_, outs := o.forward(x[r])
		sum -= math.Log(outs[len(outs)-1][labels[r]])
	}
	return sum / float64(len(x))
}

// inputs are a batch's, scaled.
func (s *stepper) inputsOf(samples []int) (x [][]float64, labels []int) {
	for _, i := range samples {
		row := make([]float64, s.train.Features)
		for j := range row {
			row[j] = (float64(s.train.X[i*s.train.Features+j]) - s.scale.Mean) / s.scale.Std
		}
		x, labels = append(x, row), append(labels, s.train.Y[i])
	}
	return x, labels
}

// Backpropagation finds the gradient of the loss, by central differences.
func TestBackpropagationIsTheGradient(t *testing.T) {
	for _, act := range Activations() {
		t.Run(act, func(t *testing.T) {
			c := small(Backprop)
			c.Activation, c.Layers = act, []int{13, 11}
			s := newSmallStepper(t, c, blobs(1, 64, 4, 3))
			s.steps(t, 3) // away from the beginning
			samples := s.batch(1)
			loss, _, err := s.compute(t.Context(), samples, 3)
			if err != nil {
				t.Fatal(err)
			}
			o := newOracle(s)
			x, labels := s.inputsOf(samples)
			if want := o.loss(x, labels); math.Abs(loss/float64(c.Batch)-want) > 1e-5 {
				t.Errorf("the loss is %g, want %g", loss/float64(c.Batch), want)
			}
			const h = 1e-6
			slope := func(w *float64) float64 {
				was := *w
				*w = was + h
				up := o.loss(x, labels)
				*w = was - h
				down := o.loss(x, labels)
				*w = was
				return (up - down) / (2 * h)
			}
			for i := range s.net.layers {
				s.gradient(i)
				for j, got := range s.updates[i].weight {
					if want := slope(&o.w[i][j]); math.Abs(float64(got)-want) > 1e-5 {
						t.Fatalf("layer %d, weight %d: gradient %g, want %g", i, j, got, want)
					}
				}
				for j, got := range s.updates[i].bias {
					if want := slope(&o.b[i][j]); math.Abs(float64(got)-want) > 1e-5 {
						t.Fatalf("layer %d, bias %d: gradient %g, want %g", i, j, got, want)
					}
				}
			}
		})
	}
}

// feedbackCases are all ways to run direct feedback alignment.
func feedbackCases() map[string]Config {
	cases := map[string]Config{"float": small(Float)}
	for _, coding := range []string{Ternary, Gain, Stochastic} {
		for _, feedback := range []string{Ternary, Optical} {
			c := small(feedback)
			c.Error = coding
			cases[feedback+"/"+coding] = c
		}
	}
	return cases
}

// Gradients of direct feedback alignment against the formulas of section 11, for
// every row, with feedback or not.
func TestFeedbackGradients(t *testing.T) {
	for name, c := range feedbackCases() {
		for _, act := range Activations() {
			t.Run(name+"/"+act, func(t *testing.T) {
				c := c
				c.Activation, c.Layers, c.Rate = act, []int{17, 19, 15}, 0.005 // an odd sum, odd offsets
				s := newSmallStepper(t, c, blobs(2, 64, 4, 4))
				var samples []int
				number := 0
				for ; ; number++ { // until some rows have feedback and some have not
					if number == 2000 {
						t.Fatal("no batch has rows both with and without feedback")
					}
					samples = s.batch(number)
					if _, _, err := s.compute(t.Context(), samples, number); err != nil {
						t.Fatal(err)
					}
					n := len(s.active)
					if number >= 10 && (c.Feedback == Float || 0 < n && n < c.Batch) {
						break
					}
					s.apply(number, 1)
				}
				b := matrixOf(t, s.source)
				o := newOracle(s)
				x, labels := s.inputsOf(samples)
				random := rand.New(rand.NewPCG(c.Seed, forRounding+uint64(number)))
				weights, biases := make([][]float64, len(o.w)), make([][]float64, len(o.w))
				for i := range o.w {
					weights[i], biases[i] = make([]float64, len(o.w[i])), make([]float64, len(o.b[i]))
				}
				for r := range x {
					sums, outs := o.forward(x[r])
					e := outs[len(outs)-1]
					e[labels[r]]--
					q := slowQuantise(e, c, random)
					first := 0
					for i := range o.w {
						delta := slices.Clone(e)
						if i < len(o.w)-1 {
							delta = make([]float64, o.out[i])
							for k := range delta {
								for j := range q {
									delta[k] += b[first+k][j] * q[j]
								}
								delta[k] *= o.slope(sums[i][k])
							}
							first += o.out[i]
						}
						below := x[r]
						if i > 0 {
							below = outs[i-1]
						}
						for k, d := range delta {
							biases[i][k] += d / float64(len(x))
							for j, h := range below {
								weights[i][j*o.out[i]+k] += h * d / float64(len(x))
							}
						}
					}
				}
				for i := range o.w {
					s.gradient(i)
					compare(t, fmt.Sprintf("layer %d, weights", i), s.updates[i].weight, weights[i])
					compare(t, fmt.Sprintf("layer %d, biases", i), s.updates[i].bias, biases[i])
				}
			})
		}
	}
}

// slowQuantise is what B is multiplied with: codes times gain.
func slowQuantise(e []float64, c Config, random *rand.Rand) []float64 {
	q := make([]float64, len(e))
	limit, largest := c.Threshold, 0.0
	for _, x := range e {
		largest = math.Max(largest, math.Abs(x))
	}
	if c.Error == Gain {
		limit = 0.3 * largest
	}
	var eq, qq float64
	for j, x := range e {
		beyond := math.Abs(x) > limit
		if c.Error == Stochastic {
			beyond = float64(random.Float32()) < math.Abs(x)
		}
		switch {
		case c.Error == Float:
			q[j] = x
		case beyond:
			q[j] = math.Copysign(1, x)
		}
		eq, qq = eq+x*q[j], qq+q[j]*q[j]
	}
	if c.Error == Gain {
		for j := range q {
			if largest < 0.02 {
				q[j] = 0
			}
			q[j] *= eq / qq
		}
	}
	return q
}

// matrixOf reads B out of a source, one input at a time: rows of reals.
func matrixOf(t *testing.T, from source) [][]float64 {
	t.Helper()
	p := from.projector
	if p == nil {
		p = from.digital
	}
	m, n := p.Shape()
	b := make([][]float64, 2*m)
	for i := range b {
		b[i] = make([]float64, n)
	}
	for j := range n {
		x, y := make([]int8, n), make([]complex64, m)
		x[j] = 1
		if err := p.Project(t.Context(), y, x); err != nil {
			t.Fatal(err)
		}
		for i, z := range y {
			b[2*i][j], b[2*i+1][j] = float64(real(z)), float64(imag(z))
		}
	}
	return b
}

func compare(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	largest := 0.0
	for _, x := range want {
		largest = math.Max(largest, math.Abs(x))
	}
	if largest == 0 {
		t.Errorf("%s: all zero, which tests nothing", what)
	}
	for i, x := range want {
		if math.Abs(float64(got[i])-x) > 1e-4*largest {
			t.Errorf("%s: %d is %g, want %g", what, i, got[i], x)
			return
		}
	}
}

// A batch in which no sample has any feedback leaves the hidden layers a gradient of
// zero, not that of the batch before.
func TestNoFeedbackAtAll(t *testing.T) {
	c := small(Ternary)
	s := newSmallStepper(t, c, blobs(1, 128, 4, 3))
	s.steps(t, 1)
	s.config.Threshold = 0.9999
	if _, _, err := s.compute(t.Context(), s.batch(1), 1); err != nil {
		t.Fatal(err)
	}
	s.apply(1, 2)
	if len(s.active) != 0 {
		t.Fatalf("%d rows have feedback", len(s.active))
	}
	for i := range c.Layers {
		for _, x := range slices.Concat(s.updates[i].weight, s.updates[i].bias) {
			if x != 0 {
				t.Fatalf("layer %d has the gradient %g", i, x)
			}
		}
	}
}

// Pitfall 1: the threshold is for the error of a sample. On the mean over the batch,
// below 1/batch, it would never be passed.
func TestThresholdIsPerSample(t *testing.T) {
	c := small(Ternary)
	c.Batch, c.Threshold = 128, 0.5
	s := newSmallStepper(t, c, blobs(1, 128, 4, 3))
	if _, _, err := s.compute(t.Context(), s.batch(0), 0); err != nil {
		t.Fatal(err)
	}
	if got := len(s.active); got < 120 {
		t.Errorf("%d of 128 samples have feedback, though an untrained network errs by 0.75 in each", got)
	}
}

// The layers' updates do not depend on each other: at once or one by one, and on one
// core or two, the weights are the same bits.
func TestConcurrentAsSerial(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, feedback := range Feedbacks() {
		t.Run(feedback, func(t *testing.T) {
			c := small(feedback)
			c.Layers, c.Batch = []int{90, 80}, 70 // gonum splits products beyond 64
			d := blobs(1, 140, 4, 3)
			run := func(serial bool, cores int) []uint32 {
				runtime.GOMAXPROCS(cores)
				s := newSmallStepper(t, c, d)
				s.serial = serial
				s.steps(t, 12)
				return parameters(s.net)
			}
			want := run(true, 1)
			for _, cores := range []int{1, 2, 5} {
				if !slices.Equal(run(false, cores), want) {
					t.Errorf("concurrently on %d cores, the weights are others", cores)
				}
			}
		})
	}
}

// Frozen hidden layers do not move; all layers do otherwise.
func TestWhatIsTrained(t *testing.T) {
	for _, feedback := range Feedbacks() {
		s := newSmallStepper(t, small(feedback), blobs(1, 128, 4, 3))
		before := newOracle(s)
		s.steps(t, 3)
		after := newOracle(s)
		for i := range before.w {
			moved := !slices.Equal(before.w[i], after.w[i]) && !slices.Equal(before.b[i], after.b[i])
			still := slices.Equal(before.w[i], after.w[i]) && slices.Equal(before.b[i], after.b[i])
			if frozen := feedback == Frozen && i < len(before.w)-1; frozen && !still || !frozen && !moved {
				t.Errorf("%s: layer %d moved: %v", feedback, i, !still)
			}
		}
	}
}

func TestAlignment(t *testing.T) {
	for _, feedback := range []string{Backprop, Float, Ternary} {
		c := small(feedback)
		c.Alignment, c.Epochs, c.Rate = true, 20, 0.003
		r, _ := train(t, c, blobs(1, 256, 64, 3), nil, Options{})
		t.Logf("%s: %.3f after the first epoch, %.3f at the end", feedback, r.History[0].Alignment, r.History[19].Alignment)
		if len(r.History[19].Alignment) != len(c.Layers) {
			t.Fatalf("%s: the last epoch has the alignments %v", feedback, r.History[19].Alignment)
		}
		for i, x := range r.History[19].Alignment {
			if feedback == Backprop && math.Abs(x-1) > 1e-6 || !(x > 0.1) {
				t.Errorf("%s: the cosine of layer %d is %.7f", feedback, i, x)
			}
		}
	}
}

// A step in the steady state allocates for its goroutines and no buffers.
func TestStepAllocations(t *testing.T) {
	for name, c := range feedbackCases() {
		s := newSmallStepper(t, c, blobs(1, 128, 4, 3))
		samples := s.batch(0)
		number := 0
		step := func() {
			if _, _, err := s.compute(context.Background(), samples, number); err != nil {
				t.Fatal(err)
			}
			s.apply(number, 1000)
			number++
		}
		step()
		const steps = 20
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range steps {
			step()
		}
		runtime.ReadMemStats(&after)
		bytes, count := (after.TotalAlloc-before.TotalAlloc)/steps, (after.Mallocs-before.Mallocs)/steps
		if bytes > 8<<10 || count > 100 {
			t.Errorf("%s: a step makes %d allocations of %d bytes", name, count, bytes)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	for _, size := range []struct {
		name  string
		width int
		batch int
	}{{"20-30-30-4", 30, 16}, {"20-512-512-4", 512, 128}} {
		for _, feedback := range []string{Ternary, Backprop} {
			b.Run(size.name+"/"+feedback, func(b *testing.B) {
				c := small(feedback)
				c.Layers, c.Batch, c.Rate = []int{size.width, size.width}, size.batch, 0.001
				s := newSmallStepper(b, c, blobs(1, 4*size.batch, 4, 3))
				samples := s.batch(0)
				b.ReportAllocs()
				number := 0
				for b.Loop() {
					if _, _, err := s.compute(b.Context(), samples, number); err != nil {
						b.Fatal(err)
					}
					s.apply(number, 1<<30)
					number++
				}
				b.ReportMetric(float64(c.Batch)*float64(number)/b.Elapsed().Seconds(), "samples/s")
			})
		}
	}
}
