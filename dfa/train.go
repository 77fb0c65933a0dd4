package dfa

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/light-in-the-loop/opu/dfa/dataset"
)

// Options are what a run needs beside its settings.
type Options struct {
	// EpochOfB names the matrix behind the Projector, and Calibration the file or
	// device that it comes from. Both go into what is saved; a run is only resumed on
	// the same EpochOfB. Digital feedback fills them in itself.
	EpochOfB, Calibration string

	// Dir is where checkpoints go (file "checkpoint.safetensors"); empty for none.
	// The folder must exist.
	Dir string

	// Resume goes on from the checkpoint in Dir. The settings must be the same,
	// except that Epochs may be larger at a constant rate.
	Resume bool

	// Progress, if set, is called after every step.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Epoch, Epochs int // Epoch from 1
	Step, Steps   int // within the epoch, Step from 1
	Loss          float64
	Last          *Epoch // set after the last step of an epoch, when it has been judged
}

// Epoch is what an epoch of training came to.
type Epoch struct {
	Epoch         int       `json:"epoch"`
	TrainLoss     float64   `json:"train_loss"`     // mean cross-entropy, nats, while training
	TrainAccuracy float64   `json:"train_accuracy"` // while training
	TestAccuracy  float64   `json:"test_accuracy"`
	ValAccuracy   *float64  `json:"val_accuracy,omitempty"`
	Alignment     []float64 `json:"alignment,omitempty"` // cosine to backpropagation, by hidden layer, last batch
	Seconds       float64   `json:"seconds"`
}

// Result is what a run came to.
type Result struct {
	Dataset string `json:"dataset"`
	Config
	TestAccuracy float64  `json:"test_accuracy"` // fraction, after the last epoch
	ValAccuracy  *float64 `json:"val_accuracy,omitempty"`
	EpochOfB     string   `json:"epoch_of_b"`
	Samples      int      `json:"samples"` // trained on, all epochs together
	History      []Epoch  `json:"history"`
	Seconds      float64  `json:"seconds"`
	Diverged     string   `json:"diverged,omitempty"` // what was noticed, and what to do
}

// Errors that callers tell apart.
var (
	// ErrOtherMatrix: a run may only go on with the matrix that it began with.
	ErrOtherMatrix = errors.New("the feedback matrix is another one")
	// ErrDiverged: the loss is no number any more.
	ErrDiverged = errors.New("the run diverged")
)

// Train trains a network and returns what came of it. With Config.Feedback Optical
// the projector is required, otherwise it is not used. It blocks until done; if ctx
// ends first, the exact state is saved (Options.Dir) and ctx's error returned, with
// the result so far. A run that was interrupted and resumed ends as one that was
// not, given the same projections.
func Train(ctx context.Context, c Config, data *dataset.Data, p Projector, o Options) (*Result, *Model, error) {
	if err := c.Check(); err != nil {
		return nil, nil, err
	}
	if err := c.checkData(data); err != nil {
		return nil, nil, err
	}
	act, err := findActivation(c.Activation)
	if err != nil {
		return nil, nil, err
	}
	scale := scaling{0, 1}
	if c.InputScale == Standard {
		scale = scaling{data.Mean, data.Std}
	}
	train, val := holdOut(&data.Train, c.Val, c.Seed)
	sizes := append(append([]int{data.Train.Features}, c.Layers...), data.Classes)
	t := &trainer{
		stepper: newStepper(c, scale, train, newNetwork(sizes, act, c.Seed)),
		options: o, data: data, val: val,
		result: Result{Dataset: data.Name, Config: c},
	}
	if err := t.attach(p); err != nil {
		return nil, nil, err
	}
	if o.Resume {
		if err := t.resume(); err != nil {
			return nil, nil, err
		}
	}
	err = t.run(ctx)
	return &t.result, t.model(), err
}

// trainer is a run in progress.
type trainer struct {
	*stepper
	options Options
	data    *dataset.Data
	val     *dataset.Split
	result  Result

	epoch, step int     // next step to make, both from 0
	loss        float64 // of the present epoch so far
	right       int
}

// attach finds the source of the feedback.
func (t *trainer) attach(p Projector) error {
	c := &t.config
	classes := t.data.Classes
	t.result.EpochOfB = "none"
	switch c.Feedback {
	case Optical:
		if p == nil {
			return fmt.Errorf("cannot train with optical feedback: no projector was given: %w", ErrInput)
		}
		t.projector, t.result.EpochOfB = p, t.options.EpochOfB
		return c.checkShape(p, classes)
	case Ternary, Float:
		digital, err := NewDigital(c.outputsNeeded(), classes, c.Seed)
		if err != nil {
			return err
		}
		t.projector, t.digital = digital, digital
		t.result.EpochOfB = fmt.Sprintf("digital-seed-%d-%dx%d", c.Seed, c.outputsNeeded(), classes)
	}
	return nil
}

// run makes the steps that are left.
func (t *trainer) run(ctx context.Context) error {
	c := &t.config
	perEpoch := len(t.train.Y) / c.Batch // the last incomplete batch is dropped
	before := t.result.Seconds
	start := time.Now()
	clock := func() float64 { return before + time.Since(start).Seconds() }
	for ; t.epoch < c.Epochs; t.epoch++ {
		order := rand.New(rand.NewPCG(c.Seed, forShuffle+uint64(t.epoch)<<8)).Perm(len(t.train.Y))
		begun := clock()
		for ; t.step < perEpoch; t.step++ {
			if ctx.Err() != nil {
				t.result.Seconds = clock()
				return errors.Join(context.Cause(ctx), t.save())
			}
			loss, right, err := t.stepper.step(ctx, order[t.step*c.Batch:(t.step+1)*c.Batch], t.epoch*perEpoch+t.step, c.Epochs*perEpoch)
			if err != nil {
				t.result.Seconds = clock()
				return errors.Join(err, t.save())
			}
			t.loss, t.right = t.loss+loss, t.right+right
			t.result.Samples += c.Batch
			if math.IsNaN(loss) || math.IsInf(loss, 0) {
				t.result.Seconds = clock()
				t.result.Diverged = "the loss is no number any more; lower the rate"
				return fmt.Errorf("cannot go on after step %d of epoch %d: the loss is %g; lower the rate: %w", t.step+1, t.epoch+1, loss, ErrDiverged)
			}
			if t.step < perEpoch-1 {
				t.report(perEpoch, loss/float64(c.Batch), nil)
			}
		}
		last := t.judge(perEpoch * c.Batch)
		last.Seconds = clock() - begun
		t.result.History = append(t.result.History, last)
		t.result.TestAccuracy, t.result.ValAccuracy = last.TestAccuracy, last.ValAccuracy
		t.result.Seconds = clock()
		t.step = perEpoch - 1
		t.report(perEpoch, last.TrainLoss, &last)
		t.step, t.loss, t.right = 0, 0, 0
		t.epoch++ // the checkpoint is of the next epoch's begin
		err := t.save()
		t.epoch--
		if err != nil {
			return err
		}
	}
	t.result.Diverged = t.divergence()
	return nil
}

func (t *trainer) report(perEpoch int, loss float64, last *Epoch) {
	if t.options.Progress != nil {
		t.options.Progress(Progress{Epoch: t.epoch + 1, Epochs: t.config.Epochs, Step: t.step + 1, Steps: perEpoch, Loss: loss, Last: last})
	}
}

// judge measures the network after an epoch of so many samples.
func (t *trainer) judge(samples int) Epoch {
	e := Epoch{
		Epoch:         t.epoch + 1,
		TrainLoss:     t.loss / float64(samples),
		TrainAccuracy: float64(t.right) / float64(samples),
		TestAccuracy:  t.net.accuracy(&t.data.Test, t.scale),
	}
	if t.config.Val > 0 {
		accuracy := t.net.accuracy(t.val, t.scale)
		e.ValAccuracy = &accuracy
	}
	if t.config.Alignment && t.config.Feedback != Frozen {
		e.Alignment = t.alignment()
	}
	return e
}

// divergence says in words that a run went wrong, or nothing.
func (t *trainer) divergence() string {
	if len(t.result.History) == 0 {
		return ""
	}
	chance := 1 / float64(t.data.Classes)
	last := t.result.History[len(t.result.History)-1]
	best := 0.0
	for _, e := range t.result.History {
		best = max(best, e.TestAccuracy)
	}
	switch {
	case last.TrainAccuracy < 1.3*chance:
		return fmt.Sprintf("the network is right in %.1f %% of its training samples, chance is %.1f %%: "+
			"lower the rate (0.001 is safe), or scale the inputs to 0..1 (--input-scale unit)", 100*last.TrainAccuracy, 100*chance)
	case last.TestAccuracy < 0.7*best:
		return fmt.Sprintf("the test accuracy fell from %.1f %% to %.1f %%: lower the rate, or check that the feedback matrix has not changed",
			100*best, 100*last.TestAccuracy)
	}
	return ""
}

// holdOut splits off val random samples, the same for the same seed.
func holdOut(all *dataset.Split, val int, seed uint64) (train, held *dataset.Split) {
	if val == 0 {
		return all, nil
	}
	order := rand.New(rand.NewPCG(seed, forHoldout)).Perm(len(all.Y))
	pick := func(rows []int) *dataset.Split {
		s := &dataset.Split{Features: all.Features, X: make([]float32, 0, len(rows)*all.Features)}
		for _, i := range rows {
			s.X = append(s.X, all.X[i*all.Features:(i+1)*all.Features]...)
			s.Y = append(s.Y, all.Y[i])
		}
		return s
	}
	return pick(order[val:]), pick(order[:val])
}
