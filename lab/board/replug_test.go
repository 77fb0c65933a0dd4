//go:build linux

package board_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/internal/usb"
	"github.com/light-in-the-loop/opu/lab/usbip"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// Two boards say the same of themselves; their ports tell them apart, and what happens to one
// is nothing to the other.
func TestTwoBoards(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		left, right := newBoard(t), newBoard(t)
		atLeft, atRight := plug(t, left), plug(t, right)
		dl := open(t, w, portOf(atLeft), chipOptions())
		dr := open(t, w, portOf(atRight), chipOptions())
		play(t, dl, left, 11, 4)
		play(t, dr, right, 22, 4)
		if run := left.Shown(); !run[0].Equal(pattern(11)) {
			t.Error("the left board shows what the right one was told")
		}
		if _, err := w.open(portOf(atLeft)); !errors.Is(err, slm.ErrBusy) {
			t.Errorf("a board that is in use can be opened: %v", err)
		}
		run := load(t, dr, 23, 200)
		if err := dr.Play(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		pull(t, atLeft)
		if shown, err := dr.Wait(t.Context()); err != nil || shown != 200 {
			t.Errorf("with the other gone %d patterns were shown: %v", shown, err)
		}
		if _, err := dl.Status(t.Context()); !errors.Is(err, slm.ErrUnplugged) {
			t.Errorf("the board that is gone: %v", err)
		}
	})
}

// With two boards one must be named, and the error names both.
func TestOneOfTwoMustBeNamed(t *testing.T) {
	needLab(t)
	a, b := plug(t, newBoard(t)), plug(t, newBoard(t))
	eventually(t, "both are listed", func() bool {
		found, err := dlpc900.Boards()
		return err == nil && len(found) == 2
	})
	_, err := dlpc900.OpenPort(t.Context(), "", chipOptions())
	if !errors.Is(err, slm.ErrInput) || !strings.Contains(err.Error(), portOf(a)) || !strings.Contains(err.Error(), portOf(b)) {
		t.Errorf("got %v", err)
	}
	d, err := dlpc900.OpenPort(t.Context(), portOf(b), chipOptions())
	if err != nil {
		t.Fatal(err)
	}
	d.Close()
}

// A board that comes back to its port is found by the kernel's event, by the driver alone.
func TestOpenPortFollowsTheBoard(t *testing.T) {
	needLab(t)
	b := newBoard(t)
	p := plug(t, b)
	eventually(t, "the board is listed", func() bool {
		found, err := dlpc900.Boards()
		return err == nil && len(found) == 1
	})
	d, err := dlpc900.OpenPort(t.Context(), "", chipOptions())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	pull(t, p)
	if _, err := d.Status(t.Context()); !errors.Is(err, slm.ErrUnplugged) {
		t.Fatalf("without the board: %v", err)
	}
	var again *usbip.Port
	var failure error
	plugged := make(chan struct{})
	time.AfterFunc(300*time.Millisecond, func() {
		defer close(plugged)
		again, failure = usbip.PlugInto(p.Number, b)
	})
	began := time.Now()
	_, err = d.Status(t.Context())
	took := time.Since(began)
	<-plugged
	if failure != nil {
		t.Fatal(failure)
	}
	defer pull(t, again)
	if err != nil {
		t.Fatalf("the board is back: %v", err)
	}
	t.Logf("back %v after it was plugged in", took-300*time.Millisecond)
	play(t, d, b, 5, 3)
}

// The kernel's events tell when a board comes and goes.
func TestEvents(t *testing.T) {
	needLab(t)
	m, err := usb.Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	heard := func(action string) usb.Event {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		for {
			e, err := m.Next(ctx)
			if err != nil {
				t.Fatalf("no event says %s: %v", action, err)
			}
			if e.Subsystem == "hidraw" && e.Action == action {
				return e
			}
		}
	}
	p := plug(t, newBoard(t))
	came := heard("add")
	if !strings.Contains(came.Path, "/"+p.Name+"/") || filepath.Dir(came.Node) != "/dev" {
		t.Errorf("the event is %+v, the device %s", came, p.Name)
	}
	if _, err := os.Stat(came.Node); err != nil {
		t.Error(err)
	}
	pull(t, p)
	if went := heard("remove"); went.Node != came.Node {
		t.Errorf("%s came and %s went", came.Node, went.Node)
	}
}

// A hundred times in and out, with the driver in the middle of it, leaves nothing behind.
func TestReplugLeaksNothing(t *testing.T) {
	everyWay(t, func(t *testing.T, w way) {
		b := newBoard(t)
		cycle := func() {
			p, err := usbip.Plug(b)
			if err != nil {
				t.Fatal(err)
			}
			link, err := reach(t.Context(), w, portOf(p))
			if err != nil {
				t.Fatal(err)
			}
			d, err := dlpc900.Open(t.Context(), link, chipOptions())
			if err != nil {
				t.Fatal(err)
			}
			pull(t, p)
			if _, err := d.Status(t.Context()); !errors.Is(err, slm.ErrUnplugged) {
				t.Fatalf("without the board: %v", err)
			}
			d.Close()
		}
		cycle() // what is made once is made now
		var descriptors, goroutines int
		eventually(t, "the first round has ended", func() bool {
			descriptors, goroutines = held(t)
			return goroutines <= 20
		})
		rounds := 100
		if testing.Short() {
			rounds = 10
		}
		for range rounds {
			cycle()
		}
		var d, g int
		eventually(t, "everything of all rounds has gone", func() bool {
			d, g = held(t)
			return d <= descriptors && g <= goroutines
		})
		t.Logf("descriptors %d and after %d rounds %d, goroutines %d and %d", descriptors, rounds, d, goroutines, g)
	})
}
