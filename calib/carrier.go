package calib

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/internal/parallel"
)

// ErrNoCarrier: no sideband stands out of the spectrum, or none that can be
// separated.
var ErrNoCarrier = errors.New("no usable sideband")

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

	refineRounds     = 10
	centroidRadius   = 1.15
	floorInner       = 1.3
	floorOuter       = 1.6
	clippingQuantile = 0.95

	// minSideband is the least power of a sideband over its floor. It is well under
	// the 10 dB of a bench that is short of light, and far above what the mean of
	// 64 spectra of noise shows anywhere.
	minSideband = 5.0 // dB

	// bandSlack is what may be missing to the textbook's distances: the radius is
	// only known to a few per cent, and the outermost bins hold little power.
	bandSlack = 0.08
)

// FindCarrier finds the disc of the sideband in a mean power spectrum (row-major,
// bin 0 first, as holo.Spectrum makes it). The spectrum of speckle is a noisy disc,
// its strongest bin a random point of it; so discs of all radii are matched, and the
// best is refined by the centroid of its power. Frequencies wrap round. It takes
// some 100 ms at 256 x 256.
func FindCarrier(power []float64, width, height int) (holo.Band, Sideband, error) {
	if width < 32 || height < 32 || len(power) != width*height {
		return holo.Band{}, Sideband{}, fmt.Errorf("cannot find the carrier in a spectrum of %dx%d bins (%d given): each side must be at least 32", width, height, len(power))
	}
	p := newPlane(power, width, height)
	band := p.matchDiscs()
	if band.R == 0 {
		return band, Sideband{}, fmt.Errorf("cannot find the carrier: the spectrum is empty; check the light and both beams: %w", ErrNoCarrier)
	}
	for range refineRounds {
		band = p.refine(band)
	}
	band = halfPlane(band)
	quality := Sideband{PowerDB: p.contrast(band)}
	if quality.PowerDB < minSideband {
		return band, quality, fmt.Errorf("cannot find the carrier: the best disc, at (%.4f, %.4f) with radius %.3f, has %.1f dB over the floor and %.0f dB are needed; "+
			"check that the reference beam reaches the camera, that the fringes are not washed out, and the light: %w",
			band.Fu, band.Fv, band.R, quality.PowerDB, minSideband, ErrNoCarrier)
	}
	if err := band.CheckWithin(bandSlack); err != nil {
		return band, quality, fmt.Errorf("%w: %w", err, ErrNoCarrier)
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
// its bins.
func (p *plane) disc(u, v int, halfWidths []int) (sum float64, bins int) {
	reach := len(halfWidths) / 2
	for i, half := range halfWidths {
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
	radii := int(math.Round((maxRadius-minRadius)/radiusStep)) + 1
	best := make([]candidate, radii)
	parallel.Do(radii, func(i int) {
		r := minRadius + radiusStep*float64(i)
		inner, outer := p.halfWidths(r), p.halfWidths(ringOuter*r)
		for v := 0; v <= p.height/2; v++ {
			fv := float64(v) / float64(p.height)
			for u := range p.width {
				fu := wrap(float64(u) / float64(p.width))
				if math.Hypot(fu, fv) < centreExcluded*r {
					continue
				}
				in, n := p.disc(u, v, inner)
				all, m := p.disc(u, v, outer)
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

// refine moves the band to the centroid of its power over the floor, and sets its
// radius to that of the disc with the same power and the density of its middle.
func (p *plane) refine(b holo.Band) holo.Band {
	floor := quantile(powers(p.near(b, floorInner*b.R, floorOuter*b.R)), 0.5)
	bins := p.near(b, 0, centroidRadius*b.R)
	if len(bins) == 0 {
		return b
	}
	clip := quantile(powers(bins), clippingQuantile)
	var sum, mu, mv float64
	for _, x := range bins {
		w := math.Max(0, math.Min(x.power, clip)-floor)
		sum, mu, mv = sum+w, mu+w*x.du, mv+w*x.dv
	}
	if sum == 0 {
		return b
	}
	b.Fu, b.Fv = b.Fu+mu/sum, b.Fv+mv/sum

	middle := mean(powers(p.near(b, 0, 0.7*b.R))) - floor
	if middle > 0 {
		whole := 0.0
		for _, x := range p.near(b, 0, floorInner*b.R) {
			whole += x.power - floor
		}
		area := whole / middle / float64(p.width*p.height) // cycles per pixel, squared
		if r := math.Sqrt(math.Max(area, 0) / math.Pi); r > minRadius/2 && r < 1.2*maxRadius {
			b.R = r
		}
	}
	return b
}

// contrast is the density of the band's middle over its floor, in dB.
func (p *plane) contrast(b holo.Band) float64 {
	floor := quantile(powers(p.near(b, floorInner*b.R, floorOuter*b.R)), 0.5)
	middle := mean(powers(p.near(b, 0, 0.7*b.R)))
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

// wrap brings a frequency into -0.5 to 0.5.
func wrap(f float64) float64 { return f - math.Round(f) }

// wrap brings a frequency to -0.5 .. 0.5: sampled frequencies repeat with period 1.
func wrap(f float64) float64 { return f - math.Round(f) }

// frequency is that of bin i of a DFT of length n.
func frequency(i, n int) float64 { return wrap(float64(i) / float64(n)) }
