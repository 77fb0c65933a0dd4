package bench

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
)

// The table of rates, from work that a pencil can follow: 100 runs of 250 patterns of 1 ms, 238
// of each asked for, half as many projections; 20 reports a run, 700 for images, 300 for tables.
func TestRates(t *testing.T) {
	work := controller.Stats{Reports: 3000, ImageReports: 700, TableReports: 300, Starts: 100, Exposures: 25000, Showing: 25 * time.Second}
	r := newRates(work, "camera", 11900, 23800, 250)
	if r.HitRate != 0.99 || r.Patterns != 25000 || r.Starts != 100 || r.Uploads != 250 || r.Reports != 3000 || r.OfImages != 700 || r.OfTables != 300 {
		t.Errorf("counted %+v", r)
	}
	want := []Rate{ // 25 s of light, 3 s of reports, and the restarts
		{1, 28.1, 11900 / 28.1, 23800 / 28.1, "camera"},
		{10, 29, 11900 / 29., 23800 / 29., "camera"},
		{50, 33, 11900 / 33., 23800 / 33., "camera"},
		{200, 48, 11900 / 48., 23800 / 48., "camera"},
	}
	if !slices.EqualFunc(r.At, want, func(a, b Rate) bool {
		return a.RestartMS == b.RestartMS && a.Limit == b.Limit && near(a.Seconds, b.Seconds, 1e-9) && near(a.Projections, b.Projections, 1e-9) && near(a.Exposures, b.Exposures, 1e-9)
	}) {
		t.Errorf("rates\n%+v, want\n%+v", r.At, want)
	}
	if r := newRates(controller.Stats{}, "camera", 0, 0, 0); len(r.At) != 0 || r.HitRate != 0 {
		t.Errorf("no work at all has the rates %+v", r)
	}
}

// Each part can be what limits.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		want string
		work controller.Stats
	}{
		{"DMD", controller.Stats{Showing: 5 * time.Second, Reports: 4000, Starts: 1}},
		{"link", controller.Stats{Showing: 5 * time.Second, Reports: 9000, ImageReports: 1500, TableReports: 1500, Starts: 1}},
		{"upload", controller.Stats{Showing: 5 * time.Second, Reports: 9000, ImageReports: 3500, TableReports: 2500, Starts: 1}},
		{"restart", controller.Stats{Showing: 5 * time.Second, Reports: 9000, ImageReports: 5000, Starts: 9000}},
	} {
		r := newRates(c.work, "DMD", 1, 1, 1)
		if got := r.At[0].Limit; got != c.want {
			t.Errorf("%+v: limited by %s, want %s", c.work, got, c.want)
		}
	}
}

// What is expected before a job, worked out by hand.
func TestExpectation(t *testing.T) {
	e := Expectation{Patterns: 200, Showing: 250 * time.Millisecond, Shows: "DMD", Link: 40 * time.Millisecond, Restart: 10 * time.Millisecond, Upload: 5 * time.Millisecond}
	for _, c := range []struct {
		fresh int
		rate  float64
		limit string
	}{
		{0, 200 / 0.3, "DMD"}, {40, 200 / 0.5, "DMD"}, {60, 200 / 0.6, "upload"}, {200, 200 / 1.3, "upload"},
	} {
		if rate, limit := e.Rate(c.fresh); !near(rate, c.rate, 1e-12) || limit != c.limit {
			t.Errorf("%d new patterns: %g/s limited by %s, want %g by %s", c.fresh, rate, limit, c.rate, c.limit)
		}
	}
	if text := e.String(); !strings.Contains(text, "at most 667 exposures/s, limited by DMD") || !strings.Contains(text, "all new 154/s, limited by upload") {
		t.Error(text)
	}
	e.Link = time.Second
	if _, limit := e.Rate(0); limit != "link" {
		t.Errorf("a link of %v limits as %s", e.Link, limit)
	}
	e.Restart = 2 * time.Second
	if _, limit := e.Rate(0); limit != "restart" {
		t.Errorf("a restart of %v limits as %s", e.Restart, limit)
	}
}

// What is expected of known and of new patterns is what the clock of a board with real times
// then says, and the work counted takes what that clock says.
func TestExpectationIsTheClock(t *testing.T) {
	c := sim.Ideal(4)
	c.Width, c.Height, c.Chip = 32, 32, slm.Geometry{Width: 32, Height: 24}
	c.Report, c.Restart = FullSpeed, UsualRestart
	b, err := New(t.Context(), c, "", rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, ok := b.Expect(); ok {
		t.Error("a board that has done nothing says what to expect")
	}
	random := rand.New(rand.NewPCG(4, 4))
	fresh := func() []*slm.Pattern {
		patterns := make([]*slm.Pattern, b.Rig.PerRun())
		for k := range patterns {
			patterns[k] = slm.NewPattern(c.Chip)
			for u := range c.Chip.Width {
				for v := range c.Chip.Height {
					patterns[k].Set(u, v, random.IntN(2) == 1)
				}
			}
		}
		return patterns
	}
	show := func(patterns []*slm.Pattern) (rate float64) {
		board := b.Sim.Board()
		began, before := board.Now(), board.Stats()
		if err := b.Rig.Show(t.Context(), patterns, func(int, *camera.Frame) error { return nil }); err != nil {
			t.Fatal(err)
		}
		took, counted := board.Now()-began, board.Stats().Since(before).Takes(FullSpeed, UsualRestart)
		if took != counted {
			t.Errorf("the clock says %v, the counts %v", took, counted)
		}
		return float64(len(patterns)) / took.Seconds()
	}
	known := fresh()
	show(known)
	show(known)
	show(fresh())
	e, ok := b.Expect()
	if !ok {
		t.Fatal("nothing is expected of a board that has worked")
	}
	show(known)
	t.Log(e)
	if want, _ := e.Rate(0); !near(show(known), want, 0.05) {
		t.Errorf("known patterns: %.1f/s by the clock, expected %.1f/s", show(known), want)
	}
	if want, _ := e.Rate(len(known)); !near(show(fresh()), want, 0.1) {
		t.Errorf("new patterns: %.1f/s by the clock, expected %.1f/s", show(fresh()), want)
	}
}

func near(a, b, relative float64) bool { return math.Abs(a-b) <= relative*math.Abs(b) }
