package sim

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/parallel"
)

// Limits of the simulated camera.
const (
	cameraBuffers     = 16
	cameraMinExposure = time.Microsecond
	cameraMaxExposure = time.Second
	cameraLatency     = 20 * time.Millisecond
	roiStep           = 4 // pixels: regions of interest are rounded, as cameras do

	// freePace is the time from frame to frame of a camera that runs free, if its exposure
	// and read-out take no longer: what a program shows to people.
	freePace = 10 * time.Millisecond
)

// Camera is the bench's camera. It keeps what the light of each trigger was and
// renders the pixels when they are waited for, in parallel, so that nothing is
// lost because the host is slow; loss comes from the fault hook. Running free it takes a
// frame every 10 ms of the host's time, and those that nobody waits for are lost.
type Camera struct {
	bench *Bench
	info  camera.Info

	arrived chan struct{} // holds a token after something was put in the queue, or the camera closed

	mu      sync.Mutex // guards what follows
	closed  bool
	armed   bool
	config  camera.Config
	run     int       // number of the armed run: buffers of earlier ones are ignored
	limit   int       // frames of the run
	began   time.Time // of a run without triggers; zero: it is a run with
	trigger camera.Trigger
	missed  int // triggers of the run that Wiring.Missed took
	queue   []arrival
	counts  camera.Counts
	free    []int // indices of buffers
	buffers []buffer
}

// buffer is what one frame is rendered into.
type buffer struct {
	pix   []byte
	level []float32   // one row, before the ADC
	other []float32   // the same, of a neighbour's light
	mixed []complex64 // one row of the field
}

// arrival is a frame on its way to the host.
type arrival struct {
	exposure exposure
	seq      uint64
	due      time.Time // zero: it is there
}

var _ camera.Device = (*Camera)(nil)

func newCamera(b *Bench) *Camera {
	c := b.config
	return &Camera{
		bench: b,
		info: camera.Info{
			Model: "simulated camera", Serial: fmt.Sprintf("sim-%s-%d", c.Name, c.Seed),
			Width: c.Width, Height: c.Height, BitDepths: []int{c.BitDepth}, Buffers: cameraBuffers,
			MinExposure: cameraMinExposure, MaxExposure: cameraMaxExposure,
			Latency: cameraLatency, HasTime: true, CountsTriggers: true,
		},
		config: camera.Config{
			Exposure: c.NominalExposure, BitDepth: c.BitDepth,
			ROI: camera.ROI{Width: c.Width, Height: c.Height},
		},
		trigger: camera.Trigger{Line: triggerLines[0]},
		arrived: make(chan struct{}, 1),
	}
}

// Info implements camera.Device.
func (c *Camera) Info() camera.Info { return c.info }

// usable says whether a call may go on; callers hold the lock.
func (c *Camera) usable(ctx context.Context, what string) error {
	if c.closed {
		return fmt.Errorf("cannot %s camera %s: %w", what, c.info.Serial, camera.ErrClosed)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("cannot %s camera %s: %w", what, c.info.Serial, err)
	}
	return nil
}

// Configure implements camera.Device. Exposures are kept to the microsecond and
// regions of interest grow to multiples of four pixels.
func (c *Camera) Configure(ctx context.Context, want camera.Config) (camera.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(ctx, "configure"); err != nil {
		return camera.Config{}, err
	}
	if c.armed {
		return camera.Config{}, fmt.Errorf("cannot configure camera %s: %w", c.info.Serial, camera.ErrArmed)
	}
	if err := c.info.CheckConfig(want); err != nil {
		return camera.Config{}, err
	}
	if want.Exposure != 0 {
		c.config.Exposure = want.Exposure.Round(time.Microsecond)
	}
	if want.BitDepth != 0 {
		c.config.BitDepth = want.BitDepth
	}
	if r := want.ROI; r != (camera.ROI{}) {
		right, bottom := roundUp(r.U+r.Width, c.info.Width), roundUp(r.V+r.Height, c.info.Height)
		r.U, r.V = r.U/roiStep*roiStep, r.V/roiStep*roiStep
		r.Width, r.Height = right-r.U, bottom-r.V
		c.config.ROI = r
	}
	return c.config, nil
}

func roundUp(x, limit int) int { return min((x+roiStep-1)/roiStep*roiStep, limit) }

// Arm implements camera.Device.
func (c *Camera) Arm(ctx context.Context, r camera.Run) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(ctx, "arm"); err != nil {
		return err
	}
	if c.armed {
		return fmt.Errorf("cannot arm camera %s: %w", c.info.Serial, camera.ErrArmed)
	}
	if r.Frames < 1 {
		return fmt.Errorf("cannot arm camera %s for %d frames, at least one is needed: %w", c.info.Serial, r.Frames, camera.ErrInput)
	}
	c.armed, c.limit, c.counts, c.queue = true, r.Frames, camera.Counts{}, c.queue[:0]
	c.run++
	c.missed = 0
	if c.began = (time.Time{}); r.Free {
		c.began = time.Now()
	}
	size := c.config.ROI.Width * c.config.ROI.Height * camera.BytesPerPixel(c.config.BitDepth)
	if len(c.buffers) == 0 || len(c.buffers[0].pix) != size {
		c.buffers = make([]buffer, cameraBuffers)
		for i := range c.buffers {
			c.buffers[i] = buffer{make([]byte, size), make([]float32, c.config.ROI.Width), make([]float32, c.config.ROI.Width), make([]complex64, c.config.ROI.Width)}
		}
	}
	c.free = c.free[:0]
	for i := range c.buffers {
		c.free = append(c.free, i)
	}
	return nil
}

// expose takes the frames of a run of the DMD; called by the bench.
func (c *Camera) expose(w Wiring, taken []exposure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || c.closed || !c.began.IsZero() {
		return
	}
	var late, ready time.Duration
	for _, x := range c.triggered(w, taken) {
		if x.time < ready {
			continue // still reading out
		}
		if c.bench.config.Readout > 0 {
			ready = x.time + c.config.Exposure + c.bench.config.Readout
		}
		c.counts.Triggers++
		if c.counts.Frames == uint64(c.limit) {
			continue // the run is complete: further triggers are counted and ignored
		}
		a := arrival{exposure: x, seq: c.counts.Frames}
		c.counts.Frames++
		switch x.fault.Kind {
		case DropFrame:
			c.counts.Lost++
			continue
		case DelayFrame:
			late += x.fault.Delay
		}
		if late > 0 {
			a.due = time.Now().Add(late)
		}
		c.queue = append(c.queue, a)
		if x.fault.Kind == DuplicateFrame {
			c.queue = append(c.queue, a)
		}
	}
	c.signal()
}

// pace is the time from frame to frame of a free run; callers hold the lock.
func (c *Camera) pace() time.Duration {
	return max(freePace, c.config.Exposure+c.bench.config.Readout)
}

// due says which frames of a free run have been taken by now, and were not asked for yet:
// n of them from first on.
func (c *Camera) due(now time.Time) (first, n int, pace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.armed || c.began.IsZero() {
		return 0, 0, 0
	}
	first = int(c.counts.Frames)
	return first, min(int(now.Sub(c.began)/c.pace()), c.limit) - first, c.pace()
}

// takeFree takes the frames of a free run; called by the bench. There is room for as many
// as there are buffers.
func (c *Camera) takeFree(taken []exposure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range taken {
		c.counts.Frames++
		if x.fault.Kind == DropFrame || len(c.queue) == cameraBuffers {
			c.counts.Lost++
			continue
		}
		c.queue = append(c.queue, arrival{exposure: x, seq: uint64(x.position)})
	}
}

func (c *Camera) signal() {
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

// Wait implements camera.Device.
func (c *Camera) Wait(ctx context.Context, dst []camera.Frame) (int, error) {
	for {
		c.bench.look()
		taken, buffers, run, wait, err := c.take(len(dst))
		if err != nil {
			return 0, err
		}
		if len(taken) > 0 {
			parallel.Do(len(taken), func(i int) { dst[i] = c.render(taken[i], buffers[i], run) })
			return len(taken), nil
		}
		var due <-chan time.Time
		if wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			due = timer.C
		}
		select {
		case <-c.arrived:
		case <-due:
		case <-ctx.Done():
			return 0, fmt.Errorf("cannot get a frame from camera %s: %w: %w", c.info.Serial, camera.ErrTimeout, context.Cause(ctx))
		}
	}
}

// take removes up to n frames that have arrived from the queue and finds buffers
// for them. If there are none it says how long until the next is due, or 0 if none
// is on its way.
func (c *Camera) take(n int) (taken []arrival, buffers []int, run int, wait time.Duration, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		err = fmt.Errorf("cannot get a frame from camera %s: %w", c.info.Serial, camera.ErrClosed)
	case !c.armed:
		err = fmt.Errorf("cannot get a frame from camera %s: %w", c.info.Serial, camera.ErrNotArmed)
	case n == 0:
		err = fmt.Errorf("cannot get a frame from camera %s: no room for one: %w", c.info.Serial, camera.ErrInput)
	case len(c.free) == 0:
		err = fmt.Errorf("cannot get a frame from camera %s: %w", c.info.Serial, camera.ErrNoBuffers)
	}
	if err != nil {
		return nil, nil, 0, 0, err
	}
	n = min(n, len(c.free), len(c.queue))
	now := time.Now()
	for i := range n {
		if wait = c.queue[i].due.Sub(now); wait > 0 && !c.queue[i].due.IsZero() {
			n = i
			break
		}
		wait = 0
	}
	if frames := c.counts.Frames; n == 0 && !c.began.IsZero() && frames < uint64(c.limit) {
		wait = max(1, c.began.Add(time.Duration(frames+1)*c.pace()).Sub(now))
	}
	taken = slices.Clone(c.queue[:n])
	c.queue = c.queue[n:]
	buffers = slices.Clone(c.free[len(c.free)-n:])
	c.free = c.free[:len(c.free)-n]
	c.counts.Delivered += uint64(n)
	return taken, buffers, c.run, wait, nil
}

// render makes the pixels of a frame.
func (c *Camera) render(a arrival, index, run int) camera.Frame {
	bpp := camera.BytesPerPixel(c.config.BitDepth)
	f := camera.Frame{
		Pix: c.buffers[index].pix, Width: c.config.ROI.Width, Height: c.config.ROI.Height,
		Stride: c.config.ROI.Width * bpp, BitDepth: c.config.BitDepth,
		Seq: a.seq, Trigger: a.seq, DeviceTime: a.exposure.time, HostTime: time.Now(),
		Buffer: run*cameraBuffers + index,
	}
	c.bench.render(&f, c.buffers[index], c.config, a.exposure)
	if a.exposure.fault.Kind == DamageFrame {
		f.Status = camera.Damaged
		clear(f.Pix[len(f.Pix)/2:])
	}
	if c.bench.config.Stamp && f.Width >= positionStamp+patternStamp {
		stamp(&f, a.exposure.position, a.exposure.pattern.Hash())
	}
	return f
}

// Requeue implements camera.Device.
func (c *Camera) Requeue(frames ...camera.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range frames {
		buffer := f.Buffer % cameraBuffers
		if f.Buffer/cameraBuffers == c.run && !slices.Contains(c.free, buffer) {
			c.free = append(c.free, buffer)
		}
	}
}

// Stop implements camera.Device.
func (c *Camera) Stop(ctx context.Context) (camera.Counts, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(ctx, "stop"); err != nil {
		return camera.Counts{}, err
	}
	if c.armed {
		c.armed = false
		c.counts.Lost += uint64(len(c.queue))
		c.queue = c.queue[:0]
		c.signal() // whoever waits learns that there is no run
	}
	return c.counts, nil
}

// Close implements camera.Device.
func (c *Camera) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed, c.armed = true, false
	c.signal()
	return nil
}
