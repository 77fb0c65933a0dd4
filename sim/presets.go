package sim

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

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

// Hot is a good bench in a warm room beside a fan: the reference turns by pi in
// hotTurn, which is what an epoch of MNIST takes on average, and jumps from frame
// to frame.
func Hot(seed uint64) Config {
	c := Good(seed)
	c.Name = "hot"
	c.PhaseDrift, c.PhaseJitter = math.Pi/hotTurn.Seconds(), 0.3
	return c
}

const hotTurn = 12 * time.Second

// Glass is a good bench with everything that real ones have, at plausible sizes.
func Glass(seed uint64) Config {
	c := Good(seed)
	c.Name = "glass"
	c.Visibility = 0.9
	c.Aspect, c.Softness, c.PixelArea = 1.1, 0.1, true
	c.IlluminationWaist, c.OffLight, c.RepulseDip = 1.2, 1e-3, time.Microsecond
	c.Decorrelation = time.Hour
	c.ReferenceWaist, c.ReferenceCurvature = 1.5, 1
	c.PhaseDrift, c.PhaseJitter, c.FanJitter, c.FanFrequency, c.PowerNoise = 0.05, 0.02, 0.1, 120, 0.005
	c.RowNoise, c.GainSpread, c.HotPixels, c.Etalon = 3, 0.01, 2e-4, 0.02
	c.BlackLevel = 0
	c.Readout = 100 * time.Microsecond
	return c
}

// Broken is a bench that no calibration may call good: the carrier is so low that
// the sideband lies within abs(S)^2, and a tenth of the pixels is saturated.
func Broken(seed uint64) Config {
	c := Good(seed)
	c.Name = "broken"
	low := 1.5 * c.Radius / math.Hypot(c.Carrier[0], c.Carrier[1])
	c.Carrier[0], c.Carrier[1] = low*c.Carrier[0], low*c.Carrier[1]
	c.Rho, c.MeanElectrons = 2, 10000
	return c
}

// Random is a bench of any geometry that can be calibrated, drawn from the seed:
// radius 0.08 to 0.19, rho 1 to 16, and any carrier that keeps the sideband clear of
// abs(S)^2 and of its twin, across the edges of the spectrum too.
func Random(seed uint64) Config {
	c := Good(seed)
	c.Name = "random"
	draw := newStream(seed, forConfig, 0)
	c.Radius = draw.between(0.08, 0.19)
	c.Rho = math.Exp(draw.between(0, math.Log(16)))
	c.MeanElectrons = draw.between(1000, 4000)
	for {
		c.Carrier = [2]float64{draw.between(-0.5, 0.5), draw.between(0, 0.5)}
		fu, fv := c.Carrier[0], c.Carrier[1]
		twin := math.Hypot(math.Remainder(2*fu, 1), math.Remainder(2*fv, 1))
		if math.Hypot(fu, fv) >= 3*c.Radius && twin >= 2*c.Radius {
			return c
		}
	}
}

// RandomGlass is a random bench with everything that Glass has, each at a size drawn
// from the seed up to twice that of Glass, and a pupil of any shape.
func RandomGlass(seed uint64) Config {
	c, full := Random(seed), Glass(seed)
	c.Name = "random-glass"
	draw := newStream(seed, forConfig, 1)
	size := func(of float64) float64 { return draw.between(0, 2*of) }
	c.Visibility = draw.between(0.7, 1)
	c.Pupil = Shape(draw.between(0, float64(Square)+1))
	c.Aspect, c.Softness, c.PixelArea = math.Exp(draw.between(-0.2, 0.2)), size(full.Softness), true
	c.IlluminationWaist, c.OffLight = draw.between(0.7, 2), size(full.OffLight)
	c.RepulseDip = time.Duration(size(float64(full.RepulseDip)))
	c.Decorrelation = time.Duration(float64(full.Decorrelation) / draw.between(0.5, 2))
	c.ReferenceWaist, c.ReferenceCurvature = draw.between(1, 3), draw.between(-2, 2)
	c.PhaseDrift, c.PhaseJitter = draw.between(-0.1, 0.1), size(full.PhaseJitter)
	c.FanJitter, c.FanFrequency = size(full.FanJitter), draw.between(50, 400)
	c.PowerNoise, c.RowNoise = size(full.PowerNoise), size(full.RowNoise)
	c.GainSpread, c.HotPixels, c.Etalon = size(full.GainSpread), size(full.HotPixels), size(full.Etalon)
	c.BlackLevel = draw.between(0, 4)
	c.Readout = time.Duration(size(float64(full.Readout)))
	return c
}

// presets, in the order in which they are listed to people.
var presets = []struct {
	name string
	make func(seed uint64) Config
}{
	{"ideal", Ideal}, {"good", Good}, {"noisy", Noisy}, {"hot", Hot}, {"glass", Glass}, {"broken", Broken},
	{"random", Random}, {"random-glass", RandomGlass},
}

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
