package calib_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// Benches are judged by what is wrong with them.
func TestVerdicts(t *testing.T) {
	for _, x := range []struct {
		name   string
		preset func(uint64) sim.Config
		change func(*sim.Config)
		reason string // part of the only or first reason; empty: good
	}{
		{"good", sim.Good, nil, ""},
		{"noisy", sim.Noisy, nil, ""},
		{"glass", sim.Glass, nil, ""},
		{"hot", sim.Hot, nil, ""},
		{"broken", sim.Broken, nil, "tilt the reference beam further"},
		{"washed out", sim.Good, func(c *sim.Config) { c.Visibility = 0 }, "fringes"},
		{"half-closed shutter", sim.Good, func(c *sim.Config) { c.ReferenceCut = 0.5 }, "dead outputs"},
		{"fast drift", sim.Good, func(c *sim.Config) { c.PhaseDrift = 10 }, "drift of the phase"},
		{"medium that leaves", sim.Good, func(c *sim.Config) { c.Decorrelation = 2e9 }, "loss of correlation"},
		{"late by one", sim.Good, func(c *sim.Config) { c.FrameDelay = 1 }, "each frame shows the pattern of 1 before it"},
	} {
		c := x.preset(3)
		if x.change != nil {
			x.change(&c)
		}
		v := verdictOn(t, c)
		for _, check := range v.Checks {
			// Jitter is no noise to a weak field.
			if x.name == "hot" && check.Name == "SNR of a single feature" && check.Value < 15 {
				t.Errorf("%s: SNR of a single feature %.1f dB", x.name, check.Value)
			}
		}
		switch {
		case x.reason == "" && (v.Verdict != calib.VerdictGood || len(v.Reasons) > 0):
			t.Errorf("%s: refused: %v", x.name, v.Reasons)
		case x.reason != "" && (v.Verdict != calib.VerdictRefused || !strings.Contains(strings.Join(v.Reasons, "\n"), x.reason)):
			t.Errorf("%s: %s, reasons %q, want one with %q", x.name, v.Verdict, v.Reasons, x.reason)
		}
	}
}

func verdictOn(t *testing.T, c sim.Config) calib.Verdict {
	t.Helper()
	r, _ := table(t, c)
	cal, err := calib.Learn(t.Context(), r, calib.Options{Layout: slm.LayoutSpec{Kind: slm.Blocks, Features: 10}, Seed: 3})
	if err != nil {
		return calib.Refuse(err)
	}
	figures, err := cal.Examine(t.Context(), r, 3)
	if err != nil {
		return calib.Refuse(err)
	}
	return cal.Judge(figures)
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
