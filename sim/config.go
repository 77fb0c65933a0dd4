package sim

import (
	"fmt"
	"math"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Config describes a bench. The presets are good places to start from. What a field
// switches on is off at its zero value, unless it says otherwise.
type Config struct {
	Name string
	Seed uint64 // fixes the medium, the reference's phase and all noise

	Chip          slm.Geometry // mirrors of the DMD
	Width, Height int          // pixels of the sensor
	BitDepth      int          // 8 to 16

	// The optics.
	Carrier    [2]float64 // (fu, fv) of the reference beam, cycles per pixel
	Radius     float64    // of the pupil, cycles per pixel; one that is no disc has the disc's area
	Rho        float64    // power of the reference over that of a half-on chip's speckle
	Visibility float64    // of the fringes before the pixels average them, 0 to 1

	// The pupil and what forms the image.
	Pupil     Shape
	Aspect    float64 // width over height of the pupil; 0 means 1
	Softness  float64 // its edge falls from 1 - Softness to 1 + Softness radii, 0 to 0.5
	PixelArea bool    // pixels weaken each frequency of the sideband by itself, else all like the carrier's

	// The light on the chip and behind it.
	IlluminationWaist float64       // 1/e^2 radius of the beam on the chip, in half diagonals of it; 0: even
	OffLight          float64       // intensity of an off mirror over that of an on mirror
	RepulseDip        time.Duration // light that each re-pulse of the mirrors, one every 105 us, takes away

	// Decorrelation is the time after which fields correlate with those of the start by
	// 1/e, with half of the mirrors on; all on, the medium ages 1.5 times as fast, all
	// off half as fast. 0: it stays as it is.
	Decorrelation time.Duration

	// The reference beam.
	ReferenceWaist     float64 // 1/e^2 radius on the sensor, in half diagonals of it; 0: even
	ReferenceCurvature float64 // phase of its wavefront at the sensor's corners, radians
	ReferenceCut       float64 // share of the sensor, from the left, that a half-closed shutter keeps it from

	// The light. MeanElectrons is the mean per pixel with half of the chip on, at
	// the exposure NominalExposure and full power.
	MeanElectrons   float64
	NominalExposure time.Duration
	PhaseDrift      float64 // of the reference, radians per second of the bench's clock
	PhaseJitter     float64 // standard deviation from frame to frame, radians
	FanJitter       float64 // amplitude of the phase at FanFrequency, radians
	FanFrequency    float64 // hertz
	PowerNoise      float64 // relative standard deviation of the laser from frame to frame

	// The camera.
	ShotNoise  bool
	ReadNoise  float64 // electrons
	FullWell   float64 // electrons at the ADC's largest number
	BlackLevel float64 // counts added before rounding; what lies below 0 is clamped there
	RowNoise   float64 // electrons, the same for a whole row of a frame
	GainSpread float64 // relative standard deviation of the pixels' gain
	HotPixels  float64 // share of pixels with a dark charge of up to hotCharge full wells
	Etalon     float64 // amplitude of the fringes of the cover glass, relative

	// Readout is the time after an exposure in which triggers are ignored, and not
	// counted either. FrameDelay is by how many patterns the light of a frame is late.
	Readout    time.Duration
	FrameDelay int

	// Report and Restart are what a report on the USB and the start of a sequence take on the clock
	// of the bench's board (Bench.Board), and so on the bench's. The plain DMD takes no time.
	Report, Restart time.Duration

	// Stamp writes the position in the run and the hash of the pattern into the first 24
	// pixels of each frame (ReadStamp), for tests of who belongs to whom; regions of
	// interest must be at least 24 pixels wide then.
	Stamp bool
}

// Shape is the outline of the pupil.
type Shape uint8

const (
	Disc Shape = iota
	Square
)

// Limits of a simulated bench, by what a host can hold.
const (
	maxMirrors = 1 << 22
	maxPixels  = 1 << 24
)

// Check says whether the bench can be built. It does not say whether the bench
// is a good one: a carrier in the wrong place is what calibration must find out.
func (c Config) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot build the bench %q: %s", c.Name, fmt.Sprintf(format, args...))
	}
	switch {
	case c.Chip.Check() != nil || c.Chip.Mirrors() > maxMirrors:
		return fail("a chip of %v mirrors; 1 to %d are possible", c.Chip, maxMirrors)
	case c.Width < 16 || c.Height < 16 || c.Width > maxPixels/16 || c.Height > maxPixels/c.Width:
		return fail("a sensor of %dx%d pixels; each side must be at least 16 and the area at most %d", c.Width, c.Height, maxPixels)
	case c.BitDepth < 8 || c.BitDepth > 16:
		return fail("bit depth %d is not 8 to 16", c.BitDepth)
	case c.NominalExposure <= 0:
		return fail("nominal exposure %v is not positive", c.NominalExposure)
	case c.Pupil > Square:
		return fail("a pupil of unknown shape %d", c.Pupil)
	case c.FrameDelay < 0 || c.FrameDelay > 100:
		return fail("a frame delay of %d patterns is not 0 to 100", c.FrameDelay)
	}
	for _, q := range []struct {
		what      string
		x, lo, hi float64
	}{
		{"carrier fu (cycles per pixel)", c.Carrier[0], -0.5, 0.5},
		{"carrier fv (cycles per pixel)", c.Carrier[1], -0.5, 0.5},
		{"pupil radius (cycles per pixel)", c.Radius, 0.01, 0.4},
		{"rho", c.Rho, 1e-3, 1e6},
		{"visibility", c.Visibility, 0, 1},
		{"pupil aspect", c.aspect(), 0.25, 4},
		{"pupil softness", c.Softness, 0, 0.5},
		{"illumination waist (half diagonals)", c.IlluminationWaist, 0, 100},
		{"light of off mirrors", c.OffLight, 0, 1},
		{"dip of a re-pulse (s)", c.RepulseDip.Seconds(), 0, repulsePeriod.Seconds()},
		{"decorrelation time (s)", c.Decorrelation.Seconds(), 0, 1e9},
		{"reference waist (half diagonals)", c.ReferenceWaist, 0, 100},
		{"reference curvature (rad)", c.ReferenceCurvature, -100, 100},
		{"cut of the reference", c.ReferenceCut, 0, 1},
		{"mean electrons", c.MeanElectrons, 1e-3, 1e9},
		{"time of a report (s)", c.Report.Seconds(), 0, 1},
		{"time of a restart (s)", c.Restart.Seconds(), 0, 60},
		{"phase drift (rad/s)", c.PhaseDrift, -1e9, 1e9},
		{"phase jitter (rad)", c.PhaseJitter, 0, 100},
		{"fan jitter (rad)", c.FanJitter, 0, 100},
		{"fan frequency (Hz)", c.FanFrequency, 0, 1e6},
		{"power noise", c.PowerNoise, 0, 1},
		{"read noise (electrons)", c.ReadNoise, 0, 1e6},
		{"full well (electrons)", c.FullWell, 1, 1e9},
		{"black level (counts)", c.BlackLevel, 0, float64(int(1)<<c.BitDepth - 1)},
		{"row noise (electrons)", c.RowNoise, 0, 1e6},
		{"spread of the pixels' gain", c.GainSpread, 0, 0.2},
		{"share of hot pixels", c.HotPixels, 0, 1},
		{"amplitude of etalon fringes", c.Etalon, 0, 0.5},
		{"read-out time (s)", c.Readout.Seconds(), 0, 1},
	} {
		if !(q.x >= q.lo && q.x <= q.hi) { // written so that NaN fails
			return fail("%s is %g; %g to %g are possible", q.what, q.x, q.lo, q.hi)
		}
	}
	return nil
}

func (c Config) aspect() float64 {
	if c.Aspect == 0 {
		return 1
	}
	return c.Aspect
}

// Truth is what calibration should find, known only here.
type Truth struct {
	// Carrier is where the centroid of the pupil's power lies in the spectrum, by the
	// half-plane rule: fv > 0, or fv = 0 and fu > 0.
	Carrier [2]float64
	Radius  float64 // of the disc as large as the pupil where it lets half of the power through
	Rho     float64

	// Contrast is what is left of the cross term after the beams' visibility and
	// the pixels' response: visibility * sinc(fu) * sinc(fv).
	Contrast float64
}

func (c Config) truth() Truth {
	f := c.Carrier
	if f[1] < 0 || f[1] == 0 && f[0] < 0 {
		f[0], f[1] = -f[0], -f[1]
	}
	return Truth{
		Carrier: f, Radius: c.Radius, Rho: c.Rho,
		Contrast: c.Visibility * sinc(f[0]) * sinc(f[1]),
	}
}

// sinc is sin(pi x)/(pi x), the response of a pixel with fill factor 1.
func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}
