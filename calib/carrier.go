package calib

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/internal/parallel"
)

// ErrNoCarrier: no sideband stands out of the spectrum, or none that can be
// separated.
var ErrNoCarrier = errors.New("no usable sideband")

// ErrSign: the carrier lies on the border of the half-plane, so that the next
// calibration may take its negative and find the conjugate matrix.
var ErrSign = errors.New("the carrier cannot be told from its negative")

// Sideband says how clearly the carrier was seen.
type Sideband struct {
	PowerDB float64 // power density within the disc over that of the floor about it
}

// What FindCarrier looks for (reference, section 6a). Radii are in cycles per
// pixel, the other lengths in radii.
const (
	minRadius, maxRadius, radiusStep = 0.04, 0.20, 0.01

	ringOuter      = 1.25 // the ring that a disc is compared with
	centreExcluded = 1.8  // abs(S)^2 lives here and is no sideband

	floorInner, floorOuter = 1.3, 1.6 // where the floor is measured
	slopeOuter             = 0.85     // the disc's own density is measured within
	interior               = 0.75     // and its mean

	// matchBins is the finest grid of the search, in bins along each side; the
	// refinement uses all of them.
	matchBins = 128

	refineRounds = 10
	maxReach     = 0.3
	reachFactor  = 0.8
	minReach     = 4 // bins; the Hann window blurs the edge over two
	clippedShare = 3 // of the interior's density: one bright bin is no edge

	// minSideband is the least power of a sideband over its floor. It is well under
	// the 10 dB of a bench that is short of light, and far above what the mean of
	// 64 spectra of noise shows anywhere.
	minSideband = 5.0 // dB

	// signBins is how far the carrier must be from fv = 0 and fv = 0.5, where it and
	// its negative change places; the worst error on benches like glass is half of it.
	signBins = 1.5

	// bandSlack is what may be missing to the textbook's distances: the radius is
	// only known to a few per cent, and the outermost bins hold little power.
	bandSlack = 0.08
)

// FindCarrier finds the disc of the sideband in a mean power spectrum (row-major,
// bin 0 first, as holo.Spectrum makes it). The spectrum of speckle is a noisy disc,
// its strongest bin a random point of it; so discs of all radii are matched, and the
// best is refined by its edge. Frequencies wrap round. With 64 frames of 256 x 256
// pixels the error is about a tenth of a bin.
//
// Errors wrap ErrNoCarrier, and holo.ErrOverlap, holo.ErrTwin or ErrSign where there
// is a sideband in the wrong place; the band and its quality are then what was seen.
func FindCarrier(power []float64, width, height int) (holo.Band, Sideband, error) {
	if width < 32 || height < 32 || len(power) != width*height {
		return holo.Band{}, Sideband{}, fmt.Errorf("cannot find the carrier in a spectrum of %dx%d bins (%d given): each side must be at least 32", width, height, len(power))
	}
	p := newPlane(power, width, height)
	band := p.matchDiscs()
	if band.R == 0 {
		return band, Sideband{}, fmt.Errorf("cannot find the carrier: the spectrum is empty; check the light and both beams: %w", ErrNoCarrier)
	}
	for round := range refineRounds {
		// From wide to narrow: first to catch the edge, then to see nothing else.
		narrow := minReach / float64(min(width, height))
		band = p.refine(band, math.Max(narrow, band.R*maxReach*math.Pow(reachFactor, float64(round))))
	}
	band = halfPlane(band)
	quality := Sideband{PowerDB: p.contrast(band)}
	if quality.PowerDB < minSideband {
		return band, quality, fmt.Errorf("cannot find the carrier: no sideband stands %.0f dB out of the spectrum, the best (%v) has %.0f dB; "+
			"check that both beams reach the camera, that fringes are seen and not washed out, and the light: %w",
			minSideband, band, quality.PowerDB, ErrNoCarrier)
	}
	if err := band.CheckWithin(bandSlack); err != nil {
		return band, quality, fmt.Errorf("%w: %w", err, ErrNoCarrier)
	}
	if border := math.Abs(math.Remainder(band.Fv, 0.5)) * float64(height); border < signBins {
		return band, quality, fmt.Errorf("cannot tell the carrier (%v) from its negative: it is %.1f bins from the border fv = 0 or 0.5, "+
			"%.1f are needed; turn the reference beam's tilt a little: %w: %w", band, border, signBins, ErrSign, ErrNoCarrier)
	}
	return band, quality, nil
}

// plane is a spectrum with prefix sums along its rows, three periods wide, so that
// sums over discs cost two look-ups a row and wrap round by themselves.
type plane struct {
	power         []float64
	width, height int
	prefix        [][]float64
}

func newPlane(power []float64, width, height int) *plane {
	p := &plane{power: power, width: width, height: height, prefix: make([][]float64, height)}
	for v := range p.prefix {
		row := make([]float64, 3*width+1)
		for i := range 3 * width {
			row[i+1] = row[i] + power[v*width+i%width]
		}
		p.prefix[v] = row
	}
	return p
}

// disc sums the power within radius r (cycles per pixel) of bin (u, v), and counts
// its bins. Of its rows it takes every step-th.
func (p *plane) disc(u, v int, halfWidths []int, step int) (sum float64, bins int) {
	reach := len(halfWidths) / 2
	for i := reach % step; i < len(halfWidths); i += step {
		half := halfWidths[i]
		if half < 0 {
			continue
		}
		row := p.prefix[(v+i-reach+p.height)%p.height]
		sum += row[u+p.width+half+1] - row[u+p.width-half]
		bins += 2*half + 1
	}
	return sum, bins
}

// halfWidths are those of a disc's rows, in bins, from its lowest row to its
// highest; -1 for a row that it does not reach.
func (p *plane) halfWidths(r float64) []int {
	reach := min(int(r*float64(p.height)), p.height/2-1)
	widths := make([]int, 2*reach+1)
	for i := range widths {
		fv := float64(i-reach) / float64(p.height)
		widths[i] = -1
		if rest := r*r - fv*fv; rest >= 0 {
			widths[i] = min(int(math.Sqrt(rest)*float64(p.width)), p.width/2-1)
		}
	}
	return widths
}

// matchDiscs returns the disc with the largest (mean inside - mean in the ring
// about it) * radius, over all radii and all bins of the half-plane.
func (p *plane) matchDiscs() holo.Band {
	type candidate struct {
		score float64
		band  holo.Band
	}
	step := max(1, min(p.width, p.height)/matchBins)
	radii := int(math.Round((maxRadius-minRadius)/radiusStep)) + 1
	best := make([]candidate, radii)
	parallel.Do(radii, func(i int) {
		r := minRadius + radiusStep*float64(i)
		inner, outer := p.halfWidths(r), p.halfWidths(ringOuter*r)
		for v := 0; v <= p.height/2; v += step {
			fv := float64(v) / float64(p.height)
			for u := 0; u < p.width; u += step {
				fu := wrap(float64(u) / float64(p.width))
				if math.Hypot(fu, fv) < centreExcluded*r {
					continue
				}
				in, n := p.disc(u, v, inner, step)
				all, m := p.disc(u, v, outer, step)
				if m == n {
					continue
				}
				score := (in/float64(n) - (all-in)/float64(m-n)) * r
				if score > best[i].score {
					best[i] = candidate{score, holo.Band{Fu: fu, Fv: fv, R: r}}
				}
			}
		}
	})
	return slices.MaxFunc(best, func(a, b candidate) int {
		switch {
		case a.score < b.score:
			return -1
		case a.score > b.score:
			return 1
		}
		return 0
	}).band
}

// bin is one of the spectrum near a band's centre.
type bin struct{ du, dv, power float64 } // cycles per pixel from the centre

// near lists the bins between two distances from the band's centre.
func (p *plane) near(b holo.Band, from, to float64) []bin {
	var bins []bin
	for v := range p.height {
		dv := wrap(float64(v)/float64(p.height) - b.Fv)
		if math.Abs(dv) > to {
			continue
		}
		for u := range p.width {
			du := wrap(float64(u)/float64(p.width) - b.Fu)
			if d := math.Hypot(du, dv); d >= from && d <= to {
				bins = append(bins, bin{du, dv, p.power[v*p.width+u]})
			}
		}
	}
	return bins
}

// refine moves the band's edge to where the power over the floor falls to half of
// what it is inside, within an annulus of the given half-width about the edge.
//
// The reference takes the centroid of the power. But pixels have an extent and
// weaken high frequencies, so that the disc is brighter towards 0, by more than two
// to one across a wide one, and its centroid lies several bins from its centre. The
// edge stays where it is, and many bins tell where.
func (p *plane) refine(b holo.Band, reach float64) holo.Band {
	floor := p.floor(b)

	density, ok := p.density(b, floor)
	if !ok {
		return b
	}

	// What the annulus holds more than a disc of the band's own place and size: all
	// around it means a larger disc, on one side a displaced one.
	var more, moreU, moreV float64
	for _, x := range p.near(b, math.Max(0, b.R-reach), b.R+reach) {
		d := math.Hypot(x.du, x.dv)
		if d == 0 {
			continue
		}
		share := math.Min((x.power-floor)/density(x.du, x.dv), clippedShare)
		if toTwin := math.Hypot(wrap(2*b.Fu+x.du), wrap(2*b.Fv+x.dv)); toTwin < d {
			share = 0 // the twin's power, where the two nearly touch
		}
		if d < b.R {
			share--
		}
		more, moreU, moreV = more+share, moreU+share*x.du/d, moreV+share*x.dv/d
	}
	area := 1 / float64(p.width*p.height) // of a bin
	b.Fu += moreU * area / (math.Pi * b.R)
	b.Fv += moreV * area / (math.Pi * b.R)
	b.R = math.Max(minRadius/2, math.Min(1.2*maxRadius, b.R+more*area/(2*math.Pi*b.R)))
	return b
}

// density is the power over the floor inside the band, as a parabola through its
// bins: level where it is small, and never below a quarter of its mean.
func (p *plane) density(b holo.Band, floor float64) (at func(du, dv float64) float64, ok bool) {
	terms := func(du, dv float64) [6]float64 {
		du, dv = du/b.R, dv/b.R
		return [6]float64{1, du, dv, du * du, du * dv, dv * dv}
	}
	inside := p.near(b, 0, slopeOuter*b.R)
	normal, right := mat.NewSymDense(6, nil), mat.NewVecDense(6, nil)
	level := 0.0
	for _, x := range inside {
		t := terms(x.du, x.dv)
		for i := range t {
			for j := i; j < len(t); j++ {
				normal.SetSym(i, j, normal.At(i, j)+t[i]*t[j])
			}
			right.SetVec(i, right.AtVec(i)+t[i]*(x.power-floor))
		}
		level += (x.power - floor) / float64(len(inside))
	}
	var cholesky mat.Cholesky
	var c mat.VecDense
	if level <= 0 || !cholesky.Factorize(normal) || cholesky.SolveVecTo(&c, right) != nil {
		return nil, false
	}
	return func(du, dv float64) float64 {
		sum := 0.0
		for i, t := range terms(du, dv) {
			sum += c.AtVec(i) * t
		}
		return math.Max(sum, level/4)
	}, true
}

// floor is the power around the band.
func (p *plane) floor(b holo.Band) float64 {
	return quantile(powers(p.near(b, floorInner*b.R, floorOuter*b.R)), 0.5)
}

// contrast is the density of the band's middle over its floor, in dB.
func (p *plane) contrast(b holo.Band) float64 {
	floor := p.floor(b)
	middle := mean(powers(p.near(b, 0, interior*b.R)))
	switch {
	case middle <= floor:
		return -maxDecibel
	case floor == 0:
		return maxDecibel
	}
	return decibel((middle - floor) / floor)
}

func powers(bins []bin) []float64 {
	out := make([]float64, len(bins))
	for i, b := range bins {
		out[i] = b.power
	}
	return out
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / math.Max(1, float64(len(x)))
}

// quantile reorders x.
func quantile(x []float64, q float64) float64 {
	if len(x) == 0 {
		return 0
	}
	slices.Sort(x)
	return x[min(len(x)-1, int(q*float64(len(x))))]
}

// halfPlane wraps a band to the torus and picks the carrier, not its negative.
func halfPlane(b holo.Band) holo.Band {
	b.Fu, b.Fv = wrap(b.Fu), wrap(b.Fv)
	if b.Fv < 0 || b.Fv == 0 && b.Fu < 0 {
		b.Fu, b.Fv = -b.Fu, -b.Fv
	}
	return b
}

// wrap brings a frequency to -0.5 .. 0.5: sampled frequencies repeat with period 1.
func wrap(f float64) float64 { return f - math.Round(f) }
