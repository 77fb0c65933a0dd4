package dfa

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/dfa/dataset"
)

func TestEveryFeedbackLearns(t *testing.T) {
	d := blobs(1, 512, 256, 4)
	for _, feedback := range Feedbacks() {
		c := small(feedback)
		c.Val, c.Epochs = 64, 5
		p, err := NewDigital(c.outputsNeeded(), d.Classes, 5)
		if err != nil {
			t.Fatal(err)
		}
		r, m := train(t, c, d, p, Options{EpochOfB: "five"})
		t.Logf("%s: %.3f", feedback, r.TestAccuracy)
		if r.TestAccuracy < 0.88 || r.Diverged != "" {
			t.Errorf("%s: accuracy %.3f, %s", feedback, r.TestAccuracy, r.Diverged)
		}
		if again, err := m.Accuracy(&d.Test); err != nil || again != r.TestAccuracy {
			t.Errorf("%s: the model's accuracy is %g (%v), the run's %g", feedback, again, err, r.TestAccuracy)
		}
		if want := 5 * 28 * 16; r.Samples != want || len(r.History) != 5 || r.ValAccuracy == nil || *r.ValAccuracy < 0.85 {
			t.Errorf("%s: %d samples (want %d), %d epochs, validation %v", feedback, r.Samples, want, len(r.History), r.ValAccuracy)
		}
		if want := map[string]string{Optical: "five", Ternary: "digital-seed-1-30x4", Float: "digital-seed-1-30x4", Backprop: "none", Frozen: "none"}[feedback]; r.EpochOfB != want {
			t.Errorf("%s: the matrix is called %q, want %q", feedback, r.EpochOfB, want)
		}
	}
}

func TestSeed(t *testing.T) {
	d := blobs(1, 128, 32, 3)
	for _, coding := range []string{Ternary, Stochastic} {
		run := func(seed uint64) []uint32 {
			c := small(Ternary)
			c.Error, c.Seed, c.Val = coding, seed, 16
			_, m := train(t, c, d, nil, Options{})
			return parameters(m.net)
		}
		if !slices.Equal(run(1), run(1)) {
			t.Errorf("%s: the same seed gave another network", coding)
		}
		if slices.Equal(run(1), run(2)) {
			t.Errorf("%s: another seed gave the same network", coding)
		}
	}
}

// late gives each sample the projection of the one before it: a camera that is
// triggered one frame late.
type late struct {
	Projector
	last []complex64
}

func (l *late) Project(ctx context.Context, dst []complex64, x []int8) error {
	if err := l.Projector.Project(ctx, dst, x); err != nil {
		return err
	}
	m, _ := l.Shape()
	end := slices.Clone(dst[len(dst)-m:])
	copy(dst[m:], dst[:len(dst)-m])
	copy(dst, l.last)
	l.last = end
	return nil
}

// quadrants is a problem that random features do not solve, hidden layers must learn
// it: the signs of x0 x1 and of x2 x3 are the two bits of the class.
func quadrants(train, test int) *dataset.Data {
	d := blobs(7, train, test, 0)
	for _, s := range []*dataset.Split{&d.Train, &d.Test} {
		for i := range s.Y {
			x := s.X[i*s.Features : (i+1)*s.Features]
			s.Y[i] = 0
			if x[0]*x[1] > 0 {
				s.Y[i]++
			}
			if x[2]*x[3] > 0 {
				s.Y[i] += 2
			}
			for j := range x[4:] {
				x[4+j] *= 0.1
			}
		}
	}
	return d
}

// Feedback that belongs to the sample before is worse than none (section 13, "frames
// off by one"), and the run says so. The right one learns what frozen layers cannot.
func TestFramesOffByOne(t *testing.T) {
	d := quadrants(1600, 400)
	c := small(Optical)
	c.Error, c.Epochs, c.Rate, c.Layers = Gain, 16, 0.005, []int{60, 60}
	p, err := NewDigital(c.outputsNeeded(), d.Classes, 1)
	if err != nil {
		t.Fatal(err)
	}
	right, _ := train(t, c, d, p, Options{})
	shifted, _ := train(t, c, d, &late{Projector: p}, Options{})
	c.Feedback = Frozen
	frozen, _ := train(t, c, d, nil, Options{})
	t.Logf("right %.3f, frozen %.3f, off by one %.3f", right.TestAccuracy, frozen.TestAccuracy, shifted.TestAccuracy)
	if right.TestAccuracy < 0.7 || right.Diverged != "" {
		t.Errorf("the right feedback: %.3f, %s", right.TestAccuracy, right.Diverged)
	}
	if frozen.TestAccuracy > 0.5 {
		t.Errorf("frozen layers reach %.3f: the problem needs no feedback", frozen.TestAccuracy)
	}
	if shifted.TestAccuracy > 0.32 || !strings.Contains(shifted.Diverged, "chance is 25.0 %") {
		t.Errorf("feedback off by one: %.3f, and the run says %q", shifted.TestAccuracy, shifted.Diverged)
	}
}

func TestDivergence(t *testing.T) {
	d := quadrants(400, 100)
	for _, feedback := range []string{Backprop, Ternary, Float} {
		c := small(feedback)
		c.Rate = 5
		r, _ := train(t, c, d, nil, Options{})
		if !strings.Contains(r.Diverged, "nats, guessing blindly has 1.39: lower the rate") {
			t.Errorf("%s at a rate of 5: the run says %q; accuracy %.3f, loss %.3f",
				feedback, r.Diverged, r.TestAccuracy, r.History[2].TrainLoss)
		}
	}
}

// A loss that overflows ends the run, and leaves the last good checkpoint.
func TestLossIsNoNumber(t *testing.T) {
	c := small(Backprop)
	c.Rate, c.Activation, c.Layers = 10, "linear", slices.Repeat([]int{30}, 40)
	dir := t.TempDir()
	r, m, err := Train(t.Context(), c, blobs(1, 128, 32, 3), nil, Options{Dir: dir})
	if !errors.Is(err, ErrDiverged) || r == nil || m == nil || !strings.Contains(r.Diverged, "lower the rate") {
		t.Fatalf("%v, result %+v", err, r)
	}
	if !strings.HasPrefix(err.Error(), "cannot make step ") || !strings.Contains(err.Error(), "of epoch 1") {
		t.Errorf("the error does not say where: %v", err)
	}
	if saved, err := LoadState(dir); err != nil || saved.Samples != 0 {
		t.Errorf("the checkpoint: %v, %+v", err, saved)
	}
}

// A test accuracy that collapses is noticed.
func TestCollapse(t *testing.T) {
	tr := &trainer{data: &dataset.Data{Classes: 10}, stepper: &stepper{}}
	tr.result.History = []Epoch{{TrainAccuracy: 0.9, TestAccuracy: 0.9}, {TrainAccuracy: 0.6, TestAccuracy: 0.6}}
	if got := tr.divergence(); !strings.Contains(got, "from 90.0 % to 60.0 %") {
		t.Errorf("the run says %q", got)
	}
	tr.result.History[1].TestAccuracy = 0.7
	if got := tr.divergence(); got != "" {
		t.Errorf("for a dip from 0.9 to 0.7 the run says %q", got)
	}
}
