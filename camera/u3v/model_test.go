package u3v_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/u3v"
	"github.com/light-in-the-loop/opu/sim/u3vcam"
)

// cable is a link to a model in this process.
type cable struct {
	cam    *u3vcam.Camera
	closed chan struct{}
	once   sync.Once
}

func newCable(cam *u3vcam.Camera) *cable { return &cable{cam: cam, closed: make(chan struct{})} }

// transfer makes a transfer that ends when the link is closed.
func (c *cable) transfer(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.closed:
			cancel(camera.ErrClosed)
		case <-ctx.Done():
		}
	}()
	err := f(ctx)
	switch {
	case errors.Is(err, u3vcam.ErrGone):
		return fmt.Errorf("%w: %w", err, camera.ErrUnplugged)
	case errors.Is(err, u3vcam.ErrStall):
		return fmt.Errorf("%w: %w", err, u3v.ErrHalted)
	}
	return err
}

func (c *cable) Send(ctx context.Context, packet []byte) error {
	return c.transfer(ctx, func(ctx context.Context) error { return c.cam.Command(ctx, packet) })
}

func (c *cable) Receive(ctx context.Context, p []byte) (n int, err error) {
	err = c.transfer(ctx, func(ctx context.Context) error {
		b, err := c.cam.Answer(ctx, len(p))
		n = copy(p, b)
		return err
	})
	return n, err
}

func (c *cable) Recover(context.Context) error { return nil }

func (c *cable) PacketSize() int { return 1024 }

func (c *cable) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}

func (c *cable) Stream(ctx context.Context, size, _ int) (u3v.Pipe, error) {
	return &pipe{cable: c, ctx: ctx, size: size}, nil
}

// pipe asks for one transfer at a time, of the size that was agreed on.
type pipe struct {
	*cable
	ctx  context.Context
	size int
	rest []byte
}

func (p *pipe) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		err := p.transfer(p.ctx, func(ctx context.Context) (err error) {
			p.rest, err = p.cam.Stream(ctx, p.size)
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

func (p *pipe) Close() error { return nil }

// open opens a camera of the model's.
func open(t testing.TB, c u3vcam.Config, o u3v.Options) (*u3v.Device, *u3vcam.Camera) {
	t.Helper()
	cam, err := u3vcam.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cam.Unplug)
	d, err := u3v.Open(t.Context(), newCable(cam), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d, cam
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

// take waits for n frames.
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

// checkPixels sees that a frame shows what the model draws as its k-th.
func checkPixels(t testing.TB, f *camera.Frame, roi camera.ROI, k int) {
	t.Helper()
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	for v := range f.Height {
		for u := range f.Width {
			if got, want := f.At(u, v), (u+roi.U+2*(v+roi.V)+3*k)&(1<<f.BitDepth-1); got != want {
				t.Fatalf("pixel (%d, %d) of frame %d is %d, want %d", u, v, k, got, want)
			}
		}
	}
}
