package calib

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/cmplx"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// Alignment is how the light of a rig lies, for the person who turns its screws. It needs no
// calibration.
type Alignment struct {
	Band       holo.Band // of the sideband, as it is seen; radius 0: none is
	SidebandDB float64   // its power over the floor

	// Turn is by how much the sideband's centre, at -(Fu, Fv), must move in the plane of
	// frequencies to lie in the nearest place that is allowed, cycles per pixel; zeros: it
	// does, or no place is.
	Turn [2]float64

	Grain      float64 // full width at half maximum of a speckle grain, pixels; 0: not known
	Rho        float64 // power of the reference over that of half-on speckle
	Visibility float64 // of the fringes, 0 to 1
	Reference  float64 // mean counts
	Signal     float64 // mean counts with half of the mirrors on
	Saturated  float64 // share of the pixels with all mirrors on

	// Since the first look, or since the calibration: the phase of the reference, and the
	// correlation of the probe's field, which both the medium and the alignment change.
	Phase, Health float64

	// Advice is what to do, the most urgent first; none: nothing.
	Advice []string
}

// arrows are the directions from 0 on, counter-clockwise, in steps of an eighth of a turn.
var arrows = []string{"→", "↗", "↑", "↖", "←", "↙", "↓", "↘"}

// Arrow is the direction of Turn, fv upwards; "" if there is none.
func (a *Alignment) Arrow() string {
	if a.Turn == [2]float64{} {
		return ""
	}
	eighths := math.Atan2(a.Turn[1], a.Turn[0]) / (math.Pi / 4)
	return arrows[(int(math.Round(eighths))+8)%8]
}

// grainWidth is the full width at half maximum of a grain behind a pupil of radius R, times R:
// that of (2 J1(x)/x)^2 with x = 2 pi R r.
const grainWidth = 0.514

// aligned judges the mean spectrum of fine random patterns, and what the levels say.
func aligned(power []float64, width, height int, l Levels) *Alignment {
	a := &Alignment{Reference: math.Max(0, l.Off-l.Black), Signal: math.Max(0, l.Half-l.Off), Saturated: l.Saturated}
	a.Rho = a.Reference / math.Max(a.Signal, 1e-9)
	band, side, err := FindCarrier(power, width, height)
	if side.PowerDB >= minSideband {
		a.Band, a.SidebandDB, a.Grain = band, side.PowerDB, grainWidth/band.R
		a.Visibility = math.Min(1, visibility(&View{Width: width, Height: height, Power: power}, band, a.Rho))
		if err != nil {
			a.Turn = turn(band, height)
		}
	}
	advise := func(ok bool, format string, args ...any) {
		if !ok {
			a.Advice = append(a.Advice, fmt.Sprintf(format, args...))
		}
	}
	advise(l.Saturated <= mostSaturated, "%.2g %% of the pixels are saturated with all mirrors on: weaken the laser, or shorten the exposure", 100*l.Saturated)
	advise(a.Signal >= leastSignal, "the mirrors change the mean by %.2g counts: there is no signal beam, or next to none; open its shutter", a.Signal)
	advise(a.Rho >= leastRho, "rho is %.2g, at least %.2g is needed: raise the reference beam, or weaken the signal", a.Rho, leastRho)
	if err != nil {
		a.Advice = append(a.Advice, err.Error())
		return a
	}
	advise(a.Visibility >= leastVisibility, "the fringes' visibility is %.2g, at least %.2g is needed: bring the arms' lengths nearer to each other, damp vibrations",
		a.Visibility, leastVisibility)
	return a
}

// leastSignal is how many counts half of the mirrors must make for rho to mean anything.
const leastSignal = 0.5

// turnSteps is how finely the nearest allowed place is searched for, along a period.
const turnSteps = 256

// turnMargin is how much farther than it must the sideband should go, as a share of the
// distances that are asked for: nobody wants to calibrate on an edge.
const turnMargin = 0.1

// turn is how far the sideband must go to the nearest place where FindCarrier takes it, with
// a margin if there is a place that has one.
func turn(b holo.Band, height int) [2]float64 {
	if by, ok := turnTo(b, height, turnMargin); ok {
		return by
	}
	by, _ := turnTo(b, height, 0)
	return by
}

func turnTo(b holo.Band, height int, margin float64) (by [2]float64, ok bool) {
	nearest := math.Inf(1)
	for i := range turnSteps {
		for j := range turnSteps/2 + 1 {
			to := holo.Band{Fu: float64(i)/turnSteps - 0.5, Fv: float64(j) / turnSteps, R: b.R}
			border := math.Abs(math.Remainder(to.Fv, 0.5)) * float64(height)
			if d := math.Hypot(to.Fu-b.Fu, to.Fv-b.Fv); d < nearest && to.CheckWithin(-margin) == nil && border >= signBins {
				nearest, by = d, [2]float64{b.Fu - to.Fu, b.Fv - to.Fv}
			}
		}
	}
	return by, !math.IsInf(nearest, 1)
}

// Aligner looks at a rig again and again. It is not safe for concurrent use.
type Aligner struct {
	rig   *rig.Rig
	black float64 // counts
	seed  uint64

	// The first look, with which later ones are compared.
	probe *holo.FFT
	band  holo.Band
	field []complex64 // of the probe then; nil: there was none
	now   []complex64
}

// NewAligner sets up the camera: the whole sensor, all bits, and an exposure that fits the
// period (0: the one that it has, shortened if need be). It finds the black level by two
// exposures with all mirrors off. Nothing of the rig need be in order but that frames come.
func NewAligner(ctx context.Context, r *rig.Rig, exposure time.Duration) (*Aligner, error) {
	info := r.Camera()
	longest := min(time.Duration(dutyCycle*float64(r.Period())), info.MaxExposure)
	if exposure == 0 {
		exposure = longest
		switch now, err := r.Configure(ctx, camera.Config{}); {
		case err == nil:
			exposure = min(now.Exposure, longest)
		case !errors.Is(err, camera.ErrInput): // that says only that it does not fit
			return nil, err
		}
	}
	a := &Aligner{rig: r}
	off := slm.NewPattern(r.SLM().Geometry)
	level := func(exposure time.Duration) (mean float64, took time.Duration, err error) {
		got, err := r.Configure(ctx, camera.Config{
			Exposure: exposure, BitDepth: info.BitDepths[len(info.BitDepths)-1], ROI: camera.ROI{Width: info.Width, Height: info.Height},
		})
		if err != nil {
			return 0, 0, err
		}
		err = r.Peek(ctx, off, func(f *camera.Frame) { mean, _ = stats(Image(f)) })
		return mean, got.Exposure, err
	}
	half, short, err := level(max(exposure/2, info.MinExposure))
	if err != nil {
		return nil, err
	}
	whole, long, err := level(exposure)
	if err != nil {
		return nil, err
	}
	if long > short {
		a.black = math.Max(0, half-(whole-half)*float64(short)/float64(long-short))
	}
	return a, nil
}

// Look shows some twenty patterns and says what is seen. Frames that cannot be proven are
// shown all the same, with what is wrong as the advice; what the devices refuse is an error.
func (a *Aligner) Look(ctx context.Context) (*View, error) {
	chip := a.rig.SLM().Geometry
	on := slm.NewPattern(chip)
	on.Fill()
	a.seed++
	patterns := []*slm.Pattern{slm.NewPattern(chip), on, FinePattern(chip, 0)}
	const known = 3
	for k := range viewFrames {
		patterns = append(patterns, FinePattern(chip, a.seed*viewFrames+uint64(k)))
	}
	l := Levels{Black: a.black}
	var v *View
	var spectrum *holo.Spectrum
	var probe holo.Image
	err := capture(ctx, a.rig, patterns, func(k int, img holo.Image) (err error) {
		switch k {
		case 0:
			l.Off, _ = stats(img)
			spectrum, err = holo.NewSpectrum(img.Width, img.Height)
			return err
		case 1:
			_, l.Saturated = stats(img)
			return nil
		case 2:
			probe = img
			probe.Pix = append([]byte(nil), img.Pix...)
			return nil
		case known:
			v = newView(img)
		}
		mean, _ := stats(img)
		l.Half += mean / viewFrames
		return spectrum.Add(img)
	})
	if err != nil {
		if ctx.Err() != nil || !refused(err) {
			return nil, err
		}
		if v = look(ctx, a.rig); v == nil {
			return nil, err
		}
		v.Alignment = &Alignment{Saturated: v.Saturated, Advice: []string{err.Error()}}
		return v, nil
	}
	v.Power = spectrum.Power()
	v.Alignment = aligned(v.Power, v.Width, v.Height, l)
	return v, a.follow(v.Alignment, probe)
}

// follow compares the probe's field with that of the first look. It begins anew when the
// carrier has moved, for another place in the spectrum is another field.
func (a *Aligner) follow(to *Alignment, img holo.Image) error {
	b := to.Band
	if b.R == 0 {
		return nil
	}
	moved := math.Hypot(b.Fu-a.band.Fu, b.Fv-a.band.Fv) * float64(min(img.Width, img.Height))
	if a.field == nil || moved > mostShift {
		probe, err := holo.NewFFT(img.Width, img.Height, b, holo.FFTOptions{})
		if err != nil {
			return nil // such a band has no field; the advice says why
		}
		a.probe, a.band, a.field = probe, b, make([]complex64, probe.Outputs())
		a.now = make([]complex64, probe.Outputs())
		if err := a.probe.Demodulate(a.field, img); err != nil {
			return err
		}
	}
	if err := a.probe.Demodulate(a.now, img); err != nil {
		return err
	}
	var product complex128
	var was, is float64
	for i, z := range a.now {
		x, y := complex128(a.field[i]), complex128(z)
		product += y * cmplx.Conj(x)
		was += real(x)*real(x) + imag(x)*imag(x)
		is += real(y)*real(y) + imag(y)*imag(y)
	}
	to.Phase, to.Health = cmplx.Phase(product), cmplx.Abs(product)/math.Sqrt(math.Max(was*is, 1e-30))
	return nil
}
