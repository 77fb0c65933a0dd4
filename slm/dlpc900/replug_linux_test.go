package dlpc900

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
)

// plug connects a modelled board to a socket that stands for its HID node. pull does what
// pulling the plug does: reads and writes fail.
func plug(t *testing.T, board *controller.Board) (link Link, pull func()) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	node := os.NewFile(uintptr(fds[1]), "board")
	board.Plug()
	ctx, cancel := context.WithCancel(t.Context())
	var pumps sync.WaitGroup
	pumps.Go(func() {
		var numbered [1 + ReportSize]byte
		for {
			if n, err := node.Read(numbered[:]); err != nil || n != len(numbered) || board.Write(ctx, numbered[1:]) != nil {
				return
			}
		}
	})
	pumps.Go(func() {
		var report [ReportSize]byte
		for board.Read(ctx, report[:]) == nil {
			if _, err := node.Write(report[:]); err != nil {
				return
			}
		}
	})
	return newHIDRaw(os.NewFile(uintptr(fds[0]), "hidraw of the test")), func() {
		cancel()
		node.Close()
		pumps.Wait()
	}
}

// A hundred boards pulled in the middle of their work, each plugged in again without its
// memory: patterns are shown after each, and no goroutine, descriptor or memory stays behind.
func TestReplugLeaksNothing(t *testing.T) {
	g := slm.Geometry{Width: 70, Height: 9}
	board, err := controller.New(controller.Config{DMD: controller.Custom(g)})
	if err != nil {
		t.Fatal(err)
	}
	link, pull := plug(t, board)
	d, err := Open(t.Context(), link, Options{
		DMD:  &DMD{Name: "small chip", Geometry: g, Controllers: 1, MinExposures: micros(105), Capacity: 400},
		Port: "usb-1-2", Virtual: true,
		Reopen: func(context.Context) (l Link, err error) {
			l, pull = plug(t, board)
			return l, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		d.Close()
		pull()
	}()
	patterns := []*slm.Pattern{slm.NewPattern(g), slm.NewPattern(g)}
	patterns[1].Set(3, 3, true)
	if err := d.Load(t.Context(), []int{0, 1}, patterns); err != nil {
		t.Fatal(err)
	}
	cycle := func() {
		pull()
		board.PowerCycle()
		if err := d.Play(t.Context(), slm.Run{Order: []int{1, 0}}); !errors.Is(err, slm.ErrUnplugged) && !errors.Is(err, slm.ErrProtocol) { // a broken pipe is what a stall is to HID
			t.Fatalf("without a board: %v", err)
		}
		if err := d.Play(t.Context(), slm.Run{Order: []int{1, 0}}); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Wait(t.Context()); n != 2 || err != nil {
			t.Fatalf("Wait = %d, %v", n, err)
		}
	}
	cycle() // what is allocated once
	before := resources(t)
	for range 100 {
		cycle()
	}
	var after [3]int
	for range 50 { // goroutines that were told to end are given time to
		if after = resources(t); after[0] <= before[0] {
			break
		}
		runtime.Gosched()
		time.Sleep(time.Millisecond)
	}
	t.Logf("goroutines, descriptors, bytes: %v before, %v after", before, after)
	if after[0] > before[0] || after[1] > before[1] || after[2] > before[2]+1<<18 {
		t.Errorf("goroutines, descriptors, bytes: %v before, %v after 100 cycles", before, after)
	}
}

// resources are goroutines, open descriptors, and bytes in use.
func resources(t *testing.T) [3]int {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return [3]int{runtime.NumGoroutine(), len(descriptors), int(m.HeapAlloc)}
}
