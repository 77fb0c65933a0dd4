package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/calib/report"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// Calibration is what came of calibrating a bench, good or refused.
type Calibration struct {
	Learnt *calib.Calibration // nil: it failed before there was one
	Result CalibrationResult
	Report report.Report
}

// Calibrate learns a calibration and judges it. Progress is called when a stage begins,
// with the share of all that is done. A bench that is not good is no error: Err says
// so then.
func (b *Bench) Calibrate(ctx context.Context, o Options, progress func(stage string, share float64)) (*Calibration, error) {
	stages := float64(len(calib.Stages) + 1)
	done := 0.0
	next := func(stage string) {
		progress(stage, done/stages)
		done++
	}
	c := &Calibration{
		Result: CalibrationResult{Truth: truthOf(b.Sim)},
		Report: report.Report{Title: "Calibration", Subject: b.Subject(), Simulated: b.Preset, Time: time.Now()},
	}
	learnt, err := b.Learn(ctx, o, next)
	var figures *calib.Figures
	if err == nil {
		next("judging")
		figures, err = learnt.Examine(ctx, b.Rig, o.Seed)
	}
	var failure *calib.Failure
	switch {
	case errors.As(err, &failure):
		c.Result.fail(failure)
		c.Report.Carrier, c.Report.Seen = failure.Carrier, failure.Seen
	case err != nil:
		return nil, err
	default:
		c.Learnt = learnt
		learnt.Examined = figures
		c.Result.learnt(learnt)
		c.Result.Figures, c.Result.Verdict = figures, learnt.Judge(figures)
		c.Report.Carrier, c.Report.Seen, c.Report.Figures, c.Report.Facts = learnt.Carrier, figures.Seen, figures, facts(learnt)
	}
	c.Report.Verdict, c.Report.Result = c.Result.Verdict, c.Result
	return c, nil
}

// Err is nil for a good calibration, else calib.ErrRefused with what to turn.
func (c *Calibration) Err() error {
	if err := c.Result.Verdict.Err(); err != nil {
		return fmt.Errorf("cannot use this calibration: %w", err)
	}
	return nil
}

// Print writes it for people.
func (c *Calibration) Print(w io.Writer) {
	if c.Learnt != nil {
		PrintCalibration(w, c.Learnt)
	}
	PrintVerdict(w, c.Result.Verdict)
	if t := c.Result.Truth; t != nil {
		fmt.Fprintf(w, "simulated bench %q; its truth: carrier (%.4f, %.4f), radius %.4f, rho %.2f\n",
			c.Report.Simulated, t.Carrier[0], t.Carrier[1], t.Radius, t.Rho)
	}
}

// Learn learns a calibration, which is not judged. Progress is called when a stage
// begins.
func (b *Bench) Learn(ctx context.Context, o Options, progress func(stage string)) (*calib.Calibration, error) {
	return calib.Learn(ctx, b.Rig, calib.Options{
		Layout:  slm.LayoutSpec{Kind: o.Layout, Features: o.Features, Seed: o.Seed, Mask: o.Mask},
		Outputs: o.Outputs, Seed: o.Seed, Anchor: o.Anchor, Tags: o.Tags, Taps: Taps, Stride: Stride,
		Progress: progress,
	})
}

// Subject names the devices.
func (b *Bench) Subject() string {
	return fmt.Sprintf("%s and %s", b.Rig.SLM().Model, b.Rig.Camera().Model)
}

// Truth is what a simulated bench knows of itself, for reports only.
type Truth struct {
	Carrier [2]float64 `json:"carrier"`
	Radius  float64    `json:"radius"`
	Rho     float64    `json:"rho"`
}

func truthOf(b *sim.Bench) *Truth {
	if b == nil {
		return nil
	}
	t := b.Truth()
	return &Truth{t.Carrier, t.Radius, t.Rho}
}

// CalibrationResult is a calibration as programs read it. What a refused one did not
// come to is null.
type CalibrationResult struct {
	Carrier         *[2]float64 `json:"carrier"` // fu, fv, cycles per pixel
	Radius          *float64    `json:"radius"`
	SidebandDB      *float64    `json:"sideband_db"`
	SNRDB           *float64    `json:"snr_db"`
	LinearityDB     *float64    `json:"linearity_db"`
	RepeatabilityDB *float64    `json:"repeatability_db"`
	Saturated       *float64    `json:"saturated"`
	Rho             *float64    `json:"rho"`
	ExposureUS      *float64    `json:"exposure_us"`
	Features        *int        `json:"features"`
	Outputs         *int        `json:"outputs"`
	EpochOfB        *string     `json:"epoch_of_b"`
	calib.Verdict
	Notes   []string       `json:"notes,omitempty"` // what was corrected on the way
	Figures *calib.Figures `json:"figures"`
	Truth   *Truth         `json:"truth,omitempty"`
}

// CalibrationResultOf is that of a calibration that was not judged.
func CalibrationResultOf(c *calib.Calibration) (r CalibrationResult) {
	r.learnt(c)
	return r
}

// learnt fills in a calibration.
func (r *CalibrationResult) learnt(c *calib.Calibration) {
	r.seen(c.Carrier)
	r.Notes = c.Notes
	r.SNRDB, r.LinearityDB, r.RepeatabilityDB = &c.Quality.SNR, &c.Quality.Linearity, &c.Quality.Repeatability
	r.Saturated, r.Rho = &c.Levels.Saturated, &c.Quality.Rho
	exposure, epoch := float64(c.Settings.Exposure.Microseconds()), c.Epoch()
	r.ExposureUS, r.Features, r.Outputs, r.EpochOfB = &exposure, &c.Layout.Features, &c.Outputs, &epoch
}

// fail fills in what was seen before a calibration failed.
func (r *CalibrationResult) fail(f *calib.Failure) {
	r.Verdict = calib.Refuse(f)
	if f.Carrier.Radius > 0 {
		r.seen(f.Carrier)
	}
	r.Saturated = &f.Levels.Saturated
}

func (r *CalibrationResult) seen(c calib.Carrier) {
	r.Carrier, r.Radius, r.SidebandDB = &[2]float64{c.Fu, c.Fv}, &c.Radius, &c.SidebandDB
}

// facts are the lines of a calibration in a report.
func facts(c *calib.Calibration) (all []report.Fact) {
	var text strings.Builder
	PrintCalibration(&text, c)
	for line := range strings.Lines(text.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, report.Fact{Name: name, Value: strings.TrimSpace(value)})
	}
	return all
}

// PrintVerdict writes a verdict and its checks for people.
func PrintVerdict(w io.Writer, v calib.Verdict) {
	for _, c := range v.Checks {
		mark := "ok"
		if !c.OK {
			mark = "NOT"
		}
		fmt.Fprintf(w, "  %-3s %-42s %8.3g %-10s %s\n", mark, c.Name, c.Value, c.Unit, c.Limit)
	}
	fmt.Fprintf(w, "verdict     %s\n", v.Verdict)
	for _, reason := range v.Reasons {
		fmt.Fprintf(w, "  %s\n", reason)
	}
}

// PrintCalibration writes a calibration for people.
func PrintCalibration(w io.Writer, c *calib.Calibration) {
	fmt.Fprintf(w, "epoch       %s, learnt %s on %s and %s\n", c.Epoch(), c.Created.Local().Format("2006-01-02 15:04:05"), c.SLM.Model, c.Camera.Model)
	fmt.Fprintf(w, "matrix      %d complex outputs x %d inputs (%s, %d mirrors each)\n", c.Outputs, c.Layout.Features, c.Layout.Kind, c.Layout.Area)
	fmt.Fprintf(w, "carrier     (%.4f, %.4f) cycles per pixel, %.2f radii from zero\n", c.Carrier.Fu, c.Carrier.Fv, c.Carrier.Band().FromZero()/c.Carrier.Radius)
	fmt.Fprintf(w, "sideband    radius %.4f cycles per pixel, %.1f dB over the floor\n", c.Carrier.Radius, c.Carrier.SidebandDB)
	fmt.Fprintf(w, "light       exposure %v in a period of %v; levels: black %.1f, mirrors off %.1f, half on %.1f of %d counts; %.2g %% saturated\n",
		c.Settings.Exposure, c.Settings.Period, c.Levels.Black, c.Levels.Off, c.Levels.Half, 1<<c.Settings.BitDepth-1, 100*c.Levels.Saturated)
	for _, note := range c.Notes {
		fmt.Fprintf(w, "note        %s\n", note)
	}
	fmt.Fprintf(w, "reference   %.2f times the power of half-on speckle\n", c.Quality.Rho)
	fmt.Fprintf(w, "quality     SNR %.1f dB (half-on, one exposure), linearity %.1f dB, repeatability %.1f dB\n",
		c.Quality.SNR, c.Quality.Linearity, c.Quality.Repeatability)
}
