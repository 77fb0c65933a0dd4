package replay

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// maxBuffers bounds the frames of a replay that may be with the caller.
const maxBuffers = 1 << 12

// Replay is a recording that is played: an SLM and a camera that sees it. A run is over
// when Play returns.
type Replay struct {
	name string
	file interface {
		io.ReaderAt
		io.Closer
	}
	recording
	numbers map[uint64]int // of patterns, by hash
	dmd     *SLM
	cam     *Camera

	mu   sync.Mutex // guards what follows
	next map[key]int
	open int // devices
}

func newReplay(name string, file interface {
	io.ReaderAt
	io.Closer
}, r *recording) *Replay {
	p := &Replay{name: name, file: file, recording: *r, numbers: map[uint64]int{}, next: map[key]int{}, open: 2}
	for n, pattern := range r.patterns {
		p.numbers[pattern.Hash()] = n
	}
	p.dmd = &SLM{replay: p, slots: make(map[int]*slm.Pattern)}
	p.cam = &Camera{replay: p, arrived: make(chan struct{}, 1)}
	if len(r.settings) > 0 {
		p.cam.config = r.settings[0].taken
	}
	return p
}

// SLM is the replayed SLM.
func (r *Replay) SLM() *SLM { return r.dmd }

// Camera is the replayed camera.
func (r *Replay) Camera() *Camera { return r.cam }

// Summary says how much there is.
func (r *Replay) Summary() Summary { return r.counts }

// Period is that of the first run; 0: there is none.
func (r *Replay) Period() time.Duration { return r.period }

// Calibration is the calibration's file that was recorded; nil: none.
func (r *Replay) Calibration() []byte { return r.calibration }

// Close closes both devices and the file.
func (r *Replay) Close() error {
	if err := r.dmd.Close(); err != nil {
		return err
	}
	return r.cam.Close()
}

// closed counts the devices that are closed; the last closes the file.
func (r *Replay) closed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open--; r.open == 0 {
		return r.file.Close()
	}
	return nil
}

// find is the next frame of a pattern.
func (r *Replay) find(p *slm.Pattern, c camera.Config, at int) (stored, error) {
	n, ok := r.numbers[p.Hash()]
	if !ok || !r.patterns[n].Equal(p) {
		return stored{}, fmt.Errorf("cannot replay the pattern at position %d of the run: it is not one of the %d of %s; ask for what was recorded, with the same seed and options: %w: %w",
			at, len(r.patterns), r.name, ErrNotRecorded, slm.ErrInput)
	}
	k := key{n, c}
	frames := r.frames[k]
	if len(frames) == 0 {
		return stored{}, fmt.Errorf("cannot replay the pattern at position %d of the run: %s has no good frame of it with an exposure of %v, %v and %d bits: %w: %w",
			at, r.name, c.Exposure, c.ROI, c.BitDepth, ErrNotRecorded, slm.ErrInput)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := frames[r.next[k]%len(frames)]
	r.next[k]++
	return s, nil
}

// SLM plays patterns that were recorded.
type SLM struct {
	replay *Replay

	mu     sync.Mutex // guards what follows
	done   bool
	slots  map[int]*slm.Pattern
	shown  int
	lately []*slm.Pattern
}

var _ slm.Device = (*SLM)(nil)

// Info implements slm.Device: that of the device that was recorded.
func (d *SLM) Info() slm.Info { return d.replay.slm }

func (d *SLM) usable(ctx context.Context, what string) error {
	if d.done {
		return fmt.Errorf("cannot %s on the replay %s: %w", what, d.replay.name, slm.ErrClosed)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("cannot %s on the replay %s: %w", what, d.replay.name, err)
	}
	return nil
}

// Load implements slm.Device. Any pattern may be loaded.
func (d *SLM) Load(ctx context.Context, slots []int, patterns []*slm.Pattern) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx, "load patterns"); err != nil {
		return err
	}
	if err := d.Info().CheckLoad(slots, patterns); err != nil {
		return err
	}
	for i, slot := range slots {
		d.slots[slot] = patterns[i].Clone()
	}
	return nil
}

// Play implements slm.Device. Patterns that the camera waits for and that were not recorded
// are ErrNotRecorded.
func (d *SLM) Play(ctx context.Context, r slm.Run) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx, "play"); err != nil {
		return err
	}
	if err := d.Info().Check(r); err != nil {
		return err
	}
	order := make([]*slm.Pattern, len(r.Order))
	for k, slot := range r.Order {
		if order[k] = d.slots[slot]; order[k] == nil {
			return fmt.Errorf("cannot play on the replay %s: slot %d at position %d was never loaded: %w", d.replay.name, slot, k, slm.ErrInput)
		}
	}
	if err := d.replay.cam.see(order, max(r.Period, d.Info().MinPeriod)); err != nil {
		return err
	}
	d.shown, d.lately = len(order), order
	return nil
}

// Wait implements slm.Device.
func (d *SLM) Wait(ctx context.Context) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shown, d.usable(ctx, "wait")
}

// Stop implements slm.Device.
func (d *SLM) Stop(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.usable(ctx, "stop")
}

// Close implements slm.Device.
func (d *SLM) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done {
		return nil
	}
	d.done = true
	return d.replay.closed()
}

// Shown is what was shown in the last run, for tests.
func (d *SLM) Shown() []*slm.Pattern {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.lately)
}

// Camera gives the frames that were recorded.
type Camera struct {
	replay  *Replay
	arrived chan struct{} // holds a token after something was put in the queue, or the camera closed

	mu      sync.Mutex // guards what follows
	done    bool
	armed   bool
	config  camera.Config
	run     int // number of the run: buffers of earlier ones are ignored
	limit   int
	clock   time.Duration
	queue   []due
	counts  camera.Counts
	free    []int
	buffers [][]byte
}

// due is a frame that comes next.
type due struct {
	stored
	seq  uint64
	time time.Duration
}

var _ camera.Device = (*Camera)(nil)

// Info implements camera.Device: that of the camera that was recorded.
func (c *Camera) Info() camera.Info { return c.replay.camera }

func (c *Camera) usable(ctx context.Context, what string) error {
	if c.done {
		return fmt.Errorf("cannot %s the camera of the replay %s: %w", what, c.replay.name, camera.ErrClosed)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("cannot %s the camera of the replay %s: %w", what, c.replay.name, err)
	}
	return nil
}

// Configure implements camera.Device. It answers what the camera answered, and takes any
// settings that were taken; others are ErrNotRecorded.
func (c *Camera) Configure(ctx context.Context, want camera.Config) (camera.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(ctx, "configure"); err != nil {
		return camera.Config{}, err
	}
	if c.armed {
		return camera.Config{}, fmt.Errorf("cannot configure the camera of the replay %s: %w", c.replay.name, camera.ErrArmed)
	}
	if err := c.Info().CheckConfig(want); err != nil {
		return camera.Config{}, err
	}
	merged := c.config
	if want.Exposure != 0 {
		merged.Exposure = want.Exposure
	}
	if want.ROI != (camera.ROI{}) {
		merged.ROI = want.ROI
	}
	if want.BitDepth != 0 {
		merged.BitDepth = want.BitDepth
	}
	if merged == c.config { // nothing is asked for that it has not
		return c.config, nil
	}
	for _, s := range c.replay.settings {
		if s.before == c.config && s.asked == want || s.taken == merged {
			c.config = s.taken
			return c.config, nil
		}
	}
	return camera.Config{}, fmt.Errorf("cannot configure the camera of the replay %s: an exposure of %v, %v and %d bits were never set; ask for what was recorded: %w: %w",
		c.replay.name, merged.Exposure, merged.ROI, merged.BitDepth, ErrNotRecorded, camera.ErrInput)
}

// Arm implements camera.Device. A replay has no light of its own, and does not run free.
func (c *Camera) Arm(ctx context.Context, r camera.Run) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(ctx, "arm"); err != nil {
		return err
	}
	switch {
	case c.armed:
		return fmt.Errorf("cannot arm the camera of the replay %s: %w", c.replay.name, camera.ErrArmed)
	case r.Frames < 1:
		return fmt.Errorf("cannot arm the camera of the replay %s for %d frames, at least one is needed: %w", c.replay.name, r.Frames, camera.ErrInput)
	case r.Free:
		return fmt.Errorf("cannot let the camera of the replay %s run free: a recording has no light but that of its patterns: %w", c.replay.name, camera.ErrInput)
	}
	c.armed, c.limit, c.counts, c.queue = true, r.Frames, camera.Counts{}, c.queue[:0]
	c.run++
	if c.buffers == nil {
		c.buffers = make([][]byte, c.Info().Buffers)
	}
	c.free = c.free[:0]
	for i := range c.buffers {
		c.free = append(c.free, i)
	}
	return nil
}

// see takes the frames of a run. Nothing is taken if one is missing.
func (c *Camera) see(order []*slm.Pattern, period time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := c.clock
	c.clock += time.Duration(len(order)) * period
	if !c.armed || c.done {
		return nil
	}
	taken := make([]due, 0, len(order))
	for k, p := range order {
		if c.counts.Frames+uint64(k) >= uint64(c.limit) {
			break // what comes behind is counted, and ignored
		}
		s, err := c.replay.find(p, c.config, k)
		if err != nil {
			return err
		}
		taken = append(taken, due{s, c.counts.Frames + uint64(k), began + time.Duration(k)*period})
	}
	c.counts.Frames += uint64(len(taken))
	if c.Info().CountsTriggers {
		c.counts.Triggers += uint64(len(order))
	}
	c.queue = append(c.queue, taken...)
	c.signal()
	return nil
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
		n, err := c.take(dst)
		if n > 0 || err != nil {
			return n, err
		}
		select {
		case <-c.arrived:
		case <-ctx.Done():
			return 0, fmt.Errorf("cannot get a frame from the replay %s: %w: %w", c.replay.name, camera.ErrTimeout, context.Cause(ctx))
		}
	}
}

// take fills dst with what is there.
func (c *Camera) take(dst []camera.Frame) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fail := func(why error) (int, error) {
		return 0, fmt.Errorf("cannot get a frame from the replay %s: %w", c.replay.name, why)
	}
	switch {
	case c.done:
		return fail(camera.ErrClosed)
	case !c.armed:
		return fail(camera.ErrNotArmed)
	case len(dst) == 0:
		return fail(camera.ErrInput)
	case len(c.free) == 0:
		return fail(camera.ErrNoBuffers)
	}
	for n < len(dst) && len(c.free) > 0 && len(c.queue) > 0 {
		d, index := c.queue[0], c.free[len(c.free)-1]
		if len(c.buffers[index]) != d.size { // as large as what is in the file, whatever it says of itself
			c.buffers[index] = make([]byte, d.size)
		}
		pix := c.buffers[index]
		if _, err := c.replay.file.ReadAt(pix, d.at); err != nil {
			if n > 0 {
				break // the next call says it
			}
			return fail(err)
		}
		c.queue, c.free = c.queue[1:], c.free[:len(c.free)-1]
		dst[n] = camera.Frame{
			Pix: pix, Width: c.config.ROI.Width, Height: c.config.ROI.Height, Stride: len(pix) / c.config.ROI.Height, BitDepth: c.config.BitDepth,
			Seq: d.seq, Trigger: d.seq, HostTime: time.Now(), Buffer: c.run*len(c.buffers) + index,
		}
		if c.Info().HasTime {
			dst[n].DeviceTime = d.time
		}
		n++
	}
	c.counts.Delivered += uint64(n)
	return n, nil
}

// Requeue implements camera.Device.
func (c *Camera) Requeue(frames ...camera.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range frames {
		if n := len(c.buffers); n > 0 && f.Buffer/n == c.run && !slices.Contains(c.free, f.Buffer%n) {
			c.free = append(c.free, f.Buffer%n)
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
	if c.done {
		return nil
	}
	c.done, c.armed = true, false
	c.signal()
	return c.replay.closed()
}
