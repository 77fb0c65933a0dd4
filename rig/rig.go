package rig

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// The conditions that callers act on.
var (
	// ErrUnproven: the frames could not be matched to the patterns, again and again.
	ErrUnproven = errors.New("frames do not match the patterns")
	// ErrWrongPattern: what a Sink returns for a frame of another pattern.
	ErrWrongPattern = errors.New("the frame shows another pattern")
	// ErrNoShutter: the rig cannot hold back a beam.
	ErrNoShutter = errors.New("the rig has no shutter")
	// ErrNoContrast: all-on and all-off look the same to the camera.
	ErrNoContrast = errors.New("the camera does not see the mirrors")
)

// Config is how a rig runs. The zero value is a good start.
type Config struct {
	// Period is the time from pattern to pattern. 0 means 1/1.5 kHz, the rate of
	// the paper, or the shortest period of the SLM or of the camera, as it is set up
	// when the rig is wired, if that is longer.
	Period time.Duration

	// Tries is how often an exposure is attempted before Show gives up; 0 means 5.
	Tries int

	// Shutter, where the rig has one, can hold back a beam.
	Shutter Shutter

	// Grace is how much later than the camera's own latency a frame may come before
	// it counts as lost; 0 means 200 ms, which covers a busy host.
	Grace time.Duration
}

const (
	defaultPeriod = time.Second / 1500
	defaultTries  = 5
	defaultGrace  = 200 * time.Millisecond
)

// Rig is an SLM and the camera that its light falls on. Its methods may be called
// from any goroutine; they wait for each other.
type Rig struct {
	dmd     slm.Device
	cam     camera.Device
	config  Config
	off, on *slm.Pattern // of the markers

	mu       sync.Mutex    // held during a run; guards what follows
	exposure time.Duration // of the camera, not longer than the period; 0: not known
	slots    *dictionary
	markers  *markers // nil until learnt with the present settings

	// Room for one call of Wait, so that receiving allocates nothing.
	frames    []camera.Frame
	fresh     []*camera.Frame
	positions []int
	errs      []error

	statsMu sync.Mutex
	stats   Stats // guarded by statsMu, so that it can be read during a run
}

// New wires an SLM to a camera. Neither is touched yet.
func New(dmd slm.Device, cam camera.Device, c Config) (*Rig, error) {
	info := dmd.Info()
	if c.Period == 0 {
		c.Period = max(defaultPeriod, info.MinPeriod)
		if p, ok := cam.(camera.Paced); ok {
			c.Period = max(c.Period, p.MinPeriod())
		}
	}
	if c.Period < info.MinPeriod {
		return nil, fmt.Errorf("cannot run %s at a period of %v: its shortest is %v; lower the rate", info.Model, c.Period, info.MinPeriod)
	}
	if info.Capacity < 3 || info.MaxRun < minRun {
		return nil, fmt.Errorf("cannot use %s (%s): it keeps %d patterns and plays %d in a run; a rig needs 3 and %d",
			info.Model, info.Serial, info.Capacity, info.MaxRun, minRun)
	}
	if c.Tries == 0 {
		c.Tries = defaultTries
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	buffers := max(1, cam.Info().Buffers)
	r := &Rig{
		dmd: dmd, cam: cam, config: c,
		off: slm.NewPattern(info.Geometry), on: slm.NewPattern(info.Geometry),
		slots:  newDictionary(info),
		frames: make([]camera.Frame, buffers), fresh: make([]*camera.Frame, buffers),
		positions: make([]int, buffers), errs: make([]error, buffers),
	}
	r.on.Fill()
	return r, nil
}

// SLM describes the rig's modulator.
func (r *Rig) SLM() slm.Info { return r.dmd.Info() }

// Camera describes the rig's camera.
func (r *Rig) Camera() camera.Info { return r.cam.Info() }

// Period is the time from pattern to pattern.
func (r *Rig) Period() time.Duration { return r.config.Period }

// Configure sets up the camera and returns what it took. An exposure longer than
// the pattern period is refused, since a frame would then see two patterns.
func (r *Rig) Configure(ctx context.Context, c camera.Config) (camera.Config, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Exposure > r.config.Period {
		return camera.Config{}, fmt.Errorf("cannot expose for %v: the patterns change every %v; shorten the exposure or lower the rate: %w",
			c.Exposure, r.config.Period, camera.ErrInput)
	}
	got, err := r.cam.Configure(ctx, c)
	if err != nil {
		return camera.Config{}, err
	}
	r.markers = nil // another exposure or region has other levels
	return got, r.take(got.Exposure)
}

// take remembers the camera's exposure: one that it rounded, or had before, may be too long.
func (r *Rig) take(exposure time.Duration) error {
	if r.exposure = 0; exposure > r.config.Period {
		return fmt.Errorf("cannot go on with an exposure of %v: the patterns change every %v; shorten the exposure or lower the rate: %w",
			exposure, r.config.Period, camera.ErrInput)
	}
	r.exposure = exposure
	return nil
}

// Shutter can hold back the reference beam, the signal beam, or both.
type Shutter interface {
	// Block returns when the beams are as asked.
	Block(ctx context.Context, reference, signal bool) error
}

// Block holds back beams until it is called again. Without a shutter it fails
// with ErrNoShutter.
func (r *Rig) Block(ctx context.Context, reference, signal bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.config.Shutter == nil {
		return fmt.Errorf("cannot block a beam of %s: %w", r.cam.Info().Model, ErrNoShutter)
	}
	r.markers = nil // other light, other levels
	return r.config.Shutter.Block(ctx, reference, signal)
}

// Stats counts what a rig did. All numbers only grow.
type Stats struct {
	Runs      uint64 `json:"runs"`
	Exposures uint64 `json:"exposures"` // patterns shown for a caller, repeats included
	Markers   uint64 `json:"markers"`   // patterns shown to prove the order
	Frames    uint64 `json:"frames"`    // received, whatever their status
	Uploads   uint64 `json:"uploads"`   // patterns sent to the SLM

	Lost       uint64 `json:"lost"`       // frames taken or expected, and never received
	Damaged    uint64 `json:"damaged"`    // frames with a bad status
	Duplicates uint64 `json:"duplicates"` // frames received a second time
	Wrong      uint64 `json:"wrong"`      // frames that a sink found to be another pattern's
	Repeated   uint64 `json:"repeated"`   // exposures shown again for any reason
	Unproven   uint64 `json:"unproven"`   // runs discarded since counts, clock or markers disagreed
}

// Stats returns the counters. It does not wait for a run.
func (r *Rig) Stats() Stats {
	r.statsMu.Lock()
	defer r.statsMu.Unlock()
	return r.stats
}

func (r *Rig) count(f func(*Stats)) {
	r.statsMu.Lock()
	f(&r.stats)
	r.statsMu.Unlock()
}

// Tap puts something between the rig and its devices, such as a recorder, before anything is
// shown. What it returns must describe the same devices.
func (r *Rig) Tap(wrap func(slm.Device, camera.Device) (slm.Device, camera.Device)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dmd, r.cam = wrap(r.dmd, r.cam)
}

// Close closes both devices. It may be called more than once.
func (r *Rig) Close() error {
	return errors.Join(r.dmd.Close(), r.cam.Close())
}
