package driver_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// newWitnessed is a setup whose frames can prove themselves.
func newWitnessed(t testing.TB, c sim.Config, options calib.Options, o driver.Options) *setup {
	t.Helper()
	s := newSetupWith(t, c, options, o)
	if s.cal.Witness == nil {
		t.Fatal("the calibration has no witness")
	}
	return s
}

func layoutOf(features int) slm.LayoutSpec {
	return slm.LayoutSpec{Kind: slm.Blocks, Features: features}
}

// Frames that show another pattern than theirs are caught, every one, by few features
// known by heart and by tags, and shown again; a good frame is never refused. Markers
// and clock cannot see these faults.
func TestFramesProveThemselves(t *testing.T) {
	rows := 100
	if testing.Short() {
		rows = 25
	}
	for _, x := range []struct {
		name     string
		features int
		options  calib.Options
		size     int
	}{
		{"features", 10, calib.Options{Layout: layoutOf(10), Outputs: 64}, 128},
		{"tags", 100, calib.Options{Layout: layoutOf(100), Outputs: 64, Tags: true}, 256},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := sim.Good(3)
			c.Width, c.Height = x.size, x.size
			s := newWitnessed(t, c, x.options, driver.Options{})
			vectors := randomTernary(5, rows, x.features)
			before := s.opu.Stats()
			want := s.project(t, vectors)
			after := s.opu.Stats()
			if after.Wrong != before.Wrong {
				t.Errorf("of %d good exposures %d were refused", after.Exposures-before.Exposures, after.Wrong-before.Wrong)
			}

			// Now a third of the frames has another light: that of the pattern before, of
			// the next, or of a third.
			random := rand.New(rand.NewPCG(7, 7))
			stray := slm.NewPattern(c.Chip)
			for i := range c.Chip.Mirrors() {
				stray.Set(i%c.Chip.Width, i/c.Chip.Width, random.IntN(2) == 0)
			}
			injected := uint64(0)
			s.bench.SetFaults(func(e sim.Exposure) sim.Fault {
				// Not within the marker at the start, where the order would be found wrong.
				if e.Position%3 != 0 || e.Position < 5 || e.Run%2 == 0 {
					return sim.Fault{}
				}
				injected++
				kinds := []sim.FaultKind{sim.StalePattern, sim.SwapPatterns, sim.StrayPattern}
				return sim.Fault{Kind: kinds[e.Position/3%3], Pattern: stray}
			})
			before = s.opu.Stats()
			for first := 0; first < rows; first += 25 {
				last := min(rows, first+25)
				got := s.project(t, vectors[first*x.features:last*x.features])
				for i := first; i < last; i++ {
					if db := agreement(want[i*64:(i+1)*64], got[(i-first)*64:(i-first+1)*64]); db < 13 {
						t.Errorf("row %d agrees with that of the undisturbed run to %.1f dB", i, db)
					}
				}
			}
			after = s.opu.Stats()
			t.Logf("%d faults injected, %d frames refused, %d runs unproven", injected, after.Wrong-before.Wrong, after.Unproven-before.Unproven)
			if after.Wrong == before.Wrong {
				t.Error("no frame was refused")
			}
		})
	}
}

// A laser that loses power is followed as far as frames can prove themselves, and then
// named: neither the patterns nor the medium are wrong.
func TestLaserLosesPower(t *testing.T) {
	s := newWitnessed(t, small(6), calib.Options{Layout: layoutOf(10), Outputs: 64}, driver.Options{})
	x := randomTernary(2, 10, 10)
	want := s.project(t, x)
	s.bench.SetPower(0.8)
	if db := agreement(want, s.project(t, x)); db < 20 {
		t.Errorf("at 0.8 of the power results agree to %.1f dB", db)
	}
	for _, power := range []float64{0.5, 2} {
		s.bench.SetPower(power)
		err := s.opu.Project(t.Context(), make([]complex64, 10*64), x)
		if !errors.Is(err, driver.ErrLight) || errors.Is(err, driver.ErrMatrixLost) || !strings.Contains(err.Error(), "bring the laser back") {
			t.Errorf("at %g of the power: %v, want %v", power, err, driver.ErrLight)
		}
	}
	s.bench.SetPower(1)
	if db := agreement(want, s.project(t, x)); db < 20 {
		t.Errorf("back at its power results agree to %.1f dB", db)
	}
}

// One frame of another pattern where the probe's should be does not end the epoch.
func TestStrayProbe(t *testing.T) {
	for _, features := range []int{10, 100} { // with and without a witness
		s := newSetup(t, small(6), features, 64, driver.Options{})
		x := randomTernary(2, 1, features)
		want := s.project(t, x)
		stray := slm.NewPattern(s.bench.Config().Chip)
		stray.Set(3, 3, true)
		struck := false
		s.bench.SetFaults(func(e sim.Exposure) sim.Fault {
			// The row's two exposures lie between the marker and the probe.
			if e.Position == 4 && !struck {
				struck = true
				return sim.Fault{Kind: sim.StrayPattern, Pattern: stray}
			}
			return sim.Fault{}
		})
		got := s.project(t, x)
		if wrong := s.opu.Stats().Wrong; !struck || wrong != 1 {
			t.Errorf("%d features: %d frames were found wrong, want the probe's (struck: %t)", features, wrong, struck)
		}
		if db := agreement(want, got); db < 13 {
			t.Errorf("%d features: the result agrees with the undisturbed one to %.1f dB", features, db)
		}
	}
}

// agreement is how well the second projection of the same vectors repeats the first, in
// dB.
func agreement(a, b []complex64) float64 {
	var change, power float64
	for i := range a {
		change += sq(a[i]-b[i]) / 2
		power += sq(a[i])
	}
	return 10 * math.Log10(power/change)
}

// Against a phase that jumps from frame to frame the probe of the run cannot help;
// an anchor can, and so can few features that are known by heart.
func TestAnchorAgainstJitter(t *testing.T) {
	quickOnly(t)
	for name, change := range map[string]func(*sim.Config){
		"jitter 0.3 rad":         func(c *sim.Config) { c.PhaseJitter = 0.3 },
		"fan 0.4 rad at 120 Hz":  func(c *sim.Config) { c.FanJitter, c.FanFrequency = 0.4, 120 },
		"jitter and drift (hot)": func(c *sim.Config) { c.PhaseDrift, c.PhaseJitter = sim.Hot(1).PhaseDrift, 0.3 },
	} {
		for _, x := range []struct {
			name     string
			features int
			options  calib.Options
		}{
			{"features", 10, calib.Options{Layout: layoutOf(10)}},
			{"anchor", 100, calib.Options{Layout: layoutOf(100), Anchor: 0.2}},
		} {
			c := sim.Good(4)
			c.Width, c.Height = 128, 128
			change(&c)
			db := map[driver.Correction]float64{}
			for _, correction := range []driver.Correction{driver.PerFrame, driver.ByProbe} {
				s := newWitnessed(t, c, x.options, driver.Options{Drift: correction})
				vectors := randomTernary(6, 40, x.features)
				first := s.project(t, vectors)
				db[correction] = agreement(first, s.project(t, vectors))
			}
			t.Logf("%s, %s: results repeat to %.1f dB by frame, %.1f dB by probe", name, x.name, db[driver.PerFrame], db[driver.ByProbe])
			if db[driver.PerFrame] < db[driver.ByProbe]+4 {
				t.Errorf("%s, %s: correction by frame repeats to %.1f dB, by probe to %.1f dB", name, x.name, db[driver.PerFrame], db[driver.ByProbe])
			}
		}
	}
}

// An ageing medium ends the epoch at the stated correlation, and not before; the
// frames of a lost medium are not mistaken for those of other patterns.
func TestEpochEndsWithTheMedium(t *testing.T) {
	c := sim.Good(5)
	c.Width, c.Height = 128, 128
	c.Decorrelation = 10e9
	s := newWitnessed(t, c, calib.Options{Layout: layoutOf(10), Outputs: 64}, driver.Options{})
	x := randomTernary(1, 5, 10)
	y := make([]complex64, 5*64)
	then := s.bench.Correlation() // with the start, at the calibration
	for {
		err := s.opu.Project(t.Context(), y, x)
		now := s.bench.Correlation()
		if correlation := then*now + math.Sqrt((1-then*then)*(1-now*now)); err != nil {
			if !errors.Is(err, driver.ErrMatrixLost) || correlation > driver.MinHealth+0.05 || correlation < driver.MinHealth-0.05 {
				t.Errorf("at a correlation of %.3f: %v", correlation, err)
			}
			break
		} else if correlation < driver.MinHealth-0.05 {
			t.Fatalf("at a correlation of %.3f the epoch has not ended", correlation)
		}
		s.bench.Wait(200e6)
	}
	s.bench.Wait(100e9)
	if err := s.opu.Project(t.Context(), y, x); !errors.Is(err, driver.ErrMatrixLost) {
		t.Errorf("with another medium: %v, want %v", err, driver.ErrMatrixLost)
	}
}
