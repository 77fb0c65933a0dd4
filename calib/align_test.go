package calib_test

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
)

// alignerOf looks at a bench.
func alignerOf(t *testing.T, change func(*sim.Config)) (*sim.Bench, *calib.Aligner) {
	t.Helper()
	c := sim.Good(3)
	c.Width, c.Height = 128, 128
	if change != nil {
		change(&c)
	}
	b, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(b.DMD(), b.Camera(), rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	a, err := calib.NewAligner(t.Context(), r, 0)
	if err != nil {
		t.Fatal(err)
	}
	return b, a
}

func lookOf(t *testing.T, a *calib.Aligner) *calib.Alignment {
	t.Helper()
	v, err := a.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Frame) != v.Width*v.Height {
		t.Fatal("there is nothing to see")
	}
	return v.Alignment
}

// What is seen is what the bench is made of.
func TestAlignerSees(t *testing.T) {
	for name, c := range map[string]struct {
		change           func(*sim.Config)
		rho, visibility  float64
		grainTimesRadius float64
	}{
		"good":       {nil, 3, 1, 0.514},
		"more rho":   {func(c *sim.Config) { c.Rho = 8 }, 8, 1, 0.514},
		"visibility": {func(c *sim.Config) { c.Visibility = 0.5 }, 3, 0.5, 0.514},
		"black":      {func(c *sim.Config) { c.BlackLevel = 20 }, 3, 1, 0.514},
		"wide":       {func(c *sim.Config) { c.Radius = 0.1; c.Carrier = [2]float64{0.2, 0.27} }, 3, 1, 0.514},
	} {
		b, a := alignerOf(t, func(cfg *sim.Config) {
			cfg.Rho, cfg.Visibility = 3, 1
			if c.change != nil {
				c.change(cfg)
			}
		})
		got, truth := lookOf(t, a), b.Truth()
		if d := math.Hypot(got.Band.Fu-truth.Carrier[0], got.Band.Fv-truth.Carrier[1]); d > 0.004 {
			t.Errorf("%s: the carrier is seen at %v, it is at %v", name, got.Band, truth.Carrier)
		}
		if math.Abs(got.Rho/c.rho-1) > 0.12 || math.Abs(got.Visibility-c.visibility) > 0.12 {
			t.Errorf("%s: rho %.3g, want %.3g; visibility %.3g, want %.3g", name, got.Rho, c.rho, got.Visibility, c.visibility)
		}
		if math.Abs(got.Grain*truth.Radius/c.grainTimesRadius-1) > 0.1 {
			t.Errorf("%s: a grain of %.3g pixels, the pupil has %.3g", name, got.Grain, truth.Radius)
		}
		if len(got.Advice) > 0 || got.Turn != [2]float64{} {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A sideband in a wrong place is told where to go: there, it would be right.
func TestAlignerTurns(t *testing.T) {
	for name, carrier := range map[string][2]float64{
		"too low":       {0.08, 0.1},
		"near its twin": {0.47, 0.03},
		"on the border": {0.25, 0.003},
	} {
		_, a := alignerOf(t, func(c *sim.Config) { c.Carrier, c.Radius = carrier, 0.07 })
		got := lookOf(t, a)
		if got.Turn == [2]float64{} || len(got.Advice) == 0 {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		_, a = alignerOf(t, func(c *sim.Config) {
			c.Radius, c.Carrier = 0.07, [2]float64{got.Band.Fu - got.Turn[0], got.Band.Fv - got.Turn[1]}
		})
		if after := lookOf(t, a); after.Turn != [2]float64{} || len(after.Advice) > 0 {
			t.Errorf("%s: turned by %v, to %v: %+v", name, got.Turn, after.Band, after)
		}
	}
}

// What is wrong is said, and something is seen all the same.
func TestAlignerAdvises(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*sim.Config)
		do     func(*sim.Bench)
		says   string
	}{
		"saturated":    {func(c *sim.Config) { c.MeanElectrons *= 5 }, nil, "saturated with all mirrors on"},
		"weak":         {func(c *sim.Config) { c.Rho = 0.05 }, nil, "raise the reference"},
		"no reference": {nil, func(b *sim.Bench) { b.Block(context.Background(), true, false) }, "raise the reference"},
		"no signal":    {nil, func(b *sim.Bench) { b.Block(context.Background(), false, true) }, "cannot tell all-on from all-off"},
		"washed out":   {func(c *sim.Config) { c.Visibility = 0.17 }, nil, "visibility"},
		"cut": {nil, func(b *sim.Bench) {
			b.SetFaults(func(sim.Exposure) sim.Fault { return sim.Fault{Kind: sim.StalePattern} })
		}, "trigger"},
	} {
		b, a := alignerOf(t, c.change)
		if c.do != nil {
			c.do(b)
		}
		got := lookOf(t, a)
		if !strings.Contains(strings.Join(got.Advice, "\n"), c.says) {
			t.Errorf("%s: %q, want that it says %q", name, got.Advice, c.says)
		}
	}
}

// The phase of the reference is followed from the first look on, and the medium.
func TestAlignerFollows(t *testing.T) {
	b, a := alignerOf(t, nil)
	if got := lookOf(t, a); got.Phase != 0 || math.Abs(got.Health-1) > 1e-6 {
		t.Errorf("the first look: %+v", got)
	}
	b.ShiftReference(0.5)
	if got := lookOf(t, a); math.Abs(math.Abs(got.Phase)-0.5) > 0.1 || got.Health < 0.98 {
		t.Errorf("after 0.5 rad: %+v", got)
	}
	b, a = alignerOf(t, func(c *sim.Config) { c.Decorrelation = 10 * time.Second })
	lookOf(t, a)
	b.Wait(10 * time.Second)
	if got, want := lookOf(t, a).Health, b.Correlation(); math.Abs(got-want) > 0.05 {
		t.Errorf("the medium correlates by %.3f, it looks like %.3f", want, got)
	}
}
