//go:build linux

package board_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/lab/board"
	"github.com/light-in-the-loop/opu/lab/usbip"
	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// These tests need the virtual lab, which sets this variable. Elsewhere they would plug
// devices into somebody's machine.
func needLab(t *testing.T) {
	t.Helper()
	if os.Getenv("OPU_LAB") == "" {
		t.Skip("needs the virtual lab: run lab/run")
	}
}

// A way to reach boards.
type way struct {
	name string
	open func(port string) (dlpc900.Link, error)
}

var ways = []way{{"hidraw", openHIDRaw}} // and libusb, with its tag

func openHIDRaw(port string) (dlpc900.Link, error) {
	found, err := dlpc900.Boards()
	if err != nil {
		return nil, err
	}
	for _, b := range found {
		if b.Port == port {
			return dlpc900.OpenHIDRaw(b.Node)
		}
	}
	return nil, slm.ErrUnplugged
}

// everyWay runs a test for each way, as a subtest.
func everyWay(t *testing.T, test func(t *testing.T, w way)) {
	needLab(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) { test(t, w) })
	}
}

// chip is one that a test can look at quickly.
var chip = slm.Geometry{Width: 70, Height: 9}

func chipOptions() dlpc900.Options {
	return dlpc900.Options{DMD: &dlpc900.DMD{
		Name: "small chip", Geometry: chip, Controllers: 1, MinExposures: []time.Duration{105 * time.Microsecond}, Capacity: 400,
	}}
}

// newBoard makes a board whose clock is that of the lab. Its link is as quick as the kernel: to
// let a millisecond pass for each report, as on a real one, costs much and shows no more.
func newBoard(t *testing.T) *board.Board {
	t.Helper()
	b, err := board.New(controller.Config{DMD: controller.Custom(chip), RealTime: true, Restart: 10 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plug plugs a board in; the test pulls it at its end.
func plug(t *testing.T, b *board.Board) *usbip.Port {
	t.Helper()
	p, err := usbip.Plug(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pull(t, p) })
	return p
}

func pull(t *testing.T, p *usbip.Port) {
	t.Helper()
	if err := p.Pull(); err != nil {
		t.Error(err)
	}
}

func portOf(p *usbip.Port) string { return "usb-" + p.Name }

// open opens the board at a port as soon as the system has made it known.
func open(t *testing.T, w way, port string, o dlpc900.Options) *dlpc900.Device {
	t.Helper()
	o.Port = port
	o.Reopen = func(ctx context.Context) (dlpc900.Link, error) { return reach(ctx, w, port) }
	link, err := o.Reopen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d, err := dlpc900.Open(t.Context(), link, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// reach opens a link when there is one: udevd and the HID driver act on their own time.
func reach(ctx context.Context, w way, port string) (dlpc900.Link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Second, slm.ErrUnplugged)
	defer cancel()
	for {
		link, err := w.open(port)
		if !errors.Is(err, slm.ErrUnplugged) && !errors.Is(err, os.ErrPermission) {
			return link, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// eventually waits for what happens on the system's own time.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("it does not come about that %s", what)
		}
	}
}

// held counts what this process holds: descriptors and goroutines.
func held(t *testing.T) (descriptors, goroutines int) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open), runtime.NumGoroutine()
}
