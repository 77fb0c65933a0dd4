package u3v_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/u3v"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/sim/u3vcam"
	"github.com/light-in-the-loop/opu/slm"
)

// behind makes a USB3 Vision camera whose sensor is that of a simulated bench.
func behind(t *testing.T, b *sim.Bench) *u3v.Device {
	t.Helper()
	sensor := b.Camera()
	var cam *u3vcam.Camera
	var end context.CancelFunc
	over := make(chan struct{})
	info := sensor.Info()
	cam, err := u3vcam.New(u3vcam.Config{
		Width: info.Width, Height: info.Height,
		Started: func(s u3vcam.Settings) {
			roi := camera.ROI{U: s.U, V: s.V, Width: s.Width, Height: s.Height}
			if got, err := sensor.Configure(t.Context(), camera.Config{Exposure: s.Exposure, ROI: roi, BitDepth: s.BitDepth}); err != nil || got.ROI != roi {
				t.Errorf("the sensor takes %v, %v", got, err)
			}
			if err := sensor.Arm(t.Context(), camera.Run{Frames: 1 << 20, Free: !s.Triggered}); err != nil {
				t.Error(err)
			}
			var ctx context.Context
			ctx, end = context.WithCancel(context.Background())
			over = make(chan struct{})
			go func() {
				defer close(over)
				room := make([]camera.Frame, 1)
				for {
					if _, err := sensor.Wait(ctx, room); err != nil {
						return
					}
					cam.Capture(room[0].Pix, room[0].DeviceTime)
					sensor.Requeue(room...)
				}
			}()
		},
		Stopped: func() {
			end()
			<-over
			if _, err := sensor.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := u3v.Open(t.Context(), newCable(cam), u3v.Options{Transfer: 8192})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// frames shows patterns on a bench and keeps the frame of each, as the rig proves them.
func frames(t *testing.T, dmd slm.Device, cam camera.Device, patterns []*slm.Pattern) [][]byte {
	t.Helper()
	r, err := rig.New(dmd, cam, rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	got := make([][]byte, len(patterns))
	if err := r.Show(t.Context(), patterns, func(k int, f *camera.Frame) error {
		got[k] = bytes.Clone(f.Pix)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got
}

// The whole way: mirrors, light, the bytes of USB3 Vision, and frames that the rig proves to
// be those of their patterns. They are, to the bit, what the bench's own camera sees.
func TestBench(t *testing.T) {
	synctest.Test(t, testBench) // to compute takes no time
}

func testBench(t *testing.T) {
	config, err := sim.Preset("ideal", 1)
	if err != nil {
		t.Fatal(err)
	}
	config.BitDepth, config.Width, config.Height = 8, 128, 128
	make := func() *sim.Bench {
		b, err := sim.New(config)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	random := rand.New(rand.NewPCG(5, 0))
	var patterns []*slm.Pattern
	for range 12 {
		p := slm.NewPattern(config.Chip)
		for y := range config.Chip.Height {
			for x := range config.Chip.Width {
				p.Set(x, y, random.Uint32()&1 != 0)
			}
		}
		patterns = append(patterns, p)
	}
	b, direct := make(), make()
	cam := behind(t, b)
	exposure := camera.Config{Exposure: config.NominalExposure}
	if _, err := cam.Configure(t.Context(), exposure); err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Camera().Configure(t.Context(), exposure); err != nil {
		t.Fatal(err)
	}
	got, want := frames(t, b.DMD(), cam, patterns), frames(t, direct.DMD(), direct.Camera(), patterns)
	for k := range got {
		if !bytes.Equal(got[k], want[k]) {
			t.Fatalf("the frame of pattern %d is another than the bench's own", k)
		}
		if k > 0 && bytes.Equal(got[k], got[k-1]) {
			t.Fatalf("patterns %d and %d have one frame", k-1, k)
		}
	}
}
