package calib

import (
	"context"
	"math/cmplx"
	"math/rand/v2"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// trial is what repeated and added patterns tell of a rig.
type trial struct {
	probe, dark  Field   // demodulated counts, the mean of several exposures
	likeness     float64 // correlation of one exposure of the probe with the mean of others
	noise, entry float64 // power of the noise of an exposure, and of an entry of B; counts squared

	snr, oneHot, linearity, repeatability float64 // dB (Quality)
}

// How much a trial shows.
const (
	scalePairs   = 16
	oneHots      = 16
	probeOutputs = 2048
)

// trial shows the off pattern, the probe, random vectors of the layout and one-hot
// ones, with the settings and the kernel of the calibration.
func (c *Calibration) trial(ctx context.Context, r *rig.Rig, layout *slm.Layout, seed uint64) (*trial, error) {
	demodulator, err := c.Demodulator(min(probeOutputs, c.maxOutputs()))
	if err != nil {
		return nil, err
	}
	m := demodulator.Outputs()

	// The plan: the off pattern and the probe many times, then for each pair two
	// complementary random vectors of the layout and, for linearity, a vector that
	// is the sum of halves a and b; then single features.
	chip := layout.Chip()
	off, probe := slm.NewPattern(chip), c.ProbePattern()
	var patterns []*slm.Pattern
	for range quietFrames {
		patterns = append(patterns, off, probe)
	}
	first := len(patterns)
	const each = 4 // plus, minus, a, b; a and b are disjoint and make plus together
	random := rand.New(rand.NewPCG(seed, forScale))
	x, y := make([]int8, layout.Features()), make([]int8, layout.Features())
	encode := func(on func(i int) bool) {
		for i := range y {
			y[i] = 0
			if on(i) {
				y[i] = 1
			}
		}
		p := slm.NewPattern(chip)
		layout.Encode(p, y, 1)
		patterns = append(patterns, p)
	}
	for range scalePairs {
		for i := range x {
			x[i] = int8(random.IntN(4)) // 0: in a, 1: in b, 2 and 3: in neither
		}
		encode(func(i int) bool { return x[i] < 2 })
		encode(func(i int) bool { return x[i] >= 2 })
		encode(func(i int) bool { return x[i] == 0 })
		encode(func(i int) bool { return x[i] == 1 })
	}
	hot := len(patterns)
	for k := range oneHots {
		feature := k % len(x)
		if len(x) > oneHots {
			feature = random.IntN(len(x))
		}
		encode(func(i int) bool { return i == feature })
	}
	fields := make([][]complex64, len(patterns))
	err = r.Show(ctx, patterns, func(k int, f *camera.Frame) error {
		if fields[k] == nil {
			fields[k] = make([]complex64, m)
		}
		return demodulator.Demodulate(fields[k], Image(f))
	})
	if err != nil {
		return nil, err
	}

	// A phase that jumps weakens each field by a share, so only the dark one's scatter
	// stands beside a weak field.
	dark, still := average(fields[0:first:first], 0, 2)
	field, noise := average(fields[0:first:first], 1, 2)
	probes := make([][]complex64, 0, quietFrames)
	for k := 1; k < first; k += 2 {
		probes = append(probes, fields[k])
	}
	steady, likeness := steadyMean(probes)
	var pairPower, signal, sum, broken, single float64
	for k := first; k < hot; k += each {
		plus, minus, a, b := fields[k], fields[k+1], fields[k+2], fields[k+3]
		for i := range dark {
			pairPower += power(plus[i] - minus[i])
			signal += power(plus[i]-dark[i]) / 2
			signal += power(minus[i]-dark[i]) / 2
			sum += power(plus[i] - dark[i])
			broken += power(plus[i] - dark[i] - (a[i] - dark[i]) - (b[i] - dark[i]))
		}
	}
	for _, z := range fields[hot:] {
		for i := range dark {
			single += power(z[i] - dark[i])
		}
	}
	n := float64(scalePairs * m)
	return &trial{
		probe: steady, dark: dark, likeness: likeness, noise: noise,
		// Every feature differs between a vector and its complement.
		entry:         (pairPower/n - 2*noise) / float64(layout.Features()),
		snr:           decibel(max(signal/n-noise, 0) / noise),
		oneHot:        decibel(max(single/float64(oneHots*m)-still, 0) / still),
		linearity:     decibel(sum / broken),
		repeatability: decibel(meanPower(field) / noise),
	}, nil
}

// steadyMean is the mean of exposures of one pattern as it would be if the reference
// beam had kept the phase of the first, and how one of them correlates with the mean of
// the others: what the noise alone takes.
func steadyMean(fields [][]complex64) (mean []complex64, correlation float64) {
	mean = make([]complex64, len(fields[0]))
	turned := make([][]complex64, len(fields))
	for k, z := range fields {
		factor, _ := compare(z, fields[0])
		back := complex64(cmplx.Rect(1, -cmplx.Phase(factor)))
		turned[k] = make([]complex64, len(z))
		for i := range z {
			turned[k][i] = z[i] * back
			mean[i] += turned[k][i] / complex(float32(len(fields)), 0)
		}
	}
	others := make([]complex64, len(mean))
	share := complex(1/float32(len(fields)), 0)
	for _, z := range turned {
		for i := range z {
			others[i] = mean[i] - z[i]*share
		}
		_, c := compare(z, others)
		correlation += c / float64(len(fields))
	}
	return mean, min(correlation, 1)
}

// average is the mean of fields first, first+step, ... and the variance of one
// about it.
func average(fields [][]complex64, first, step int) (mean []complex64, variance float64) {
	n := 0
	sum := make([]complex128, len(fields[first]))
	for k := first; k < len(fields); k += step {
		for i, z := range fields[k] {
			sum[i] += complex128(z)
		}
		n++
	}
	mean = make([]complex64, len(sum))
	for i, z := range sum {
		mean[i] = complex64(z / complex(float64(n), 0))
	}
	for k := first; k < len(fields); k += step {
		for i, z := range fields[k] {
			variance += power(z - mean[i])
		}
	}
	return mean, variance / float64(len(sum)*max(1, n-1))
}
