package sim

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Bench is the optical table. DMD and Camera are its two devices; the rest is
// light.
type Bench struct {
	config    Config
	truth     Truth
	medium    *medium
	reference []complex64 // Rf at each pixel, without the phase of the moment

	dmd    *DMD
	camera *Camera

	mu        sync.Mutex // guards what follows; no device's lock is taken under it but the camera's
	faults    func(Exposure) Fault
	blocked   Blocked
	clock     time.Duration // of the bench: advances with each pattern
	exposures uint64
	runs      uint64
}

// New builds a bench. It takes some milliseconds; columns of the medium are made
// when light first needs them.
func New(c Config) (*Bench, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	b := &Bench{config: c, truth: c.truth(), medium: newMedium(c)}
	b.reference = referenceBeam(c)
	b.dmd = newDMD(b)
	b.camera = newCamera(b)
	return b, nil
}

// referenceBeam is a plane wave of power rho at the carrier, with a phase from
// the seed.
func referenceBeam(c Config) []complex64 {
	random := newStream(c.Seed, forReference, 0)
	phase := 2 * math.Pi * random.uniform()
	amplitude := math.Sqrt(c.Rho)
	beam := make([]complex64, c.Width*c.Height)
	for v := range c.Height {
		for u := range c.Width {
			sin, cos := math.Sincos(2*math.Pi*(c.Carrier[0]*float64(u)+c.Carrier[1]*float64(v)) + phase)
			beam[v*c.Width+u] = complex64(complex(amplitude*cos, amplitude*sin))
		}
	}
	return beam
}

// Config is what the bench was built from.
func (b *Bench) Config() Config { return b.config }

// DMD is the bench's modulator.
func (b *Bench) DMD() *DMD { return b.dmd }

// Camera is the bench's camera.
func (b *Bench) Camera() *Camera { return b.camera }

// Truth is what calibration should find. Only tests and reports may look.
func (b *Bench) Truth() Truth { return b.truth }

// Field is the true speckle field S of a pattern on the whole sensor, row-major,
// in units where a half-on chip has mean power 1. Only tests and reports may look;
// the slice must not be written.
func (b *Bench) Field(p *slm.Pattern) []complex64 { return b.medium.field(p) }

// Blocked says which beams a shutter holds back.
type Blocked struct{ Reference, Signal bool }

// Block moves the bench's two shutters. Frames exposed from now on lack the
// blocked beams.
func (b *Bench) Block(_ context.Context, reference, signal bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.blocked = Blocked{reference, signal}
	return nil
}

// exposure is one frame that the camera is about to take: everything that
// decides its pixels, and who it says it is.
type exposure struct {
	pattern  *slm.Pattern
	position int    // in the run
	index    uint64 // key of its noise
	blocked  Blocked
	time     time.Duration // start, on the bench's clock
	fault    Fault
}

// play shows an order of patterns and triggers the camera for each. The bench's
// clock advances; the host's does not.
func (b *Bench) play(patterns []*slm.Pattern, period time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := make([]exposure, 0, len(patterns))
	for k, pattern := range patterns {
		x := exposure{pattern: pattern, position: k, index: b.exposures, blocked: b.blocked, time: b.clock}
		if b.faults != nil {
			x.fault = b.faults(Exposure{Index: b.exposures, Run: b.runs, Position: k, Of: len(patterns)})
		}
		b.exposures++
		b.clock += period
		switch x.fault.Kind {
		case LoseTrigger:
			continue
		case StalePattern:
			x.pattern = patterns[max(0, k-1)]
		}
		taken = append(taken, x)
		if x.fault.Kind == ExtraTrigger {
			x.fault, x.index, x.time = Fault{}, b.exposures, x.time+period/2
			b.exposures++
			taken = append(taken, x)
		}
	}
	b.runs++
	b.camera.expose(taken)
}
