package gentl

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/cameratest"
	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
	"github.com/light-in-the-loop/opu/internal/frameid"
)

// openDevice opens the test producer's camera.
func openDevice(t testing.TB, path string, o Options) (*Device, *model) {
	t.Helper()
	m := newModel(t)
	d, err := Open(t.Context(), Ref{Producer: path}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	m.accept()
	return d, m
}

// The conformance suite, on new producers and old.
func TestConformance(t *testing.T) {
	for name, old := range map[string]bool{"new": false, "old": true} {
		t.Run(name, func(t *testing.T) {
			path := producer(t, old)
			var m *model
			cameratest.Run(t, cameratest.Harness{
				Open: func(t *testing.T) (d camera.Device) {
					d, m = openDevice(t, path, Options{Buffers: 8})
					return d
				},
				Trigger: func(_ *testing.T, _ camera.Device, n int) { m.do("trigger", n) },
				Drop:    func(_ *testing.T, _ camera.Device, k int) { m.do("drop", k) },
				Damage:  func(_ *testing.T, _ camera.Device, k int) { m.do("damage", k) },
				Free:    true,
			})
		})
	}
}

// take arms nothing and waits for n frames.
func take(t testing.TB, d camera.Device, n int) []camera.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	frames := make([]camera.Frame, n)
	for got := 0; got < n; {
		k, err := d.Wait(ctx, frames[got:])
		if err != nil {
			t.Fatalf("Wait for frame %d of %d: %v", got, n, err)
		}
		got += k
	}
	return frames
}

func arm(t testing.TB, d camera.Device, frames int) {
	t.Helper()
	if err := d.Arm(t.Context(), camera.Run{Frames: frames}); err != nil {
		t.Fatal(err)
	}
}

func stop(t testing.TB, d camera.Device) camera.Counts {
	t.Helper()
	counts, err := d.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// The pixels of every depth are those that the camera drew.
func TestPixels(t *testing.T) {
	d, m := openDevice(t, producer(t, false), Options{})
	if i := d.Info(); i.Model != "Test Producer" || i.Serial != "T-0001" || i.Width != 64 || i.Height != 48 || i.Buffers != 16 || !slices.Equal(i.BitDepths, []int{8, 10, 12}) || !i.HasTime {
		t.Errorf("%+v", i)
	}
	for _, depth := range d.Info().BitDepths {
		if _, err := d.Configure(t.Context(), camera.Config{BitDepth: depth}); err != nil {
			t.Fatal(err)
		}
		arm(t, d, 3)
		m.do("trigger", 3)
		for k, f := range take(t, d, 3) {
			if f.BitDepth != depth {
				t.Errorf("%d bits, want %d", f.BitDepth, depth)
			}
			checkPixels(t, &f, k)
		}
		stop(t, d)
	}
}

// Arming switches off what would change the meaning of counts.
func TestSettings(t *testing.T) {
	d, _ := openDevice(t, producer(t, false), Options{})
	arm(t, d, 1)
	for _, name := range []string{"ExposureAuto", "GainAuto", "BlackLevel"} {
		i := slices.IndexFunc(d.Settings(), func(s camera.Setting) bool { return s.Name == name })
		if i < 0 || d.Settings()[i].State != camera.Safe {
			t.Errorf("%s is not safe: %+v", name, d.Settings())
		}
	}
}

// Several images in a buffer are several frames. A run gets as many as divide it.
func TestParts(t *testing.T) {
	d, m := openDevice(t, producer(t, false), Options{Buffers: 4, Parts: 8})
	if d.Info().Buffers != 16 {
		t.Errorf("%d frames may be held, want half of 4 x 8", d.Info().Buffers)
	}
	for _, n := range []int{16, 12, 7, 1} {
		arm(t, d, n)
		m.do("trigger", n)
		for k, f := range take(t, d, n) {
			if f.Seq != uint64(k) || f.Status != camera.OK {
				t.Errorf("frame %d of %d is %d, %v", k, n, f.Seq, f.Status)
			}
			checkPixels(t, &f, k)
			d.Requeue(f)
		}
		if got, want := stop(t, d), (camera.Counts{Frames: uint64(n), Delivered: uint64(n)}); got != want {
			t.Errorf("counts of %d frames are %+v", n, got)
		}
	}
	// One buffer that is lost takes all its images along, and none moves up.
	arm(t, d, 16)
	m.do("drop", 3)
	m.do("trigger", 24)
	for i, f := range take(t, d, 16) {
		// The producer begins the buffer again after the image that was lost.
		if want := uint64(8 + i); f.Seq != want {
			t.Errorf("frame %d is %d, want %d", i, f.Seq, want)
		}
		d.Requeue(f)
	}
	if got := stop(t, d); got.Lost != 16 || got.Delivered != 16 { // a buffer that is not full counts as if it were
		t.Errorf("counts with a lost buffer are %+v", got)
	}
}

// A stream that cannot have several images in a buffer says so when it is asked to.
func TestPartsNeedTheFeature(t *testing.T) {
	if _, err := Open(t.Context(), Ref{Producer: producer(t, true)}, Options{Parts: 8}); !errors.Is(err, camera.ErrRefused) {
		t.Errorf("8 parts of a stream without features: %v", err)
	}
	if _, err := Open(t.Context(), Ref{Producer: producer(t, false)}, Options{Parts: -1}); !errors.Is(err, camera.ErrInput) {
		t.Errorf("-1 parts: %v", err)
	}
}

// What is wrong with a trigger shows in the counts.
func TestTriggerFaults(t *testing.T) {
	d, m := openDevice(t, producer(t, false), Options{})
	arm(t, d, 4)
	m.do("double", 1)
	m.do("trigger", 4)
	take(t, d, 5)
	if got, want := stop(t, d), (camera.Counts{Frames: 5, Delivered: 5}); got != want {
		t.Errorf("an edge that makes two frames: counts are %+v, want %+v", got, want)
	}
	m.do("deaf", 1)
	arm(t, d, 4)
	m.do("trigger", 4)
	ctx, cancel := context.WithTimeout(t.Context(), 1200*time.Millisecond) // longer than until the camera is asked
	defer cancel()
	if _, err := d.Wait(ctx, make([]camera.Frame, 1)); !errors.Is(err, camera.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a camera that takes no trigger: %v, want ErrTimeout", err)
	}
	if got := stop(t, d); got != (camera.Counts{}) {
		t.Errorf("a camera that takes no trigger: counts are %+v", got)
	}
	m.do("deaf", 0)
	arm(t, d, 1)
	m.do("trigger", 1)
	take(t, d, 1)
}

// A run that began though nobody waited for it any more is ended before the next.
func TestArmThatWasGivenUp(t *testing.T) {
	d, m := openDevice(t, producer(t, false), Options{Buffers: 8})
	if _, err := d.p.ask(t.Context(), callLimit, wire.Request{Do: wire.Start, Run: 99, Buffers: 8, Size: 4096}); err != nil {
		t.Fatal(err)
	}
	if err := d.Arm(t.Context(), camera.Run{Frames: 1}); !errors.Is(err, camera.ErrRefused) {
		t.Errorf("Arm while the stream runs: %v", err)
	}
	for range 2 {
		arm(t, d, 1)
		m.do("trigger", 1)
		take(t, d, 1)
		stop(t, d)
	}
}

// A camera that rounds regions of interest says so, and its frames are as it said.
func TestRoundedRegion(t *testing.T) {
	d, m := openDevice(t, producer(t, false), Options{})
	m.do("round", 16)
	got, err := d.Configure(t.Context(), camera.Config{ROI: camera.ROI{Width: 36, Height: 20}})
	if err != nil || got.ROI.Width != 32 || got.ROI.Height != 16 {
		t.Fatalf("36x20 became %v, %v; the camera takes 32x16", got.ROI, err)
	}
	arm(t, d, 1)
	m.do("trigger", 1)
	f := take(t, d, 1)[0]
	if f.Width != 32 || f.Height != 16 || f.Status != camera.OK {
		t.Errorf("the frame is %dx%d, %v", f.Width, f.Height, f.Status)
	}
	checkPixels(t, &f, 0)
}

// Pixel formats in the numbers of CoaXPress are understood, and ids that begin anywhere.
func TestCoaXPress(t *testing.T) {
	d, m := openDevice(t, producer(t, false), Options{})
	m.do("type", 2)
	m.do("first", 1000)
	d.stream.numbering = frameid.New(idsOf("CXP"))
	for run := range 2 {
		arm(t, d, 3)
		if run == 1 {
			m.do("drop", 0) // known from the second run on
		}
		m.do("trigger", 3)
		for i, f := range take(t, d, 3-run) {
			if f.Seq != uint64(i+run) || f.Status != camera.OK {
				t.Errorf("frame %d is %d, %v", i+run, f.Seq, f.Status)
			}
		}
		stop(t, d)
	}
}

// within fails the test unless f returns in time.
func within(t *testing.T, limit time.Duration, what string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(limit):
		t.Fatalf("%s did not return within %v", what, limit)
		return nil
	}
}

// A library that crashes, one that hangs, and a cable that is pulled end a run in time, as a
// camera that is unplugged; what was delivered stays readable, and the camera can be opened
// again.
func TestDeath(t *testing.T) {
	for _, c := range []struct {
		order string
		text  string
		limit time.Duration
	}{
		{"crash", "died", 3 * time.Second},
		{"hang", "did not answer", quietTime + probeLimit + 3*time.Second},
		{"unplug", "plugged in", 3 * time.Second},
	} {
		t.Run(c.order, func(t *testing.T) {
			path := producer(t, false)
			d, m := openDevice(t, path, Options{})
			arm(t, d, 4)
			m.do("trigger", 1)
			f := take(t, d, 1)[0]
			m.do(c.order, 1)
			err := within(t, c.limit, "Wait", func() error {
				_, err := d.Wait(t.Context(), make([]camera.Frame, 1))
				return err
			})
			if !errors.Is(err, camera.ErrUnplugged) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("Wait: %v, want ErrUnplugged and %q", err, c.text)
			}
			t.Log(err)
			checkPixels(t, &f, 0)
			within(t, c.limit, "Stop", func() error {
				_, err := d.Stop(t.Context())
				if err == nil {
					t.Error("Stop says that all is well")
				}
				return nil
			})
			within(t, 2*closeLimit, "Close", d.Close)
			checkPixels(t, &f, 0)
			d.Requeue(f)

			d, m = openDevice(t, path, Options{})
			arm(t, d, 1)
			m.do("trigger", 1)
			f = take(t, d, 1)[0]
			checkPixels(t, &f, 0)
		})
	}
}

// Whoever cannot be opened is told why.
func TestOpenRefuses(t *testing.T) {
	path := producer(t, false)
	for name, c := range map[string]struct {
		ref  Ref
		want error
		text string
	}{
		"no such file":   {Ref{Producer: "/that/is/not.cti"}, nil, "no such file"},
		"no such device": {Ref{path, "T-0002"}, camera.ErrUnplugged, "T-0001"},
		"no producer":    {Ref{"west", ""}, camera.ErrUnplugged, PathVariable},
	} {
		if _, err := Open(t.Context(), c.ref, Options{}); err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %v and %q", name, err, c.want, c.text)
		}
	}
	t.Setenv("OPU_TEST_PRODUCER", "/that/is/nobody")
	if _, err := Open(t.Context(), Ref{Producer: path}, Options{}); !errors.Is(err, camera.ErrUnplugged) || !strings.Contains(err.Error(), "the test does not listen") {
		t.Errorf("a device that cannot be opened: %v", err)
	}
	unbuilt := filepath.Join(t.TempDir(), "helper")
	if err := os.WriteFile(unbuilt, []byte("#!/bin/sh\necho cannot load: built without C >&2\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv(HelperVariable, unbuilt)
	if _, err := Open(t.Context(), Ref{Producer: path}, Options{}); !errors.Is(err, errors.ErrUnsupported) || !strings.HasPrefix(err.Error(), "cannot load: built without C") {
		t.Errorf("a helper that cannot: %v", err)
	}
	t.Setenv(HelperVariable, "/that/is/no/helper")
	if _, err := Open(t.Context(), Ref{Producer: path}, Options{}); err == nil || !strings.Contains(err.Error(), "/that/is/no/helper") {
		t.Errorf("without a helper: %v", err)
	}
}
