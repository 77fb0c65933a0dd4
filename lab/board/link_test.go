//go:build linux

package board_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/lab/board"
	"github.com/light-in-the-loop/opu/lab/usbip"
	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
	"github.com/light-in-the-loop/opu/slm/slmtest"
)

// The driver passes the suite through the real USB stack.
func TestConformance(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		var b *board.Board
		slmtest.RunWith(t, slmtest.Harness{
			Open: func(t *testing.T) slm.Device {
				b = newBoard(t)
				return open(t, w, portOf(plug(t, b)), chipOptions())
			},
			Shown: func(slm.Device) []*slm.Pattern { return b.Shown() },
		})
	})
}

// pattern has one mirror on.
func pattern(k int) *slm.Pattern {
	p := slm.NewPattern(chip)
	p.Set(k%chip.Width, k/chip.Width, true)
	return p
}

// load loads a pattern that is the board's own, and gives a run of n of it.
func load(t *testing.T, d *dlpc900.Device, k, n int) slm.Run {
	t.Helper()
	if err := d.Load(t.Context(), []int{0}, []*slm.Pattern{pattern(k)}); err != nil {
		t.Fatal(err)
	}
	return slm.Run{Order: make([]int, n), Period: time.Millisecond}
}

// play runs n times pattern k and sees that the mirrors showed it.
func play(t *testing.T, d *dlpc900.Device, b *board.Board, k, n int) {
	t.Helper()
	if err := d.Play(t.Context(), load(t, d, k, n)); err != nil {
		t.Fatal(err)
	}
	shown, err := d.Wait(t.Context())
	if err != nil || shown != n {
		t.Fatalf("%d patterns were shown, not %d: %v", shown, n, err)
	}
	run := b.Shown()
	if len(run) != n || !run[0].Equal(pattern(k)) || !run[n-1].Equal(pattern(k)) {
		t.Fatalf("the mirrors showed %d patterns, not %d times pattern %d", len(run), n, k)
	}
}

// The plug is pulled while patterns are shown. Whoever waits for the run hears of it within a
// second and with the port's name; and when the board is back in its port the device goes on.
func TestUnpluggedInARun(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		b := newBoard(t)
		p := plug(t, b)
		d := open(t, w, portOf(p), chipOptions())
		run := load(t, d, 3, 200)
		run.Period = 100 * time.Millisecond
		if err := d.Play(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		const after = 1200 * time.Millisecond
		plug := time.AfterFunc(after, func() { p.Pull() })
		began := time.Now()
		_, err := d.Wait(t.Context())
		if plug.Stop() {
			t.Fatalf("the run ended before the plug was pulled: %v", err)
		}
		took := time.Since(began) - after
		t.Logf("%v, after %v", err, took)
		if !errors.Is(err, slm.ErrUnplugged) || !strings.Contains(err.Error(), portOf(p)) || took > time.Second {
			t.Errorf("without the board: %v, after %v", err, took)
		}
		pull(t, p) // until it is out

		again, err := usbip.PlugInto(p.Number, b)
		if err != nil {
			t.Fatal(err)
		}
		defer pull(t, again)
		if again.Name != p.Name {
			t.Fatalf("port %d was %s and is %s", p.Number, p.Name, again.Name)
		}
		play(t, d, b, 4, 5)
		s, err := d.Stats(t.Context())
		if err != nil || s.Line.Reopened == 0 {
			t.Errorf("the link was opened again %d times: %v", s.Line.Reopened, err)
		}
	})
}

// once lets the next transfer in a direction go wrong.
func once(b *board.Board, in bool, kind controller.FaultKind) {
	done := false
	b.SetFaults(func(x controller.Transfer) controller.FaultKind {
		if done || x.In != in {
			return controller.NoFault
		}
		done = true
		return kind
	})
}

// What goes wrong on the bus once is repaired by the driver, or told in time and gone with the
// next call; no result is another's.
func TestFaultsOnTheBus(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		b := newBoard(t)
		d := open(t, w, portOf(plug(t, b)), chipOptions())
		for _, c := range []struct {
			name string
			in   bool
			kind controller.FaultKind
		}{
			{"stalled-command", false, controller.Stall},
			{"stalled-reply", true, controller.Stall},
			{"hanging-command", false, controller.Hang},
			{"hanging-reply", true, controller.Hang},
			{"lost-command", false, controller.Lose},
			{"lost-reply", true, controller.Lose},
			{"garbage", true, controller.Garbage},
		} {
			t.Run(c.name, func(t *testing.T) {
				once(b, c.in, c.kind)
				defer b.SetFaults(nil)
				began := time.Now()
				s, err := d.Status(t.Context())
				took := time.Since(began)
				t.Logf("%v, after %v", err, took)
				if took > 10*time.Second {
					t.Errorf("the call took %v", took)
				}
				if err == nil && s.DMD != "small chip" {
					t.Errorf("the status is of %q", s.DMD)
				}
				if err != nil && !errors.Is(err, slm.ErrTimeout) && !errors.Is(err, slm.ErrProtocol) {
					t.Errorf("the condition is none that a caller knows: %v", err)
				}
				play(t, d, b, 7, 3)
			})
		}
	})
}
