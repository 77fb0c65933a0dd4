package u3v_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/cameratest"
	"github.com/light-in-the-loop/opu/camera/genicam"
	"github.com/light-in-the-loop/opu/camera/u3v"
	"github.com/light-in-the-loop/opu/sim/u3vcam"
)

// ways are how frames may be cut: whole, in transfers that divide them, that do not, and with
// a last part that is of whole packets; and with pixels that share bytes.
var ways = map[string]struct {
	config u3vcam.Config
	o      u3v.Options
}{
	"whole":        {u3vcam.Config{}, u3v.Options{}},
	"divided":      {u3vcam.Config{Width: 128, Height: 64}, u3v.Options{Transfer: 4096}},
	"with a rest":  {u3vcam.Config{Width: 100, Height: 50}, u3v.Options{Transfer: 4096}},
	"full packets": {u3vcam.Config{Width: 128, Height: 80}, u3v.Options{Transfer: 8192}},
	"packed":       {u3vcam.Config{Width: 100, Height: 50}, u3v.Options{Transfer: 4096, Camera: genicam.Options{Packed: true}}},
}

func TestConformance(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			w.o.Buffers = 5
			var cam *u3vcam.Camera
			fault := func(f u3vcam.FrameFault) func(*testing.T, camera.Device, int) {
				return func(_ *testing.T, _ camera.Device, k int) {
					cam.SetFaults(u3vcam.Faults{Frames: map[int]u3vcam.FrameFault{k: f}})
				}
			}
			cameratest.Run(t, cameratest.Harness{
				Open: func(t *testing.T) (d camera.Device) {
					d, cam = open(t, w.config, w.o)
					return d
				},
				Trigger: func(t *testing.T, _ camera.Device, n int) {
					cam.Trigger(n)
					cam.SetFaults(u3vcam.Faults{}) // they are of one run
				},
				Drop: fault(u3vcam.Drop), Damage: fault(u3vcam.Discarded),
				Free: true, Around: synctest.Test,
			})
		})
	}
}

// The pixels of every format, region and way of cutting are those that were exposed.
func TestPixels(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, cam := open(t, w.config, w.o)
				i := d.Info()
				if i.Model != "Model Works U3V-1" || i.Serial != "U3V0001" || !slices.Equal(i.BitDepths, []int{8, 12}) || i.Buffers != 16 {
					t.Errorf("%+v", i)
				}
				for _, depth := range i.BitDepths {
					for _, roi := range []camera.ROI{{Width: i.Width, Height: i.Height}, {U: 8, V: 4, Width: 12, Height: 10}, {Width: 32, Height: 32}} {
						got, err := d.Configure(t.Context(), camera.Config{BitDepth: depth, ROI: roi})
						if err != nil || got.ROI != roi {
							t.Fatalf("%v became %v, %v", roi, got.ROI, err)
						}
						arm(t, d, 3)
						cam.Trigger(3)
						for k, f := range take(t, d, 3) {
							if f.Status != camera.OK || f.Seq != uint64(k) {
								t.Errorf("frame %d is %d, %v", k, f.Seq, f.Status)
							}
							checkPixels(t, &f, roi, k)
						}
						stop(t, d)
					}
				}
			})
		})
	}
}

// Whatever happens to a frame on its way, it is told, and those around it are not touched.
func TestFrameFaults(t *testing.T) {
	for name, w := range ways {
		for _, c := range []struct {
			fault u3vcam.FrameFault
			want  camera.Status // of frame 2
			lost  bool          // it is not there at all
			next  bool          // the frame behind it is gone, too
		}{
			{fault: u3vcam.Drop, lost: true},
			{fault: u3vcam.NoLeader, lost: true},
			{fault: u3vcam.ShortLeader, lost: true},
			{fault: u3vcam.Overrun, want: camera.Overrun},
			{fault: u3vcam.Discarded, want: camera.Incomplete},
			{fault: u3vcam.ShortPixels, want: camera.Incomplete},
			{fault: u3vcam.LongPixels, want: camera.Incomplete},
			{fault: u3vcam.NoTrailer, want: camera.Incomplete},
			{fault: u3vcam.ShortTrailer, want: camera.Incomplete},
			{fault: u3vcam.WrongID, want: camera.Damaged},
		} {
			t.Run(fmt.Sprintf("%s/%d", name, c.fault), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const n, wrong = 6, 2
					d, cam := open(t, w.config, w.o)
					cam.SetFaults(u3vcam.Faults{Frames: map[int]u3vcam.FrameFault{wrong: c.fault}})
					arm(t, d, n)
					cam.Trigger(n)
					want := []int{0, 1, 2, 3, 4, 5}
					if c.lost {
						want = []int{0, 1, 3, 4, 5}
					}
					roi := camera.ROI{Width: d.Info().Width, Height: d.Info().Height}
					for i, f := range take(t, d, len(want)) {
						k := want[i]
						if f.Seq != uint64(k) || (f.Status == camera.OK) != (k != wrong) || k == wrong && f.Status != c.want {
							t.Errorf("frame %d is %d, %v", k, f.Seq, f.Status)
						}
						if f.Status == camera.OK {
							checkPixels(t, &f, roi, k)
						}
						d.Requeue(f)
					}
					counts := stop(t, d)
					if want := (camera.Counts{Frames: n, Delivered: uint64(len(want)), Lost: uint64(n - len(want))}); counts != want {
						t.Errorf("counts are %+v, want %+v", counts, want)
					}
				})
			})
		}
	}
}

// A camera that is triggered twice, one that does not hear, and one whose pipe stalls.
func TestTriggerFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, cam := open(t, u3vcam.Config{}, u3v.Options{})
		cam.SetFaults(u3vcam.Faults{Frames: map[int]u3vcam.FrameFault{1: u3vcam.Twice}})
		arm(t, d, 4)
		cam.Trigger(4)
		take(t, d, 5)
		if got, want := stop(t, d), (camera.Counts{Frames: 5, Delivered: 5}); got != want {
			t.Errorf("an edge that makes two frames: counts are %+v, want %+v", got, want)
		}
		cam.SetFaults(u3vcam.Faults{Deaf: true})
		arm(t, d, 4)
		cam.Trigger(4)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := d.Wait(ctx, make([]camera.Frame, 1)); !errors.Is(err, camera.ErrTimeout) {
			t.Errorf("a camera that does not hear: %v", err)
		}
		if got := stop(t, d); got != (camera.Counts{}) {
			t.Errorf("a camera that does not hear: counts are %+v", got)
		}

		cam.SetFaults(u3vcam.Faults{Frames: map[int]u3vcam.FrameFault{2: u3vcam.Stall}})
		arm(t, d, 4)
		cam.Trigger(4)
		take(t, d, 2)
		if _, err := d.Wait(t.Context(), make([]camera.Frame, 1)); !errors.Is(err, camera.ErrProtocol) || !errors.Is(err, u3v.ErrHalted) {
			t.Errorf("a pipe that stalls: %v", err)
		}
		stop(t, d)
		cam.SetFaults(u3vcam.Faults{})
		arm(t, d, 1) // which is a new pipe
		cam.Trigger(1)
		take(t, d, 1)
	})
}

// A cable that is pulled ends every call, at once.
func TestUnplug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, cam := open(t, u3vcam.Config{}, u3v.Options{})
		arm(t, d, 4)
		cam.Trigger(1)
		f := take(t, d, 1)[0]
		time.AfterFunc(time.Second, cam.Unplug)
		began := time.Now()
		_, err := d.Wait(t.Context(), make([]camera.Frame, 1))
		if !errors.Is(err, camera.ErrUnplugged) || time.Since(began) > 2*time.Second {
			t.Errorf("Wait: %v, after %v", err, time.Since(began))
		}
		checkPixels(t, &f, camera.ROI{}, 0)
		if _, err := d.Stop(t.Context()); !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("Stop: %v", err)
		}
		if err := d.Arm(t.Context(), camera.Run{Frames: 1}); !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("Arm: %v", err)
		}
	})
}

// Commands that are not answered, or late, or by something else, are mended where that is
// possible, and end in time where it is not.
func TestControlFaults(t *testing.T) {
	const longest = 10 * time.Second
	for name, c := range map[string]struct {
		faults u3vcam.Faults
		want   error
	}{
		"one command is lost":        {u3vcam.Faults{Silent: 1}, nil},
		"two commands are lost":      {u3vcam.Faults{Silent: 2}, nil},
		"all commands are lost":      {u3vcam.Faults{Silent: 1 << 30}, camera.ErrTimeout},
		"busy twice":                 {u3vcam.Faults{Busy: 2}, nil},
		"always busy":                {u3vcam.Faults{Busy: 1 << 30}, camera.ErrRefused},
		"the pipe stalls once":       {u3vcam.Faults{Stalls: 1}, nil},
		"the pipe stalls for ever":   {u3vcam.Faults{Stalls: 1 << 30}, u3v.ErrHalted},
		"another answer comes first": {u3vcam.Faults{Strange: 5}, nil},
		"every answer takes 2 s":     {u3vcam.Faults{Pending: 2000}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, cam := open(t, u3vcam.Config{}, u3v.Options{})
				cam.SetFaults(c.faults)
				began := time.Now()
				got, err := d.Configure(t.Context(), camera.Config{Exposure: 77 * time.Microsecond})
				if !errors.Is(err, c.want) || time.Since(began) > longest {
					t.Errorf("Configure: %v after %v, want %v", err, time.Since(began), c.want)
				}
				if c.want == nil && got.Exposure != 77*time.Microsecond {
					t.Errorf("the exposure is %v", got.Exposure)
				}
				cam.SetFaults(u3vcam.Faults{})
				arm(t, d, 1) // all is well again
				cam.Trigger(1)
				take(t, d, 1)
			})
		})
	}
}

// A camera whose ids begin at 1 is understood from the second run on.
func TestFirstID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, cam := open(t, u3vcam.Config{}, u3v.Options{})
		cam.SetFaults(u3vcam.Faults{First: 1})
		for run, want := range []uint64{1, 0, 0} {
			arm(t, d, 2)
			cam.Trigger(2)
			if f := take(t, d, 2)[0]; f.Seq != want {
				t.Errorf("run %d begins with frame %d, want %d", run, f.Seq, want)
			}
			stop(t, d)
		}
	})
}

func TestOpenRefuses(t *testing.T) {
	for name, o := range map[string]u3v.Options{
		"buffers":   {Buffers: 1000},
		"transfers": {Transfer: 100},
		"in flight": {Transfer: 1 << 20, InFlight: 1 << 10},
	} {
		cam, err := u3vcam.New(u3vcam.Config{})
		if err != nil {
			t.Fatal(err)
		}
		link := newCable(cam)
		if _, err := u3v.Open(t.Context(), link, o); !errors.Is(err, camera.ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
		select {
		case <-link.closed:
		default:
			t.Errorf("%s: the link was not closed", name)
		}
	}
}
