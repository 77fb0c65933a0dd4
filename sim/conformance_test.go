package sim_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/cameratest"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/slmtest"
)

// bench builds a small bench of each kind of camera: 8 and 16 bits.
func bench(t *testing.T, c sim.Config) *sim.Bench {
	t.Helper()
	c.Width, c.Height = 32, 24
	c.Chip = slm.Geometry{Width: 70, Height: 9}
	b, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDMDConformance(t *testing.T) {
	slmtest.RunWith(t, slmtest.Harness{
		Open:  func(t *testing.T) slm.Device { return bench(t, sim.Good(1)).DMD() },
		Shown: func(d slm.Device) []*slm.Pattern { return d.(*sim.DMD).Shown() },
	})
}

func TestCameraConformance(t *testing.T) {
	for _, c := range []sim.Config{sim.Ideal(1), sim.Good(1)} {
		t.Run(c.Name, func(t *testing.T) {
			var b *sim.Bench // whose camera was opened last
			// fault gives frame k of the next run a fault.
			fault := func(kind sim.FaultKind) func(*testing.T, camera.Device, int) {
				return func(_ *testing.T, _ camera.Device, k int) {
					b.SetFaults(func(sim.Exposure) sim.Fault {
						k--
						if k == -1 {
							return sim.Fault{Kind: kind}
						}
						return sim.Fault{}
					})
				}
			}
			cameratest.Run(t, cameratest.Harness{
				Free: true,
				Open: func(t *testing.T) camera.Device {
					b = bench(t, c)
					return b.Camera()
				},
				Trigger: func(t *testing.T, _ camera.Device, n int) {
					ctx := context.Background()
					p := slm.NewPattern(b.Config().Chip)
					p.Fill()
					if err := b.DMD().Load(ctx, []int{0}, []*slm.Pattern{p}); err != nil {
						t.Fatal(err)
					}
					if err := b.DMD().Play(ctx, slm.Run{Order: make([]int, n), Period: time.Millisecond}); err != nil {
						t.Fatal(err)
					}
				},
				Drop: fault(sim.DropFrame), Damage: fault(sim.DamageFrame),
				Around: synctest.Test,
			})
		})
	}
}
