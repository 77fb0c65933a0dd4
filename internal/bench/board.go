package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// How fast the USB of a simulated board is.
const (
	USBFast = "fast" // no time passes
	USBReal = "real" // FullSpeed
)

// longestRestart is what Time takes; a start command that took longer would be a fault.
const longestRestart = 10 * time.Second

// Time sets what the USB and the restarts of a bench's board take on the bench's clock.
func Time(c *sim.Config, usb string, restart time.Duration) error {
	switch {
	case usb != USBFast && usb != USBReal:
		return fmt.Errorf("cannot simulate the USB %q: it is %s or %s: %w", usb, USBFast, USBReal, ErrInput)
	case restart < 0 || restart > longestRestart:
		return fmt.Errorf("cannot simulate a restart of %v: it takes 0 to %v: %w", restart, longestRestart, ErrInput)
	}
	c.Restart = restart
	if usb == USBReal {
		c.Report = FullSpeed
	}
	return nil
}

// openDMD takes the board of a simulated bench into use. Its chip is one that no board
// has, so the driver is told what it is.
func openDMD(ctx context.Context, table *sim.Bench) (*dlpc900.Device, error) {
	c := table.Config()
	return dlpc900.Open(ctx, table.Board(), dlpc900.Options{
		Port: fmt.Sprintf("sim-%s-%d", c.Name, c.Seed),
		DMD: &dlpc900.DMD{
			Name: "simulated DMD", Geometry: c.Chip, Controllers: 1,
			MinExposures: []time.Duration{105 * time.Microsecond}, Capacity: 400,
		},
		Reopen: func(context.Context) (dlpc900.Link, error) {
			if err := table.Board().Open(); err != nil {
				return nil, err
			}
			return table.Board(), nil
		},
		Virtual: true,
	})
}

// Expect says what to expect of a job on a real board, if this is a simulated one that has
// been calibrated.
func (b *Bench) Expect() (Expectation, bool) {
	if b.Sim == nil {
		return Expectation{}, false
	}
	restart := b.Sim.Config().Restart
	if restart == 0 {
		restart = UsualRestart
	}
	return expect(b.Rig, b.Sim.Board().Stats(), b.Rig.Stats().Uploads, restart)
}
