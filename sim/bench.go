package sim

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
)

// Bench is the optical table. A modulator and Camera are its two devices; the rest
// is light. The modulator is there twice, before the same mirrors: as DMD, and as
// Board, which takes the bytes that a driver sends to a real one. Use one of them.
type Bench struct {
	config    Config
	claim     Config // what the bench says of itself: config, unless it pretends
	contrast  float32
	medium    *medium
	aged      *medium     // what the medium turns into; nil if it stays
	reference []complex64 // Rf at each pixel, without the phase of the moment
	sensor    sensor

	dmd    *DMD
	board  *controller.Board
	camera *Camera

	boardTime time.Duration // on the board's clock: its mirrors were seen until then; guarded by the board's lock

	mu        sync.Mutex // guards what follows; no device's lock is taken under it but the camera's
	faults    func(Exposure) Fault
	power     float64 // of the laser, over that of the configuration
	blocked   Blocked
	shift     float64       // of the reference's phase, by a phase shifter; radians
	clock     time.Duration // of the bench: advances with each pattern
	age       time.Duration // of the medium
	exposures uint64
	runs      uint64
	shown     *slm.Pattern // what the mirrors show now
	wiring    Wiring
}

// New builds a bench. It takes some milliseconds; columns of the medium are made
// when light first needs them.
func New(c Config) (*Bench, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	b := &Bench{config: c, claim: c, power: 1, contrast: float32(c.truth().Contrast), medium: newMedium(c, c.Seed), sensor: newSensor(c)}
	if c.Decorrelation > 0 {
		b.aged = newMedium(c, streamKey(c.Seed, forAgedMedium, 0))
	}
	b.reference = referenceBeam(c)
	b.shown = slm.NewPattern(c.Chip)
	b.dmd = newDMD(b)
	b.camera = newCamera(b)
	var err error
	if b.board, err = newBoard(b); err != nil {
		return nil, err
	}
	return b, nil
}

// referenceBeam is a wave of mean power rho at the carrier, with a phase from the
// seed: plane and even, or curved and Gaussian.
func referenceBeam(c Config) []complex64 {
	random := newStream(c.Seed, forReference, 0)
	phase := 2 * math.Pi * random.uniform()
	half := math.Hypot(float64(c.Width), float64(c.Height)) / 2
	beam := make([]complex64, c.Width*c.Height)
	amplitude := func(r float64) float64 { // on the axis: the square root of rho
		if c.ReferenceWaist == 0 {
			return 1
		}
		return gaussian(r, c.ReferenceWaist)
	}
	distance := func(u, v int) float64 {
		return math.Hypot(float64(u)-float64(c.Width-1)/2, float64(v)-float64(c.Height-1)/2) / half
	}
	peak := math.Sqrt(c.Rho)
	if c.ReferenceWaist != 0 { // mean power is rho over the whole sensor
		mean := 0.0
		for i := range beam {
			mean += math.Pow(amplitude(distance(i%c.Width, i/c.Width)), 2) / float64(len(beam))
		}
		peak /= math.Sqrt(mean)
	}
	cut := int(math.Round(c.ReferenceCut * float64(c.Width)))
	for v := range c.Height {
		for u := cut; u < c.Width; u++ {
			r := distance(u, v)
			sin, cos := math.Sincos(2*math.Pi*(c.Carrier[0]*float64(u)+c.Carrier[1]*float64(v)) + phase + c.ReferenceCurvature*r*r)
			a := peak * amplitude(r)
			beam[v*c.Width+u] = complex64(complex(a*cos, a*sin))
		}
	}
	return beam
}

// Config is what the bench was built from.
func (b *Bench) Config() Config { return b.claim }

// DMD is the bench's modulator.
func (b *Bench) DMD() *DMD { return b.dmd }

// Camera is the bench's camera.
func (b *Bench) Camera() *Camera { return b.camera }

// Truth is what calibration should find. Only tests and reports may look.
func (b *Bench) Truth() Truth { return b.claim.truth() }

// Pretend makes Config and Truth say what is not so, from now on; the light stays as it
// is. Tests call it before anyone looks, to show that nobody learns by asking.
func (b *Bench) Pretend(change func(*Config)) { change(&b.claim) }

// Field is the true speckle field S of a pattern on the whole sensor, row-major,
// in units where a half-on chip has mean power 1, through the medium of the start. Only tests and reports may look;
// the slice must not be written.
func (b *Bench) Field(p *slm.Pattern) []complex64 { return b.medium.field(p) }

// SetPower changes the laser's power, for frames exposed from now on: 1 is that of the
// configuration, 0 is off.
func (b *Bench) SetPower(power float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.power = power
}

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

// ShiftReference moves the phase of the reference beam, for frames exposed from now on, to
// this many radians from that of the configuration: what a phase shifter does.
func (b *Bench) ShiftReference(radians float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.shift = radians
}

// exposure is one frame that the camera is about to take: everything that
// decides its pixels, and who it says it is.
type exposure struct {
	pattern  *slm.Pattern
	position int    // in the run
	index    uint64 // key of its noise
	blocked  Blocked
	power    float64       // of the laser
	shift    float64       // of the reference's phase, radians
	memory   float64       // correlation of the medium with that of the start
	time     time.Duration // start, on the bench's clock
	fault    Fault

	before, after mixed         // what it sees of the neighbours
	pulse         time.Duration // first edge of the pattern's pulse, from time
	inverted      bool          // the pulse falls first
	period        time.Duration // of the pattern
}

// step is what the mirrors do for a time.
type step struct {
	pattern *slm.Pattern
	period  time.Duration
	silent  bool // the camera is not triggered

	pulse    time.Duration // first edge of the camera's pulse, after the mirrors are set
	inverted bool          // it falls first
}

// play shows the steps of a run and triggers the camera for each that is not silent.
// The bench's clock advances; the host's does not.
func (b *Bench) play(steps []step) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := make([]*slm.Pattern, 0, len(steps)) // the light that each position gives
	for _, s := range steps {
		if !s.silent {
			seen = append(seen, s.pattern)
		}
	}
	patterns := slices.Clone(seen)
	taken := make([]exposure, 0, len(patterns))
	k := -1
	for _, s := range steps {
		x := b.moment()
		x.pulse, x.inverted, x.period = s.pulse, s.inverted, s.period
		x.before.pattern = b.shown
		b.advance(s.pattern, s.period)
		if s.silent {
			continue
		}
		k++
		x.position = k
		if b.faults != nil {
			x.fault = b.faults(Exposure{Index: b.exposures, Run: b.runs, Position: k, Of: len(patterns)})
		}
		b.exposures++
		switch x.fault.Kind {
		case LoseTrigger:
			continue
		case StalePattern:
			seen[k] = patterns[max(0, k-1)]
		case SwapPatterns:
			if k+1 < len(seen) {
				seen[k], seen[k+1] = seen[k+1], seen[k]
			}
		case StrayPattern:
			seen[k] = x.fault.Pattern
		}
		x.pattern = seen[max(0, k-b.config.FrameDelay)]
		taken = append(taken, x)
		if x.fault.Kind == ExtraTrigger {
			x.fault, x.index, x.time = Fault{}, b.exposures, x.time+s.period/2
			b.exposures++
			taken = append(taken, x)
		}
	}
	for i := range taken {
		taken[i].after.pattern = b.shown // the last stays
		if k := taken[i].position + 1; k < len(seen) {
			taken[i].after.pattern = seen[k]
		}
	}
	b.runs++
	b.camera.expose(b.wiring, taken)
}

// moment is an exposure of now, without its pattern; callers hold the lock.
func (b *Bench) moment() exposure {
	return exposure{index: b.exposures, blocked: b.blocked, power: b.power, shift: b.shift, memory: b.memory(), time: b.clock}
}

// look gives a camera that runs free the frames that it has taken since it was asked last:
// of the light of now, for nobody looked before. The bench's clock advances with them.
func (b *Bench) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
	first, n, pace := b.camera.due(time.Now())
	taken := make([]exposure, 0, min(n, cameraBuffers))
	for k := range n {
		x := b.moment()
		x.pattern, x.position = b.shown, first+k
		if b.faults != nil {
			x.fault = b.faults(Exposure{Index: b.exposures, Run: b.runs, Position: first + k})
		}
		taken = append(taken, x)
		b.exposures++
		b.advance(b.shown, pace)
	}
	b.camera.takeFree(taken)
}

// advance lets a pattern's time pass; callers hold the lock.
func (b *Bench) advance(p *slm.Pattern, period time.Duration) {
	b.shown = p
	b.clock += period
	if b.aged != nil {
		duty := float64(p.Count()) / float64(p.Geometry().Mirrors())
		b.age += time.Duration((0.5 + duty) * float64(period))
	}
}

// memory is the correlation of the medium with that of the start; callers hold the
// lock.
func (b *Bench) memory() float64 {
	if b.aged == nil {
		return 1
	}
	return math.Exp(-b.age.Seconds() / b.config.Decorrelation.Seconds())
}

// Correlation is the true correlation of the medium now with that of the start.
// Only tests and reports may ask.
func (b *Bench) Correlation() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.memory()
}

// Wait lets time pass with all mirrors off, as if nobody used the bench.
func (b *Bench) Wait(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(slm.NewPattern(b.config.Chip), d)
}
