package dfa

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
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
	// The folder must exist. There is one before the first step, after each epoch,
	// and where a run is interrupted.
	Dir string

	// Resume goes on from the checkpoint in Dir. The settings must be the same,
	// except that Epochs may be larger at a constant rate.
	Resume bool

	// Progress, if set, is called after every step.
	Progress func(Progress)
}

// Progress is how far a run is.
type Progress struct {
	Epoch, Epochs int     // Epoch from 1
	Step, Steps   int     // within the epoch, Step from 1
	Loss          float64 // mean cross-entropy of the step's batch; of the epoch, if Last is set
	Last          *Epoch  // set after the last step of an epoch, when it has been judged
}

// Epoch is what an epoch of training came to.
type Epoch struct {
	Epoch         int       `json:"epoch"`
	TrainLoss     float64   `json:"train_loss"`     // mean cross-entropy, nats, while training
	TrainAccuracy float64   `json:"train_accuracy"` // while training
	TestAccuracy  float64   `json:"test_accuracy"`
	ValAccuracy   *float64  `json:"val_accuracy,omitempty"`
	ZeroRows      int       `json:"zero_rows"`           // samples whose coded error was all zeros: they need no projection
	Alignment     []float64 `json:"alignment,omitempty"` // cosine to backpropagation (-1 to 1), by hidden layer, last batch
	Seconds       float64   `json:"seconds"`             // since it was begun or resumed
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
	Diverged     string   `json:"diverged,omitempty"` // what was noticed after the last epoch, and what to do
}

// Errors that callers tell apart.
var (
	// ErrOtherMatrix: a run may only go on with the matrix that it began with.
	ErrOtherMatrix = errors.New("the feedback matrix is another one")
	// ErrDiverged: the loss is no number any more.
	ErrDiverged = errors.New("the run diverged")
	// ErrProjection: the projector returned what no matrix of finite numbers can.
	ErrProjection = errors.New("bad projection")
)

// Train trains a network and returns what came of it. With Config.Feedback Optical
// the projector is required, otherwise it is not used. It blocks until done.
//
// Settings and data that cannot be used are ErrInput, found before anything is
// allocated. If ctx ends or the projector fails, or returns numbers that are none
// (ErrProjection), the exact state before the step is saved (Options.Dir), and ctx's
// cause or the projector's error comes back wrapped, with the result and the model so
// far. A run that was interrupted and resumed ends
// as one that was not, bit for bit, given the same projections. A loss that is no
// number is ErrDiverged; the checkpoint then remains the last good one.
func Train(ctx context.Context, c Config, data *dataset.Data, p Projector, o Options) (*Result, *Model, error) {
	if err := c.Check(); err != nil {
		return nil, nil, err
	}
	if err := c.checkData(data); err != nil {
		return nil, nil, err
	}
	from, err := c.source(p, data.Classes, o)
	if err != nil {
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
	sizes := slices.Concat([]int{data.Train.Features}, c.Layers, []int{data.Classes})
	t := newTrainer(newStepper(c, scale, train, newNetwork(sizes, act, c.Seed), from), data, val, o)
	if o.Resume {
		if err := t.resume(); err != nil {
			return nil, nil, err
		}
	}
	if err := t.save(); err != nil { // now, not after hours, shows whether it can be
		return nil, nil, err
	}
	err = t.run(ctx)
	return &t.result, t.model(), err
}

// source finds where the feedback comes from.
func (c Config) source(p Projector, classes int, o Options) (source, error) {
	need := c.outputsNeeded()
	switch c.Feedback {
	case Optical:
		if p == nil {
			return source{}, fmt.Errorf("cannot train with optical feedback: no projector was given: %w", ErrInput)
		}
		if o.EpochOfB == "" && o.Dir != "" {
			return source{}, fmt.Errorf("cannot save checkpoints: the projector's matrix has no name, so none could be resumed safely; set EpochOfB: %w", ErrInput)
		}
		m, n := p.Shape()
		if m < need || m > maxOutputs/c.Batch || n != classes {
			return source{}, fmt.Errorf("cannot train with a projector of %d outputs and %d inputs: the layers %v need %d to %d complex outputs, the %d classes as many inputs: %w",
				m, n, c.Layers, need, maxOutputs/c.Batch, classes, ErrInput)
		}
		return source{projector: p, outputs: m, epochOfB: o.EpochOfB}, nil
	case Ternary, Float:
		digital, err := NewDigital(need, classes, c.Seed)
		if err != nil {
			return source{}, err
		}
		s := source{outputs: need, epochOfB: fmt.Sprintf("digital-seed-%d-%dx%d", c.Seed, need, classes)}
		if c.Feedback == Ternary {
			s.projector = digital
		} else {
			s.digital = digital
		}
		return s, nil
	}
	return source{epochOfB: "none"}, nil
}

// trainer is a run in progress.
type trainer struct {
	*stepper
	options     Options
	data        *dataset.Data
	fingerprint fingerprint // of data
	val         *dataset.Split
	result      Result

	epoch, step int // next step to make, both from 0
	sums        sums
}

// sums are what the steps of an epoch have come to so far.
type sums struct {
	Loss     float64 `json:"loss"`
	Right    int     `json:"right"`
	ZeroRows int     `json:"zero_rows"`
}

func newTrainer(s *stepper, data *dataset.Data, val *dataset.Split, o Options) *trainer {
	return &trainer{
		stepper: s, options: o, data: data, fingerprint: fingerprintOf(data), val: val,
		result: Result{Dataset: data.Name, Config: s.config, EpochOfB: s.source.epochOfB},
	}
}

// stepsPerEpoch drops the last incomplete batch.
func (t *trainer) stepsPerEpoch() int { return len(t.train.Y) / t.config.Batch }

// run makes the epochs that are left, and saves after each and when interrupted.
func (t *trainer) run(ctx context.Context) error {
	for t.epoch < t.config.Epochs {
		start := time.Now()
		err := t.runEpoch(ctx)
		t.result.Seconds += time.Since(start).Seconds()
		if errors.Is(err, ErrDiverged) {
			t.result.Diverged = "the loss is no number any more; lower the rate"
			return err
		}
		if err := errors.Join(err, t.save()); err != nil {
			return err
		}
	}
	return nil
}

// runEpoch makes the steps that are left of an epoch.
func (t *trainer) runEpoch(ctx context.Context) error {
	start := time.Now()
	c, steps := &t.config, t.stepsPerEpoch()
	order := rand.New(rand.NewPCG(c.Seed, forShuffle+uint64(t.epoch)<<8)).Perm(len(t.train.Y))
	progress := Progress{Epoch: t.epoch + 1, Epochs: c.Epochs, Steps: steps}
	var alignment []float64
	for ; t.step < steps; t.step++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		number := t.epoch*steps + t.step
		loss, right, err := t.compute(ctx, order[t.step*c.Batch:(t.step+1)*c.Batch], number)
		if err != nil {
			return fmt.Errorf("cannot make step %d of epoch %d: %w", t.step+1, t.epoch+1, err)
		}
		last := t.step == steps-1
		if last && c.Alignment && c.Feedback != Frozen {
			alignment = t.alignment()
		}
		t.apply(number, c.Epochs*steps)
		t.sums.Loss, t.sums.Right = t.sums.Loss+loss, t.sums.Right+right
		if t.source.projector != nil {
			t.sums.ZeroRows += c.Batch - len(t.active)
		}
		t.result.Samples += c.Batch
		if !last {
			progress.Step, progress.Loss = t.step+1, loss/float64(c.Batch)
			t.report(progress)
		}
	}
	e := t.judge(steps * c.Batch)
	e.Alignment, e.Seconds = alignment, time.Since(start).Seconds()
	t.result.History = append(t.result.History, e)
	t.result.TestAccuracy, t.result.ValAccuracy = e.TestAccuracy, e.ValAccuracy
	t.result.Diverged = t.divergence()
	t.epoch, t.step, t.sums = t.epoch+1, 0, sums{}
	progress.Step, progress.Loss, progress.Last = steps, e.TrainLoss, &e
	t.report(progress)
	return nil
}

func (t *trainer) report(p Progress) {
	if t.options.Progress != nil {
		t.options.Progress(p)
	}
}

// judge measures the network after an epoch of so many samples.
func (t *trainer) judge(samples int) Epoch {
	e := Epoch{
		Epoch:         t.epoch + 1,
		TrainLoss:     t.sums.Loss / float64(samples),
		TrainAccuracy: float64(t.sums.Right) / float64(samples),
		ZeroRows:      t.sums.ZeroRows,
		TestAccuracy:  t.net.accuracy(&t.data.Test, t.scale),
	}
	if t.config.Val > 0 {
		accuracy := t.net.accuracy(t.val, t.scale)
		e.ValAccuracy = &accuracy
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
	guessing := math.Log(float64(t.data.Classes))
	switch {
	case last.TrainLoss > 2*guessing:
		return fmt.Sprintf("the loss is %.3g nats, guessing blindly has %.3g: lower the rate (0.001 is safe), or scale the inputs to 0..1 (--input-scale unit)",
			last.TrainLoss, guessing)
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
