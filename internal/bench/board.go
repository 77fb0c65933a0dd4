package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

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
		Virtual: true,
	})
}
