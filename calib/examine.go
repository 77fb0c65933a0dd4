package calib

import (
	"context"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// Figures say how a rig is, seen with a calibration (reference, section 6c).
type Figures struct {
	Saturated    float64 `json:"saturated"`         // share of the pixels, all mirrors on
	CarrierShift float64 `json:"carrier_shift_dft"` // from the calibration's carrier, in DFT bins of the frame; -1: no carrier is seen

	// As those of Quality, now; dB.
	SNR           float64 `json:"snr_db"`
	OneHot        float64 `json:"one_hot_snr_db"`
	Linearity     float64 `json:"linearity_db"`
	Repeatability float64 `json:"repeatability_db"`

	// Of the outputs, over random patterns.
	Kurtosis      float64 `json:"kurtosis"`       // of real and imaginary parts; 3 for a Gaussian
	PartRatio     float64 `json:"part_ratio"`     // variance of the real parts over that of the imaginary ones
	Correlation   float64 `json:"correlation"`    // mean modulus between outputs, over what chance makes of independent ones
	DeadOutputs   float64 `json:"dead_outputs"`   // share with less than a fifth of the amplitude of the bright ones
	DeadInputs    int     `json:"dead_inputs"`    // columns with less than a fifth of the norm of the strong ones
	NormSpread    float64 `json:"norm_spread"`    // largest norm of a column over the smallest
	Columns       int     `json:"columns"`        // that were looked at: all, or a sample of many
	EffectiveRank float64 `json:"effective_rank"` // of the columns that are not dead, whatever their norms, from their Gram matrix

	// Of frames that prove themselves (Witness); -1 without a witness.
	Doubted    int     `json:"doubted"` // good frames, of Vouched, that the proof refuses
	Vouched    int     `json:"vouched"`
	PhaseError float64 `json:"phase_error_rad"` // to which a frame tells its own phase, standard deviation

	// Of the probe, shown again and again.
	Health     float64 `json:"health"`      // at the end, against the calibration (Drift)
	Change     float64 `json:"change"`      // of the correlation from the first probe to the last, per second
	DriftRate  float64 `json:"drift_rad_s"` // of the phase
	DriftError float64 `json:"drift_error_rad_s"`
	Jitter     float64 `json:"jitter_rad"` // of the phase, from probe to probe, beside the drift
	Power      float64 `json:"power"`      // of the light in the probe, over that of the calibration

	// For pictures.
	Seen   *View        `json:"-"`
	Sample []complex64  `json:"-"` // outputs over random patterns: their mean taken off, each over its own root mean square
	Norms  []float64    `json:"-"` // of the columns that were looked at, over their mean
	Probes []ProbePoint `json:"-"`
}

// ProbePoint is the probe at one moment of an examination.
type ProbePoint struct {
	Time  float64 // s, since the first
	Phase float64 // rad, against the calibration, unwrapped
	Power float64 // against the calibration
	Drift Drift
}

// How much an examination shows.
const (
	examinedPatterns = 96
	examinedOutputs  = 1024
	examinedPairs    = 4096
	examinedSpectra  = 60 // of the patterns, 48 of them no probe: enough for the carrier
	sampledOutputs   = 64 // for the picture of their distribution
	probeEvery       = 4
	deadShare        = 0.2 // reference, section 6c
)

// Examine shows patterns with the calibration's settings and measures how the rig is
// now. It blocks for about 400 exposures. A rig whose frames cannot be looked at, as
// it is dark, say, is a *Failure.
func (c *Calibration) Examine(ctx context.Context, r *rig.Rig, seed uint64) (*Figures, error) {
	if err := c.apply(ctx, r); err != nil {
		return nil, err
	}
	f, err := c.examine(ctx, r, seed)
	if err == nil || context.Cause(ctx) != nil || !refused(err) {
		return f, err
	}
	err = explain(ctx, r, c.Settings.Exposure, err)
	return nil, &Failure{Stage: "examination", Err: err, Carrier: c.Carrier, Levels: c.Levels, Seen: look(ctx, r)}
}

func (c *Calibration) examine(ctx context.Context, r *rig.Rig, seed uint64) (*Figures, error) {
	spec, err := c.LayoutSpec()
	if err != nil {
		return nil, err
	}
	layout, err := slm.NewLayout(spec)
	if err != nil {
		return nil, err
	}
	t, err := c.trial(ctx, r, layout, seedFor(seed, forExamine, 0))
	if err != nil {
		return nil, err
	}
	f := &Figures{SNR: t.snr, OneHot: t.oneHot, Linearity: t.linearity, Repeatability: t.repeatability}
	m := max(min(examinedOutputs, c.maxOutputs()), len(c.Probe.Field))
	demodulator, err := c.Demodulator(m)
	if err != nil {
		return nil, err
	}
	on := slm.NewPattern(c.Layout.Chip)
	on.Fill()
	patterns := []*slm.Pattern{on}
	isProbe := []bool{false}
	for k := range examinedPatterns {
		if k%probeEvery == 0 {
			patterns, isProbe = append(patterns, c.ProbePattern()), append(isProbe, true)
		}
		patterns = append(patterns, FinePattern(c.Layout.Chip, seedFor(seed, forExamine, k)))
		isProbe = append(isProbe, false)
	}
	spectrum, err := holo.NewSpectrum(c.Settings.ROI.Width, c.Settings.ROI.Height)
	if err != nil {
		return nil, err
	}
	fields := make([][]complex64, len(patterns))
	times := make([]time.Duration, len(patterns))
	var mu sync.Mutex // guards spectrum and f.Seen
	added := make([]bool, len(patterns))
	err = r.Show(ctx, patterns, func(k int, frame *camera.Frame) error {
		img := Image(frame)
		if k == 0 {
			_, f.Saturated = stats(img)
			return nil
		}
		if fields[k] == nil {
			fields[k] = make([]complex64, m)
		}
		times[k] = frame.DeviceTime
		if err := demodulator.Demodulate(fields[k], img); err != nil || isProbe[k] {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		if added[k] || k > examinedSpectra {
			return nil // a frame shown again is one more of the same speckle
		}
		if f.Seen == nil {
			f.Seen = newView(img)
		}
		added[k] = true
		return spectrum.Add(img)
	})
	if err != nil {
		return nil, err
	}
	f.Seen.Power = spectrum.Power()
	f.CarrierShift = c.carrierShift(f.Seen)
	var probes, random [][]complex64
	var at []float64
	for k := range patterns {
		if isProbe[k] {
			probes, at = append(probes, fields[k]), append(at, (times[k]-times[1]).Seconds())
		} else if k > 0 {
			random = append(random, fields[k])
		}
	}
	if !r.Camera().HasTime {
		for k := range at {
			at[k] = float64(k*(probeEvery+1)) * r.Period().Seconds()
		}
	}
	f.outputs(inStep(random, t.dark), seed)
	f.probes(c, probes, at)
	columns, n, noise, err := c.sampleColumns(ctx, r, layout, seed)
	if err != nil {
		return nil, err
	}
	f.columns(columns, n, noise)
	return f, c.vouch(ctx, r, layout, seed, f)
}

// inStep takes the dark field off fields of random patterns and turns them to the same
// phase of the reference, which else would pass for something that the outputs have in
// common. Half-on patterns share half of their light, and that light tells the phase.
func inStep(fields [][]complex64, dark []complex64) [][]complex64 {
	turned := make([][]complex64, len(fields))
	for k, z := range fields {
		turned[k] = make([]complex64, len(dark))
		for i, d := range dark {
			turned[k][i] = z[i] - d
		}
	}
	const rounds = 3
	for range rounds {
		common, _ := average(turned, 0, 1)
		for _, z := range turned {
			factor, _ := compare(z, common)
			back := complex64(cmplx.Conj(factor) / complex(math.Max(cmplx.Abs(factor), 1e-30), 0))
			for i := range z {
				z[i] *= back
			}
		}
	}
	return turned
}

// How many columns are looked at where not all are known by heart: of 24, a share of
// 12 % that is dead is missed once in twenty times.
const (
	sampledColumns = 24
	columnFrames   = 96
)

// sampleColumns gives the fields of n columns of B, n x outputs, and the power of the
// noise in one: all, where they are known by heart, or some of many, measured now.
func (c *Calibration) sampleColumns(ctx context.Context, r *rig.Rig, layout *slm.Layout, seed uint64) (fields Field, n int, noise float64, err error) {
	if w := c.Witness; w != nil && w.Features > 0 {
		return w.Fields[(w.columns()-w.Features)*w.Outputs:], w.Features, 0, nil
	}
	n = min(sampledColumns, layout.Features())
	draw := rand.New(rand.NewPCG(seed, forColumns))
	features := draw.Perm(layout.Features())[:n]
	bits := make([]uint64, columnFrames)
	patterns := make([]*slm.Pattern, 0, columnFrames+quietFrames)
	x := make([]int8, layout.Features())
	for k := range bits {
		for bits[k] == 0 {
			bits[k] = draw.Uint64() >> (64 - n)
		}
		for i, j := range features {
			x[j] = int8(bits[k] >> i & 1)
		}
		p := slm.NewPattern(layout.Chip())
		layout.Encode(p, x, 1)
		patterns = append(patterns, p)
	}
	for range quietFrames {
		patterns = append(patterns, slm.NewPattern(layout.Chip()))
	}
	seen, err := c.fields(ctx, r, patterns, min(examinedOutputs, c.maxOutputs()))
	if err != nil {
		return nil, 0, 0, err
	}
	dark, still := average(seen[columnFrames:], 0, 1)
	for _, z := range seen[:columnFrames] {
		for i := range z {
			z[i] -= dark[i]
		}
	}
	fields, err = learnColumns(bits, seen[:columnFrames], n)
	// Of random halves, a column is known to four over the number of frames.
	return fields, n, 4 * still / columnFrames, err
}

// fields shows patterns and demodulates what comes back.
func (c *Calibration) fields(ctx context.Context, r *rig.Rig, patterns []*slm.Pattern, outputs int) ([][]complex64, error) {
	demodulator, err := c.Demodulator(outputs)
	if err != nil {
		return nil, err
	}
	fields := make([][]complex64, len(patterns))
	err = r.Show(ctx, patterns, func(k int, f *camera.Frame) error {
		if fields[k] == nil {
			fields[k] = make([]complex64, outputs)
		}
		return demodulator.Demodulate(fields[k], Image(f))
	})
	return fields, err
}

// vouchedFrames is how many random vectors are shown to try the proof on.
const vouchedFrames = 32

// vouch has good frames prove themselves.
func (c *Calibration) vouch(ctx context.Context, r *rig.Rig, layout *slm.Layout, seed uint64, f *Figures) error {
	f.Doubted, f.PhaseError = -1, -1
	prover, err := c.Prover()
	if prover == nil || err != nil {
		return err
	}
	draw := rand.New(rand.NewPCG(seed, forVouching))
	bits := make([]uint64, vouchedFrames)
	patterns := make([]*slm.Pattern, vouchedFrames)
	x := make([]int8, layout.Features())
	for k := range patterns {
		for i := range x {
			x[i] = int8(draw.IntN(2))
		}
		x[draw.IntN(len(x))] = 1
		patterns[k] = slm.NewPattern(layout.Chip())
		layout.Encode(patterns[k], x, 1)
		bits[k] = prover.Dress(patterns[k], x, 1)
	}
	fields, err := c.fields(ctx, r, patterns, prover.Outputs())
	if err != nil {
		return err
	}
	f.Vouched, f.Doubted = vouchedFrames, 0
	squares := 0.0
	for k, z := range fields {
		if _, err := prover.Judge(z, bits[k]); err != nil {
			f.Doubted++
		}
		squares += prover.phaseVariance(z, bits[k]) / vouchedFrames
	}
	f.PhaseError = math.Sqrt(squares)
	return nil
}

// carrierShift is how far the carrier of a view lies from that of the calibration, in
// DFT bins, or -1 if it has none.
func (c *Calibration) carrierShift(v *View) float64 {
	band, seen, _ := FindCarrier(v.Power, v.Width, v.Height)
	if seen.PowerDB < minSideband {
		return -1 // one in the wrong place is still one
	}
	return math.Hypot(wrap(band.Fu-c.Carrier.Fu)*float64(v.Width), wrap(band.Fv-c.Carrier.Fv)*float64(v.Height))
}

// outputs judges the outputs over random patterns, whose mean is taken off.
func (f *Figures) outputs(fields [][]complex64, seed uint64) {
	m, k := len(fields[0]), float64(len(fields))
	mean, _ := average(fields, 0, 1)
	variance := make([]float64, m)
	var re2, im2, fourth float64
	for i := range m {
		var re, im, re4, im4 float64
		for _, z := range fields {
			d := z[i] - mean[i]
			x, y := float64(real(d)), float64(imag(d))
			re, im = re+x*x/k, im+y*y/k
			re4, im4 = re4+x*x*x*x/k, im4+y*y*y*y/k
		}
		variance[i] = re + im
		re2, im2 = re2+re, im2+im
		if re > 0 && im > 0 {
			fourth += (re4/(re*re) + im4/(im*im)) / 2 / float64(m)
		}
	}
	// A sample of k Gaussians has the kurtosis 3 (k-1)/(k+1) on average.
	f.Kurtosis = fourth * (k + 1) / (k - 1)
	f.PartRatio = re2 / math.Max(im2, math.SmallestNonzeroFloat64)

	sorted := slices.Sorted(slices.Values(variance))
	bright := sorted[len(sorted)*9/10] // half of the sensor may be dead
	dead := 0
	for _, v := range variance {
		if v < deadShare*deadShare*bright {
			dead++
		}
	}
	f.DeadOutputs = float64(dead) / float64(m)
	for i := range min(m, sampledOutputs) {
		for _, z := range fields {
			f.Sample = append(f.Sample, complex64(complex128(z[i]-mean[i])/complex(math.Sqrt(math.Max(variance[i], 1e-30)), 0)))
		}
	}

	draw := rand.New(rand.NewPCG(seed, forExamine))
	sum := 0.0
	for range examinedPairs {
		i, j := draw.IntN(m), draw.IntN(m)
		for j == i {
			j = draw.IntN(m)
		}
		var cross complex128
		for _, z := range fields {
			cross += complex128(z[i]-mean[i]) * cmplx.Conj(complex128(z[j]-mean[j]))
		}
		sum += cmplx.Abs(cross) / k / math.Sqrt(math.Max(variance[i]*variance[j], math.SmallestNonzeroFloat64))
	}
	f.Correlation = sum / examinedPairs / (0.886 / math.Sqrt(k))
}

// columns judges the columns of B, n x outputs, with noise of a known power in each
// output of a column.
func (f *Figures) columns(fields []complex64, n int, noise float64) {
	outputs := len(fields) / n
	products := newCorrelator(fields, outputs)
	norms := make([]float64, n)
	for j := range norms {
		norms[j] = math.Sqrt(math.Max(0, real(products.between(j, j))-noise*float64(outputs)))
	}
	sorted := slices.Sorted(slices.Values(norms))
	dead := deadShare * sorted[n*3/4]
	mean := math.Max(mean(norms), math.SmallestNonzeroFloat64)
	f.Columns, f.DeadInputs = n, 0
	var live []int
	for j, x := range norms {
		f.Norms = append(f.Norms, x/mean)
		if x > dead {
			live = append(live, j)
		}
	}
	f.DeadInputs = n - len(live)
	f.NormSpread = sorted[n-1] / math.Max(sorted[0], math.Max(1e-3*sorted[n-1], math.SmallestNonzeroFloat64))

	// (sum of l)^2 / sum of l^2 over the eigenvalues l of the Gram matrix of the
	// normalised columns: their number over the mean square of a row of correlations.
	square := 0.0
	for _, i := range live {
		for _, j := range live {
			if i == j {
				square++
			} else {
				square += math.Pow(cmplx.Abs(products.between(i, j))/(norms[i]*norms[j]), 2)
			}
		}
	}
	f.EffectiveRank = float64(len(live)*len(live)) / math.Max(square, 1)
}

// probes follows the probe over the examination; at is in seconds.
func (f *Figures) probes(c *Calibration, fields [][]complex64, at []float64) {
	n := float64(len(fields))
	phases := make([]float64, len(fields))
	var meanT, meanPhase, meanPower float64
	for k, z := range fields {
		d := c.Drift(z[:len(c.Probe.Field)])
		phases[k] = d.Phase()
		if k > 0 { // unwrapped
			phases[k] = phases[k-1] + math.Remainder(phases[k]-phases[k-1], 2*math.Pi)
		}
		meanT, meanPhase = meanT+at[k]/n, meanPhase+phases[k]/n
		meanPower += power(d.Factor) / n
		f.Health = d.Health
		f.Probes = append(f.Probes, ProbePoint{Time: at[k] - at[0], Phase: phases[k], Power: power(d.Factor), Drift: d})
	}
	var tt, tp float64
	for k := range phases {
		tt += (at[k] - meanT) * (at[k] - meanT)
		tp += (at[k] - meanT) * (phases[k] - meanPhase)
	}
	f.DriftRate = tp / math.Max(tt, 1e-12)
	rest := 0.0
	for k := range phases {
		e := phases[k] - meanPhase - f.DriftRate*(at[k]-meanT)
		rest += e * e / (n - 2)
	}
	f.Jitter, f.Power = math.Sqrt(rest), meanPower
	f.DriftError = f.Jitter / math.Sqrt(math.Max(tt, 1e-12))

	// Correlation of the first probes with later ones: what falls is the medium's.
	early, late := 0.0, 0.0
	for k := 1; k <= 3; k++ {
		_, near := compare(fields[k], fields[0])
		_, far := compare(fields[len(fields)-k], fields[0])
		early, late = early+near/3, late+far/3
	}
	f.Change = (early - late) / math.Max(at[len(at)-2]-at[2], 1e-9) / math.Max(early, 0.05)
}
