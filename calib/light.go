package calib

import (
	"math"

	"github.com/light-in-the-loop/opu/holo"
)

// light is what a mean spectrum (holo.Spectrum) says of the light that made it.
type light struct {
	noise       float64 // variance of a pixel, white, counts squared
	speckle     float64 // mean of |S|^2, counts
	rho         float64 // power of the reference over that of the speckle, times the visibility squared
	independent float64 // independent speckles whose mean spectrum would be as rough
}

const (
	windowBins = 3 // a Hann window spreads one frequency over this many bins on each side

	// Where nothing but noise is, in radii of the band.
	beyondSpeckle  = 2.1  // |S|^2 ends at 2
	beyondSideband = 1.15 // soft edges included

	// rho is kept within these: beyond, one of the beams hardly matters, and its part
	// of the spectrum is too weak to be measured.
	minRho, maxRho = 0.1, 100
)

// light takes the spectrum apart. The noise is its floor away from all light. With
// speckles that are independent from frame to frame, |S|^2 has the variance s^2, s its
// mean, in the disc of radius 2R about zero, and the sideband has rho s^2, before
// pixels of full width weaken high frequencies.
func (p *plane) light(b holo.Band) light {
	bins := float64(p.width * p.height)
	hole := math.Max(b.R/4, windowBins/float64(min(p.width, p.height))) // the laser's own noise lies within
	var dark, disc []float64
	var seen, all float64 // of |S|^2: what pixels leave of it outside the hole, and all of it
	for _, x := range p.near(holo.Band{}, 0, 1) {
		q := math.Hypot(x.du, x.dv) / b.R
		aside := math.Min(math.Hypot(wrap(x.du-b.Fu), wrap(x.dv-b.Fv)), math.Hypot(wrap(x.du+b.Fu), wrap(x.dv+b.Fv)))
		switch {
		case q > beyondSpeckle && aside > beyondSideband*b.R:
			dark = append(dark, x.power)
		case q < 2:
			density := autocorrelation(q / 2)
			all += density
			if q*b.R > hole {
				disc = append(disc, x.power)
				seen += density * math.Pow(response(x.du, x.dv), 2)
			}
		}
	}
	l := light{noise: quantile(dark, 0.5), independent: p.independent(b)}
	speckle2 := (mean(disc) - l.noise) * float64(len(disc)) / math.Max(seen, 1e-9) * all / bins

	var side, weight float64
	inside := p.near(b, 0, b.R)
	for _, x := range inside {
		side += x.power - l.noise
		weight += math.Pow(response(b.Fu+x.du, b.Fv+x.dv), 2)
	}
	sideband := math.Max(0, side) / math.Max(weight, 1e-9) * float64(len(inside)) / bins
	l.rho = math.Max(minRho, sideband/math.Max(speckle2, sideband/maxRho))
	l.speckle = math.Sqrt(sideband / l.rho)
	return l
}

// design is what the light asks of a kernel: all noise of a pixel, as the photon noise
// of a mean level that has as much.
func (l light) design(b holo.Band) holo.Design {
	level := (1 + l.rho) * l.speckle
	return holo.Design{Band: b, Rho: l.rho, MeanElectrons: math.Max(1e-3, math.Min(level*level/l.noise, 1e9))}
}

// independent compares the sideband's roughness with that of the mean of n independent
// spectra, whose bins vary by 1/sqrt(n). Bins that are three apart share nothing under
// a Hann window and have nearly the same mean, whatever the shape of the pupil.
func (p *plane) independent(b holo.Band) float64 {
	var differ, sum, n float64
	for _, x := range p.near(b, 0, interior*b.R) {
		u := int(math.Round(wrap(b.Fu+x.du)*float64(p.width))) + p.width
		v := int(math.Round(wrap(b.Fv+x.dv)*float64(p.height))) + p.height
		other := p.power[v%p.height*p.width+(u+windowBins)%p.width]
		differ += (x.power - other) * (x.power - other)
		sum += x.power + other
		n++
	}
	if differ == 0 {
		return 0
	}
	return sum * sum / (2 * n * differ)
}

// white says whether a spectrum is as flat as that of noise, or empty, but for the
// frequencies near zero that the laser's power noise fills.
func (p *plane) white() bool {
	bins := powers(p.near(holo.Band{}, windowBins/float64(min(p.width, p.height)), 1))
	const rough = 1.2 // the mean of 16 spectra of noise over their median is 1.02
	return mean(bins) <= rough*quantile(bins, 0.5)
}

// autocorrelation of a disc, q from 0 to 1.
func autocorrelation(q float64) float64 { return math.Acos(q) - q*math.Sqrt(1-q*q) }

// response of a pixel of full width to the amplitude of a frequency.
func response(fu, fv float64) float64 {
	sinc := func(f float64) float64 {
		if f == 0 {
			return 1
		}
		return math.Sin(math.Pi*f) / (math.Pi * f)
	}
	return sinc(fu) * sinc(fv)
}
