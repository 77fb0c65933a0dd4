package dlpc900_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// shutter is a switch that writes down its orders, and those that the board gets to start and
// stop. It fails as it is told to; it may have done what it was asked to all the same.
type shutter struct {
	mu       sync.Mutex
	on       bool
	told     []string
	openErr  error
	closeErr error
}

func (s *shutter) Set(_ context.Context, on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.on, s.told = true, append(s.told, "open")
		return s.openErr
	}
	s.told = append(s.told, "close")
	if s.closeErr == nil {
		s.on = false
	}
	return s.closeErr
}

// overhear is for a meddler.
func (s *shutter) overhear(code uint16, report []byte) {
	if code == 0x1A24 {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = append(s.told, map[byte]string{0: "stop", 2: "start"}[report[6]])
	}
}

// since returns what was written down since the last call.
func (s *shutter) since() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := strings.Join(slices.Compact(s.told), " ")
	s.told = nil
	return told
}

func (s *shutter) fails(opening, closing error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.openErr, s.closeErr = opening, closing
}

func (s *shutter) lit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.on
}

// shuttered calls f with a board that has a shutter and a pattern.
func shuttered(t *testing.T, f func(t *testing.T, d *dlpc900.Device, board *controller.Board, s *shutter)) {
	synctest.Test(t, func(t *testing.T) {
		board, err := controller.New(controller.Config{DMD: controller.Custom(small), RealTime: true, Report: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		s := new(shutter)
		d, err := dlpc900.Open(t.Context(), meddler{board, s.overhear}, dlpc900.Options{DMD: smallDMD(), Port: "usb-1-2", Light: s})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.Load(t.Context(), []int{0}, someDifferent(1)); err != nil {
			t.Fatal(err)
		}
		s.since()
		f(t, d, board, s)
	})
}

var shortRun = slm.Run{Order: []int{0, 0, 0}, Period: 10 * time.Millisecond}

func playWhole(t *testing.T, d *dlpc900.Device) {
	t.Helper()
	if err := d.Play(t.Context(), shortRun); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Wait(t.Context()); n != len(shortRun.Order) || err != nil {
		t.Fatalf("Wait = %d, %v", n, err)
	}
}

// The light is on before a run starts and stays on between runs. It goes off before the
// mirrors rest, and before Close stops them.
func TestLightOrder(t *testing.T) {
	shuttered(t, func(t *testing.T, d *dlpc900.Device, _ *controller.Board, s *shutter) {
		for _, want := range []string{"open start", "stop start"} { // it still shines in the second
			playWhole(t, d)
			if got := s.since(); got != want {
				t.Errorf("a run: %q, want %q", got, want)
			}
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if got, want := s.since(), "close stop"; got != want {
			t.Errorf("at rest: %q, want %q", got, want)
		}
		if err := d.Play(t.Context(), slm.Run{Order: make([]int, 100), Period: 100 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		if got, want := s.since(), "open start"; got != want {
			t.Errorf("after rest: %q, want %q", got, want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if got, want := s.since(), "close stop"; got != want || s.lit() {
			t.Errorf("Close: %q, want %q", got, want)
		}
	})
}

// A run that the board aborts leaves no light.
func TestLightAfterAbortedRun(t *testing.T) {
	shuttered(t, func(t *testing.T, d *dlpc900.Device, board *controller.Board, s *shutter) {
		if err := d.Play(t.Context(), slm.Run{Order: make([]int, 100), Period: 100 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		board.PowerCycle()
		if _, err := d.Wait(t.Context()); !errors.Is(err, slm.ErrRefused) {
			t.Errorf("Wait: %v", err)
		}
		synctest.Wait()
		if got, want := s.since(), "open start close"; !strings.HasPrefix(got, want) || s.lit() {
			t.Errorf("%q, lit %v", got, s.lit())
		}
	})
}

// A light that could not be opened is closed again, whatever the switch's error wraps: nobody
// knows what it did. The run does not begin.
func TestLightThatFailsToOpen(t *testing.T) {
	for _, cause := range []error{slm.ErrInput, slm.ErrBusy, slm.ErrTimeout, slm.ErrUnplugged, slm.ErrRefused} {
		shuttered(t, func(t *testing.T, d *dlpc900.Device, _ *controller.Board, s *shutter) {
			s.fails(fmt.Errorf("the door is open: %w", cause), nil)
			if err := d.Play(t.Context(), shortRun); !errors.Is(err, cause) || !strings.Contains(err.Error(), "cannot switch the light: the door is open") {
				t.Errorf("Play: %v", err)
			}
			synctest.Wait()
			if got := s.since(); !strings.HasPrefix(got, "open close") || strings.Contains(got, "start") || s.lit() {
				t.Errorf("%v: %q, lit %v", cause, got, s.lit())
			}
		})
	}
}

// A switch that fails says nothing of the board, which goes on without being opened again.
func TestLightThatFailsKeepsTheBoard(t *testing.T) {
	for _, cause := range []error{slm.ErrUnplugged, slm.ErrTimeout, slm.ErrProtocol} {
		shuttered(t, func(t *testing.T, d *dlpc900.Device, _ *controller.Board, s *shutter) {
			s.fails(cause, nil)
			if err := d.Play(t.Context(), shortRun); !errors.Is(err, cause) {
				t.Errorf("Play: %v", err)
			}
			s.fails(nil, nil)
			playWhole(t, d)
			s.fails(nil, cause)
			time.Sleep(11 * time.Second) // it fails to close when the mirrors should rest
			synctest.Wait()
			s.fails(nil, nil)
			playWhole(t, d)
			if err := d.Close(); err != nil || s.lit() {
				t.Errorf("%v: Close: %v, lit %v", cause, err, s.lit())
			}
		})
	}
}

// Close tells of a light that may be on, also if the board is gone.
func TestLightThatFailsToClose(t *testing.T) {
	for _, gone := range []bool{false, true} {
		shuttered(t, func(t *testing.T, d *dlpc900.Device, board *controller.Board, s *shutter) {
			playWhole(t, d)
			s.fails(nil, fmt.Errorf("the shutter is stuck: %w", slm.ErrRefused))
			if gone {
				board.Unplug()
				if err := d.Play(t.Context(), shortRun); !errors.Is(err, slm.ErrUnplugged) {
					t.Errorf("Play: %v", err)
				}
			}
			for range 2 {
				if err := d.Close(); err == nil || !strings.Contains(err.Error(), "the shutter is stuck") {
					t.Errorf("gone %v: Close: %v", gone, err)
				}
			}
		})
	}
}
