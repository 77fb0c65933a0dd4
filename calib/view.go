package calib

import (
	"context"

	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// View is what a rig looks like now, seen with a calibration's settings.
type View struct {
	Width, Height   int
	Frame           []float64 // one exposure of a random half-on pattern, counts, row-major
	Power           []float64 // mean spectrum of several (holo.Spectrum)
	Mean, Saturated float64   // of the frame: counts, share of pixels
	Drift           Drift     // of the probe
}

// viewFrames is enough for a spectrum that people recognise.
const viewFrames = 16

// View takes frames with the settings of the calibration.
func (c *Calibration) View(ctx context.Context, r *rig.Rig, seed uint64) (*View, error) {
	if err := c.apply(ctx, r); err != nil {
		return nil, err
	}
	s := c.Settings
	spectrum, err := holo.NewSpectrum(s.ROI.Width, s.ROI.Height)
	if err != nil {
		return nil, err
	}
	demodulator, err := c.Demodulator(len(c.Probe.Field))
	if err != nil {
		return nil, err
	}
	patterns := []*slm.Pattern{c.ProbePattern()}
	for k := range viewFrames {
		patterns = append(patterns, FinePattern(c.Layout.Chip, seed+uint64(k)))
	}
	v := &View{Width: s.ROI.Width, Height: s.ROI.Height, Frame: make([]float64, s.ROI.Width*s.ROI.Height)}
	err = capture(ctx, r, patterns, func(k int, img holo.Image) error {
		switch k {
		case 0:
			field := make([]complex64, len(c.Probe.Field))
			if err := demodulator.Demodulate(field, img); err != nil {
				return err
			}
			v.Drift = c.Drift(field)
			return nil
		case 1:
			v.Mean, v.Saturated = stats(img)
			for i := range v.Frame {
				v.Frame[i] = pixel(img, i%img.Width, i/img.Width)
			}
		}
		return spectrum.Add(img)
	})
	v.Power = spectrum.Power()
	return v, err
}
