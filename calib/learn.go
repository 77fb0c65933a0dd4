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

// Options say what to calibrate for. Only Layout is required, and of it only Kind
// and Features: the chip is the rig's.
type Options struct {
	Layout  slm.LayoutSpec
	Outputs int    // complex; 0 means as many as the sensor gives
	Seed    uint64 // of the patterns that are shown

	// Anchor is the share of the chip's rows that is always on, so that every frame
	// tells its phase and power, 0 to 0.5. Tags reserves rows for a tag by which frames
	// prove themselves where there are too many features to be known by heart.
	Anchor float64
	Tags   bool

	// Taps and Stride are the kernel's size and the distance of outputs, in pixels;
	// 0 means 8 and 4.
	Taps, Stride int

	// Progress, if set, is called when a stage begins.
	Progress func(stage string)
}

// Stages of Learn, in order, as Progress names them.
var Stages = []string{"exposure", "carrier", "kernel", "noise and scale", "witness"}

// How much is shown at each stage. 64 independent speckles put the carrier within
// 0.2 DFT bins (reference, section 6a); the rest is averaged until its own error
// is far below the noise of one exposure.
const (
	carrierFrames = 64
	quietFrames   = 16 // of each pattern that is shown repeatedly
)

// The exposure that is aimed at (reference, section 4): a quarter of the camera's
// range on average, and hardly a saturated pixel even with all mirrors on.
const (
	targetLevel  = 0.25
	maxSaturated = 0.0005
	dutyCycle    = 0.95 // of the period that may be exposed: the mirrors need time to settle
)

// Learn calibrates a rig. It shows about three hundred patterns and leaves the
// camera set up as the calibration says. It blocks until done or ctx ends. A rig whose
// light or wiring is not fit is a *Failure, which says what to turn; other errors are
// the devices', the context's, or about the options (slm.ErrInput).
func Learn(ctx context.Context, r *rig.Rig, o Options) (*Calibration, error) {
	if o.Taps == 0 {
		o.Taps = 8
	}
	if o.Stride == 0 {
		o.Stride = 4
	}
	spec := o.Layout
	spec.Chip = r.SLM().Geometry
	reserved, err := o.reserve(spec.Chip)
	if err != nil {
		return nil, err
	}
	spec.Mask = reserved.free(spec.Chip, spec.Mask)
	layout, err := slm.NewLayout(spec)
	if err != nil {
		return nil, err
	}
	l := &learner{rig: r, options: o, layout: layout, reserved: reserved, cal: &Calibration{
		Created: time.Now().UTC().Truncate(time.Second),
		SLM:     Device{r.SLM().Model, r.SLM().Serial},
		Camera:  Device{r.Camera().Model, r.Camera().Serial},
		Layout:  layoutOf(layout),
	}}
	for i, stage := range []func(context.Context) error{l.exposure, l.carrier, l.kernel, l.noiseAndScale, l.witness} {
		if o.Progress != nil {
			o.Progress(Stages[i])
		}
		if err := stage(ctx); err != nil {
			if context.Cause(ctx) != nil || !refused(err) {
				return nil, fmt.Errorf("cannot calibrate (%s): %w", Stages[i], err)
			}
			err = explain(ctx, r, l.longest(), err)
			if l.seen == nil {
				l.seen = look(ctx, r)
			}
			return nil, &Failure{Stage: Stages[i], Err: err, Carrier: l.cal.Carrier, Levels: l.cal.Levels, Seen: l.seen}
		}
	}
	return l.cal, l.cal.Check()
}

// learner carries the calibration from stage to stage.
type learner struct {
	rig     *rig.Rig
	options Options
	layout  *slm.Layout
	cal     *Calibration

	reserved Reserved // the mirrors that no feature uses
	noise    float64  // variance of a pixel from exposure to exposure, counts squared
	seen     *View    // the last that was seen; nil: nothing
}

// longest is the longest exposure that leaves the mirrors time to settle.
func (l *learner) longest() time.Duration {
	return min(time.Duration(dutyCycle*float64(l.rig.Period())), l.rig.Camera().MaxExposure)
}

// exposure finds the longest exposure that neither saturates nor passes the
// target level, and the black level.
func (l *learner) exposure(ctx context.Context) error {
	info := l.rig.Camera()
	longest := l.longest()
	exposure := longest
	full := float64(int(1)<<info.BitDepths[len(info.BitDepths)-1] - 1)
	var m levels
	var first error
	for {
		if exposure < info.MinExposure {
			return refuse("no exposure from %v to %v will do; at the longest: %w", info.MinExposure, longest, first)
		}
		var err error
		if m, err = l.measure(ctx, exposure); err == nil && m.saturated <= maxSaturated {
			break
		}
		// A white frame has no contrast either, and triggers that come while the camera
		// still reads out the frame before are not seen.
		if err != nil && !errors.Is(err, rig.ErrNoContrast) &&
			!(errors.Is(err, rig.ErrUnproven) && exposure > longest/4) {
			return err
		}
		if first == nil {
			if first = err; err == nil {
				first = fmt.Errorf("%.2g %% of the pixels are saturated at %v; attenuate the laser", 100*m.saturated, exposure)
			}
		}
		exposure = exposure * 2 / 3
	}
	low, err := l.measure(ctx, max(exposure/4, info.MinExposure))
	if err != nil {
		return err
	}
	// Light grows with the exposure, the black level does not.
	slope := (m.half - low.half) / float64(m.exposure-low.exposure)
	black := m.half - slope*float64(m.exposure)
	if light := m.half - black; light > targetLevel*full {
		exposure = time.Duration(float64(m.exposure) * targetLevel * full / light)
	}
	if m, err = l.measure(ctx, exposure); err != nil {
		return err
	}
	l.cal.Settings = Settings{Period: l.rig.Period(), Exposure: m.exposure, BitDepth: m.depth, ROI: m.roi}
	l.cal.Levels = Levels{Black: black, Off: m.off, Half: m.half, Saturated: m.saturated}
	if first != nil {
		l.cal.Notes = append(l.cal.Notes, fmt.Sprintf("the exposure was shortened to %v: %v", m.exposure, first))
	}
	return nil
}

// levels are means over frames, in counts.
type levels struct {
	exposure  time.Duration
	depth     int
	roi       camera.ROI
	off, half float64
	saturated float64 // share with all mirrors on
}

// measure configures an exposure and takes the levels there.
func (l *learner) measure(ctx context.Context, exposure time.Duration) (levels, error) {
	depths := l.rig.Camera().BitDepths
	info := l.rig.Camera()
	got, err := l.rig.Configure(ctx, camera.Config{
		Exposure: exposure, BitDepth: depths[len(depths)-1],
		ROI: camera.ROI{Width: info.Width, Height: info.Height},
	})
	if err != nil {
		return levels{}, err
	}
	m := levels{exposure: got.Exposure, depth: got.BitDepth, roi: got.ROI}
	chip := l.rig.SLM().Geometry
	on := slm.NewPattern(chip)
	on.Fill()
	const each = 4
	patterns := make([]*slm.Pattern, 0, 3*each)
	for k := range each {
		patterns = append(patterns, slm.NewPattern(chip), FinePattern(chip, l.seed(forExposure, k)), on)
	}
	err = capture(ctx, l.rig, patterns, func(k int, img holo.Image) error {
		mean, saturated := stats(img)
		switch k % 3 {
		case 0:
			m.off += mean / each
		case 1:
			m.half += mean / each
			if k == 1 {
				l.seen = newView(img)
			}
		case 2:
			m.saturated += saturated / each
		}
		return nil
	})
	return m, err
}

// carrier finds the sideband in the mean spectrum of fine random patterns.
func (l *learner) carrier(ctx context.Context) error {
	roi := l.cal.Settings.ROI
	spectrum, err := holo.NewSpectrum(roi.Width, roi.Height)
	if err != nil {
		return err
	}
	patterns := make([]*slm.Pattern, carrierFrames)
	for k := range patterns {
		patterns[k] = FinePattern(l.rig.SLM().Geometry, l.seed(forCarrier, k))
	}
	err = capture(ctx, l.rig, patterns, func(k int, img holo.Image) error {
		if k == 0 {
			l.seen = newView(img)
		}
		return spectrum.Add(img)
	})
	if err != nil {
		return err
	}
	l.seen.Power = spectrum.Power()
	band, quality, err := FindCarrier(l.seen.Power, roi.Width, roi.Height)
	l.cal.Carrier = Carrier{Fu: band.Fu, Fv: band.Fv, Radius: band.R, SidebandDB: quality.PowerDB}
	v := &l.cal.Levels
	if reference, signal := v.Off-v.Black, v.Half-v.Off; err != nil && quality.PowerDB < minSideband && reference < leastRho*signal {
		return fmt.Errorf("there is no reference beam, or next to none: frames have %.2g counts of it beside %.3g of the signal; "+
			"open its shutter, or raise it: %w", math.Max(0, reference), signal, ErrNoCarrier)
	}
	return err
}

// kernel measures the noise of a pixel and designs the demodulator for it.
func (l *learner) kernel(ctx context.Context) error {
	if err := l.pixelNoise(ctx); err != nil {
		return err
	}
	v := &l.cal.Levels
	signal, reference := v.Half-v.Off, v.Off-v.Black
	if signal <= 0 || reference <= 0 {
		return refuse("frames have %.3g counts of signal and %.3g of reference above the black level of %.3g; "+
			"open the shutters, or raise the laser's power", signal, reference, v.Black)
	}
	rho := reference / signal
	kernel, err := holo.DesignKernel(holo.Design{
		Band: l.cal.Carrier.Band(), Taps: l.options.Taps, Stride: l.options.Stride, Rho: rho,
		// All noise of a pixel, as the photon noise of a mean that has as much.
		MeanElectrons: math.Min(math.Pow(v.Half-v.Black, 2)/l.noise, 1e9),
	})
	if err != nil {
		return err
	}
	l.cal.Kernel = Kernel{Taps: kernel.Taps, Stride: kernel.Stride, Re: kernel.Re, Im: kernel.Im}
	l.cal.Quality.Rho = rho
	l.cal.Quality.Visibility = visibility(l.seen, l.cal.Carrier.Band(), rho)
	most := holo.MaxOutputs(kernel, l.cal.Settings.ROI.Width, l.cal.Settings.ROI.Height)
	l.cal.Outputs = l.options.Outputs
	if l.cal.Outputs == 0 {
		l.cal.Outputs = most
	}
	if l.cal.Outputs < 1 || l.cal.Outputs > most {
		return fmt.Errorf("%d complex outputs were asked for, a region of %v with one every %d pixels gives 1 to %d; "+
			"ask for fewer, or use a larger sensor: %w", l.cal.Outputs, l.cal.Settings.ROI, kernel.Stride, most, slm.ErrInput)
	}
	return nil
}

// pixelNoise measures the variance of a pixel between exposures of one pattern,
// by differences of neighbours in time so that drift does not count.
func (l *learner) pixelNoise(ctx context.Context) error {
	patterns := make([]*slm.Pattern, quietFrames)
	for k := range patterns {
		patterns[k] = FinePattern(l.rig.SLM().Geometry, l.seed(forExposure, 0))
	}
	var before []float64
	var sum float64
	var n int
	err := capture(ctx, l.rig, patterns, func(k int, img holo.Image) error {
		if before == nil {
			before = make([]float64, img.Width*img.Height)
		}
		i := 0
		for v := range img.Height {
			for u := range img.Width {
				x := pixel(img, u, v)
				if k > 0 {
					sum += (x - before[i]) * (x - before[i])
					n++
				}
				before[i] = x
				i++
			}
		}
		return nil
	})
	// A noiseless camera still rounds.
	l.noise = math.Max(sum/float64(max(n, 1))/2, 1.0/12)
	return err
}

// noiseAndScale measures the fields that a driver needs (probe, scale) and the
// figures that people want (SNR, linearity, repeatability).
func (l *learner) noiseAndScale(ctx context.Context) error {
	l.cal.Probe.Seed = l.seed(forProbe, 0)
	t, err := l.cal.trial(ctx, l.rig, l.layout, l.options.Seed)
	if err != nil {
		return err
	}
	if !(t.entry > 0) {
		return refuse("vectors of the layout make no signal above the noise (%.3g counts squared); "+
			"raise the laser's power, or use fewer features", t.noise)
	}
	l.cal.Scale = math.Sqrt(t.entry)
	l.cal.Probe.Field, l.cal.Probe.Likeness = t.probe, t.likeness
	l.cal.Quality.SNR, l.cal.Quality.OneHot = t.snr, t.oneHot
	l.cal.Quality.Linearity, l.cal.Quality.Repeatability = t.linearity, t.repeatability
	return nil
}

func power(z complex64) float64 {
	re, im := float64(real(z)), float64(imag(z))
	return re*re + im*im
}

func meanPower(f []complex64) float64 {
	sum := 0.0
	for _, z := range f {
		sum += power(z)
	}
	return sum / float64(len(f))
}

// maxDecibel stands for "no error found": more than any camera can show.
const maxDecibel = 120

// decibel is that of a ratio of powers, kept within +-maxDecibel so that it can be
// written down.
func decibel(ratio float64) float64 {
	if math.IsNaN(ratio) {
		return 0
	}
	return max(-maxDecibel, min(maxDecibel, 10*math.Log10(ratio)))
}

// Drift compares the field of the probe now with that of the calibration
// (reference, section 6b): z(now) = gain exp(i phase) z(then), so fields are
// corrected by dividing by drift.
type Drift struct {
	Factor complex64 // gain exp(i phase)

	// Health is the correlation of the fields, 0 to 1, over the one that noise
	// alone would leave: about 1, whatever the SNR, while the medium is the same.
	Health float64
}

// Phase is that of the reference beam since the calibration, in radians.
func (d Drift) Phase() float64 { return cmplx.Phase(complex128(d.Factor)) }

// Drift judges a new field of the probe.
func (c *Calibration) Drift(now []complex64) Drift {
	factor, correlation := compare(now, c.Probe.Field)
	return Drift{Factor: complex64(factor), Health: correlation / c.Probe.Likeness}
}

// compare says by which factor field b comes nearest to a, and the modulus of their
// correlation, 0 to 1.
func compare(a, b []complex64) (factor complex128, correlation float64) {
	var cross complex128
	var aa, bb float64
	for i, z := range b {
		cross += complex128(a[i]) * cmplx.Conj(complex128(z))
		aa, bb = aa+power(a[i]), bb+power(z)
	}
	least := math.SmallestNonzeroFloat64
	return cross / complex(math.Max(bb, least), 0), cmplx.Abs(cross) / math.Sqrt(math.Max(aa*bb, least))
}
