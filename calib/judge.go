package calib

import (
	"errors"
	"fmt"
	"math"
	"strings"
)

// Check is one condition of a good calibration.
type Check struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit,omitempty"`
	Limit  string  `json:"limit"`
	OK     bool    `json:"ok"`
	Reason string  `json:"reason,omitempty"` // of a failed one: what is wrong, and what to turn
}

// Verdict is good, or refused for the reasons of the checks that failed.
type Verdict struct {
	Verdict string   `json:"verdict"` // "good" or "refused"
	Reasons []string `json:"reasons"`
	Checks  []Check  `json:"checks"`
}

// ErrRefused is wrapped by what a verdict that is not good says.
var ErrRefused = errors.New("the verdict is refused")

// Err is nil for a good verdict, and else has the reasons.
func (v Verdict) Err() error {
	if v.Verdict == VerdictGood {
		return nil
	}
	return fmt.Errorf("%s: %w", strings.Join(v.Reasons, "; "), ErrRefused)
}

// SaturatedCheck names the check of the share of saturated pixels with all mirrors on.
const SaturatedCheck = "saturated share"

// The two verdicts.
const (
	VerdictGood    = "good"
	VerdictRefused = "refused"
)

// Limits of a good calibration. Training forgives 5 dB of noise and a quarter of a turn
// of phase within a run (reference, section 13), and neither dead outputs nor a medium
// that leaves while it is looked at.
const (
	leastSNR        = 5.0  // dB
	leastOneHot     = -5.0 // dB
	leastVisibility = 0.2
	mostShift       = 1.0
	leastLinearity  = 10.0 // dB beside noise
	mostSaturated   = 0.0005
	mostKurtosis    = 0.3 // away from 3
	mostPartRatio   = 1.25
	mostCorrelation = 1.5
	mostDeadOutputs = 0.05
	leastRank       = 0.5 // of the columns
	mostTurn        = 0.5 // rad within a run of runLength patterns
	runLength       = 400
	mostJitter      = 0.6  // rad
	mostChange      = 0.02 // of the correlation, a second: the epoch ends within ten
	leastHealth     = 0.9
	leastRho        = 0.3
	mostPhaseError  = 0.1 // rad, of a frame: 20 dB
)

// Judge weighs what a calibration says of itself and what an examination found.
func (c *Calibration) Judge(f *Figures) Verdict {
	v := Verdict{Verdict: VerdictGood, Reasons: []string{}}
	add := func(name string, value float64, unit, limit string, ok bool, reason string) {
		x := Check{Name: name, Value: value, Unit: unit, Limit: limit, OK: ok}
		if !ok {
			x.Reason = fmt.Sprintf("%s is %.3g %s, %s is needed: %s", name, value, unit, limit, reason)
			v.Verdict, v.Reasons = VerdictRefused, append(v.Reasons, x.Reason)
		}
		v.Checks = append(v.Checks, x)
	}
	least := func(name string, value, limit float64, unit, reason string) {
		add(name, value, unit, fmt.Sprintf("at least %.3g", limit), value >= limit, reason)
	}
	most := func(name string, value, limit float64, unit, reason string) {
		add(name, value, unit, fmt.Sprintf("at most %.3g", limit), value <= limit, reason)
	}
	band := c.Carrier.Band()
	least("distance of the carrier from 0", band.FromZero()/band.R, 3*(1-bandSlack), "radii",
		"tilt the reference beam further, or close the aperture")
	least("distance of the carrier from its twin", band.FromTwin()/band.R, 2*(1-bandSlack), "radii",
		"turn the reference beam's tilt away from the pixels' axes or diagonal, or close the aperture")
	least("rho", c.Quality.Rho, leastRho, "", "raise the reference beam against the signal")
	most(SaturatedCheck, math.Max(f.Saturated, c.Levels.Saturated), mostSaturated, "", "weaken the laser, or shorten the exposure")
	least("visibility of the fringes", c.Quality.Visibility, leastVisibility, "",
		"bring the arms' lengths nearer to each other, damp vibrations, or shorten the exposure")
	least("SNR", f.SNR, leastSNR, "dB", "raise the laser's power, or use fewer features")
	if c.Layout.Features <= maxProvenFeatures { // of more, vectors with a single one are rare
		least("SNR of a single feature", f.OneHot, leastOneHot, "dB", "raise the laser's power, or use fewer features")
	}
	least("linearity beside noise", f.linearityBesideNoise(), leastLinearity, "dB",
		"look for saturation, a carrier too low, or phase that changes between frames")
	most("kurtosis away from 3", math.Abs(f.Kurtosis-3), mostKurtosis, "", "the light is not speckle: look for unscattered light and for jumps")
	most("asymmetry of real and imaginary parts", math.Max(f.PartRatio, 1/math.Max(f.PartRatio, 1e-9)), mostPartRatio, "",
		"the sideband overlaps its twin or |S|^2")
	most("correlation of outputs over chance", f.Correlation, mostCorrelation, "", "the grain is larger than the outputs' distance: open the aperture")
	most("share of dead outputs", f.DeadOutputs, mostDeadOutputs, "", "part of the sensor has no fringes: open the shutters fully and centre both beams")
	most("dead inputs", float64(f.DeadInputs), 0, fmt.Sprintf("of %d", f.Columns), "some features lie in the dark: map the chip and use the mask (opuctl map)")
	least("effective rank over the columns", f.EffectiveRank/math.Max(1, float64(f.Columns-f.DeadInputs)), leastRank, "",
		"columns are alike: use a stronger diffuser, or --layout scattered")
	if f.Vouched > 0 {
		most("good frames that are doubted", float64(f.Doubted), 0, fmt.Sprintf("of %d", f.Vouched),
			"frames cannot prove themselves: raise the laser's power, steady it, or use fewer features")
		most("error of a frame's own phase", f.PhaseError, mostPhaseError, "rad", "reserve more of the chip for the anchor (--anchor), or raise the laser's power")
	}
	add("shift of the carrier since the calibration", f.CarrierShift, "DFT bins", fmt.Sprintf("0 to %.3g", mostShift),
		f.CarrierShift >= 0 && f.CarrierShift <= mostShift, "the reference beam's tilt has changed, or its light is gone: calibrate anew (another matrix)")
	most("drift of the phase within a run", math.Max(0, math.Abs(f.DriftRate)-3*f.DriftError)*runLength*c.Settings.Period.Seconds(), mostTurn, "rad",
		"let the reference arm settle, shield it from draughts, shorten it")
	most("jitter of the phase", f.Jitter, mostJitter, "rad", "look for fans and loose mounts; an anchor block helps (--anchor)")
	most("loss of correlation", f.Change, mostChange, "per second", "the medium moves: let it warm up, fix it, or use another")
	least("health of the probe", f.Health, leastHealth, "", "the medium or the alignment has changed since the calibration: calibrate anew (another matrix)")
	return v
}

// Refuse is the verdict on a rig that could not even be calibrated.
func Refuse(err error) Verdict {
	return Verdict{Verdict: VerdictRefused, Reasons: []string{err.Error()}, Checks: []Check{}}
}

// linearityBesideNoise is the linearity without the part that noise explains: the
// test, y(a or b) - y(a) - y(b), is made of three exposures of half the features or
// less, beside an averaged dark field. What is left below a tenth is within the
// scatter of the noise's own estimate.
func (f *Figures) linearityBesideNoise() float64 {
	broken := math.Pow(10, -f.Linearity/10)
	noise := 3 * math.Pow(10, -f.SNR/10)
	return decibel(1 / math.Max(broken-noise, broken/10))
}
