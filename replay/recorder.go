package replay

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// Recorder stands between two devices and whoever uses them. What fails to be written fails
// the call that it belongs to.
type Recorder struct {
	dmd slm.Device
	cam camera.Device

	mu      sync.Mutex // guards what follows
	out     *bufio.Writer
	sum     hash.Hash
	err     error          // of the first write that failed
	numbers map[uint64]int // of patterns, by hash
	known   []*slm.Pattern // by number
	slots   map[int]int    // numbers of what was loaded
	armed   bool           // for triggers
	shown   uint64         // patterns since then, by runs that are over
	lately  uint64         // and by the last
}

// NewRecorder begins a recording. The devices must be at rest. Whoever owns w closes it
// after Close.
func NewRecorder(ctx context.Context, w io.Writer, dmd slm.Device, cam camera.Device) (*Recorder, error) {
	now, err := cam.Configure(ctx, camera.Config{})
	if err != nil {
		return nil, err
	}
	r := &Recorder{dmd: dmd, cam: cam, sum: sha256.New(), numbers: map[uint64]int{}, slots: map[int]int{}}
	r.out = bufio.NewWriterSize(io.MultiWriter(w, r.sum), 1<<20)
	d, c := dmd.Info(), cam.Info()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.WriteString(firstLine)
	r.write(record{Kind: kindSLM, SLM: &slmRecord{d.Model, d.Serial, d.Geometry.Width, d.Geometry.Height, d.Capacity, d.MaxRun, int64(d.MinPeriod)}})
	r.write(record{Kind: kindCamera, Camera: cameraOf(c)})
	r.write(record{Kind: kindSettings, Asked: &configRecord{}, Taken: configOf(now)})
	return r, r.err
}

// SLM is the recorded SLM, Camera the recorded camera.
func (r *Recorder) SLM() slm.Device { return recordedSLM{r.dmd, r} }

// Camera is the recorded camera.
func (r *Recorder) Camera() camera.Device { return recordedCamera{r.cam, r} }

// write appends a record; callers hold the lock. The payload is written in the pieces that it
// comes in.
func (r *Recorder) write(x record, payload ...[]byte) {
	if r.err != nil {
		return
	}
	for _, p := range payload {
		x.Bytes += len(p)
	}
	line, err := json.Marshal(x)
	if err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	for _, p := range payload {
		if err == nil {
			_, err = r.out.Write(p)
		}
	}
	if err != nil {
		r.err = fmt.Errorf("cannot record: %w", err)
	}
}

// Close ends the recording with a calibration's file, if there is one. The devices stay
// open.
func (r *Recorder) Close(calibration []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if calibration != nil {
		r.write(record{Kind: kindCalibration}, calibration)
	}
	if err := r.out.Flush(); r.err == nil && err != nil {
		r.err = fmt.Errorf("cannot record: %w", err)
	}
	r.write(record{Kind: kindEnd, Checksum: hex.EncodeToString(r.sum.Sum(nil))})
	if err := r.out.Flush(); r.err == nil && err != nil {
		r.err = fmt.Errorf("cannot record: %w", err)
	}
	return r.err
}

type recordedSLM struct {
	slm.Device
	r *Recorder
}

// Load implements slm.Device.
func (d recordedSLM) Load(ctx context.Context, slots []int, patterns []*slm.Pattern) error {
	if err := d.Device.Load(ctx, slots, patterns); err != nil {
		return err
	}
	r := d.r
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range patterns {
		n, ok := r.numbers[p.Hash()]
		if !ok || !r.known[n].Equal(p) {
			n = len(r.known)
			r.known, r.numbers[p.Hash()] = append(r.known, p.Clone()), n
			r.write(record{Kind: kindPattern}, appendBits(nil, p))
		}
		r.slots[slots[i]] = n
	}
	return r.err
}

// Play implements slm.Device.
func (d recordedSLM) Play(ctx context.Context, run slm.Run) error {
	r := d.r
	r.mu.Lock()
	// The record comes before the frames, which may come before Play returns.
	if r.armed {
		x := playRecord{PeriodNS: int64(max(run.Period, r.dmd.Info().MinPeriod))}
		for _, slot := range run.Order {
			n, ok := r.slots[slot]
			if !ok {
				r.mu.Unlock()
				return fmt.Errorf("cannot record: slot %d was not loaded since the recording began: %w", slot, slm.ErrInput)
			}
			x.Order = append(x.Order, n)
		}
		r.write(record{Kind: kindPlay, Play: &x})
		r.shown, r.lately = r.shown+r.lately, 0
	}
	err := r.err
	r.mu.Unlock()
	if err != nil {
		return err
	}
	return d.Device.Play(ctx, run)
}

// Wait implements slm.Device.
func (d recordedSLM) Wait(ctx context.Context) (int, error) {
	n, err := d.Device.Wait(ctx)
	if err == nil {
		d.r.mu.Lock()
		d.r.lately = uint64(n)
		d.r.mu.Unlock()
	}
	return n, err
}

type recordedCamera struct {
	camera.Device
	r *Recorder
}

// MinPeriod implements camera.Paced as the camera does, or does not.
func (c recordedCamera) MinPeriod() time.Duration {
	if p, ok := c.Device.(camera.Paced); ok {
		return p.MinPeriod()
	}
	return 0
}

// Configure implements camera.Device.
func (c recordedCamera) Configure(ctx context.Context, want camera.Config) (camera.Config, error) {
	got, err := c.Device.Configure(ctx, want)
	if err != nil {
		return got, err
	}
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	c.r.write(record{Kind: kindSettings, Asked: configOf(want), Taken: configOf(got)})
	return got, c.r.err
}

// Arm implements camera.Device.
func (c recordedCamera) Arm(ctx context.Context, run camera.Run) error {
	if err := c.Device.Arm(ctx, run); err != nil {
		return err
	}
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	if c.r.armed = !run.Free; c.r.armed { // light that runs free belongs to no pattern
		c.r.shown, c.r.lately = 0, 0
		c.r.write(record{Kind: kindArm})
	}
	return c.r.err
}

// Wait implements camera.Device.
func (c recordedCamera) Wait(ctx context.Context, dst []camera.Frame) (int, error) {
	n, err := c.Device.Wait(ctx, dst)
	c.r.mu.Lock()
	defer c.r.mu.Unlock()
	for i := range dst[:n] {
		if c.r.armed {
			c.r.frame(&dst[i])
		}
	}
	if c.r.err != nil {
		return n, errors.Join(err, c.r.err)
	}
	return n, err
}

// frame writes one, without what lies between its rows. One that does not hold together has
// no pixels.
func (r *Recorder) frame(f *camera.Frame) {
	x := frameRecord{f.Seq, f.Trigger, int64(f.DeviceTime), f.HostTime, f.Status.String(), f.Width, f.Height, f.BitDepth}
	var rows [][]byte
	if f.Check() == nil {
		for v := range f.Height {
			rows = append(rows, f.Pix[v*f.Stride:][:f.Width*camera.BytesPerPixel(f.BitDepth)])
		}
	} else {
		x.Width, x.Height, x.BitDepth = 0, 0, 0
	}
	r.write(record{Kind: kindFrame, Frame: &x}, rows...)
}

// Stop implements camera.Device.
func (c recordedCamera) Stop(ctx context.Context) (camera.Counts, error) {
	counts, err := c.Device.Stop(ctx)
	if err != nil {
		return counts, err
	}
	r := c.r
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.armed {
		r.write(record{Kind: kindCounts, Counts: &countsRecord{r.shown + r.lately, counts.Triggers, counts.Frames, counts.Delivered, counts.Lost}})
	}
	r.armed = false
	return counts, r.err
}
