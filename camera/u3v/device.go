package u3v

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genapi"
	"github.com/light-in-the-loop/opu/camera/genicam"
)

// latency is how late a frame may be; the bus takes far less.
const latency = 100 * time.Millisecond

// Device is a USB3 Vision camera.
type Device struct {
	genicam.Gated // of camera and gate, which are below

	link    Link
	control *control
	stream  *stream
	camera  *genicam.Camera
	sirm    uint64
	options Options
	info    camera.Info

	gate *genicam.Gate
	end  func()      // ends the reception; nil: there is none
	dead atomic.Bool // its transfers do not end
	once sync.Once
}

var (
	_ camera.Device       = (*Device)(nil)
	_ camera.Inspector    = (*Device)(nil)
	_ camera.Paced        = (*Device)(nil)
	_ camera.TriggerInput = (*Device)(nil)
)

// Open takes the camera behind a link into use, and the link with it: it is closed by Close,
// and if Open fails. Errors wrap camera.ErrRefused if the camera does not do what is needed,
// camera.ErrProtocol if it is not understood.
func Open(ctx context.Context, link Link, o Options) (*Device, error) {
	d := &Device{link: link, control: newControl(link), options: o}
	err := d.options.check()
	if err == nil {
		err = d.open(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, link.Close())
	}
	return d, nil
}

func (d *Device) open(ctx context.Context) error {
	b, err := readBootstrap(ctx, d.control)
	if err != nil {
		return fmt.Errorf("cannot open the USB3 Vision camera: %w", err)
	}
	fail := func(err error) error { return fmt.Errorf("cannot open camera %s (%s): %w", b.model, b.serial, err) }
	d.sirm = b.sirm
	text, err := readDescription(ctx, d.control, b.manifest)
	if err != nil {
		return fail(err)
	}
	m, err := genapi.New(text, d.control)
	if err != nil {
		return fail(err)
	}
	if err := d.streaming(ctx, false); err != nil { // of somebody who crashed
		return fail(err)
	}
	info := camera.Info{
		Model: strings.TrimSpace(b.vendor + " " + b.model), Serial: b.serial, Buffers: d.options.Buffers, Latency: latency, HasTime: true,
	}
	if info.Serial == "" {
		info.Serial = "unknown"
	}
	if d.camera, err = genicam.Open(ctx, m, info, d.options.Camera); err != nil {
		return err
	}
	d.info = d.camera.Info()
	d.gate = genicam.NewGate(d.info)
	d.Gated = genicam.NewGated(d.camera, d.gate)
	d.stream = newStream(d.info.Model+" ("+d.info.Serial+")", d.options.Buffers)
	return nil
}

// streaming lets the camera send frames, or not.
func (d *Device) streaming(ctx context.Context, on bool) error {
	word := uint32(0)
	if on {
		word = 1
	}
	return writeWords(ctx, d.control, d.sirm+sirmControl, word)
}

// alive fails if transfers of an earlier run did not end.
func (d *Device) alive(what string) error {
	if d.dead.Load() {
		return d.gate.Fail(what, fmt.Errorf("its transfers did not end; open it again: %w", camera.ErrUnplugged))
	}
	return nil
}

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
	if err := d.alive("arm"); err != nil {
		return err
	}
	if err := d.arm(ctx, r); err != nil {
		// What was begun is ended, also if the caller has no time for it any more.
		tidy, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyTime)
		defer cancel()
		d.halt(tidy)
		return d.gate.Fail("arm", err)
	}
	d.gate.SetArmed(true)
	return nil
}

func (d *Device) arm(ctx context.Context, r camera.Run) error {
	if err := d.camera.Arm(ctx, r); err != nil {
		return err
	}
	p, err := d.plan(ctx)
	if err != nil {
		return err
	}
	// While it does not send, the camera learns how the frames will be fetched.
	if err := d.streaming(ctx, false); err != nil {
		return err
	}
	final := uint32(p.final)
	if err := writeWords(ctx, d.control, d.sirm+sirmMostLeader, uint32(p.leader), uint32(p.size), uint32(p.count), final, 0, uint32(p.trailer)); err != nil {
		return err
	}
	receiving, cancel := context.WithCancelCause(context.Background())
	pipe, err := d.link.Stream(receiving, p.size, p.inFlight)
	if err != nil {
		cancel(nil)
		return err
	}
	d.stream.begin(d.camera.Image(), p, r.Frames)
	over := make(chan struct{})
	go func() {
		defer close(over)
		d.stream.receive(receiving, pipe, p)
		pipe.Close()
	}()
	d.end = func() {
		cancel(errEnded)
		select {
		case <-over:
		case <-time.After(endTime):
			d.dead.Store(true) // somebody still writes to its buffers
		}
	}
	if err := d.streaming(ctx, true); err != nil {
		return err
	}
	if err := d.camera.CountFrames(ctx); err != nil {
		return err
	}
	return d.camera.Start(ctx)
}

// endTime is how long transfers that are cancelled may take to end.
const endTime = 2 * time.Second

// errEnded is why the reception ends with a run.
var errEnded = errors.New("the run has ended")

// plan asks how large a frame is, with the present settings, and cuts it into transfers.
func (d *Device) plan(ctx context.Context) (plan, error) {
	le := binary.LittleEndian
	var info, leader, trailer [4]byte
	var payload [8]byte
	for _, r := range []struct {
		at uint64
		to []byte
	}{{sirmInfo, info[:]}, {sirmPayload, payload[:]}, {sirmLeader, leader[:]}, {sirmTrailer, trailer[:]}} {
		if err := d.control.ReadAt(ctx, r.to, d.sirm+r.at); err != nil {
			return plan{}, err
		}
	}
	p, err := newPlan(le.Uint64(payload[:]), le.Uint32(leader[:]), le.Uint32(trailer[:]), le.Uint32(info[:]), d.options, d.link.PacketSize())
	if need := d.camera.Image().Bytes; err == nil && p.payload < need {
		err = fmt.Errorf("it announces frames of %d bytes, its pixels need %d: %w", p.payload, need, camera.ErrProtocol)
	}
	return p, err
}

// halt stops what was begun, in the order that cameras expect, as far as it goes.
func (d *Device) halt(ctx context.Context) error {
	stopped := errors.Join(d.camera.Stop(ctx), d.streaming(ctx, false))
	if d.end != nil {
		d.end()
		d.end = nil
	}
	d.stream.end()
	return stopped
}

// Wait implements camera.Device.
func (d *Device) Wait(ctx context.Context, dst []camera.Frame) (int, error) {
	return d.stream.wait(ctx, dst)
}

// Requeue implements camera.Device.
func (d *Device) Requeue(frames ...camera.Frame) { d.stream.requeue(frames) }

// Stop implements camera.Device.
func (d *Device) Stop(ctx context.Context) (camera.Counts, error) {
	leave, err := d.gate.Enter(ctx, "stop")
	if err != nil {
		return camera.Counts{}, err
	}
	defer leave()
	if !d.gate.Armed() {
		return d.stream.end(), nil
	}
	stopped := d.halt(ctx)
	taken, ok, err := d.camera.Counted(ctx)
	if ok {
		d.stream.taken(taken) // also what was lost behind the last frame that came
	}
	stopped = errors.Join(stopped, err)
	d.gate.SetArmed(false)
	counts := d.stream.end()
	if stopped != nil {
		return counts, d.gate.Fail("stop", stopped)
	}
	return counts, nil
}

// tidyTime is how long it is tried to stop a camera in order that something is wrong with.
const tidyTime = time.Second

// Close implements camera.Device.
func (d *Device) Close() error {
	var err error
	d.once.Do(func() {
		d.stream.close() // who waits need not any more
		d.gate.Shut(tidyTime, func(armed bool) {
			ctx, cancel := context.WithTimeout(context.Background(), tidyTime)
			defer cancel()
			if armed {
				d.halt(ctx)
			}
		})
		err = d.link.Close()
	})
	return err
}
