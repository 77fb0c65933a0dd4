//go:build linux && (amd64 || arm64)

package video_test

import (
	"os"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/cameratest"
	"github.com/light-in-the-loop/opu/camera/v4l2"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/sim/vivid"
	"github.com/light-in-the-loop/opu/slm"
)

// The devices of vivid, as lab/run has them.
const (
	looped = iota // an HDMI input that crops, and an output that it can show
	planar        // the same input with the multi-planar interface
	webcam        // fixed sizes
)

// These tests need the virtual lab, which sets this variable.
func needLab(t *testing.T) {
	t.Helper()
	if os.Getenv("OPU_LAB") == "" {
		t.Skip("needs the virtual lab: run lab/run")
	}
}

func node(t *testing.T, device int, kind string) string {
	t.Helper()
	path, err := vivid.Node(device, kind)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// few buffers: each is filled and looked at by an emulated processor.
var few = v4l2.Options{Buffers: 6}

func open(t *testing.T, device int, o v4l2.Options) *v4l2.Device {
	t.Helper()
	path := node(t, device, "vid-cap")
	if device != webcam {
		if _, err := vivid.SetSignal(path, 640, 480); err != nil {
			t.Fatal(err)
		}
	}
	d, err := v4l2.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// The suite, on cameras that take frames by themselves.
func TestConformanceFree(t *testing.T) {
	needLab(t)
	for device, name := range []string{"looped", "planar"} {
		t.Run(name, func(t *testing.T) {
			if device == looped && testing.Short() {
				t.Skip("the other suite has this device")
			}
			cameratest.Run(t, cameratest.Harness{
				Open: func(t *testing.T) camera.Device { return open(t, device, few) },
				Free: true,
			})
		})
	}
}

// The suite, on a camera that takes a frame for every picture that it is shown: triggers are
// those of a simulated bench.
func TestConformance(t *testing.T) {
	needLab(t)
	var b *sim.Bench
	fault := func(kind sim.FaultKind) func(*testing.T, camera.Device, int) {
		return func(_ *testing.T, _ camera.Device, k int) {
			b.SetFaults(func(sim.Exposure) sim.Fault {
				if k--; k == -1 {
					return sim.Fault{Kind: kind}
				}
				return sim.Fault{}
			})
		}
	}
	cameratest.Run(t, cameratest.Harness{
		Open: func(t *testing.T) camera.Device {
			var l *vivid.Loop
			b, l = bench(t, nil)
			return l
		},
		Trigger: func(t *testing.T, _ camera.Device, n int) { play(t, b, n) },
		Drop:    fault(sim.DropFrame), Damage: fault(sim.DamageFrame),
		Free: true,
	})
}

// bench makes a small simulated bench, whose camera is looped through vivid.
func bench(t *testing.T, change func(*sim.Config)) (*sim.Bench, *vivid.Loop) {
	t.Helper()
	c := sim.Good(1)
	c.Width, c.Height, c.Chip = 32, 24, slm.Geometry{Width: 70, Height: 9}
	if change != nil {
		change(&c)
	}
	b, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	l, err := vivid.OpenLoop(t.Context(), b.Camera(), node(t, looped, "vid-cap"), v4l2.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return b, l
}

// play shows a lit pattern a few times.
func play(t *testing.T, b *sim.Bench, n int) {
	t.Helper()
	p := slm.NewPattern(b.Config().Chip)
	p.Fill()
	if err := b.DMD().Load(t.Context(), []int{0}, []*slm.Pattern{p}); err != nil {
		t.Fatal(err)
	}
	if err := b.DMD().Play(t.Context(), slm.Run{Order: make([]int, n), Period: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
}
