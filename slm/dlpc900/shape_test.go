package dlpc900_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

const us = time.Microsecond

// banded is a small chip of three blocks, and its description.
func banded() (controller.DMD, *dlpc900.DMD) {
	exposures := []time.Duration{24 * us, 45 * us, 105 * us}
	c, d := controller.Custom(small), smallDMD()
	c.Blocks, d.BlockExposures = exposures, exposures
	return c, d
}

// show plays one pattern, and returns what the mirrors did.
func show(t *testing.T, d *dlpc900.Device, m *mirrors, p *slm.Pattern, r slm.Run) *slm.Pattern {
	t.Helper()
	r.Order = []int{0}
	if err := d.Load(t.Context(), []int{0}, []*slm.Pattern{p}); err != nil {
		t.Fatal(err)
	}
	if err := d.Play(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if shown := m.shown(); len(shown) == 1 {
		return shown[0]
	}
	t.Fatalf("%d patterns were shown", len(m.shown()))
	return nil
}

// Of a pattern only the rows of the chosen blocks are on, at their shorter period; also after
// the board lost its power.
func TestBlocks(t *testing.T) {
	model, dmd := banded()
	var board *controller.Board
	reopen := func(_ context.Context) (dlpc900.Link, error) {
		board.Plug()
		return board, nil
	}
	for _, c := range []struct {
		blocks      dlpc900.Blocks
		first, rows int
		period      time.Duration
	}{
		{dlpc900.Blocks{}, 0, 9, 105 * us},
		{dlpc900.Blocks{First: 0, Count: 3}, 0, 9, 105 * us},
		{dlpc900.Blocks{First: 1, Count: 1}, 3, 3, 24 * us},
		{dlpc900.Blocks{First: 1, Count: 2}, 3, 6, 45 * us},
	} {
		d, b, m := open(t, controller.Config{DMD: model}, dlpc900.Options{DMD: dmd, Blocks: c.blocks, Reopen: reopen})
		board = b
		first, rows := d.Band()
		if first != c.first || rows != c.rows || d.Info().MinPeriod != c.period {
			t.Errorf("%+v: rows %d and %d more, period %v", c.blocks, first, rows, d.Info().MinPeriod)
		}
		check := func(when string) {
			on := slm.NewPattern(small)
			for v := range small.Height {
				for u := range small.Width {
					on.Set(u, v, true)
				}
			}
			shown := show(t, d, m, on, slm.Run{Period: c.period})
			for v := range small.Height {
				if want := v >= c.first && v < c.first+c.rows; shown.On(5, v) != want {
					t.Errorf("%+v %s: row %d is on: %v, want %v", c.blocks, when, v, !want, want)
				}
			}
		}
		check("at first")
		b.Unplug()
		b.PowerCycle()
		if err := d.Park(t.Context()); !errors.Is(err, slm.ErrUnplugged) {
			t.Errorf("without a board: %v", err)
		}
		check("after power came back")
		if err := d.Play(t.Context(), slm.Run{Order: []int{0}, Period: c.period - us}); !errors.Is(err, slm.ErrInput) {
			t.Errorf("%+v: a period below the shortest: %v", c.blocks, err)
		}
		// A pulse may begin earlier only if the shortest exposure leaves room for it.
		err := d.SetTriggerOut(t.Context(), 2, dlpc900.TriggerOut{Rising: -20 * us, Falling: 20 * us})
		if tight := c.period == 24*us; tight != errors.Is(err, slm.ErrInput) {
			t.Errorf("%+v: an early pulse: %v", c.blocks, err)
		}
		d.Close()
	}
	for _, b := range []dlpc900.Blocks{{First: 3, Count: 1}, {First: 0, Count: 4}, {First: -1, Count: 2}, {First: 2}, {First: 1 << 62, Count: 1 << 62}} {
		board, err := controller.New(controller.Config{DMD: model})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dlpc900.Open(t.Context(), board, dlpc900.Options{DMD: dmd, Blocks: b, Virtual: true}); !errors.Is(err, slm.ErrInput) {
			t.Errorf("blocks %+v: %v", b, err)
		}
	}
}

// The program before may have left few blocks and inversion behind.
func TestLeftBehind(t *testing.T) {
	model, dmd := banded()
	first, board, m := open(t, controller.Config{DMD: model}, dlpc900.Options{DMD: dmd, Blocks: dlpc900.Blocks{First: 2, Count: 1}})
	if err := first.Invert(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	first.Close()
	board.Plug()
	d, err := dlpc900.Open(t.Context(), board, dlpc900.Options{DMD: dmd, Virtual: true})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if p := someDifferent(1)[0]; !show(t, d, m, p, slm.Run{}).Equal(p) {
		t.Error("what the last program set is still in force")
	}
}

func TestInvert(t *testing.T) {
	d, _, m := open(t, controller.Config{DMD: controller.Custom(small)}, dlpc900.Options{})
	p := someDifferent(1)[0]
	complement := slm.NewPattern(small)
	for v := range small.Height {
		for u := range small.Width {
			complement.Set(u, v, !p.On(u, v))
		}
	}
	show(t, d, m, p, slm.Run{})
	sent := stats(t, d).Images
	for _, on := range []bool{true, true, false} {
		if err := d.Invert(t.Context(), on); err != nil {
			t.Fatal(err)
		}
		want := p
		if on {
			want = complement
		}
		if !show(t, d, m, p, slm.Run{}).Equal(want) {
			t.Errorf("inverted %v: another pattern was shown", on)
		}
	}
	if n := stats(t, d).Images; n != sent {
		t.Errorf("%d images were sent for an inversion", n-sent)
	}
}

// A run by trigger goes on with each edge, takes as long as those who make the edges want, and
// can be stopped; between the patterns the chip is off.
func TestPlayTriggered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, board, m := open(t, controller.Config{DMD: controller.Custom(small), RealTime: true}, dlpc900.Options{Dummies: 2})
		p := someDifferent(3)
		if err := d.Load(t.Context(), []int{0, 1, 2}, p); err != nil {
			t.Fatal(err)
		}
		run := slm.Run{Order: []int{2, 0, 1, 1}, Exposure: 300 * us}
		for turn := range 2 {
			before := m.silent()
			if err := d.PlayTriggered(t.Context(), run); err != nil {
				t.Fatal(err)
			}
			edges := 0
			go func() {
				for range run.Order {
					time.Sleep(1700 * time.Millisecond) // far more than any run may overrun
					edges++
					board.Trigger()
				}
			}()
			n, err := d.Wait(t.Context())
			if n != len(run.Order) || err != nil || edges != n {
				t.Fatalf("turn %d: Wait = %d, %v after %d edges", turn, n, err, edges)
			}
			got := m.shown()
			if len(got) != len(run.Order) {
				t.Fatalf("turn %d: %d patterns were shown", turn, len(got))
			}
			for k, slot := range run.Order {
				if !got[k].Equal(p[slot]) {
					t.Errorf("turn %d: a wrong pattern at position %d", turn, k)
				}
			}
			if black := m.silent() - before; black == 0 {
				t.Error("the chip was not off while it waited")
			}
		}
		if err := d.PlayTriggered(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		if err := d.Play(t.Context(), slm.Run{Order: []int{0}}); !errors.Is(err, slm.ErrBusy) {
			t.Errorf("Play while edges are waited for: %v", err)
		}
		time.Sleep(time.Hour)
		if err := d.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Wait(t.Context()); n != 0 || err != nil {
			t.Errorf("a stopped run counts %d, %v", n, err)
		}
		// The next run is by the clock again.
		if err := d.Play(t.Context(), slm.Run{Order: []int{0, 1}, Period: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Wait(t.Context()); n != 2 || err != nil {
			t.Errorf("a run by the clock counts %d, %v", n, err)
		}
		for _, bad := range []slm.Run{{Order: []int{0}, Period: time.Millisecond}, {Order: []int{0}, Exposure: us}, {}} {
			if err := d.PlayTriggered(t.Context(), bad); !errors.Is(err, slm.ErrInput) {
				t.Errorf("%+v: %v", bad, err)
			}
		}
	})
}
