package gentl

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genapi"
	"github.com/light-in-the-loop/opu/camera/genicam"
	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
)

// latency is how late a frame may be, of grabbers that need far less and of producers that
// poll.
const latency = 250 * time.Millisecond

// Device is a camera behind a producer.
type Device struct {
	genicam.Gated // of camera and gate, which are below

	p      *process
	stream *stream
	camera *genicam.Camera
	m      *genapi.Map
	grab   *genapi.Map // features of the stream; nil: it tells none, or they are not needed
	info   camera.Info
	parts  int
	most   int // images in a buffer

	gate   *genicam.Gate
	counts camera.Counts // of the last run
	once   sync.Once
}

var (
	_ camera.Device       = (*Device)(nil)
	_ camera.Inspector    = (*Device)(nil)
	_ camera.Paced        = (*Device)(nil)
	_ camera.TriggerInput = (*Device)(nil)
)

// Open opens a camera. Errors wrap camera.ErrUnplugged if it is not there, camera.ErrRefused
// if it, or its producer, does not do what is needed, errors.ErrUnsupported if the helper is
// missing.
func Open(ctx context.Context, r Ref, o Options) (*Device, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	c, opened, err := connect(ctx, r)
	if err != nil {
		return nil, err
	}
	d := &Device{p: c.p, most: o.Parts}
	if err := d.open(ctx, c.found, opened, o); err != nil {
		c.p.close()
		return nil, err
	}
	return d, nil
}

func (d *Device) open(ctx context.Context, found Found, opened wire.Opened, o Options) (err error) {
	remote := port{d.p, wire.Remote}
	var probe uint64
	if d.m, probe, err = remote.description(ctx); err != nil {
		return err
	}
	if d.most > 1 {
		if d.grab, _, err = (port{d.p, wire.Stream}).description(ctx); err != nil {
			return err
		}
		if _, err := d.grab.Limits(ctx, partCount); err != nil {
			return d.p.fault(camera.ErrRefused, "put several images into a buffer", "its stream has no feature "+partCount+"; leave the option out ("+err.Error()+")")
		}
	}
	reply, err := d.p.ask(ctx, callLimit, wire.Request{Do: wire.Payload})
	if err != nil {
		return err
	}
	buffers := o.Buffers
	if reply.Payload != nil {
		buffers = max(buffers, reply.Payload.Least+1)
	}
	info := camera.Info{
		Model: title(found), Serial: found.Serial, Buffers: buffers * d.most / 2,
		Latency: latency, HasTime: opened.TicksPerSecond > 0,
	}
	if info.Serial == "" {
		info.Serial = found.Device
	}
	if d.camera, err = genicam.Open(ctx, d.m, info, o.Camera); err != nil {
		return err
	}
	d.info = d.camera.Info()
	d.gate = genicam.NewGate(d.info)
	d.Gated = genicam.NewGated(d.camera, d.gate)
	const beside = 64 << 10 // for what cameras add to pixels
	room := roundUp(2*d.info.Width*d.info.Height*d.most+beside, pageSize)
	memory, err := mapMemory(d.p.memory, buffers*room)
	if err != nil {
		return err
	}
	d.stream = newStream(d.p, memory, buffers, opened, func(ctx context.Context) error {
		if probe == 0 {
			return nil
		}
		_, err := d.p.ask(ctx, probeLimit, wire.Request{Do: wire.Read, Port: wire.Remote, Address: probe, Size: 4})
		return err
	})
	return nil
}

// title is what to call a camera.
func title(f Found) string {
	switch {
	case f.Model == "":
		return f.Device
	case f.Vendor == "":
		return f.Model
	}
	return f.Vendor + " " + f.Model
}

// partCount is the feature of a stream that puts several images into a buffer.
const partCount = "BufferPartCount"

// pageSize is what buffers are aligned to if the producer does not say.
const pageSize = 4096

func roundUp(x, to int) int { return (x + to - 1) / to * to }

// Arm implements camera.Device.
func (d *Device) Arm(ctx context.Context, r camera.Run) error {
	leave, err := d.gate.EnterIdle(ctx, "arm")
	if err != nil {
		return err
	}
	defer leave()
	if r.Frames < 1 {
		return d.gate.Fail("arm", fmt.Errorf("a run of %d frames, at least one is needed: %w", r.Frames, camera.ErrInput))
	}
	if err := d.arm(ctx, r); err != nil {
		// What was begun is ended, also if the caller has no time for it any more.
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), callLimit)
		defer cancel()
		d.camera.Stop(tidy)
		d.stream.cancel(tidy)
		return err
	}
	d.gate.SetArmed(true)
	return nil
}

func (d *Device) arm(ctx context.Context, r camera.Run) error {
	if err := d.camera.Arm(ctx, r); err != nil {
		return err
	}
	parts := partsOf(r, d.most)
	if d.grab != nil && parts != d.parts {
		if err := d.grab.SetInt(ctx, partCount, int64(parts)); err != nil {
			return d.gate.Fail("arm", fmt.Errorf("%s: %w", partCount, err))
		}
		d.parts = parts
	}
	size, err := d.bufferSize(ctx, parts)
	if err != nil {
		return err
	}
	image := d.camera.Image()
	if err := d.stream.start(ctx, shape{Image: image, depth: image.Format.BitDepth(), size: size, parts: parts}, r.Frames); err != nil {
		return err
	}
	return d.camera.Start(ctx)
}

// partsOf is how many images a buffer gets: a number of which whole buffers make the run, so
// that the last frames of it do not wait for more.
func partsOf(r camera.Run, most int) int {
	if r.Free {
		return 1
	}
	for parts := min(most, r.Frames); ; parts-- {
		if r.Frames%parts == 0 {
			return parts
		}
	}
}

// bufferSize is how large the buffers of the next run must be: what the stream says, else
// what the camera says, and in any case what the pixels need.
func (d *Device) bufferSize(ctx context.Context, parts int) (int, error) {
	reply, err := d.p.ask(ctx, callLimit, wire.Request{Do: wire.Payload})
	if err != nil {
		return 0, err
	}
	size := int64(d.camera.Image().Bytes) * int64(parts)
	alignment := pageSize
	if n := reply.Payload; n != nil {
		size = max(size, int64(min(n.Size, 1<<46)))
		if n.Size == 0 {
			if payload, err := d.m.Int(ctx, "PayloadSize"); err == nil {
				size = max(size, min(payload, 1<<40)*int64(parts))
			}
		}
		alignment = max(n.Alignment, 1)
		if n.Alignment == 0 {
			alignment = pageSize
		}
	}
	return roundUp(int(size), alignment), nil
}

// Wait implements camera.Device.
func (d *Device) Wait(ctx context.Context, dst []camera.Frame) (int, error) {
	return d.stream.wait(ctx, dst)
}

// Requeue implements camera.Device.
func (d *Device) Requeue(frames ...camera.Frame) { d.stream.requeue(frames) }

// Stop implements camera.Device. Counts are the producer's (frames started, and those that
// found no buffer) where it keeps them, else they are what ids tell.
func (d *Device) Stop(ctx context.Context) (camera.Counts, error) {
	leave, err := d.gate.Enter(ctx, "stop")
	if err != nil {
		return camera.Counts{}, err
	}
	defer leave()
	if !d.gate.Armed() {
		return d.counts, nil
	}
	stopped := d.camera.Stop(ctx)
	counts, err := d.stream.stop(ctx)
	if ctx.Err() != nil && (stopped != nil || err != nil) {
		return camera.Counts{}, d.gate.Fail("stop", context.Cause(ctx)) // stop again
	}
	d.gate.SetArmed(false)
	d.counts = counts
	if err := errors.Join(stopped, err); err != nil {
		return counts, d.gate.Fail("stop", err)
	}
	return counts, nil
}

// tidyTime is how long Close tries to stop the camera in order.
const tidyTime = time.Second

// Close implements camera.Device. Frames that are with the caller stay readable until they
// are given back.
func (d *Device) Close() error {
	d.once.Do(func() {
		d.stream.close() // who waits need not any more
		d.gate.Shut(tidyTime, func(armed bool) {
			ctx, cancel := context.WithTimeout(context.Background(), tidyTime)
			defer cancel()
			if armed {
				d.camera.Stop(ctx)
			}
		})
		d.p.close()
	})
	return nil
}
