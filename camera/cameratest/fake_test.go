package cameratest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// fake is a camera in memory that is triggered by a method. With a bug it is a
// driver that the suite must refuse.
type fake struct {
	bug  bug
	info camera.Info

	arrived chan struct{} // holds a token after something was put in the queue
	closed  chan struct{}

	mu          sync.Mutex // guards what follows
	armed       bool
	config      camera.Config
	run         int  // number of the last run
	limit       int  // frames of the run
	unpaced     bool // it runs free
	clock       int  // triggers since it was opened
	queue       []exposure
	counts      camera.Counts
	free        []int
	buffers     [][]byte
	refusesFree bool
	drop        int // frame of the next run, or -1
	damage      int
}

// exposure is a frame on its way.
type exposure struct {
	seq, clock int
	damaged    bool
}

// bug is what a driver got wrong, in words.
type bug string

const buffers = 4

func newFake(b bug) *fake {
	f := &fake{
		bug: b,
		info: camera.Info{
			Model: "fake", Serial: "1", Width: 22, Height: 13, BitDepths: []int{8, 12}, Buffers: buffers,
			MinExposure: 10 * time.Microsecond, MaxExposure: time.Second, HasTime: true, CountsTriggers: true,
		},
		arrived: make(chan struct{}, 1), closed: make(chan struct{}),
		config: camera.Config{Exposure: time.Millisecond, ROI: camera.ROI{Width: 22, Height: 13}, BitDepth: 8},
		drop:   -1, damage: -1,
	}
	switch b {
	case "Info promises more buffers than there are":
		f.info.Buffers++
	case "Arm refuses to run free and is armed":
		f.refusesFree = true
	}
	return f
}

// plainFake has neither clock nor counter, and does not run free.
func plainFake() *fake {
	f := newFake("")
	f.info.HasTime, f.info.CountsTriggers, f.info.BitDepths = false, false, []int{8}
	f.refusesFree = true
	return f
}

func (f *fake) Info() camera.Info {
	i := f.info
	switch f.bug {
	case "Info has no model":
		i.Model = ""
	case "Info forgets the exposures":
		i.MinExposure, i.MaxExposure = 0, 0
	case "Info changes":
		f.mu.Lock()
		defer f.mu.Unlock()
		i.Latency = time.Duration(f.run)
	}
	return i
}

// begin says whether a call may begin.
func (f *fake) begin(ctx context.Context, what bug) error {
	select {
	case <-f.closed:
		if f.bug != what+" works after Close" {
			return fmt.Errorf("cannot %s: %w", what, camera.ErrClosed)
		}
	default:
	}
	if err := ctx.Err(); err != nil && f.bug != what+" ignores its context" {
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	return nil
}

func (f *fake) Configure(ctx context.Context, c camera.Config) (camera.Config, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(ctx, "Configure"); err != nil {
		return camera.Config{}, err
	}
	if f.armed && f.bug != "Configure works during a run" {
		return camera.Config{}, camera.ErrArmed
	}
	if err := f.info.CheckConfig(c); err != nil {
		switch f.bug {
		case "Configure changes half before it refuses":
			if c.Exposure >= f.info.MinExposure && c.Exposure <= f.info.MaxExposure {
				f.config.Exposure = c.Exposure
			}
		case "Configure takes the nearest good settings":
			return f.config, nil
		}
		return camera.Config{}, err
	}
	if c.Exposure != 0 && f.bug != "Configure ignores the exposure" {
		f.config.Exposure = c.Exposure.Truncate(10 * time.Microsecond)
		if f.bug == "Configure takes another exposure each time" {
			f.config.Exposure = max(f.info.MinExposure, c.Exposure/2)
		}
	}
	if c.BitDepth != 0 {
		f.config.BitDepth = c.BitDepth
		if f.bug == "Configure resets what is not named" && c.Exposure == 0 {
			f.config.Exposure = f.info.MinExposure
		}
	}
	if r := c.ROI; r != (camera.ROI{}) {
		right := min((r.U+r.Width+3)/4*4, f.info.Width)
		r.U = r.U / 4 * 4
		r.Width = right - r.U
		if f.bug == "Configure rounds beyond the sensor" {
			r.Width = (r.Width + 3) / 4 * 4
		}
		f.config.ROI = r
		if f.bug == "Configure answers what was asked" {
			return camera.Config{Exposure: f.config.Exposure, BitDepth: f.config.BitDepth, ROI: c.ROI}, nil
		}
	}
	return f.config, nil
}

func (f *fake) Arm(ctx context.Context, r camera.Run) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bug == "Arm is armed even if it fails" && !f.armed {
		defer func() { f.armed = true }()
	}
	if err := f.begin(ctx, "Arm"); err != nil {
		return err
	}
	if f.armed && f.bug != "Arm starts again" {
		return camera.ErrArmed
	}
	if r.Frames < 1 && f.bug != "Arm takes runs of no frames" {
		return camera.ErrInput
	}
	if r.Free && f.refusesFree {
		f.armed = f.bug == "Arm refuses to run free and is armed"
		return camera.ErrInput
	}
	f.unpaced = r.Free && f.bug != "Arm does not run free" || f.unpaced && f.bug == "Arm stays free"
	f.armed, f.limit = true, r.Frames
	f.run++
	if f.bug != "Arm keeps the counters" && f.bug != "Arm counts triggers of before" {
		f.counts = camera.Counts{}
	}
	if f.bug != "Arm keeps the frames" && f.bug != "Arm counts triggers of before" {
		f.queue = nil
	}
	size := f.config.ROI.Width * f.config.ROI.Height * camera.BytesPerPixel(f.config.BitDepth)
	if len(f.buffers) == 0 || len(f.buffers[0]) != size && f.bug != "Arm keeps buffers that are too small" {
		f.buffers = make([][]byte, buffers)
		for i := range f.buffers {
			f.buffers[i] = make([]byte, size)
		}
	}
	if f.bug == "Arm forgets buffers that were held" && f.free != nil {
		return nil
	}
	f.free = f.free[:0]
	for i := range f.buffers {
		f.free = append(f.free, i)
	}
	return nil
}

// trigger is the hardware's side.
func (f *fake) trigger(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for range n {
		f.clock++
		if !f.armed && f.bug != "Arm counts triggers of before" {
			continue
		}
		if f.info.CountsTriggers && (!f.unpaced || f.bug == "Stop counts triggers of a free run") {
			f.counts.Triggers++
		}
		if f.armed && f.counts.Frames >= uint64(f.limit) {
			continue
		}
		x := exposure{seq: int(f.counts.Frames), clock: f.clock, damaged: int(f.counts.Frames) == f.damage}
		f.counts.Frames++
		if x.seq == f.drop {
			if f.counts.Lost++; f.bug == "Wait renumbers after a loss" {
				f.counts.Frames, f.counts.Lost = f.counts.Frames-1, 0
				f.drop = -1
			}
			continue
		}
		f.queue = append(f.queue, x)
	}
	f.signal()
}

// fault makes a frame of the next run go wrong.
func (f *fake) fault(drop, damage int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.drop, f.damage = drop, damage
}

func (f *fake) signal() {
	select {
	case f.arrived <- struct{}{}:
	default:
	}
}

func (f *fake) Wait(ctx context.Context, dst []camera.Frame) (int, error) {
	for {
		n, err := f.take(dst)
		if n > 0 || err != nil {
			return n, err
		}
		ended := ctx.Done()
		if f.bug == "Wait ignores its context" {
			ended = nil
		}
		closed := f.closed
		if f.bug == "Close leaves Wait pending" || f.bug == "Wait works after Close" {
			closed = nil
		}
		var pace, early <-chan time.Time
		if f.runsFree() {
			pace = time.After(time.Millisecond)
		}
		if f.bug == "Wait returns without a frame" || f.bug == "Wait has a limit of its own" {
			early = time.After(time.Millisecond)
		}
		select {
		case <-f.arrived:
		case <-pace:
			f.trigger(1)
		case <-closed:
			if f.bug == "Close looks like a timeout" {
				return 0, camera.ErrTimeout
			}
			return 0, fmt.Errorf("cannot wait: %w", camera.ErrClosed)
		case <-early:
			if f.bug == "Wait returns without a frame" {
				return 0, nil
			}
			return 0, fmt.Errorf("cannot wait: %w: %w", camera.ErrTimeout, context.DeadlineExceeded)
		case <-ended:
			switch f.bug {
			case "Wait hides the context's error":
				return 0, camera.ErrTimeout
			case "Wait says nothing of a timeout":
				return 0, ctx.Err()
			case "Wait drops the next frame after a timeout":
				f.mu.Lock()
				f.limit--
				f.counts.Frames++
				f.mu.Unlock()
			}
			return 0, fmt.Errorf("cannot wait: %w: %w", camera.ErrTimeout, ctx.Err())
		}
	}
}

func (f *fake) runsFree() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.armed && f.unpaced
}

// take fills dst with what is there.
func (f *fake) take(dst []camera.Frame) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(context.Background(), "Wait"); err != nil {
		return 0, err
	}
	switch {
	case !f.armed && f.bug == "Wait waits for a run":
		return 0, nil
	case !f.armed:
		return 0, camera.ErrNotArmed
	case len(dst) == 0 && f.bug == "Wait waits without room":
		return 0, nil
	case len(dst) == 0:
		return 0, camera.ErrInput
	case len(f.free) == 0 && f.bug == "Wait waits for buffers":
		return 0, nil
	case len(f.free) == 0:
		return 0, camera.ErrNoBuffers
	}
	if f.bug == "Wait fills more than its room" {
		dst = dst[:cap(dst)]
	}
	if f.bug == "Wait skips damaged frames" {
		f.queue = slices.DeleteFunc(f.queue, func(x exposure) bool { return x.damaged })
	}
	n := min(len(dst), len(f.free), len(f.queue))
	for i := range n {
		dst[i] = f.expose(f.queue[i])
	}
	if f.bug == "Wait hands out the newest first" {
		slices.Reverse(dst[:n])
	}
	f.queue = f.queue[n:]
	f.counts.Delivered += uint64(n)
	return n, nil
}

// expose makes a frame.
func (f *fake) expose(x exposure) camera.Frame {
	index := f.free[0]
	switch f.bug {
	case "Wait hands out one buffer only":
		index = 0
	case "Wait takes back what it lent":
		if len(f.free) == 1 {
			f.free = append(f.free, (index+1)%buffers)
		}
	}
	f.free = f.free[1:]
	roi, bpp := f.config.ROI, camera.BytesPerPixel(f.config.BitDepth)
	r := camera.Frame{
		Pix: f.buffers[index], Width: roi.Width, Height: roi.Height, Stride: roi.Width * bpp, BitDepth: f.config.BitDepth,
		Seq: uint64(x.seq), Trigger: uint64(x.seq), HostTime: time.Now(), Buffer: f.run*buffers + index,
	}
	if f.info.HasTime {
		r.DeviceTime = time.Duration(x.clock) * time.Millisecond
	}
	if x.damaged {
		r.Status = camera.Damaged
	}
	shift := 0
	switch f.bug {
	case "Wait numbers from 1":
		r.Seq++
	case "Wait gives no trigger":
		r.Trigger = 0
	case "Wait gives no device time":
		r.DeviceTime = 0
	case "Wait gives no host time":
		r.HostTime = time.Time{}
	case "Wait gives the sensor's geometry":
		r.Width, r.Height = f.info.Width, f.info.Height
	case "Wait left-justifies":
		shift = 16 - f.config.BitDepth
	case "Wait calls every frame good":
		r.Status = camera.OK
	case "Wait calls a good frame damaged":
		if x.seq == 7 {
			r.Status = camera.Damaged
		}
	}
	for v := range roi.Height {
		for u := range roi.Width {
			value := (x.seq*37 + u + 3*v) % (1 << f.config.BitDepth)
			i := v*roi.Width*bpp + u*bpp
			if bpp == 2 {
				value = (value * 16 % 4096) << shift
				if i+1 < len(r.Pix) {
					r.Pix[i+1] = byte(value >> 8)
				}
			}
			if i < len(r.Pix) {
				r.Pix[i] = byte(value)
			}
		}
	}
	return r
}

func (f *fake) Requeue(frames ...camera.Frame) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range frames {
		index := r.Buffer % buffers
		stale := r.Buffer/buffers != f.run
		switch {
		case f.bug == "Requeue forgets the last of several" && len(frames) > 1 && r.Seq == frames[len(frames)-1].Seq:
		case stale && f.bug == "Requeue takes stale frames", !stale && !slices.Contains(f.free, index):
			f.free = append(f.free, index)
		}
	}
}

func (f *fake) Stop(ctx context.Context) (camera.Counts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.begin(ctx, "Stop"); err != nil {
		return camera.Counts{}, err
	}
	if !f.armed {
		switch f.bug {
		case "Stop needs a run":
			return camera.Counts{}, camera.ErrNotArmed
		case "Stop counts once":
			return camera.Counts{}, nil
		}
		return f.counts, nil
	}
	f.armed = f.bug == "Stop does not stop"
	switch f.bug {
	case "Stop hides losses":
	case "Stop pretends that all was delivered":
		f.counts.Delivered += uint64(len(f.queue))
	case "Stop counts a frame twice":
		f.counts.Delivered++
		f.counts.Frames++
	default:
		f.counts.Lost += uint64(len(f.queue))
	}
	if f.bug != "Arm keeps the frames" {
		f.queue = nil
	}
	f.drop, f.damage = -1, -1
	return f.counts, nil
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
		if f.bug == "Close works once" {
			return camera.ErrClosed
		}
		return nil
	default:
	}
	close(f.closed)
	return nil
}
