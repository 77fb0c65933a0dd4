package calib_test

import (
	"errors"
	"math"
	"os"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// spectrumOf is the mean spectrum of n fine random patterns on a bench.
func spectrumOf(t *testing.T, c sim.Config, n int) (*holo.Spectrum, sim.Truth) {
	t.Helper()
	r, bench := table(t, c)
	// Short enough for the longest read-out.
	if _, err := r.Configure(t.Context(), camera.Config{Exposure: c.NominalExposure * 3 / 4}); err != nil {
		t.Fatal(err)
	}
	patterns, images := make([]*slm.Pattern, n), make([]holo.Image, n)
	for k := range patterns {
		patterns[k] = calib.FinePattern(c.Chip, 1000*c.Seed+uint64(k))
	}
	err := r.Show(t.Context(), patterns, func(k int, f *camera.Frame) error {
		images[k] = calib.Image(f)
		images[k].Pix = append([]byte(nil), f.Pix...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	spectrum, err := holo.NewSpectrum(c.Width, c.Height)
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range images {
		if err := spectrum.Add(img); err != nil {
			t.Fatal(err)
		}
	}
	return spectrum, bench.Truth()
}

// The carrier of benches drawn at random, with plain discs and with everything that
// glass does. Set OPU_LONG for 50 and 25 of them.
func TestCarrierOfRandomBenches(t *testing.T) {
	for _, x := range []struct {
		make        func(uint64) sim.Config
		short, long uint64
		bins        float64 // that nearly all must reach, and the share of them
		share       float64
		good        float64 // share that must be accepted
	}{
		{sim.Random, 6, 50, 0.3, 0.96, 0.9},
		{sim.RandomGlass, 4, 25, 1, 0.96, 0.8},
	} {
		seeds := x.short
		if os.Getenv("OPU_LONG") != "" {
			seeds = x.long
		}
		near, good := 0, 0
		for seed := uint64(1); seed <= seeds; seed++ {
			c := x.make(seed)
			spectrum, truth := spectrumOf(t, c, 64)
			band, _, err := calib.FindCarrier(spectrum.Power(), c.Width, c.Height)
			bins := 256 * math.Hypot(math.Remainder(band.Fu-truth.Carrier[0], 1), math.Remainder(band.Fv-truth.Carrier[1], 1))
			t.Logf("%s %d: %.2f bins off, radius %.4f of %.4f, %v", c.Name, seed, bins, band.R, truth.Radius, err)
			if bins < x.bins {
				near++
			}
			if err == nil {
				good++
				if bins > 1 {
					t.Errorf("%s %d: accepted, and the carrier is %.2f bins off", c.Name, seed, bins)
				}
			}
		}
		if n := float64(seeds); float64(near) < x.share*n || float64(good) < x.good*n {
			t.Errorf("%s: of %d benches %d are within %g bins and %d accepted", x.make(1).Name, seeds, near, x.bins, good)
		}
	}
}

// A carrier on the border of the half-plane is refused: the next calibration might
// take its negative.
func TestSignOfTheCarrier(t *testing.T) {
	for _, fv := range []float64{0.001, 0.4995} {
		c := sim.Good(1)
		c.Carrier = [2]float64{0.34, fv}
		c.Radius = 0.11
		spectrum, _ := spectrumOf(t, c, 16)
		if _, _, err := calib.FindCarrier(spectrum.Power(), c.Width, c.Height); !errors.Is(err, calib.ErrSign) || !errors.Is(err, calib.ErrNoCarrier) {
			t.Errorf("fv = %g: %v, want %v", fv, err, calib.ErrSign)
		}
	}
}
