//go:build linux && (amd64 || arm64)

package vivid

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/v4l2"
)

// Loop is the camera of a simulated bench whose frames come out of the kernel: each is shown on
// an output of vivid, and taken from its input by the V4L2 driver. vivid takes pictures by
// itself, whether there is a new one or not, so each carries a number in a row of its own below
// the pixels, and the next is shown when it was seen: a frame of the bench is a frame of the
// loop, as if it were triggered.
//
// Pixels are the driver's. What the bench's camera knows beside them, its settings, clock and
// counters, stays with it.
type Loop struct {
	source camera.Device // 8 bits
	seen   *v4l2.Device
	screen *Screen
	info   camera.Info

	room [1]camera.Frame // of the source; Wait's alone

	mu     sync.Mutex    // guards what follows
	number uint64        // of the last picture
	shown  *camera.Frame // what is on the screen and was not seen yet; nil: nothing
	unseen uint64        // 1: the last run ended before it was
}

var _ camera.Device = (*Loop)(nil)

// numberBytes is a word that pictures begin their last row with, and their number.
const (
	numberWord  = 0x4f50555f4c4f4f50
	numberBytes = 16
)

// buffers of the input's: pictures are taken whether they are looked at or not.
const buffers = 10

// OpenLoop loops the frames of a camera of 8 bits through an input of vivid and the output of the
// same device, both of HDMI; they are given the quickest signal of 640x480. The camera is closed
// with the loop.
func OpenLoop(ctx context.Context, source camera.Device, input string, o v4l2.Options) (l *Loop, err error) {
	l = &Loop{source: source, info: source.Info()}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	n, err := number(input)
	if err != nil {
		return l, err
	}
	if !slices.Equal(l.info.BitDepths, []int{8}) {
		return l, fmt.Errorf("cannot loop frames of %v bits through vivid, but of 8: %w", l.info.BitDepths, camera.ErrInput)
	}
	out, err := Node(n, "vid-out")
	if err != nil {
		return l, err
	}
	var hertz float64
	for _, node := range []string{input, out} {
		if hertz, err = SetSignal(node, 640, 480); err != nil {
			return l, err
		}
	}
	if l.screen, err = OpenScreen(out); err != nil {
		return l, err
	}
	o.Buffers = cmp.Or(o.Buffers, buffers)
	if l.seen, err = v4l2.Open(ctx, input, o); err != nil {
		return l, err
	}
	for _, c := range []v4l2.Control{{Name: "Loop Video", Value: 1}, {Name: "OSD Text Mode", Value: 2}} {
		if _, err := l.seen.Set(ctx, c); err != nil {
			return l, err
		}
	}
	if l.info.Width > l.screen.Width || l.info.Width < numberBytes || l.info.Height >= l.screen.Height {
		return l, fmt.Errorf("cannot loop frames of a sensor of %dx%d through vivid; up to %dx%d fit: %w", l.info.Width, l.info.Height, l.screen.Width, l.screen.Height-1, camera.ErrInput)
	}
	if got, err := l.seen.Configure(ctx, camera.Config{BitDepth: 8, ROI: camera.ROI{Width: l.info.Width, Height: l.info.Height + 1}}); err != nil {
		return l, err
	} else if got.ROI.U != 0 || got.ROI.V != 0 || got.ROI.Height > l.screen.Height {
		return l, fmt.Errorf("cannot loop frames through %s: it gives the region %v: %w", input, got.ROI, camera.ErrProtocol)
	}
	l.info.Model += " through vivid"
	l.info.Buffers = l.seen.Info().Buffers
	// As many as a run has wait for each other, for two ticks each at least.
	l.info.Latency += time.Duration(1000/hertz*4) * time.Second
	return l, nil
}

// Seen is the driver under test.
func (l *Loop) Seen() *v4l2.Device { return l.seen }

// Info implements camera.Device.
func (l *Loop) Info() camera.Info { return l.info }

// Configure implements camera.Device.
func (l *Loop) Configure(ctx context.Context, c camera.Config) (camera.Config, error) {
	return l.source.Configure(ctx, c)
}

// Arm implements camera.Device.
func (l *Loop) Arm(ctx context.Context, r camera.Run) error {
	if err := l.source.Arm(ctx, r); err != nil {
		return err
	}
	if err := l.seen.Arm(ctx, camera.Run{Frames: r.Frames, Free: true}); err != nil {
		_, stopped := l.source.Stop(context.WithoutCancel(ctx))
		return errors.Join(err, stopped)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown, l.unseen = nil, 0
	return nil
}

// Wait implements camera.Device.
func (l *Loop) Wait(ctx context.Context, dst []camera.Frame) (int, error) {
	if len(dst) == 0 {
		return l.source.Wait(ctx, nil) // which refuses
	}
	for {
		l.mu.Lock()
		want, waiting := l.number, l.shown != nil
		l.mu.Unlock()
		if !waiting {
			if err := l.next(ctx); err != nil {
				return 0, err
			}
			continue
		}
		if _, err := l.seen.Wait(ctx, dst[:1]); err != nil {
			return 0, err
		}
		f := dst[0]
		below := f.Pix[l.info.Height*f.Stride:]
		if f.Status != camera.OK || binary.LittleEndian.Uint64(below) != numberWord || binary.LittleEndian.Uint64(below[8:]) != want {
			l.seen.Requeue(f) // vivid's own picture, or one before
			continue
		}
		l.mu.Lock()
		shown := l.shown
		l.shown = nil
		l.mu.Unlock()
		if shown == nil { // the run has ended meanwhile
			return 0, fmt.Errorf("cannot get a frame from the loop: %w", camera.ErrNotArmed)
		}
		dst[0] = *shown
		dst[0].Pix, dst[0].Stride = f.Pix[:(shown.Height-1)*f.Stride+shown.Width], f.Stride
		dst[0].HostTime, dst[0].Buffer = f.HostTime, f.Buffer
		return 1, nil
	}
}

// next waits for a frame of the source, and shows it.
func (l *Loop) next(ctx context.Context) error {
	if err := l.full(); err != nil {
		return err
	}
	if _, err := l.source.Wait(ctx, l.room[:]); err != nil {
		return err
	}
	f := l.room[0]
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	err := l.screen.Show(func(pix []byte) {
		for v := range f.Height {
			copy(pix[v*l.screen.Stride:], f.Pix[v*f.Stride:][:f.Width])
		}
		below := pix[l.info.Height*l.screen.Stride:]
		binary.LittleEndian.PutUint64(below, numberWord)
		binary.LittleEndian.PutUint64(below[8:], l.number)
	})
	l.source.Requeue(f)
	f.Pix = nil
	l.shown = &f
	return err
}

// full asks whether the caller has all buffers of the driver.
func (l *Loop) full() error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var room [1]camera.Frame
	_, err := l.seen.Wait(ended, room[:])
	if err == nil {
		l.seen.Requeue(room[:]...)
	}
	if errors.Is(err, camera.ErrTimeout) {
		return nil
	}
	return err
}

// Requeue implements camera.Device.
func (l *Loop) Requeue(frames ...camera.Frame) { l.seen.Requeue(frames...) }

// Stop implements camera.Device. The counts are the source's; what was shown and not seen is
// lost.
func (l *Loop) Stop(ctx context.Context) (camera.Counts, error) {
	counts, err := l.source.Stop(ctx)
	if err != nil {
		return counts, err
	}
	_, err = l.seen.Stop(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown != nil {
		l.shown = nil
		l.unseen = 1
	}
	counts.Delivered -= l.unseen
	counts.Lost += l.unseen
	return counts, err
}

// Close implements camera.Device.
func (l *Loop) Close() error {
	err := l.source.Close()
	if l.seen != nil {
		err = errors.Join(err, l.seen.Close())
	}
	if l.screen != nil {
		err = errors.Join(err, l.screen.Close())
	}
	return err
}
