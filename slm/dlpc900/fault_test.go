package dlpc900_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// lamp is a switch that remembers.
type lamp struct{ on atomic.Bool }

func (l *lamp) Set(_ context.Context, on bool) error {
	l.on.Store(on)
	return nil
}

// someDifferent returns patterns that no other is like.
func someDifferent(n int) []*slm.Pattern {
	out := make([]*slm.Pattern, n)
	for k := range out {
		out[k] = slm.NewPattern(small)
		for u := range small.Width {
			out[k].Set(u, k%small.Height, true)
			out[k].Set(u, (k+u)%small.Height, u%(k+2) > 0)
		}
	}
	return out
}

// bound is when every call must have ended: every command may take its time, be repeated
// once, and the step may have to be found again.
const bound = 12 * time.Second

// TestFaults lets each transfer of opening, loading, playing and waiting fail in each way.
// Each call ends in time, an error says which board, which command and what to do, what was
// shown without an error is what was asked for, and afterwards the board can be used.
func TestFaults(t *testing.T) {
	transfers := 0 // not known before the first turn, in which nothing fails
	for _, kind := range append([]controller.FaultKind{controller.NoFault}, controller.FaultKinds()...) {
		for index := range max(transfers, 1) {
			name := fmt.Sprintf("%v-at-%d", kind, index)
			synctest.Test(t, func(t *testing.T) {
				seen := 0
				m, light := new(mirrors), new(lamp)
				board, err := controller.New(controller.Config{
					DMD: controller.Custom(small), RealTime: true, Report: time.Millisecond, Restart: 5 * time.Millisecond, Show: m.show,
				})
				if err != nil {
					t.Fatal(err)
				}
				board.SetFaults(func(tr controller.Transfer) controller.FaultKind {
					if seen++; tr.Index == index && transfers > 0 {
						return kind
					}
					return controller.NoFault
				})
				replug := func(context.Context) (dlpc900.Link, error) {
					board.Plug()
					return board, nil
				}
				first := faults(t, name, board, replug, m, light, &seen)
				if transfers == 0 {
					transfers = first
				}
			})
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d transfers, each failing in %d ways", transfers, len(controller.FaultKinds()))
	if transfers < 50 {
		t.Errorf("only %d transfers were seen", transfers)
	}
}

// faults opens the board, uses it twice, and returns how many transfers were seen by the end
// of the first time.
func faults(t *testing.T, name string, link dlpc900.Link, reopen func(context.Context) (dlpc900.Link, error), m *mirrors, light *lamp, seen *int) (first int) {
	patterns := someDifferent(6)
	// call makes one call; it says whether it worked, and judges its error.
	call := func(what string, f func(ctx context.Context) error) bool {
		began := time.Now()
		err := f(t.Context())
		if took := time.Since(began); took > bound {
			t.Errorf("%s: %s took %v", name, what, took)
		}
		if err == nil {
			return true
		}
		t.Logf("%s: %v", name, err)
		known := slices.ContainsFunc([]error{slm.ErrUnplugged, slm.ErrTimeout, slm.ErrProtocol, slm.ErrRefused}, func(e error) bool { return errors.Is(err, e) })
		if text := err.Error(); !known || !strings.Contains(text, "usb-1-2") || !strings.Contains(text, "command 0x") && !strings.Contains(text, "hardware status 0x") || !strings.Contains(text, ";") {
			t.Errorf("%s: the error names no condition, board, command or remedy: %v", name, err)
		}
		return false
	}
	options := dlpc900.Options{Port: "usb-1-2", DMD: smallDMD(), Light: light, Reopen: reopen}
	var d *dlpc900.Device
	opened := func(ctx context.Context) (err error) {
		d, err = dlpc900.Open(ctx, link, options)
		return err
	}
	if !call("Open", opened) {
		link, _ = reopen(t.Context())
		if !call("Open again", opened) {
			t.Fatalf("%s: the board cannot be opened after an error", name)
		}
	}
	defer func() {
		d.Close()
		if light.on.Load() {
			t.Errorf("%s: Close left the light on", name)
		}
	}()
	order := []int{5, 0, 399, 0, 1}
	at := map[int]*slm.Pattern{0: patterns[0], 1: patterns[1], 5: patterns[2], 399: patterns[3]}
	var want []*slm.Pattern
	for _, slot := range order {
		want = append(want, at[slot])
	}
	use := func() bool {
		return call("Load", func(ctx context.Context) error {
			return d.Load(ctx, []int{0, 1, 5, 399}, []*slm.Pattern{at[0], at[1], at[5], at[399]})
		}) && call("Play", func(ctx context.Context) error {
			return d.Play(ctx, slm.Run{Order: order, Period: time.Millisecond})
		}) && call("Wait", func(ctx context.Context) error {
			n, err := d.Wait(ctx)
			if err == nil && n != len(order) {
				t.Errorf("%s: Wait counts %d of %d", name, n, len(order))
			}
			return err
		})
	}
	right := func() {
		got := m.shown()
		if len(got) != len(want) {
			t.Fatalf("%s: the mirrors showed %d patterns instead of %d, and nobody was told", name, len(got), len(want))
		}
		for k := range got {
			if !got[k].Equal(want[k]) {
				t.Fatalf("%s: a wrong pattern was shown at position %d, and nobody was told", name, k)
			}
		}
	}
	if use() {
		right()
	} else {
		synctest.Wait()
		time.Sleep(bound) // the board is made safe
		synctest.Wait()
		if light.on.Load() {
			t.Errorf("%s: the light stayed on after a failure", name)
		}
	}
	first = *seen
	if !use() {
		t.Fatalf("%s: the board cannot be used after the fault", name)
	}
	right()
	return first
}

// A board that answers no more: calls end when their contexts do, and with Close.
func TestSilence(t *testing.T) {
	for _, how := range []string{"deadline", "close"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, board, _ := open(t, controller.Config{DMD: controller.Custom(small), RealTime: true}, dlpc900.Options{})
				board.SetFaults(func(controller.Transfer) controller.FaultKind { return controller.Hang })
				ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
				defer cancel()
				began, want := time.Now(), context.DeadlineExceeded
				if how == "close" {
					want = slm.ErrClosed
					time.AfterFunc(700*time.Millisecond, func() { d.Close() })
					ctx = t.Context()
				}
				err := d.Load(ctx, []int{0}, someDifferent(1))
				if took := time.Since(began); !errors.Is(err, want) || took != 700*time.Millisecond {
					t.Errorf("after %v: %v, want %v", took, err, want)
				}
				began = time.Now()
				d.Close()
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("Close took %v", took)
				}
			})
		})
	}
}

// Without a way to open the link again the device stays lost, and says so.
func TestUnpluggedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b, _ := open(t, controller.Config{DMD: controller.Custom(small), RealTime: true}, dlpc900.Options{})
		if err := d.Load(t.Context(), []int{0}, someDifferent(1)); err != nil {
			t.Fatal(err)
		}
		if err := d.Play(t.Context(), slm.Run{Order: make([]int, 100), Period: 100 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(2*time.Second, b.Unplug)
		if _, err := d.Wait(t.Context()); !errors.Is(err, slm.ErrUnplugged) {
			t.Errorf("Wait: %v", err)
		}
		if _, err := d.Wait(t.Context()); !errors.Is(err, slm.ErrUnplugged) {
			t.Errorf("Wait again: %v", err)
		}
		if err := d.Play(t.Context(), slm.Run{Order: []int{0}}); !errors.Is(err, slm.ErrUnplugged) || !strings.Contains(err.Error(), "open the board again") {
			t.Errorf("Play: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// A board that begins anew in the middle of a run, without going away: the run is not taken
// for whole, and the next one shows what it should.
func TestAbortedRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		light := new(lamp)
		d, board, m := open(t, controller.Config{DMD: controller.Custom(small), RealTime: true}, dlpc900.Options{Light: light})
		patterns := someDifferent(2)
		if err := d.Load(t.Context(), []int{0, 1}, patterns); err != nil {
			t.Fatal(err)
		}
		if err := d.Play(t.Context(), slm.Run{Order: make([]int, 100), Period: 100 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(2*time.Second, board.PowerCycle)
		if _, err := d.Wait(t.Context()); !errors.Is(err, slm.ErrRefused) || !strings.Contains(err.Error(), "aborted") {
			t.Errorf("Wait: %v", err)
		}
		time.Sleep(bound)
		if light.on.Load() {
			t.Error("the light stayed on")
		}
		if err := d.Play(t.Context(), slm.Run{Order: []int{1, 0}}); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Wait(t.Context()); n != 2 || err != nil {
			t.Errorf("Wait = %d, %v", n, err)
		}
		if got := m.shown(); len(got) != 2 || !got[0].Equal(patterns[1]) || !got[1].Equal(patterns[0]) {
			t.Error("wrong patterns after an aborted run")
		}
	})
}

// A run that does not end is ended: by Wait, or, where nobody waits, by the watch that lets
// mirrors rest. The light goes off, and the board can be used again.
func TestOverrun(t *testing.T) {
	for _, waits := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			endless := true
			m, light := new(mirrors), new(lamp)
			board, err := controller.New(controller.Config{DMD: controller.Custom(small), RealTime: true, Show: m.show})
			if err != nil {
				t.Fatal(err)
			}
			d, err := dlpc900.Open(t.Context(), meddler{board, func(code uint16, report []byte) {
				if code == 0x1A32 && endless {
					clear(report[8:12]) // the number of patterns: again and again
				}
			}}, dlpc900.Options{DMD: smallDMD(), Light: light, RestAfter: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if err := d.Load(t.Context(), []int{0, 1}, someDifferent(2)); err != nil {
				t.Fatal(err)
			}
			run := slm.Run{Order: []int{0, 1, 0}, Period: 100 * time.Millisecond}
			if err := d.Play(t.Context(), run); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if waits {
				_, err := d.Wait(t.Context())
				if took := time.Since(began); !errors.Is(err, slm.ErrTimeout) || !strings.Contains(err.Error(), "does not end") || took < 1300*time.Millisecond || took > 1400*time.Millisecond {
					t.Errorf("after %v Wait says %v", took, err)
				}
			}
			time.Sleep(20 * time.Second)
			synctest.Wait()
			if light.on.Load() {
				t.Errorf("waiting %v: the light stayed on", waits)
			}
			if s, err := d.Status(t.Context()); err != nil || s.Main&dlpc900.MainRunning != 0 || s.Main&dlpc900.MainParked == 0 {
				t.Errorf("waiting %v: main status %02X, %v", waits, s.Main, err)
			}
			endless = false
			if err := d.Play(t.Context(), run); err != nil {
				t.Fatal(err)
			}
			if n, err := d.Wait(t.Context()); n != 3 || err != nil || len(m.shown()) != 3 {
				t.Errorf("the next run: %d, %v", n, err)
			}
		})
	}
}

// A board that lost its power comes back with nothing in its memory; the host has it all.
func TestReplug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var board *controller.Board
		d, board, m := open(t, controller.Config{DMD: controller.Custom(small), RealTime: true, Report: time.Millisecond}, dlpc900.Options{
			Reopen: func(context.Context) (dlpc900.Link, error) {
				board.Plug()
				return board, nil
			},
		})
		patterns := someDifferent(30)
		slots := make([]int, len(patterns))
		for i := range slots {
			slots[i] = i
		}
		if err := d.Load(t.Context(), slots, patterns); err != nil {
			t.Fatal(err)
		}
		for cycle := range 100 {
			board.Unplug()
			board.PowerCycle()
			if err := d.Play(t.Context(), slm.Run{Order: slots}); !errors.Is(err, slm.ErrUnplugged) {
				t.Fatalf("cycle %d: Play: %v", cycle, err)
			}
			if err := d.Play(t.Context(), slm.Run{Order: slots}); err != nil {
				t.Fatalf("cycle %d: Play after the board came back: %v", cycle, err)
			}
			if n, err := d.Wait(t.Context()); n != len(slots) || err != nil {
				t.Fatalf("cycle %d: Wait = %d, %v", cycle, n, err)
			}
			for k, p := range m.shown() {
				if !p.Equal(patterns[k]) {
					t.Fatalf("cycle %d: a wrong pattern at %d", cycle, k)
				}
			}
		}
		s, err := d.Stats(t.Context())
		if err != nil || s.Line.Reopened != 100 || s.Line.Unplugged < 100 {
			t.Errorf("%v, %+v", err, s.Line)
		}
	})
}
