package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Limits of the simulated DMD, those of a DLPC900 board.
const (
	dmdCapacity  = 400
	dmdMaxRun    = 400
	dmdMinPeriod = 105 * time.Microsecond
)

// DMD is the bench's modulator. A run is over, on the bench's clock, when Play
// returns: light does not wait for the host.
type DMD struct {
	bench *Bench
	info  slm.Info

	mu       sync.Mutex // guards what follows
	closed   bool
	slots    []*slm.Pattern
	shown    int
	lastRun  []*slm.Pattern
	uploaded uint64
}

var _ slm.Device = (*DMD)(nil)

func newDMD(b *Bench) *DMD {
	return &DMD{
		bench: b,
		info: slm.Info{
			Model: "simulated DMD", Serial: fmt.Sprintf("sim-%s-%d", b.config.Name, b.config.Seed),
			Geometry: b.config.Chip, Capacity: dmdCapacity, MaxRun: dmdMaxRun, MinPeriod: dmdMinPeriod,
		},
		slots: make([]*slm.Pattern, dmdCapacity),
	}
}

// Info implements slm.Device.
func (d *DMD) Info() slm.Info { return d.info }

// Load implements slm.Device.
func (d *DMD) Load(ctx context.Context, slots []int, patterns []*slm.Pattern) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx, "load patterns"); err != nil {
		return err
	}
	if err := d.info.CheckLoad(slots, patterns); err != nil {
		return err
	}
	for i, slot := range slots {
		d.slots[slot] = patterns[i].Clone()
	}
	d.uploaded += uint64(len(slots))
	return nil
}

// usable says whether a call may go on; callers hold the lock.
func (d *DMD) usable(ctx context.Context, what string) error {
	if d.closed {
		return fmt.Errorf("cannot %s on %s: %w", what, d.info.Serial, slm.ErrClosed)
	}
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("cannot %s on %s: %w", what, d.info.Serial, err)
	}
	return nil
}

// Play implements slm.Device.
func (d *DMD) Play(ctx context.Context, r slm.Run) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx, "play"); err != nil {
		return err
	}
	if err := d.info.Check(r); err != nil {
		return err
	}
	period := max(r.Period, d.info.MinPeriod)
	patterns, steps := make([]*slm.Pattern, len(r.Order)), make([]step, len(r.Order))
	for k, slot := range r.Order {
		if d.slots[slot] == nil {
			return fmt.Errorf("cannot play on %s: slot %d at position %d was never loaded: %w", d.info.Serial, slot, k, slm.ErrInput)
		}
		patterns[k] = d.slots[slot]
		steps[k] = step{pattern: patterns[k], period: period}
	}
	d.shown, d.lastRun = len(patterns), patterns
	d.bench.play(steps)
	return nil
}

// Wait implements slm.Device.
func (d *DMD) Wait(ctx context.Context) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.usable(ctx, "wait"); err != nil {
		return 0, err
	}
	return d.shown, nil
}

// Stop implements slm.Device.
func (d *DMD) Stop(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.usable(ctx, "stop")
}

// Close implements slm.Device.
func (d *DMD) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return nil
}

// Shown is what the mirrors showed in the last run, in order. Tests compare it
// with what was asked.
func (d *DMD) Shown() []*slm.Pattern {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*slm.Pattern(nil), d.lastRun...)
}

// Uploaded is the number of patterns that Load has taken so far.
func (d *DMD) Uploaded() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.uploaded
}
