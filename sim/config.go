package sim

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Config describes a bench. The presets are good places to start from.
type Config struct {
	Name string
	Seed uint64 // fixes the medium, the reference's phase and all noise

	Chip          slm.Geometry // mirrors of the DMD
	Width, Height int          // pixels of the sensor
	BitDepth      int          // 8 to 16

	// The optics.
	Carrier    [2]float64 // (fu, fv) of the reference beam, cycles per pixel
	Radius     float64    // of the pupil's disc, cycles per pixel
	Rho        float64    // power of the reference over that of a half-on chip's speckle
	Visibility float64    // of the fringes before the pixels average them, 0 to 1

	// The light. MeanElectrons is the mean per pixel with half of the chip on, at
	// the exposure NominalExposure and full power.
	MeanElectrons   float64
	NominalExposure time.Duration
	PhaseDrift      float64 // of the reference, radians per second of the bench's clock
	PhaseJitter     float64 // standard deviation from frame to frame, radians
	PowerNoise      float64 // relative standard deviation of the laser from frame to frame

	// The camera.
	ShotNoise  bool
	ReadNoise  float64 // electrons
	FullWell   float64 // electrons at the ADC's largest number
	BlackLevel float64 // counts added before rounding

	// Stamp writes the position in the run and the hash of the pattern into the first 24
	// pixels of each frame (ReadStamp), for tests of who belongs to whom; regions of
	// interest must be at least 24 pixels wide then.
	Stamp bool
}

// Ideal is a bench without noise and with a 16-bit camera that never saturates.
func Ideal(seed uint64) Config {
	c := Good(seed)
	c.Name = "ideal"
	c.ShotNoise, c.ReadNoise = false, 0
	c.BitDepth, c.MeanElectrons, c.FullWell = 16, 5000, 60000
	return c
}

// Good is a bench with about 30 dB of signal to noise for half-on patterns.
func Good(seed uint64) Config {
	return Config{
		Name: "good", Seed: seed,
		Chip:  slm.Geometry{Width: 96, Height: 64},
		Width: 256, Height: 256, BitDepth: 8,
		// The reference names (0.32, 0.31), which is 2.97 R: a little inside the
		// |S|^2 disc. This one is 3.09 R and still 0.02 clear of the Nyquist edge.
		Carrier: [2]float64{0.33, 0.325}, Radius: 0.15, Rho: 4, Visibility: 1,
		MeanElectrons: 2000, NominalExposure: 600 * time.Microsecond,
		ShotNoise: true, ReadNoise: 10, FullWell: 20000, BlackLevel: 4,
	}
}

// Noisy is a bench that is short of light: about 10 dB.
func Noisy(seed uint64) Config {
	c := Good(seed)
	c.Name, c.MeanElectrons = "noisy", 120
	return c
}

// presets, in the order in which they are listed to people.
var presets = []struct {
	name string
	make func(seed uint64) Config
}{{"ideal", Ideal}, {"good", Good}, {"noisy", Noisy}}

// Presets lists the names that Preset takes.
func Presets() []string {
	names := make([]string, len(presets))
	for i, p := range presets {
		names[i] = p.name
	}
	return names
}

// Preset returns the configuration of a named bench.
func Preset(name string, seed uint64) (Config, error) {
	for _, p := range presets {
		if p.name == name {
			return p.make(seed), nil
		}
	}
	return Config{}, fmt.Errorf("cannot simulate a bench %q: the presets are %s", name, strings.Join(Presets(), ", "))
}

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
	finite := func(x, lo, hi float64) bool { return x >= lo && x <= hi } // false for NaN
	switch {
	case c.Chip.Check() != nil || c.Chip.Mirrors() > maxMirrors:
		return fail("a chip of %v mirrors; 1 to %d are possible", c.Chip, maxMirrors)
	case c.Width < 16 || c.Height < 16 || c.Width > maxPixels/16 || c.Height > maxPixels/c.Width:
		return fail("a sensor of %dx%d pixels; each side must be at least 16 and the area at most %d", c.Width, c.Height, maxPixels)
	case c.BitDepth < 8 || c.BitDepth > 16:
		return fail("bit depth %d is not 8 to 16", c.BitDepth)
	case !finite(c.Carrier[0], -0.5, 0.5) || !finite(c.Carrier[1], -0.5, 0.5):
		return fail("carrier (%g, %g) lies outside -0.5 to 0.5 cycles per pixel", c.Carrier[0], c.Carrier[1])
	case !finite(c.Radius, 0.01, 0.4):
		return fail("pupil radius %g is not 0.01 to 0.4 cycles per pixel", c.Radius)
	case !finite(c.Rho, 1e-3, 1e6):
		return fail("rho %g is not 0.001 to 1e6", c.Rho)
	case !finite(c.Visibility, 0, 1):
		return fail("visibility %g is not 0 to 1", c.Visibility)
	case !finite(c.MeanElectrons, 1e-3, 1e9) || !finite(c.FullWell, 1, 1e9) || !finite(c.ReadNoise, 0, 1e6):
		return fail("mean %g, full well %g and read noise %g electrons must be positive numbers", c.MeanElectrons, c.FullWell, c.ReadNoise)
	case c.NominalExposure <= 0:
		return fail("nominal exposure %v is not positive", c.NominalExposure)
	case !finite(c.BlackLevel, 0, float64(int(1)<<c.BitDepth-1)):
		return fail("black level %g lies outside the %d-bit range", c.BlackLevel, c.BitDepth)
	case !finite(c.PhaseDrift, -1e9, 1e9) || !finite(c.PhaseJitter, 0, 100) || !finite(c.PowerNoise, 0, 1):
		return fail("phase drift %g rad/s, phase jitter %g rad or power noise %g is out of range", c.PhaseDrift, c.PhaseJitter, c.PowerNoise)
	}
	return nil
}

// Truth is what calibration should find, known only here.
type Truth struct {
	Carrier [2]float64 // by the half-plane rule: fv > 0, or fv = 0 and fu > 0
	Radius  float64
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
