package dlpc900_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
	"github.com/light-in-the-loop/opu/slm/slmtest"
)

// mirrors keeps what a model's mirrors showed in the last run, with a trigger.
type mirrors struct {
	mu    sync.Mutex
	last  []controller.Exposure
	quiet int // exposures without a trigger, ever
}

func (m *mirrors) show(exposures []controller.Exposure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range exposures {
		if e.Position == 0 && e.Entry >= 0 { // the black one after the first is at 0 too
			m.last = nil
		}
		if e.Trigger {
			m.last = append(m.last, e)
		} else {
			m.quiet++
		}
	}
}

func (m *mirrors) shown() []*slm.Pattern {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []*slm.Pattern
	for _, e := range m.last {
		out = append(out, e.Pattern)
	}
	return out
}

// exposures are those of the last run.
func (m *mirrors) exposures() []controller.Exposure {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.last)
}

// silent counts the exposures without a trigger so far.
func (m *mirrors) silent() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.quiet
}

// small is a chip that a test can look at quickly.
var small = slm.Geometry{Width: 70, Height: 9}

func smallDMD() *dlpc900.DMD {
	return &dlpc900.DMD{Name: "small chip", Geometry: small, Controllers: 1, MinExposures: []time.Duration{105 * time.Microsecond}, Capacity: 400}
}

// halved is a small chip of two controllers, whose halves share words of the packed rows.
func halved() controller.DMD {
	d := controller.Custom(small)
	d.Controllers = 2
	return d
}

func open(t *testing.T, c controller.Config, o dlpc900.Options) (*dlpc900.Device, *controller.Board, *mirrors) {
	t.Helper()
	m := new(mirrors)
	c.Show = m.show
	b, err := controller.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if o.DMD == nil && c.DMD.Type == 0 {
		o.DMD = smallDMD()
		o.DMD.Controllers = c.DMD.Controllers
	}
	o.Virtual = !c.RealTime
	o.Port = "usb-1-2"
	d, err := dlpc900.Open(t.Context(), b, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, b, m
}

// The suite, on boards of all kinds. In a bubble the board's clock is the host's; elsewhere it
// is its own.
func TestConformance(t *testing.T) {
	for _, c := range []struct {
		name    string
		board   controller.Config
		options dlpc900.Options
	}{
		{"own-clock", controller.Config{DMD: controller.Custom(small)}, dlpc900.Options{}},
		{"real-time", controller.Config{DMD: controller.Custom(small), RealTime: true, Report: time.Millisecond, Restart: 10 * time.Millisecond}, dlpc900.Options{}},
		{"two-controllers", controller.Config{DMD: halved()}, dlpc900.Options{}},
		{"old-firmware", controller.Config{DMD: controller.Custom(small), Firmware: controller.Version{Major: 4, Minor: 2}}, dlpc900.Options{}},
		{"dummies-and-warm", controller.Config{DMD: controller.Custom(small), RealTime: true}, dlpc900.Options{Dummies: 3, Rest: dlpc900.RestWarm}},
		{"quirks", controller.Config{DMD: controller.Custom(small), Quirks: controller.Quirks{
			LatchedAbort: true, ReservedBit: true, EmptyErrorCode: true, LongReplies: true, NeedsBitZero: true, LocksUp: true,
			IdleRuns: true, SlowReadBack: true,
		}}, dlpc900.Options{}},
		{"quirks-of-old-firmware", controller.Config{DMD: controller.Custom(small), Firmware: controller.Version{Major: 4, Minor: 1}, Quirks: controller.Quirks{
			LatchedAbort: true, NeedsBitZero: true, LocksUp: true, StuckMirrors: true,
		}}, dlpc900.Options{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m *mirrors
			h := slmtest.Harness{
				Open: func(t *testing.T) slm.Device {
					var d *dlpc900.Device
					d, _, m = open(t, c.board, c.options)
					return d
				},
				Shown: func(slm.Device) []*slm.Pattern { return m.shown() },
			}
			if c.board.RealTime {
				h.Around = synctest.Test
			}
			slmtest.RunWith(t, h)
		})
	}
}
