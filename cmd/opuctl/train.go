package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/dfa"
	"github.com/light-in-the-loop/opu/dfa/dataset"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/bench"
)

// The drawn digits that train uses by default: enough to learn from, small enough
// to be trained on in a minute or two.
const drawnTrain, drawnTest = 12000, 4000

// drawnDefaults are the settings for them that the user did not choose: a small set
// wants the recipe that learns most from each sample.
func drawnDefaults(c *dfa.Config, chosen func(flag string) bool) {
	if !chosen("epochs") {
		c.Epochs = 4
	}
	if !chosen("batch") {
		c.Batch = 64
	}
	if !chosen("schedule") {
		c.Schedule = dfa.Cosine
	}
	if !chosen("error") && c.Feedback != dfa.Float {
		c.Error = dfa.Gain
	}
}

type trainCommand struct {
	sourceFlags
	format
	config   dfa.Config
	data     string
	download bool
	out      string
	resume   string
	control  bool
	fastPath bool
	share    bool
}

func newTrain() *cobra.Command {
	t := &trainCommand{config: dfa.Default()}
	c := &cobra.Command{
		Use:   "train",
		Short: "Train a network by direct feedback alignment",
		Long: `Train a network by direct feedback alignment: every hidden layer learns from a
random projection of the output's error, which the OPU makes by light.

Without --data the network learns digits that this program draws; they look
written by hand and are not MNIST. For them the defaults are --error gain
--schedule cosine --batch 64 --epochs 4, and the control is trained as well. With
--data DIR it learns MNIST (the four idx files) or your own x.npy and y.npy.

--feedback says where the hidden layers' signal comes from:
  optical   the OPU: every projection is exposed, captured and demodulated
  ternary   the same with a random matrix in memory
  float     a matrix in memory and the unquantised error
  bp        backpropagation
  frozen    none: the hidden layers stay random (the control)

--error says how the error is shown on the DMD, which has only -1, 0 and 1:
  ternary    the sign of what exceeds --threshold
  gain       ternary relative to the sample's largest error, with a digital gain
             for each sample: still only -1, 0, 1 on the DMD, and more accurate
  stochastic rounded at random, right on average

With --url the projections are a daemon's, or with a stack's file those of several;
any with enough inputs and outputs will do. If the daemon comes back with another
matrix the run ends: what was learnt on one is worth nothing on the next.

A checkpoint is saved after each epoch and on Ctrl-C; --resume DIR goes on from
it, on the same feedback matrix only.`,
		Example: `  opuctl train --sim
  opuctl train --sim=good --data mnist/ --error gain --schedule cosine --batch 64
  opuctl train --feedback frozen --data mnist/
  opuctl train --url local --data mnist/
  opuctl train --sim --data mnist/ --resume run/20260101-120000`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return t.run(c) },
	}
	t.sourceFlags.register(c)
	t.format.register(c)
	f, d := c.Flags(), &t.config
	f.StringVar(&t.data, "data", "", "`folder` with MNIST's idx files, or x.npy and y.npy")
	f.BoolVar(&t.download, "download", false, "fetch MNIST into --data first, with verified checksums")
	f.StringVar(&d.Feedback, "feedback", dfa.Optical, strings.Join(dfa.Feedbacks(), ", "))
	f.StringVar(&d.Error, "error", d.Error, strings.Join(dfa.Errors(), ", "))
	f.IntVar(&d.Epochs, "epochs", d.Epochs, "passes over the training set")
	f.IntVar(&d.Batch, "batch", d.Batch, "samples per step")
	f.Float64Var(&d.Rate, "rate", d.Rate, "step size of Adam")
	f.StringVar(&d.Schedule, "schedule", d.Schedule, "of the step size: constant, cosine")
	f.Float64Var(&d.Threshold, "threshold", d.Threshold, "of the ternary error")
	f.StringVar(&d.InputScale, "input-scale", d.InputScale, "standard (zero mean, unit variance) or unit (as they are)")
	f.IntSliceVar(&d.Layers, "layers", d.Layers, "widths of the hidden layers")
	f.StringVar(&d.Activation, "activation", d.Activation, strings.Join(dfa.Activations(), ", "))
	f.IntVar(&d.Val, "val", 0, "training samples to hold out for validation")
	f.BoolVar(&d.Alignment, "alignment", false, "measure the angle to backpropagation after each epoch")
	f.StringVar(&t.out, "out", "", "`folder` for checkpoint, network, curve and result (default run/<time>)")
	f.StringVar(&t.resume, "resume", "", "go on from the checkpoint in a `folder`")
	f.BoolVar(&t.control, "control", false, "also train with frozen hidden layers, for comparison (on by default for the drawn digits)")
	f.BoolVar(&t.share, "share-equal-rows", false, "let equal vectors of a batch share an exposure, and its noise")
	f.BoolVar(&t.fastPath, "fast-path", false, "simulated bench only: noise on a stored matrix instead of frames; the result says so")
	return c
}

// trainResult is what train prints as JSON and keeps as result.json.
type trainResult struct {
	*dfa.Result
	*driver.Stats        // of the optics; absent for digital feedback
	Simulated     string `json:"simulated,omitempty"` // the bench's preset
	Daemon        string `json:"daemon,omitempty"`    // its address, or a stack's file
	FastPath      bool   `json:"fast_path,omitempty"`
	// Board is what the clock of a real board would allow for the same work.
	Board         *bench.Rates `json:"modelled_board,omitempty"`
	FrozenControl *float64     `json:"frozen_test_accuracy,omitempty"`
	Out           string       `json:"out"`
}

func (t *trainCommand) run(c *cobra.Command) error {
	ctx, stderr := c.Context(), c.ErrOrStderr()
	if err := t.format.check(); err != nil {
		return err
	}
	if err := t.sourceFlags.check(c, "share-equal-rows", "fast-path"); err != nil {
		return err
	}
	if t.data == "" {
		drawnDefaults(&t.config, c.Flags().Changed)
		if !c.Flags().Changed("control") {
			t.control = t.config.Feedback != dfa.Frozen
		}
	}
	t.config.Seed = t.seed
	if t.config.Feedback == dfa.Float {
		if c.Flags().Changed("error") && t.config.Error != dfa.Float {
			return usage("--feedback float takes the unquantised error, not --error %s", t.config.Error)
		}
		t.config.Error = dfa.Float
	}
	if err := t.config.Check(); err != nil {
		return err
	}
	if t.config.Feedback != dfa.Optical && (t.sim != "" || t.calibration != "" || t.remote.given()) && c.Flags().Changed("feedback") {
		fmt.Fprintf(stderr, "note: --feedback %s does not use the OPU\n", t.config.Feedback)
	}
	if err := t.chooseOut(); err != nil {
		return err
	}
	data, err := t.load(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "data: %s, %d samples to learn from, %d to test on\n", data.Name, len(data.Train.Y), len(data.Test.Y))

	steps := max(1, (len(data.Train.Y)-t.config.Val)/t.config.Batch)
	p := newProgress(stderr, steps*t.config.Epochs)
	defer p.done()
	result := &trainResult{Out: t.out}
	var projector dfa.Projector
	options := dfa.Options{Dir: t.out, Resume: t.resume != "", Progress: showEpochs(p, steps, t.config.Feedback)}
	var opu *source
	if outputs, inputs, needed := t.config.NeedsProjector(data.Classes); needed {
		opu, err = t.source(ctx, stderr, need{inputs, outputs}, p, driver.Options{ShareEqualRows: t.share})
		if err != nil {
			return err
		}
		defer opu.close()
		projector, options.EpochOfB, options.Calibration = opu, opu.epoch, opu.epoch
		result.Simulated, result.Daemon = opu.simulated, opu.daemon
		if opu.local != nil {
			if err := opu.local.Calibration().Save(filepath.Join(t.out, "calibration.opucal")); err != nil {
				return err
			}
		}
		if t.fastPath {
			if projector, err = newFastPath(ctx, opu.local, t.seed); err != nil {
				return err
			}
			result.FastPath = true
		}
	} else if t.fastPath {
		return usage("--fast-path is for optical feedback on a simulated bench")
	}
	trained, model, err := dfa.Train(ctx, t.config, data, projector, options)
	p.done()
	result.Result = trained
	if opu != nil {
		stats := opu.stats(ctx)
		result.Stats, result.Board = &stats, opu.rates()
	}
	if err != nil {
		if trained != nil && (errors.Is(err, context.Canceled) || len(trained.History) > 0) {
			err = fmt.Errorf("%w\nstopped after %d whole epochs; go on with the same flags and --resume %s", err, len(trained.History), t.out)
		}
		return err
	}
	if err := model.Save(filepath.Join(t.out, "network.safetensors")); err != nil {
		return err
	}
	if t.control {
		frozen, err := t.frozen(ctx, data, p, steps)
		if err != nil {
			return err
		}
		result.FrozenControl = &frozen
	}
	if err := t.save(result, data); err != nil {
		return err
	}
	return t.print(c.OutOrStdout(), result, func(w io.Writer) { printTraining(w, result, data) })
}

// chooseOut finds the folder of the results and sees that it can be written.
func (t *trainCommand) chooseOut() error {
	switch {
	case t.resume != "" && t.out != "" && t.resume != t.out:
		return usage("--resume goes on in its own folder; leave --out away")
	case t.resume != "":
		if _, err := dfa.LoadState(t.resume); err != nil {
			return err
		}
		t.out = t.resume
		if t.calibration == "" && t.config.Feedback == dfa.Optical && !t.remote.given() {
			t.calibration = filepath.Join(t.resume, "calibration.opucal")
		}
	case t.out == "":
		base := filepath.Join("run", time.Now().Format("20060102-150405"))
		t.out = base
		for i := 2; ; i++ { // two runs may begin in the same second
			if err := os.MkdirAll(filepath.Dir(base), 0o777); err != nil {
				return usage("cannot write to the folder run: %v; name one with --out", err)
			}
			err := os.Mkdir(t.out, 0o777)
			if err == nil {
				break
			}
			if !errors.Is(err, os.ErrExist) {
				return usage("cannot write to the folder run: %v; name one with --out", err)
			}
			t.out = fmt.Sprintf("%s-%d", base, i)
		}
	}
	if err := writable(t.out); err != nil {
		return err
	}
	_, err := atomicfile.RemoveLeftovers(t.out, time.Hour)
	return err
}

func (t *trainCommand) load(ctx context.Context) (*dataset.Data, error) {
	if t.data == "" {
		if t.download {
			return nil, usage("--download needs a folder: --data DIR")
		}
		d := dataset.Digits(int(t.seed), drawnTrain, drawnTest)
		return &d, nil
	}
	if t.download {
		if err := dataset.Download(ctx, t.data, ""); err != nil {
			return nil, err
		}
	}
	d, err := dataset.Load(ctx, t.data)
	return &d, err
}

// showEpochs turns the trainer's progress into a bar and a line per epoch.
func showEpochs(p *progress, steps int, feedback string) func(dfa.Progress) {
	return func(x dfa.Progress) {
		p.to((x.Epoch-1)*steps+x.Step, fmt.Sprintf("%s, epoch %d of %d, loss %.3f", feedback, x.Epoch, x.Epochs, x.Loss))
		if e := x.Last; e != nil {
			val := ""
			if e.ValAccuracy != nil {
				val = fmt.Sprintf(", validation %.2f %%", 100**e.ValAccuracy)
			}
			align := ""
			if e.Alignment != nil {
				align = fmt.Sprintf(", alignment %.2f", e.Alignment)
			}
			p.line("%s, epoch %2d of %d: loss %.4f, test %.2f %%%s%s, %.1f s", feedback, x.Epoch, x.Epochs, e.TrainLoss, 100*e.TestAccuracy, val, align, e.Seconds)
		}
	}
}

// frozen trains the control and returns its test accuracy.
func (t *trainCommand) frozen(ctx context.Context, data *dataset.Data, p *progress, steps int) (float64, error) {
	control := t.config
	control.Feedback, control.Error, control.Alignment = dfa.Frozen, dfa.Ternary, false
	r, _, err := dfa.Train(ctx, control, data, nil, dfa.Options{Progress: showEpochs(p, steps, dfa.Frozen)})
	if err != nil {
		return 0, err
	}
	return r.TestAccuracy, nil
}

// save writes result.json and the learning curve.
func (t *trainCommand) save(r *trainResult, data *dataset.Data) error {
	err := atomicfile.Write(filepath.Join(t.out, "result.json"), func(w io.Writer) error { return format("json").print(w, r, nil) })
	if err != nil {
		return err
	}
	curve := dfa.Curve{Result: r.Result, Frozen: r.FrozenControl, Simulated: r.Simulated != ""}
	return atomicfile.Write(filepath.Join(t.out, "curve.png"), curve.WritePNG)
}

func printTraining(w io.Writer, r *trainResult, data *dataset.Data) {
	simulated := ""
	if r.Simulated != "" {
		simulated = fmt.Sprintf(" (simulated bench %q)", r.Simulated)
	}
	fmt.Fprintf(w, "\ntest accuracy %.2f %% on %s, feedback %s%s", 100*r.TestAccuracy, r.Dataset, r.Feedback, simulated)
	if r.FrozenControl != nil {
		fmt.Fprintf(w, "; with frozen hidden layers %.2f %%", 100**r.FrozenControl)
	}
	fmt.Fprintln(w)
	if s := r.Stats; s != nil && !r.FastPath {
		fmt.Fprintf(w, "%d projections, %d of them zero and free; %d exposures, %d frames with markers; %d repeated; %d patterns uploaded\n",
			s.Projections, s.ZeroRows, s.Exposures, s.Frames, s.Repeated, s.Uploads)
	}
	if r.Board != nil && !r.FastPath {
		printRates(w, r.Board)
	}
	if r.Daemon != "" {
		printSource(w, "", r.Daemon)
	}
	if r.FastPath {
		fmt.Fprintln(w, "fast path: projections came from a stored matrix with noise, not from frames")
	}
	if r.Diverged != "" {
		fmt.Fprintf(w, "warning: %s\n", r.Diverged)
	}
	fmt.Fprintf(w, "%.0f s; matrix %s\nin %s: network.safetensors, curve.png, result.json, checkpoint.safetensors\n", r.Seconds, r.EpochOfB, r.Out)
}
