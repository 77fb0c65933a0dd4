package gige_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/cameratest"
	"github.com/light-in-the-loop/opu/camera/gige"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/sim/gigecam"
	"github.com/light-in-the-loop/opu/slm"
)

// A table is a small simulated bench whose camera is on the network.
type table struct {
	bench *sim.Bench
	model *gigecam.Camera
	at    string // its address
}

// newTable sets one up at an address of this host that nobody has.
func newTable(t testing.TB, bench sim.Config, c gigecam.Config) *table {
	t.Helper()
	bench.Width, bench.Height, bench.Chip = 32, 24, slm.Geometry{Width: 70, Height: 9}
	b, err := sim.New(bench)
	if err != nil {
		t.Fatal(err)
	}
	c.Sensor = b.Camera()
	for range 20 {
		c.Address = fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()%250, rand.IntN(255), 2+rand.IntN(250))
		var m *gigecam.Camera
		if m, err = gigecam.New(c); err == nil {
			t.Cleanup(func() { m.Close() })
			return &table{b, m, c.Address}
		}
	}
	t.Fatal(err)
	return nil
}

// open opens the table's camera.
func (x *table) open(t testing.TB, o gige.Options) *gige.Device {
	t.Helper()
	d, err := gige.Open(t.Context(), x.at, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// trigger shows n patterns, all on.
func (x *table) trigger(t testing.TB, n int) {
	t.Helper()
	ctx := context.Background()
	p := slm.NewPattern(x.bench.Config().Chip)
	p.Fill()
	if err := x.bench.DMD().Load(ctx, []int{0}, []*slm.Pattern{p}); err != nil {
		t.Fatal(err)
	}
	if err := x.bench.DMD().Play(ctx, slm.Run{Order: make([]int, n), Period: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
}

// withDepth is a good bench whose camera has so many bits.
func withDepth(bits int) sim.Config {
	c := sim.Good(1)
	c.BitDepth = bits
	c.BlackLevel = 2
	return c
}

func TestConformance(t *testing.T) {
	for name, c := range map[string]struct {
		bench sim.Config
		model gigecam.Config
	}{
		"Mono8":                           {sim.Good(1), gigecam.Config{}},
		"Mono12p":                         {withDepth(12), gigecam.Config{MTU: 576}},
		"64-bit numbers":                  {withDepth(16), gigecam.Config{Extended: true, MTU: 1500}},
		"goes on counting, has no resend": {withDepth(10), gigecam.Config{Continues: true, NoResend: true, NoTestPackets: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var x *table
			fault := func(kind sim.FaultKind) func(*testing.T, camera.Device, int) {
				return func(_ *testing.T, _ camera.Device, k int) {
					x.bench.SetFaults(func(sim.Exposure) sim.Fault {
						k--
						if k == -1 {
							return sim.Fault{Kind: kind}
						}
						return sim.Fault{}
					})
				}
			}
			h := cameratest.Harness{
				Open: func(t *testing.T) camera.Device {
					x = newTable(t, c.bench, c.model)
					return x.open(t, gige.Options{})
				},
				Trigger: func(t *testing.T, _ camera.Device, n int) { x.trigger(t, n) },
				Drop:    fault(sim.DropFrame), Damage: fault(sim.DamageFrame),
				Free: true,
			}
			if c.model.Continues {
				h.Drop = nil // where it goes on counting, a first frame that was lost is not noticed
			}
			cameratest.Run(t, h)
		})
	}
}
