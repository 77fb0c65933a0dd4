package v4l2

import (
	"context"
	"errors"
	"math"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

var errRefused error = syscall.EINVAL

// numbers takes n frames and returns their numbers and states.
func numbers(t *testing.T, d *Device, n int) (seqs []uint64, states []camera.Status) {
	t.Helper()
	for range n {
		frame := take(t, d)
		seqs, states = append(seqs, frame.Seq), append(states, frame.Status)
		d.Requeue(frame)
	}
	return seqs, states
}

// Each loss is a gap and a count, wherever it is, and what arrived damaged says so.
func TestLosses(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{})
	f.skip, f.damage, f.short = map[int]bool{0: true, 3: true, 4: true}, map[int]bool{2: true}, map[int]bool{5: true}
	arm(t, d, 8)
	f.trigger(8)
	seqs, states := numbers(t, d, 5)
	if !slices.Equal(seqs, []uint64{1, 2, 5, 6, 7}) ||
		!slices.Equal(states, []camera.Status{camera.OK, camera.Damaged, camera.Incomplete, camera.OK, camera.OK}) {
		t.Errorf("frames %v are %v", seqs, states)
	}
	if got := stop(t, d); got != (camera.Counts{Frames: 8, Delivered: 5, Lost: 3}) {
		t.Errorf("%+v", got)
	}
}

// Triggers that come twice are frames too many: delivered if somebody waits, and counted if not.
func TestTriggersTwice(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{})
	arm(t, d, 3)
	f.trigger(4)
	if seqs, _ := numbers(t, d, 3); !slices.Equal(seqs, []uint64{0, 1, 2}) {
		t.Errorf("frames %v", seqs)
	}
	if got := stop(t, d); got != (camera.Counts{Frames: 4, Delivered: 3, Lost: 1}) {
		t.Errorf("%+v", got)
	}
}

// Numbers of drivers that begin elsewhere, wrap, or do not count.
func TestSequences(t *testing.T) {
	for what, c := range map[string]struct {
		count func(uint32) uint32
		want  []uint64
		lost  uint64
		told  camera.SettingState
	}{
		"as documented":      {nil, []uint64{0, 1, 3, 4}, 1, 99},
		"wraps":              {func(n uint32) uint32 { return math.MaxUint32 - 1 + n }, []uint64{0, 1, 3, 4}, 1, 99},
		"begins far off":     {func(n uint32) uint32 { return 1000 + n }, []uint64{0, 1, 3, 4}, 1, 99},
		"is always 0":        {func(uint32) uint32 { return 0 }, []uint64{0, 1, 2, 3}, 0, camera.Absent},
		"counts backwards":   {func(n uint32) uint32 { return 500 - n }, []uint64{0, 1, 2, 3}, 0, camera.Absent},
		"begins with a loss": {func(n uint32) uint32 { return n + 2 }, []uint64{2, 3, 5, 6}, 3, 99},
	} {
		f := newFake(nil)
		d := f.device(t, Options{})
		f.count, f.skip = c.count, map[int]bool{2: true}
		arm(t, d, 5)
		f.trigger(5)
		seqs, _ := numbers(t, d, 4)
		got := stop(t, d)
		if !slices.Equal(seqs, c.want) || got.Lost != c.lost || got.Delivered != 4 || got.Frames != 4+c.lost {
			t.Errorf("%s: frames %v, want %v; %+v, want %d lost", what, seqs, c.want, got, c.lost)
		}
		if s := setting(d, uncounted.Name); (s == uncounted) != (c.told == camera.Absent) {
			t.Errorf("%s: told %+v", what, s)
		}
	}
}

// Whatever the camera does when it is pulled out, everybody learns it at once, and everything is
// given back.
func TestUnplug(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(nil)
		d := f.device(t, Options{})
		arm(t, d, 5)
		f.trigger(1)
		held := take(t, d)
		time.AfterFunc(time.Second, f.unplug)
		began := time.Now()
		_, err := d.Wait(t.Context(), make([]camera.Frame, 1))
		if !errors.Is(err, camera.ErrUnplugged) || time.Since(began) != time.Second {
			t.Errorf("Wait: %v after %v", err, time.Since(began))
		}
		if _, err := d.Wait(t.Context(), make([]camera.Frame, 1)); !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("Wait again: %v", err)
		}
		d.Requeue(held)
		if got, err := d.Stop(t.Context()); !errors.Is(err, camera.ErrUnplugged) || got.Delivered != 1 {
			t.Errorf("Stop: %+v, %v", got, err)
		}
		if err := d.Arm(t.Context(), camera.Run{Frames: 1}); !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("Arm: %v", err)
		}
		if _, err := d.Configure(t.Context(), camera.Config{}); !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("Configure: %v", err)
		}
	})
}

// A camera that is pulled out may be noticed by any request.
func TestUnplugAnywhere(t *testing.T) {
	requests := map[uint32]func(d *Device) error{
		reqGetExtCtrls: func(d *Device) error { return d.Arm(t.Context(), camera.Run{Frames: 1}) },
		reqSetExtCtrls: func(d *Device) error { return d.Arm(t.Context(), camera.Run{Frames: 1}) },
		reqQBuf:        func(d *Device) error { return d.Arm(t.Context(), camera.Run{Frames: 1}) },
		reqStreamOn:    func(d *Device) error { return d.Arm(t.Context(), camera.Run{Frames: 1}) },
		reqSetFmt: func(d *Device) error {
			_, err := d.Configure(t.Context(), camera.Config{ROI: camera.ROI{Width: 8, Height: 8}})
			return err
		},
		reqSetSelection: func(d *Device) error {
			_, err := d.Configure(t.Context(), camera.Config{ROI: camera.ROI{Width: 8, Height: 8}})
			return err
		},
		reqReqBufs: func(d *Device) error {
			_, err := d.Configure(t.Context(), camera.Config{ROI: camera.ROI{Width: 8, Height: 8}})
			return err
		},
	}
	for request, do := range requests {
		f := newFake(nil)
		d := f.device(t, Options{})
		f.fails[request] = []error{syscall.ENODEV}
		f.fails[reqStreamOff] = []error{syscall.ENODEV}
		if err := do(d); !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("request %#x: %v", request, err)
		}
		if err := d.Arm(t.Context(), camera.Run{Frames: 1}); !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("after request %#x: %v", request, err)
		}
	}
}

// A driver that gives up ends the run; the next one works.
func TestBrokenQueue(t *testing.T) {
	for _, during := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(nil)
			d := f.device(t, Options{})
			arm(t, d, 5)
			f.trigger(1)
			d.Requeue(take(t, d))
			if during {
				time.AfterFunc(time.Second, f.breakQueue)
			} else {
				f.breakQueue()
			}
			for range 2 {
				if _, err := d.Wait(t.Context(), make([]camera.Frame, 1)); !errors.Is(err, camera.ErrProtocol) || errors.Is(err, camera.ErrUnplugged) {
					t.Errorf("Wait: %v", err)
				}
			}
			if got := stop(t, d); got != (camera.Counts{Frames: 1, Delivered: 1}) {
				t.Errorf("%+v", got)
			}
			arm(t, d, 1)
			f.trigger(1)
			take(t, d)
		})
	}
}

// An error of the queue may be how a driver tells that it has gone.
func TestBrokenIsGone(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{})
	arm(t, d, 1)
	f.fails[reqDQBuf] = []error{syscall.EIO}
	f.fails[reqQueryCap] = []error{syscall.ENODEV}
	if _, err := d.Wait(t.Context(), make([]camera.Frame, 1)); !errors.Is(err, camera.ErrUnplugged) {
		t.Errorf("Wait: %v", err)
	}
}

// Poll that reports trouble where there is none to be found ends in an error, not in a loop.
func TestTroubleWithoutReason(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{})
	arm(t, d, 1)
	f.mu.Lock()
	f.broken = true
	f.fails[reqDQBuf] = []error{syscall.EAGAIN, syscall.EAGAIN}
	f.mu.Unlock()
	if _, err := d.Wait(t.Context(), make([]camera.Frame, 1)); !errors.Is(err, camera.ErrProtocol) {
		t.Errorf("Wait: %v", err)
	}
}

// A buffer that cannot be given back is told by the next Wait.
func TestRequeueFails(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{})
	arm(t, d, 3)
	f.trigger(1)
	frame := take(t, d)
	f.fails[reqQBuf] = []error{syscall.EIO}
	d.Requeue(frame)
	if _, err := d.Wait(t.Context(), make([]camera.Frame, 1)); !errors.Is(err, camera.ErrProtocol) {
		t.Errorf("Wait: %v", err)
	}
	stop(t, d)
	arm(t, d, 1)
}

// Nonsense of a driver is found before it does harm.
func TestNonsense(t *testing.T) {
	for what, c := range map[string]struct {
		change func(*fakeModel)
		want   error
	}{
		"rows that overlap":  {func(m *fakeModel) { m.padding = -1 }, camera.ErrProtocol},
		"a region elsewhere": {func(m *fakeModel) { m.width, m.cropStep = 50, 64 }, nil},
	} {
		_, err := open(t.Context(), newFake(c.change), "/dev/video9", "", Options{})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	f := newFake(func(m *fakeModel) { m.caps = capCaptureMPlane | capStreaming })
	d := f.device(t, Options{})
	arm(t, d, 1)
	f.mu.Lock()
	f.model.header = 1 << 20 // behind the end of the buffer
	f.mu.Unlock()
	f.fillNothing(t)
	f.trigger(1)
	if frame := take(t, d); frame.Status != camera.Damaged || frame.Check() != nil {
		t.Errorf("a frame that lies outside its buffer is %v, %v", frame.Status, frame.Check())
	}
}

// fillNothing lets frames keep the pixels that the buffers have.
func (f *fake) fillNothing(testing.TB) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.empty = true
}

// A driver that hangs is left behind when the context ends. What it then does after all is taken
// back.
func TestHangs(t *testing.T) {
	for _, request := range []uint32{reqStreamOn, reqGetExtCtrls, reqQBuf} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(nil)
			d := f.device(t, Options{})
			release := make(chan struct{})
			f.hangs[request] = release
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			err := d.Arm(ctx, camera.Run{Frames: 1})
			if !errors.Is(err, camera.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
				t.Errorf("request %#x: %v after %v", request, err, time.Since(began))
			}
			if err := d.Arm(ctx, camera.Run{Frames: 1}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the next call: %v", err)
			}
			if _, err := d.Wait(t.Context(), make([]camera.Frame, 1)); !errors.Is(err, camera.ErrNotArmed) {
				t.Errorf("Wait: %v", err)
			}
			f.mu.Lock()
			delete(f.hangs, request)
			f.mu.Unlock()
			close(release)
			synctest.Wait()
			if f.streaming {
				t.Error("the camera was left running")
			}
			arm(t, d, 1)
			f.trigger(1)
			take(t, d)
		})
	}
}

// Close gives up on a driver that hangs for ever, and says so.
func TestCloseHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(nil)
		d, err := open(t.Context(), f, "/dev/video9", "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		arm(t, d, 1)
		release := make(chan struct{})
		f.hangs[reqStreamOff] = release
		began := time.Now()
		if err := d.Close(); !errors.Is(err, camera.ErrTimeout) || time.Since(began) != closeLimit {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		close(release)
	})
}

// Frames that are kept too long read as nothing. They do not crash the reader.
func TestFramesKeptTooLong(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{})
	arm(t, d, 1)
	f.trigger(1)
	frame := take(t, d)
	stop(t, d)
	if _, err := d.Configure(t.Context(), camera.Config{ROI: camera.ROI{Width: 8, Height: 8}}); err != nil {
		t.Fatal(err)
	}
	if frame.At(47, 31) != 0 {
		t.Error("the pixels are still there")
	}
	d.Requeue(frame)
}

// A Configure that fails half-way leaves what was, or Arm says that it cannot.
func TestConfigureHalfWay(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{})
	before, err := d.Configure(t.Context(), camera.Config{ROI: camera.ROI{U: 8, V: 8, Width: 16, Height: 12}})
	if err != nil {
		t.Fatal(err)
	}
	f.fails[reqSetFmt] = []error{syscall.EIO}
	if _, err := d.Configure(t.Context(), camera.Config{ROI: camera.ROI{Width: 48, Height: 32}}); err == nil {
		t.Fatal("a format that failed was taken")
	}
	arm(t, d, 1)
	f.trigger(1)
	if frame := take(t, d); frame.Width != 16 || frame.Height != 12 || frame.At(0, 0) != int(f.value(0, 8, 8)) {
		t.Errorf("a frame of %dx%d", frame.Width, frame.Height)
	}
	stop(t, d)
	if now, err := d.Configure(t.Context(), camera.Config{}); now != before || err != nil {
		t.Errorf("%+v became %+v, %v", before, now, err)
	}
}

// Another program that changes the exposure is corrected.
func TestOthersChangeExposure(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{})
	if _, err := d.Configure(t.Context(), camera.Config{Exposure: 2 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	f.named("Exposure Time, Absolute").value = 333
	arm(t, d, 1)
	if got := f.named("Exposure Time, Absolute").value; got != 20 {
		t.Errorf("the exposure is %d", got)
	}
}

// Larger frames may find less memory.
func TestFewerBuffers(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{Buffers: 8})
	if _, err := d.Configure(t.Context(), camera.Config{BitDepth: 16}); err != nil {
		t.Fatal(err)
	}
	f.model.buffers = 5
	if err := d.Arm(t.Context(), camera.Run{Frames: 1}); !errors.Is(err, camera.ErrRefused) {
		t.Errorf("%v", err)
	}
	f.model.buffers = 8
	arm(t, d, 1)
}
