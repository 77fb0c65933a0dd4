package holo

import (
	"errors"
	"fmt"
	"math"
)

// Band says where the sideband lies in the plane of spatial frequencies: the
// speckle's disc of radius R around -(Fu, Fv), all in cycles per pixel.
//
// (Fu, Fv) is the carrier by the half-plane rule: Fv > 0, or Fv = 0 and Fu > 0.
// Frequencies of a pixel grid repeat with period 1, so each lies within -0.5 to 0.5,
// and discs may wrap around the edge.
type Band struct{ Fu, Fv, R float64 }

// Reasons why a band cannot be used, wrapped by the errors of Check.
var (
	ErrBand    = errors.New("bad band")                   // numbers that name no band
	ErrOverlap = errors.New("sideband overlaps |S|^2")    // carrier too low
	ErrTwin    = errors.New("sideband overlaps its twin") // carrier too close to where f and -f coincide
)

func (b Band) String() string {
	return fmt.Sprintf("carrier (%.4g, %.4g), radius %.4g cycles per pixel", b.Fu, b.Fv, b.R)
}

// wrap brings a frequency into -0.5 to 0.5.
func wrap(f float64) float64 { return f - math.Round(f) }

// FromZero is the distance of the sideband's centre from 0, on the torus of sampled
// frequencies. From 3R the sideband is clear of |S|^2.
func (b Band) FromZero() float64 { return math.Hypot(wrap(b.Fu), wrap(b.Fv)) }

// FromTwin is the distance of the sideband's centre from that of its twin, on the
// torus. From 2R the two are clear of each other.
func (b Band) FromTwin() float64 { return math.Hypot(wrap(2*b.Fu), wrap(2*b.Fv)) }

// Check says whether the sideband lies clear of |S|^2 and of its twin, so that
// demodulation is exact (reference, section 3).
func (b Band) Check() error { return b.CheckWithin(0) }

// CheckWithin is Check with some leave: both distances may fall short by the given
// share. A measured band needs some, for its radius has an error. At 0.05 the discs
// overlap where they hold almost no power.
func (b Band) CheckWithin(share float64) error {
	if err := b.check(); err != nil {
		return err
	}
	if d := b.FromZero(); d < 3*b.R*(1-share) {
		return fmt.Errorf("cannot separate the sideband (%v) from |S|^2: the carrier is %.4g from 0 and must be 3R = %.4g; "+
			"tilt the reference beam further, or close the aperture: %w", b, d, 3*b.R, ErrOverlap)
	}
	if d := b.FromTwin(); d < 2*b.R*(1-share) {
		return fmt.Errorf("cannot separate the sideband (%v) from its twin: they are %.4g apart and must be 2R = %.4g; "+
			"turn the reference beam's tilt away from the pixels' axes or diagonal, or close the aperture: %w", b, d, 2*b.R, ErrTwin)
	}
	return nil
}

// check says whether the numbers name a band at all, separated or not.
func (b Band) check() error {
	fail := func(what string) error { return fmt.Errorf("cannot use %v: %s: %w", b, what, ErrBand) }
	switch {
	// Written so that NaN fails.
	case !(math.Abs(b.Fu) <= 0.5 && math.Abs(b.Fv) <= 0.5):
		return fail("both parts of the carrier must be -0.5 to 0.5")
	case !(b.R > 0 && b.R < 0.5):
		return fail("the radius must be above 0 and below 0.5")
	case b.Fv < 0 || (b.Fv == 0 && b.Fu <= 0):
		return fail("the carrier must have fv > 0, or fv = 0 and fu > 0; give its negative")
	}
	return nil
}
