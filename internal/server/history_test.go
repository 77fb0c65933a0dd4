package server

import (
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
)

// A look is shared for a second, and longer if others compute and looks take long.
func TestFreshLook(t *testing.T) {
	for _, c := range []struct {
		age, took time.Duration
		computing bool
		want      bool
	}{
		{900 * time.Millisecond, 100 * time.Millisecond, false, true},
		{1100 * time.Millisecond, 100 * time.Millisecond, false, false},
		{900 * time.Millisecond, time.Millisecond, true, true},
		{1100 * time.Millisecond, time.Millisecond, true, false},
		{4900 * time.Millisecond, 100 * time.Millisecond, true, true}, // 2 % of the time
		{5100 * time.Millisecond, 100 * time.Millisecond, true, false},
	} {
		l := &look{at: time.Now().Add(-c.age), took: c.took, projections: 5}
		projections := uint64(5)
		if c.computing {
			projections++
		}
		if l.fresh(projections) != c.want {
			t.Errorf("%v after a look that took %v, while others compute (%t): fresh is %t", c.age, c.took, c.computing, !c.want)
		}
	}
	if (*look)(nil).fresh(0) {
		t.Error("no look is fresh")
	}
}

// Rates are those between samples; the health is told when a probe was shown, for
// projections or for a look; what is older than a quarter of an hour is forgotten.
func TestHistory(t *testing.T) {
	var h history
	at := time.Unix(1e9, 0)
	for _, c := range []struct {
		seconds     float64
		stats       driver.Stats
		seen        *look
		projections float64
		health      float64 // 0: none
	}{
		{0, driver.Stats{Projections: 100}, nil, 0, 0}, // the first has no rate, and is no sample
		{2, driver.Stats{Projections: 160, Health: 0.9}, nil, 30, 0.9},
		{1, driver.Stats{Projections: 160, Health: 0.9}, nil, 0, 0},
		{1, driver.Stats{Projections: 180, ZeroRows: 20, Health: 0.9}, nil, 20, 0}, // no light
		{1, driver.Stats{Projections: 180, ZeroRows: 20, Health: 0.9}, &look{number: 1, View: &calib.View{Drift: calib.Drift{Health: 0.7}}}, 0, 0.7},
		{1, driver.Stats{Projections: 5, Health: 1}, &look{number: 1}, 5, 1}, // begun anew
	} {
		at = at.Add(time.Duration(c.seconds * float64(time.Second)))
		h.sample(at, c.stats, c.seen)
		x, ok := h.last()
		if c.seconds == 0 {
			if ok {
				t.Error("the first counters make a sample")
			}
			continue
		}
		health := 0.0
		if x.Health != nil {
			health = *x.Health
		}
		if !x.Time.Equal(at) || x.Projections != c.projections || health != c.health {
			t.Errorf("at %v: %v projections a second and health %v; want %v and %v", x.Time, x.Projections, health, c.projections, c.health)
		}
	}
	for range mostSamples {
		at = at.Add(time.Second)
		h.sample(at, driver.Stats{}, nil)
	}
	c := h.columns()
	if len(c.Time) != mostSamples || len(c.Health) != mostSamples || c.Time[mostSamples-1]-c.Time[0] != mostSamples-1 || c.Projections[0] != 0 {
		t.Errorf("%d samples are kept, from %v to %v", len(c.Time), c.Time[0], c.Time[len(c.Time)-1])
	}
}
