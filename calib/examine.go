package calib

import (
	"context"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"gonum.org/v1/gonum/mat"

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
	DeadInputs    int     `json:"dead_inputs"`    // columns with less than a fifth of the norm of the strong ones; -1: not known
	NormSpread    float64 `json:"norm_spread"`    // largest norm of a column over the smallest
	Columns       int     `json:"columns"`        // that were looked at
	EffectiveRank float64 `json:"effective_rank"` // of the columns, from the eigenvalues of their Gram matrix

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
	examinedSpectra  = 48 // of the patterns, enough for the carrier
	sampledOutputs   = 64 // for the picture of their distribution
	probeEvery       = 4
	deadShare        = 0.2 // reference, section 6c
)

// Examine shows patterns with the calibration's settings and measures how the rig is
// now. It blocks for about 250 exposures.
func (c *Calibration) Examine(ctx context.Context, r *rig.Rig, seed uint64) (*Figures, error) {
	if err := c.apply(ctx, r); err != nil {
		return nil, err
	}
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
	f := &Figures{DeadInputs: -1, SNR: t.snr, OneHot: t.oneHot, Linearity: t.linearity, Repeatability: t.repeatability}
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
		if added[k] || spectrum.Frames() == examinedSpectra {
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
	f.outputs(random, seed)
	f.columns(c.Witness)
	f.probes(c, probes, at)
	return f, nil
}

// carrierShift is how far the carrier of a view lies from that of the calibration, in
// DFT bins, or -1 if it has none.
func (c *Calibration) carrierShift(v *View) float64 {
	band, _, err := FindCarrier(v.Power, v.Width, v.Height)
	if err != nil {
		return -1
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

// columns judges the columns of B that are known by heart.
func (f *Figures) columns(w *Witness) {
	if w == nil || w.Features == 0 {
		return
	}
	n := w.Features
	fields := w.Fields[(w.columns()-n)*w.Outputs:]
	norms := make([]float64, n)
	gram := mat.NewSymDense(2*n, nil) // of the Hermitian matrix, as a real one: each eigenvalue twice
	for i := range n {
		a := fields[i*w.Outputs : (i+1)*w.Outputs]
		for j := range n {
			sum := product(a, fields[j*w.Outputs:(j+1)*w.Outputs])
			if i == j {
				norms[i] = math.Sqrt(real(sum))
			}
			if i <= j {
				gram.SetSym(i, j, real(sum))
				gram.SetSym(n+i, n+j, real(sum))
			}
			gram.SetSym(n+i, j, imag(sum))
		}
	}
	f.Columns, f.DeadInputs = n, 0
	sorted := slices.Sorted(slices.Values(norms))
	strong := sorted[n*3/4]
	for _, x := range norms {
		if x < deadShare*strong {
			f.DeadInputs++
		}
	}
	mean := mean(norms)
	for _, x := range norms {
		f.Norms = append(f.Norms, x/math.Max(mean, 1e-30))
	}
	f.NormSpread = sorted[n-1] / math.Max(sorted[0], 1e-3*sorted[n-1])
	var eigen mat.EigenSym
	if !eigen.Factorize(gram, false) {
		return
	}
	var sum, square float64
	for _, l := range eigen.Values(nil) {
		sum, square = sum+l, square+l*l
	}
	f.EffectiveRank = sum * sum / square / 2
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
