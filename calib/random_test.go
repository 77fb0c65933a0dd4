package calib_test

import (
	"errors"
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
