package calib_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// Benches are judged by what is wrong with them, each with a message of its own.
func TestVerdicts(t *testing.T) {
	many := calib.Options{Layout: slm.LayoutSpec{Kind: slm.Blocks, Features: 100}}
	few := calib.Options{Layout: slm.LayoutSpec{Kind: slm.Blocks, Features: 10}}
	anchored := func(share float64) calib.Options {
		o := many
		o.Anchor = share
		return o
	}
	tagged := many
	tagged.Tags = true
	for _, x := range []struct {
		name    string
		preset  func(uint64) sim.Config
		change  func(*sim.Config)
		options calib.Options
		reason  string // part of the only reason; empty: good
	}{
		{name: "good", preset: sim.Good},
		{name: "noisy", preset: sim.Noisy},
		{name: "glass", preset: sim.Glass},
		{name: "hot", preset: sim.Hot},
		{name: "jitter of 0.4 rad", change: func(c *sim.Config) { c.PhaseJitter = 0.4 }},
		{name: "far too bright, and the exposure comes down", change: func(c *sim.Config) { c.MeanElectrons = 60000 }},
		{name: "many features", options: many},
		{name: "many features, tags", options: tagged},
		{name: "many features, anchor", options: anchored(0.2)},

		{name: "broken", preset: sim.Broken, reason: "tilt the reference beam further"},
		{name: "carrier too low", change: func(c *sim.Config) { c.Carrier = [2]float64{0.16, 0.16} }, reason: "tilt the reference beam further"},
		{name: "twin too close", change: func(c *sim.Config) { c.Carrier = [2]float64{0.44, 0.08} }, reason: "overlaps its twin"},
		{name: "saturated", change: func(c *sim.Config) { c.MeanElectrons = 1e8 }, reason: "the frames are white: 100 % of the pixels"},
		{name: "dark", change: func(c *sim.Config) { c.MeanElectrons = 0.01 }, reason: "the frames are dark: they hold 4.0 counts"},
		{name: "no reference", change: func(c *sim.Config) { c.ReferenceCut = 1 }, reason: "there is no reference beam"},
		{name: "weak reference", change: func(c *sim.Config) { c.Rho = 0.1 }, reason: "raise the reference beam"},
		{name: "no signal", change: func(c *sim.Config) { c.Rho = 1e6 }, reason: "the mirrors do not change it"},
		{name: "washed out", change: func(c *sim.Config) { c.Visibility = 0 }, reason: "not washed out"},
		{name: "half-closed shutter", change: func(c *sim.Config) { c.ReferenceCut = 0.5 }, reason: "dead outputs"},
		{name: "fast drift", change: func(c *sim.Config) { c.PhaseDrift = 10 }, reason: "drift of the phase"},
		{name: "medium that leaves", change: func(c *sim.Config) { c.Decorrelation = 2e9 }, reason: "loss of correlation"},
		{name: "late by one", change: func(c *sim.Config) { c.FrameDelay = 1 }, reason: "each frame shows the pattern of 1 before it"},
		{name: "slow camera, and the exposure makes room for its read-out", change: func(c *sim.Config) { c.Readout = 300 * time.Microsecond }},
		{name: "camera too slow", change: func(c *sim.Config) { c.Readout = 900 * time.Microsecond }, reason: "lengthen the period"},
		{name: "rho of 0.2", change: func(c *sim.Config) { c.Rho = 0.2 }, reason: "raise the reference beam"},
		{name: "features in the dark", change: func(c *sim.Config) { c.IlluminationWaist = 0.45 }, options: many, reason: "dead inputs"},
		{name: "small anchor", options: anchored(0.01), reason: "error of a frame's own phase"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			if x.preset == nil {
				x.preset = sim.Good
			}
			if x.options.Layout.Features == 0 {
				x.options = few
			}
			x.options.Seed = 3
			c := x.preset(3)
			c.Width, c.Height = 128, 128
			if x.change != nil {
				x.change(&c)
			}
			v := verdictOn(t, c, x.options)
			for _, check := range v.Checks {
				// Jitter is no noise to a weak field.
				if x.name == "hot" && check.Name == "SNR of a single feature" && check.Value < 15 {
					t.Errorf("SNR of a single feature %.1f dB", check.Value)
				}
				// Nor does it, or any noise, pass for a change of the medium.
				if x.reason == "" && check.Name == "health of the probe" && math.Abs(check.Value-1) > 0.03 {
					t.Errorf("health %.3f on a medium that keeps still", check.Value)
				}
			}
			switch {
			case x.reason == "" && (v.Verdict != calib.VerdictGood || len(v.Reasons) > 0):
				t.Errorf("refused: %v", v.Reasons)
			case x.reason != "" && (v.Verdict != calib.VerdictRefused || len(v.Reasons) != 1 || !strings.Contains(v.Reasons[0], x.reason)):
				t.Errorf("%s, reasons %q, want one with %q", v.Verdict, v.Reasons, x.reason)
			}
		})
	}
}

func verdictOn(t *testing.T, c sim.Config, o calib.Options) calib.Verdict {
	t.Helper()
	r, _ := table(t, c)
	cal, err := calib.Learn(t.Context(), r, o)
	if err != nil {
		if !errors.Is(err, calib.ErrRefused) {
			t.Fatal(err)
		}
		return calib.Refuse(err)
	}
	figures, err := cal.Examine(t.Context(), r, o.Seed)
	if err != nil {
		t.Fatal(err)
	}
	return cal.Judge(figures)
}

// A device that fails is no verdict on the light, and nor is a wrong option.
func TestDeviceErrorsAreNoVerdict(t *testing.T) {
	r, _ := table(t, small(3))
	o := calib.Options{Layout: slm.LayoutSpec{Kind: slm.Blocks, Features: 10}, Outputs: 1e6}
	var failure *calib.Failure
	if _, err := calib.Learn(t.Context(), r, o); !errors.Is(err, slm.ErrInput) || errors.As(err, &failure) {
		t.Errorf("too many outputs: %v, want %v and no verdict", err, slm.ErrInput)
	}
	o.Outputs = 0
	cal, err := calib.Learn(t.Context(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := calib.Learn(t.Context(), r, o); !errors.Is(err, camera.ErrClosed) || errors.Is(err, calib.ErrRefused) {
		t.Errorf("a closed camera: %v, want %v and no verdict", err, camera.ErrClosed)
	}
	if _, err := cal.Examine(t.Context(), r, 1); !errors.Is(err, camera.ErrClosed) || errors.Is(err, calib.ErrRefused) {
		t.Errorf("a closed camera: %v, want %v and no verdict", err, camera.ErrClosed)
	}
}

// A rig that went dark after its calibration is refused, with the reason.
func TestExamineInTheDark(t *testing.T) {
	r, bench := table(t, small(3))
	cal, err := calib.Learn(t.Context(), r, calib.Options{Layout: slm.LayoutSpec{Kind: slm.Blocks, Features: 10}})
	if err != nil {
		t.Fatal(err)
	}
	bench.Block(t.Context(), true, true)
	var failure *calib.Failure
	if _, err := cal.Examine(t.Context(), r, 1); !errors.As(err, &failure) || failure.Seen == nil || !strings.Contains(err.Error(), "the frames are dark") {
		t.Errorf("without light: %v, %+v", err, failure)
	}
}

// A carrier that has moved since the calibration is seen.
func TestCarrierShift(t *testing.T) {
	c := sim.Good(3)
	c.Width, c.Height = 128, 128
	r, _ := table(t, c)
	cal, err := calib.Learn(t.Context(), r, calib.Options{Layout: slm.LayoutSpec{Kind: slm.Blocks, Features: 10}, Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	cal.Carrier.Fu += 3.0 / 128
	figures, err := cal.Examine(t.Context(), r, 3)
	if err != nil {
		t.Fatal(err)
	}
	if math.Abs(figures.CarrierShift-3) > 0.5 {
		t.Errorf("a carrier 3 bins off: found %.2f", figures.CarrierShift)
	}
	if err := cal.Judge(figures).Err(); !errors.Is(err, calib.ErrRefused) || !strings.Contains(err.Error(), "shift of the carrier") {
		t.Errorf("a carrier 3 bins off: %v", err)
	}
}
