package calib

import (
	"context"
	"math"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// View is what a rig looks like, for people.
type View struct {
	Width, Height   int
	BitDepth        int
	Frame           []float64 // one exposure of a random half-on pattern, counts, row-major
	Power           []float64 // mean spectrum of several (holo.Spectrum); nil: not taken
	Mean, Saturated float64   // of the frame: counts, share of pixels
	Drift           Drift     // of the probe, if there is a calibration

	Alignment *Alignment // nil: not looked for
}

// newView is the view of one frame.
func newView(img holo.Image) *View {
	v := &View{Width: img.Width, Height: img.Height, BitDepth: img.BitDepth, Frame: make([]float64, img.Width*img.Height)}
	v.Mean, v.Saturated = stats(img)
	for i := range v.Frame {
		v.Frame[i] = pixel(img, i%img.Width, i/img.Width)
	}
	return v
}

// look takes a frame from a rig that cannot prove its frames, or nil.
func look(ctx context.Context, r *rig.Rig) (v *View) {
	r.Peek(ctx, FinePattern(r.SLM().Geometry, 0), func(f *camera.Frame) { v = newView(Image(f)) })
	return v
}

// visibility is that of the fringes behind a spectrum of fine random patterns, by the
// power of their sideband. Their fields have a part in common, so that the light seems
// to have two thirds of its rho (Recording.Learn).
func visibility(v *View, b holo.Band, rho float64) float64 {
	seen := 1.5 * newPlane(v.Power, v.Width, v.Height).light(b).rho
	return math.Sqrt(seen / rho)
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
	on := slm.NewPattern(c.Layout.Chip)
	on.Fill()
	patterns := []*slm.Pattern{c.ProbePattern(), slm.NewPattern(c.Layout.Chip), on}
	for k := range viewFrames {
		patterns = append(patterns, FinePattern(c.Layout.Chip, seed+uint64(k)))
	}
	var v *View
	var drift Drift
	l := Levels{Black: c.Levels.Black}
	err = capture(ctx, r, patterns, func(k int, img holo.Image) error {
		switch k {
		case 0:
			field := make([]complex64, len(c.Probe.Field))
			if err := demodulator.Demodulate(field, img); err != nil {
				return err
			}
			drift = c.Drift(field)
			return nil
		case 1:
			l.Off, _ = stats(img)
			return nil
		case 2:
			_, l.Saturated = stats(img)
			return nil
		case 3:
			v = newView(img)
		}
		mean, _ := stats(img)
		l.Half += mean / viewFrames
		return spectrum.Add(img)
	})
	if err != nil {
		return nil, err
	}
	v.Power, v.Drift = spectrum.Power(), drift
	v.Alignment = aligned(v.Power, v.Width, v.Height, l)
	v.Alignment.Phase, v.Alignment.Health = drift.Phase(), drift.Health
	return v, nil
}
