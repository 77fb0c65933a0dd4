package rig_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// table is a stamped bench and its rig: every frame says whose light it is.
func table(t *testing.T, change func(*sim.Config)) (*sim.Bench, *rig.Rig) {
	t.Helper()
	c := sim.Good(1)
	c.Width, c.Height, c.Stamp = 64, 64, true
	c.Chip = slm.Geometry{Width: 20, Height: 16}
	if change != nil {
		change(&c)
	}
	bench, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(bench.DMD(), bench.Camera(), rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return bench, r
}

// patterns returns n different patterns.
func patterns(chip slm.Geometry, n int) []*slm.Pattern {
	all := make([]*slm.Pattern, n)
	for k := range all {
		all[k] = slm.NewPattern(chip)
		for i := range 10 {
			if (k+1)>>i&1 != 0 {
				for v := range chip.Height {
					all[k].Set(2*i, v, true)
				}
			}
		}
	}
	return all
}

// show shows the patterns and checks by the stamps that every frame that counts
// was made by its own pattern.
func show(t *testing.T, b *sim.Bench, r *rig.Rig, ps []*slm.Pattern) error {
	t.Helper()
	light := make([]uint64, len(ps)) // whose light the last frame of each pattern was
	err := r.Show(context.Background(), ps, func(k int, f *camera.Frame) error {
		if f.Status != camera.OK {
			t.Errorf("a frame with status %v reached the sink", f.Status)
		}
		_, light[k] = sim.ReadStamp(f)
		return nil
	})
	if err != nil {
		return err
	}
	for k, hash := range light {
		if hash != ps[k].Hash() {
			t.Errorf("the frame of pattern %d is the light of another", k)
		}
	}
	return nil
}

func TestShow(t *testing.T) {
	bench, r := table(t, nil)
	for _, n := range []int{0, 1, 2, 60, 61, 62, 63, 390, 1000} {
		before := r.Stats()
		if err := show(t, bench, r, patterns(bench.Config().Chip, n)); err != nil {
			t.Fatalf("%d patterns: %v", n, err)
		}
		after := r.Stats()
		if got := after.Exposures - before.Exposures; got != uint64(n) {
			t.Errorf("%d patterns took %d exposures", n, got)
		}
		if after.Repeated != 0 || after.Lost != 0 || after.Unproven != 0 {
			t.Errorf("%d patterns on an undisturbed bench: %+v", n, after)
		}
		if after.Frames != after.Exposures+after.Markers {
			t.Errorf("%d frames for %d exposures and %d markers", after.Frames, after.Exposures, after.Markers)
		}
	}
}

// A pattern that is on the device is not uploaded again; each exposure of it is
// a new frame.
func TestUploadsOnce(t *testing.T) {
	bench, r := table(t, nil)
	p := patterns(bench.Config().Chip, 2)
	order := []*slm.Pattern{p[0], p[1], p[0].Clone(), p[1], p[0]}
	for range 3 {
		if err := show(t, bench, r, order); err != nil {
			t.Fatal(err)
		}
	}
	if got := bench.DMD().Uploaded(); got != 4 { // and two markers
		t.Errorf("%d uploads, want 4", got)
	}
	if got := r.Stats().Uploads; got != 4 {
		t.Errorf("the rig counts %d uploads, the device 4", got)
	}
	// More patterns than slots: the least recently used goes, and what is shown is right.
	many := patterns(bench.Config().Chip, 900)
	for range 2 {
		if err := show(t, bench, r, many); err != nil {
			t.Fatal(err)
		}
	}
	if err := show(t, bench, r, order); err != nil {
		t.Fatal(err)
	}
}

// at gives exposures at positions of the first run after the markers were learnt
// a fault, once.
func at(faults map[int]sim.FaultKind) func(sim.Exposure) sim.Fault {
	run := uint64(0)
	return func(x sim.Exposure) sim.Fault {
		if run == 0 {
			run = x.Run
		}
		if x.Run != run {
			return sim.Fault{}
		}
		return sim.Fault{Kind: faults[x.Position]}
	}
}

// Faults at known places: what was lost or damaged is repeated and counted, a run
// whose order is in doubt is repeated whole, and nothing is ever shifted.
func TestFaults(t *testing.T) {
	const n = 150
	for _, x := range []struct {
		name     string
		faults   map[int]sim.FaultKind
		repeated uint64
		count    func(rig.Stats) uint64
		want     uint64
	}{
		{"dropped frame", map[int]sim.FaultKind{20: sim.DropFrame}, 1, lost, 1},
		{"three dropped frames", map[int]sim.FaultKind{20: sim.DropFrame, 21: sim.DropFrame, 100: sim.DropFrame}, 3, lost, 3},
		{"first frame dropped", map[int]sim.FaultKind{0: sim.DropFrame}, n, lost, 1},
		{"last frame dropped", map[int]sim.FaultKind{157: sim.DropFrame}, n, lost, 1},
		{"damaged frame", map[int]sim.FaultKind{33: sim.DamageFrame}, 1, damaged, 1},
		{"damaged marker", map[int]sim.FaultKind{1: sim.DamageFrame}, n, unproven, 1},
		{"duplicated frame", map[int]sim.FaultKind{33: sim.DuplicateFrame}, 0, duplicates, 1},
		{"lost trigger", map[int]sim.FaultKind{33: sim.LoseTrigger}, n, unproven, 1},
		{"lost first trigger", map[int]sim.FaultKind{0: sim.LoseTrigger}, n, unproven, 1},
		{"lost last trigger", map[int]sim.FaultKind{157: sim.LoseTrigger}, n, unproven, 1},
		{"extra trigger", map[int]sim.FaultKind{33: sim.ExtraTrigger}, n, unproven, 1},
		{"lost and extra far apart", map[int]sim.FaultKind{10: sim.LoseTrigger, 140: sim.ExtraTrigger}, n, unproven, 1},
		{"lost and extra between two markers", map[int]sim.FaultKind{30: sim.LoseTrigger, 40: sim.ExtraTrigger}, n, unproven, 1},
		{"lost and extra side by side", map[int]sim.FaultKind{30: sim.LoseTrigger, 31: sim.ExtraTrigger}, n, unproven, 1},
		{"extra and lost side by side", map[int]sim.FaultKind{30: sim.ExtraTrigger, 31: sim.LoseTrigger}, n, unproven, 1},
		{"stale marker", map[int]sim.FaultKind{1: sim.StalePattern}, n, unproven, 1},
		{"two drops and damage", map[int]sim.FaultKind{5: sim.DropFrame, 6: sim.DamageFrame, 7: sim.DropFrame}, 3, lost, 2},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // waiting for lost frames takes no real time
				bench, r := table(t, nil)
				ps := patterns(bench.Config().Chip, n)
				if err := show(t, bench, r, ps[:1]); err != nil { // learns the markers
					t.Fatal(err)
				}
				bench.SetFaults(at(x.faults))
				if err := show(t, bench, r, ps); err != nil {
					t.Fatal(err)
				}
				s := r.Stats()
				if s.Repeated != x.repeated || x.count(s) != x.want {
					t.Errorf("%d exposures repeated, want %d; counted %d, want %d; %+v", s.Repeated, x.repeated, x.count(s), x.want, s)
				}
			})
		})
	}
}

func lost(s rig.Stats) uint64       { return s.Lost }
func damaged(s rig.Stats) uint64    { return s.Damaged }
func duplicates(s rig.Stats) uint64 { return s.Duplicates }
func unproven(s rig.Stats) uint64   { return s.Unproven }

// A camera without a clock is proven by its markers alone, which find a shift
// between any two of them.
func TestFaultsWithoutClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench, _ := table(t, nil)
		r, err := rig.New(bench.DMD(), blind{bench.Camera()}, rig.Config{})
		if err != nil {
			t.Fatal(err)
		}
		ps := patterns(bench.Config().Chip, 150)
		if err := show(t, bench, r, ps[:1]); err != nil {
			t.Fatal(err)
		}
		bench.SetFaults(at(map[int]sim.FaultKind{10: sim.LoseTrigger, 40: sim.ExtraTrigger}))
		if err := show(t, bench, r, ps); err != nil {
			t.Fatal(err)
		}
		if s := r.Stats(); s.Unproven != 1 {
			t.Errorf("a loss and an extra trigger cancelled out: %+v", s)
		}
	})
}

// blind is a camera without a clock and without a trigger counter.
type blind struct{ *sim.Camera }

func (b blind) Info() camera.Info {
	info := b.Camera.Info()
	info.HasTime, info.CountsTriggers = false, false
	return info
}

// paced is a camera that says how slow it is.
type paced struct{ *sim.Camera }

func (paced) MinPeriod() time.Duration { return 5 * time.Millisecond }

// Faults that do not end are an error with the counts, in time.
func TestFaultsForEver(t *testing.T) {
	for _, kind := range []sim.FaultKind{sim.DropFrame, sim.DamageFrame, sim.LoseTrigger, sim.ExtraTrigger, sim.StalePattern} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				bench, r := table(t, nil)
				ps := patterns(bench.Config().Chip, 20)
				if err := show(t, bench, r, ps[:1]); err != nil {
					t.Fatal(err)
				}
				bench.SetFaults(func(sim.Exposure) sim.Fault { return sim.Fault{Kind: kind} })
				start := time.Now()
				err := show(t, bench, r, ps)
				if !errors.Is(err, rig.ErrUnproven) {
					t.Fatalf("error %v, want ErrUnproven", err)
				}
				if d := time.Since(start); d > 3*time.Second {
					t.Errorf("it took %v to give up", d)
				}
				t.Log(err)
			})
		})
	}
}

// Frames that come one pattern late from the start are named as such.
func TestLateFromTheStart(t *testing.T) {
	bench, r := table(t, nil)
	bench.SetFaults(func(sim.Exposure) sim.Fault { return sim.Fault{Kind: sim.StalePattern} })
	err := show(t, bench, r, patterns(bench.Config().Chip, 3))
	if !errors.Is(err, rig.ErrUnproven) || !strings.Contains(err.Error(), "each frame shows the pattern of 1 before") {
		t.Errorf("error %v, want that each frame shows the pattern before", err)
	}
}

func TestNoLight(t *testing.T) {
	for name, blocked := range map[string][2]bool{"signal blocked": {false, true}, "both blocked": {true, true}} {
		bench, r := table(t, func(c *sim.Config) { c.Stamp = false }) // a stamp is not nothing
		if err := bench.Block(context.Background(), blocked[0], blocked[1]); err != nil {
			t.Fatal(err)
		}
		err := r.Show(context.Background(), patterns(bench.Config().Chip, 3), func(int, *camera.Frame) error { return nil })
		if !errors.Is(err, rig.ErrNoContrast) {
			t.Errorf("%s: error %v, want ErrNoContrast", name, err)
		}
	}
}

// A context ends Show in time, and the rig works afterwards.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bench, r := table(t, nil)
		ps := patterns(bench.Config().Chip, 20)
		if err := show(t, bench, r, ps); err != nil {
			t.Fatal(err)
		}
		bench.SetFaults(func(sim.Exposure) sim.Fault { return sim.Fault{Kind: sim.DelayFrame, Delay: time.Hour} })
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		err := r.Show(ctx, ps, func(int, *camera.Frame) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the context's", err)
		}
		if d := time.Since(start); d > 20*time.Millisecond {
			t.Errorf("Show returned %v after the start, its context ended after 10 ms", d)
		}
		bench.SetFaults(nil)
		if err := show(t, bench, r, ps); err != nil {
			t.Errorf("after a cancelled run: %v", err)
		}
	})
}

func TestSinkError(t *testing.T) {
	bench, r := table(t, nil)
	ps := patterns(bench.Config().Chip, 20)
	want := errors.New("the sink is full")
	if err := r.Show(context.Background(), ps, func(int, *camera.Frame) error { return want }); !errors.Is(err, want) {
		t.Errorf("error %v, want the sink's", err)
	}
	if err := show(t, bench, r, ps); err != nil {
		t.Errorf("after a sink's error: %v", err)
	}
}

// A sink that reads in a frame whose light it is has it shown again, alone, and
// counted; one that is never satisfied ends Show.
func TestWrongPattern(t *testing.T) {
	b, r := table(t, nil)
	ps := patterns(b.Config().Chip, 200)
	b.SetFaults(func(x sim.Exposure) sim.Fault {
		switch {
		case x.Run == 1 && x.Position%50 == 20:
			return sim.Fault{Kind: sim.StalePattern}
		case x.Run == 1 && x.Position == 33:
			return sim.Fault{Kind: sim.SwapPatterns}
		case x.Run == 2 && x.Position == 3:
			return sim.Fault{Kind: sim.StrayPattern, Pattern: ps[100]}
		}
		return sim.Fault{}
	})
	light := make([]uint64, len(ps))
	sink := func(k int, f *camera.Frame) error {
		if _, light[k] = sim.ReadStamp(f); light[k] != ps[k].Hash() {
			return fmt.Errorf("cannot use frame %d: %w", k, rig.ErrWrongPattern)
		}
		return nil
	}
	if err := r.Show(t.Context(), ps, sink); err != nil {
		t.Fatal(err)
	}
	for k := range ps {
		if light[k] != ps[k].Hash() {
			t.Errorf("pattern %d got another's light", k)
		}
	}
	if s := r.Stats(); s.Wrong < 6 || s.Repeated != s.Wrong || s.Unproven != 0 {
		t.Errorf("%d wrong, %d repeated, %d runs unproven", s.Wrong, s.Repeated, s.Unproven)
	}
	never := func(int, *camera.Frame) error { return rig.ErrWrongPattern }
	if err := r.Show(t.Context(), ps[:3], never); !errors.Is(err, rig.ErrUnproven) || !errors.Is(err, rig.ErrWrongPattern) {
		t.Errorf("no frame was right: %v", err)
	}
}

func TestBadInput(t *testing.T) {
	bench, r := table(t, nil)
	for name, p := range map[string]*slm.Pattern{"nil": nil, "other chip": slm.NewPattern(slm.Geometry{Width: 3, Height: 3})} {
		if err := r.Show(context.Background(), []*slm.Pattern{p}, nil); !errors.Is(err, slm.ErrInput) {
			t.Errorf("%s: error %v, want ErrInput", name, err)
		}
	}
	if _, err := r.Configure(context.Background(), camera.Config{Exposure: time.Second}); !errors.Is(err, camera.ErrInput) {
		t.Errorf("an exposure longer than the period: error %v, want ErrInput", err)
	}
	if slow, err := rig.New(bench.DMD(), paced{bench.Camera()}, rig.Config{}); err != nil || slow.Period() != 5*time.Millisecond {
		t.Errorf("a camera of 200 frames a second: a period of %v, %v", slow.Period(), err)
	}
	if _, err := rig.New(bench.DMD(), bench.Camera(), rig.Config{Period: time.Microsecond}); err == nil {
		t.Error("a period shorter than the SLM's was taken")
	}
}
