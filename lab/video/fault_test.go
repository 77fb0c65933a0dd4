//go:build linux && (amd64 || arm64)

package video_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/v4l2"
	"github.com/light-in-the-loop/opu/sim/vivid"
)

// period is that of the frames of 640x480 at vivid's inputs.
func period(t *testing.T) time.Duration {
	t.Helper()
	hertz, err := vivid.SetSignal(node(t, looped, "vid-cap"), 640, 480)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(float64(time.Second) / hertz)
}

func set(t *testing.T, d *v4l2.Device, name string, value int64) {
	t.Helper()
	if _, err := d.Set(t.Context(), v4l2.Control{Name: name, Value: value}); err != nil {
		t.Fatal(err)
	}
}

func arm(t *testing.T, d *v4l2.Device, frames int) {
	t.Helper()
	if err := d.Arm(t.Context(), camera.Run{Frames: frames, Free: true}); err != nil {
		t.Fatal(err)
	}
}

// take waits for a frame and gives it back; its pixels are for those who copy them at once.
func take(t *testing.T, d *v4l2.Device) camera.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var room [1]camera.Frame
	if _, err := d.Wait(ctx, room[:]); err != nil {
		t.Fatal(err)
	}
	d.Requeue(room[0])
	return room[0]
}

func stop(t *testing.T, d *v4l2.Device) camera.Counts {
	t.Helper()
	counts, err := d.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

// small keeps the emulated processor from painting more than is looked at.
func small(t *testing.T, d *v4l2.Device) {
	t.Helper()
	if _, err := d.Configure(t.Context(), camera.Config{BitDepth: 8, ROI: camera.ROI{Width: 32, Height: 24}}); err != nil {
		t.Fatal(err)
	}
}

// ticks is how many frames fit between two arrivals, by the clock.
func ticks(p time.Duration, from, to camera.Frame) uint64 {
	return uint64(math.Round(float64(to.HostTime.Sub(from.HostTime)) / float64(p)))
}

// vivid drops buffers at random. What is missing by the clock is missing in the numbers, and
// counted; nothing else is. vivid's ticks are late by up to a period, each for itself.
func TestDroppedBuffers(t *testing.T) {
	needLab(t)
	p := period(t)
	d := open(t, looped, few)
	small(t, d)
	set(t, d, "Percentage of Dropped Buffers", 30)
	defer set(t, d, "Percentage of Dropped Buffers", 0)
	const n = 60
	arm(t, d, 1000)
	first := take(t, d)
	last, lost := first, first.Seq
	for range n - 1 {
		f := take(t, d)
		if f.Status != camera.OK {
			t.Errorf("frame %d is %v", f.Seq, f.Status)
		}
		if got, want := f.Seq-first.Seq, ticks(p, first, f); got > want+1 || want > got+1 || f.Seq <= last.Seq {
			t.Errorf("frame %d follows %d, %d periods after frame %d", f.Seq, last.Seq, want, first.Seq)
		}
		lost += f.Seq - last.Seq - 1
		last = f
	}
	got := stop(t, d)
	if got.Delivered != n || got.Lost < lost || got.Lost > lost+1 || got.Frames != got.Delivered+got.Lost { // one may have come since
		t.Errorf("%+v, by the clock %d were lost", got, lost)
	}
	if share := float64(lost) / float64(last.Seq+1); share < 0.1 || share > 0.5 {
		t.Errorf("a share of %.2f was lost, 0.3 was injected", share)
	}
}

// A camera that gives no frame for a while is silent, which is no error; then the numbers tell
// how long it was.
func TestSilence(t *testing.T) {
	needLab(t)
	p := period(t)
	d := open(t, looped, few)
	small(t, d)
	arm(t, d, 1000)
	before := take(t, d)
	set(t, d, "Percentage of Dropped Buffers", 100)
	for before.HostTime.Add(3 * p).After(time.Now()) { // what was on its way
		ctx, cancel := context.WithTimeout(t.Context(), p)
		var room [1]camera.Frame
		if n, err := d.Wait(ctx, room[:]); err == nil {
			d.Requeue(room[:n]...)
			before = room[0]
		}
		cancel()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*p)
	defer cancel()
	_, err := d.Wait(ctx, make([]camera.Frame, 1))
	if !errors.Is(err, camera.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || ctx.Err() == nil {
		t.Errorf("without frames: %v", err)
	}
	set(t, d, "Percentage of Dropped Buffers", 0)
	after := take(t, d)
	if got, want := after.Seq-before.Seq, ticks(p, before, after); got > want+1 || want > got+1 || got < 10 {
		t.Errorf("frame %d follows %d, but %d periods have passed", after.Seq, before.Seq, want)
	}
	if got := stop(t, d); got.Lost < after.Seq-before.Seq-1 {
		t.Errorf("%+v, %d were lost", got, after.Seq-before.Seq-1)
	}
}

// Each error that is injected is one damaged frame, delivered in its place. vivid itself may be
// late and leave one out.
func TestErrorFlags(t *testing.T) {
	needLab(t)
	d := open(t, looped, few)
	small(t, d)
	const n, every = 40, 8
	arm(t, d, n)
	damaged := 0
	next := uint64(0)
	for k := range n {
		if k%every == 0 {
			set(t, d, "Inject V4L2_BUF_FLAG_ERROR", 1)
		}
		f := take(t, d)
		if f.Seq < next || f.Seq > next+1 {
			t.Errorf("frame %d came where %d was expected", f.Seq, next)
		}
		next = f.Seq + 1
		switch f.Status {
		case camera.OK:
		case camera.Damaged:
			damaged++
		default:
			t.Errorf("frame %d is %v", k, f.Status)
		}
	}
	if damaged != n/every {
		t.Errorf("%d frames were damaged, %d were injected", damaged, n/every)
	}
	if got := stop(t, d); got.Delivered != n {
		t.Errorf("%+v", got)
	}
}

// A camera that takes more frames than there were patterns cannot hide it.
func TestMoreFramesThanExpected(t *testing.T) {
	needLab(t)
	p := period(t)
	d := open(t, looped, few)
	small(t, d)
	arm(t, d, 2)
	take(t, d)
	last := take(t, d)
	time.Sleep(time.Until(last.HostTime.Add(2*p + p/2)))
	if got := stop(t, d); got != (camera.Counts{Frames: 4, Delivered: 2, Lost: 2}) {
		t.Errorf("%+v", got)
	}
}

// held counts what this process holds.
func held(t *testing.T) (descriptors, goroutines, maps int) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	regions, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return len(open), runtime.NumGoroutine(), bytes.Count(regions, []byte("/dev/video"))
}

// A camera that is pulled out in the middle of a run says so at once, to whoever waits, and
// nothing of it is left. When it is back it can be opened again.
func TestUnplug(t *testing.T) {
	needLab(t)
	path := node(t, looped, "vid-cap")
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	descriptors, goroutines, maps := held(t)
	for round := range rounds {
		d, err := v4l2.Open(t.Context(), path, few)
		if err != nil {
			t.Fatal(err)
		}
		set(t, d, "Percentage of Dropped Buffers", 0)
		small(t, d)
		arm(t, d, 1000)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		kept := make([]camera.Frame, 1)
		if _, err := d.Wait(ctx, kept); err != nil {
			t.Fatal(err)
		}
		set(t, d, "Percentage of Dropped Buffers", 100) // so that Wait has nothing but the plug to wait for
		pulled := make(chan time.Time, 1)
		time.AfterFunc(50*time.Millisecond, func() {
			pulled <- time.Now()
			d.Set(context.Background(), v4l2.Control{Name: "Disconnect", Value: 1})
		})
		for err = nil; err == nil; {
			var n int
			room := make([]camera.Frame, 1)
			n, err = d.Wait(ctx, room)
			d.Requeue(room[:n]...)
		}
		if late := time.Since(<-pulled); !errors.Is(err, camera.ErrUnplugged) || late > 500*time.Millisecond {
			t.Errorf("round %d: %v, after %v", round, err, late)
		}
		if kept[0].Check() != nil || kept[0].At(31, 23) < 0 {
			t.Error("the frame that was kept is gone")
		}
		d.Requeue(kept...)
		if _, err := d.Stop(ctx); !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("Stop: %v", err)
		}
		if err := d.Arm(ctx, camera.Run{Frames: 1}); !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("Arm: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		deadline := time.Now().Add(5 * time.Second) // vivid comes back when the last descriptor is closed
		for {
			if path, err = vivid.Node(looped, "vid-cap"); err == nil {
				if _, err = os.Stat(path); err == nil {
					break
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("the camera does not come back: %v", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	d := open(t, looped, few)
	set(t, d, "Percentage of Dropped Buffers", 0)
	small(t, d)
	arm(t, d, 1)
	take(t, d)
	d.Close()
	f, g, m := held(t)
	for began := time.Now(); g > goroutines && time.Since(began) < time.Second; _, g, _ = held(t) {
		time.Sleep(10 * time.Millisecond) // goroutines that have done their work may still have to end
	}
	if f != descriptors || g > goroutines || m != maps {
		t.Errorf("%d descriptors, %d goroutines, %d mappings; before %d, %d, %d", f, g, m, descriptors, goroutines, maps)
	}
}

// Requests that the kernel refuses are errors of that call, and the next works.
func TestRefusedRequests(t *testing.T) {
	needLab(t)
	d := open(t, looped, few)
	small(t, d)
	for _, fault := range []string{"Inject VIDIOC_REQBUFS Error", "Inject VIDIOC_QBUF Error", "Inject VIDIOC_STREAMON Error"} {
		set(t, d, fault, 1)
		if err := d.Arm(t.Context(), camera.Run{Frames: 1, Free: true}); !errors.Is(err, camera.ErrRefused) {
			t.Errorf("%s: %v", fault, err)
		}
		arm(t, d, 1)
		take(t, d)
		stop(t, d)
	}
	arm(t, d, 1000)
	take(t, d)
	set(t, d, "Inject Fatal Streaming Error", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var err error
	for err == nil {
		var n int
		room := make([]camera.Frame, 1)
		n, err = d.Wait(ctx, room)
		d.Requeue(room[:n]...)
	}
	if !errors.Is(err, camera.ErrProtocol) || errors.Is(err, camera.ErrUnplugged) {
		t.Errorf("a queue in its error state: %v", err)
	}
	stop(t, d)
	arm(t, d, 1)
	take(t, d)
	stop(t, d)
}

// What is no camera, is somebody else's, or has other pixels is told apart.
func TestOpenRefuses(t *testing.T) {
	needLab(t)
	in := node(t, looped, "vid-cap")
	open(t, looped, few)
	for _, c := range []struct {
		path    string
		options v4l2.Options
		want    error
	}{
		{in, few, camera.ErrRefused}, // it is open
		{node(t, looped, "vid-out"), few, camera.ErrInput},
		{os.DevNull, few, camera.ErrInput},
		{"/dev/video99", few, camera.ErrUnplugged},
		{node(t, webcam, "vid-cap"), v4l2.Options{Format: "Y10P"}, camera.ErrRefused},
	} {
		d, err := v4l2.Open(t.Context(), c.path, c.options)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.path, err, c.want)
		}
		if err == nil {
			d.Close()
		} else {
			t.Log(err)
		}
	}
	found, err := v4l2.List()
	if err != nil || len(found) != 3 || found[looped].Path != in || found[looped].Model != "vivid" || found[looped].Serial != "platform:vivid-000" {
		t.Errorf("%+v, %v", found, err)
	}
}

// Sequences of a driver that begins near the end of its numbers and wraps.
func TestWrappedSequence(t *testing.T) {
	needLab(t)
	if testing.Short() {
		t.Skip("vivid wraps after 128 frames")
	}
	d := open(t, looped, few)
	small(t, d)
	set(t, d, "Wrap Sequence Number", 1)
	defer set(t, d, "Wrap Sequence Number", 0)
	arm(t, d, 100)
	next := uint64(0)
	for next < 140 {
		f := take(t, d)
		if f.Seq < next || f.Seq > next+2 { // vivid may be late
			t.Fatalf("frame %d came where %d was expected", f.Seq, next)
		}
		next = f.Seq + 1
	}
	if got := stop(t, d); got.Frames < next || got.Frames > next+1 {
		t.Errorf("%+v", got)
	}
}

// A driver that stamps the start of exposure gives frames their time.
func TestTimes(t *testing.T) {
	needLab(t)
	p := period(t)
	d := open(t, looped, few)
	if d.Info().HasTime {
		t.Error("the end of a transfer is taken for a time of exposure")
	}
	set(t, d, "Timestamp Source", 1)
	defer func() {
		d := open(t, looped, few)
		set(t, d, "Timestamp Source", 0)
	}()
	d.Close()
	d = open(t, looped, few)
	if !d.Info().HasTime {
		t.Fatal("it has no time")
	}
	small(t, d)
	arm(t, d, 20)
	first := take(t, d)
	last := first.DeviceTime
	for range 20 {
		f := take(t, d)
		if since, want := f.DeviceTime-first.DeviceTime, time.Duration(f.Seq-first.Seq)*p; (since-want).Abs() > p || f.DeviceTime <= last {
			t.Errorf("frame %d was exposed %v after frame %d, want %v", f.Seq, since, first.Seq, want)
		}
		last = f.DeviceTime
	}
	d.Close()
}

// A region that vivid rounds holds what was asked for, and its pixels are those of that place.
func TestRegion(t *testing.T) {
	needLab(t)
	in, out := node(t, looped, "vid-cap"), node(t, looped, "vid-out")
	for _, n := range []string{in, out} {
		if _, err := vivid.SetSignal(n, 640, 480); err != nil {
			t.Fatal(err)
		}
	}
	s, err := vivid.OpenScreen(out)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	draw := func(pix []byte) {
		for v := range s.Height {
			for u := range s.Width {
				pix[v*s.Stride+u] = byte(u ^ 3*v)
			}
		}
	}
	for range 3 {
		if err := s.Show(draw); err != nil {
			t.Fatal(err)
		}
	}
	d := open(t, looped, few)
	set(t, d, "Loop Video", 1)
	defer set(t, d, "Loop Video", 0)
	set(t, d, "OSD Text Mode", 2)
	for _, roi := range []camera.ROI{{U: 33, V: 21, Width: 101, Height: 51}, {U: 639, V: 479, Width: 1, Height: 1}, {Width: 640, Height: 480}} {
		c, err := d.Configure(t.Context(), camera.Config{BitDepth: 8, ROI: roi})
		if err != nil {
			t.Fatal(err)
		}
		got := c.ROI
		t.Logf("asked for %v, got %v", roi, got)
		if got.U > roi.U || got.V > roi.V || got.U+got.Width < roi.U+roi.Width || got.V+got.Height < roi.V+roi.Height {
			t.Errorf("%v does not hold %v", got, roi)
		}
		arm(t, d, 10)
		wrong := 0
		for range 6 { // the first may be vivid's own picture
			f := take(t, d)
			wrong = 0
			for v := range f.Height {
				for u := range f.Width {
					if byte(f.At(u, v)) != byte((got.U+u)^3*(got.V+v)) {
						wrong++
					}
				}
			}
			if wrong == 0 {
				break
			}
		}
		if wrong > 0 {
			t.Errorf("%v: %d pixels are not those of their place", got, wrong)
		}
		stop(t, d)
	}
}

// Both interfaces give the same pixels, in every format.
func TestPlanes(t *testing.T) {
	needLab(t)
	grab := func(device, depth int) []byte {
		d := open(t, device, few)
		defer d.Close()
		set(t, d, "OSD Text Mode", 2)
		if _, err := d.Configure(t.Context(), camera.Config{BitDepth: depth, ROI: camera.ROI{U: 100, V: 100, Width: 64, Height: 48}}); err != nil {
			t.Fatal(err)
		}
		arm(t, d, 1)
		f := take(t, d)
		if f.Status != camera.OK || f.BitDepth != depth {
			t.Errorf("a frame of %d bits is %v", f.BitDepth, f.Status)
		}
		return bytes.Clone(f.Pix)
	}
	for _, depth := range []int{8, 10, 12, 16} {
		one, several := grab(looped, depth), grab(planar, depth)
		if !bytes.Equal(one, several) || bytes.Count(one, one[:1]) == len(one) {
			t.Errorf("%d bits: %d bytes and %d bytes differ, or show nothing", depth, len(one), len(several))
		}
	}
}

// A camera that does not crop has its region cut out of its whole frames.
func TestCut(t *testing.T) {
	needLab(t)
	if testing.Short() {
		t.Skip("vivid's webcam has frames of 8 Mpx, two a second")
	}
	d := open(t, webcam, v4l2.Options{Buffers: 3})
	set(t, d, "OSD Text Mode", 2)
	grab := func(roi camera.ROI) camera.Frame {
		c, err := d.Configure(t.Context(), camera.Config{BitDepth: 8, ROI: roi})
		if err != nil || c.ROI != roi {
			t.Fatalf("asked for %v, got %v, %v", roi, c.ROI, err)
		}
		arm(t, d, 1)
		f := take(t, d)
		f.Pix = bytes.Clone(f.Pix)
		stop(t, d)
		return f
	}
	info := d.Info()
	whole := grab(camera.ROI{Width: info.Width, Height: info.Height})
	part := grab(camera.ROI{U: 1111, V: 777, Width: 333, Height: 99})
	for v := range part.Height {
		for u := range part.Width {
			if part.At(u, v) != whole.At(1111+u, 777+v) {
				t.Fatalf("pixel (%d, %d) is %d, in the whole frame %d", u, v, part.At(u, v), whole.At(1111+u, 777+v))
			}
		}
	}
}
