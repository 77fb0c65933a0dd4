package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/calib/report"
	"github.com/light-in-the-loop/opu/sim"
)

// benchTruth is what a simulated bench knows of itself, for reports only.
type benchTruth struct {
	Carrier [2]float64 `json:"carrier"`
	Radius  float64    `json:"radius"`
	Rho     float64    `json:"rho"`
}

func truthOf(b *sim.Bench) *benchTruth {
	if b == nil {
		return nil
	}
	t := b.Truth()
	return &benchTruth{t.Carrier, t.Radius, t.Rho}
}

func newCalibrate() *cobra.Command {
	var b benchFlags
	var out format
	var n need
	var file, dir string
	var frames framesFlags
	c := &cobra.Command{
		Use:   "calibrate",
		Short: "Learn the carrier, the exposure, the noise and the scale of an OPU",
		Long: `Learn from frames alone what an OPU's frames mean: exposure and black level, the
carrier of the reference beam and the radius of the speckle's sideband, the kernel
of the demodulator, noise and scale. The result names one random matrix (its
epoch); whoever uses the file again gets the same matrix, as long as the medium
stays the same.

With --frames FILE it learns from recorded frames instead, K x H x W of uint8 or
uint16, each of another random pattern (64 fine ones are good, 16 the least): the
carrier, the radius, the noise and the kernel, for opuctl demodulate. It says what
frames alone cannot tell. The file is read as a stream, however long it is. Frames
that cannot be trusted have the verdict "refused", with the reasons; nothing is
saved then, and the exit code is 1.

On a rig the calibration is judged as well: each check has its limit, and a refused
one says what to turn, is not saved, and ends with exit code 1.

With --report DIR it writes a page (report.html) with the verdict, its checks and
pictures of what was seen, also of a calibration that was refused.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if b.calibration != "" {
				return usage("calibrate makes a calibration; --calibration is for the other commands")
			}
			if n.features < 1 || n.outputs < 0 {
				return usage("--features %d --outputs %d: at least one feature, and no negative outputs", n.features, n.outputs)
			}
			if err := frames.check(c); err != nil {
				return err
			}
			if file != "" {
				if err := writableFile(file); err != nil {
					return err
				}
			}
			if dir != "" {
				if err := writable(dir); err != nil {
					return err
				}
			}
			if frames.file != "" {
				return frames.run(c, out, n.outputs, file, dir)
			}
			t, err := b.open(c.ErrOrStderr(), n)
			if err != nil {
				return err
			}
			defer t.rig.Close()
			p := newProgress(c.ErrOrStderr(), -1)
			cal, err := b.learn(c.Context(), t, n, p)
			result := calibrationReport{Truth: truthOf(t.sim)}
			page := report.Report{Title: "Calibration", Subject: subject(t), Simulated: b.sim, Time: time.Now()}
			var failure *calib.Failure
			switch {
			case errors.As(err, &failure):
				result.fail(failure)
				page.Carrier, page.Seen = failure.Carrier, failure.Seen
			case err != nil:
				return err
			default:
				figures, err := cal.Examine(c.Context(), t.rig, b.seed)
				if err != nil {
					return err
				}
				result.learnt(cal)
				result.Figures, result.Verdict = figures, cal.Judge(figures)
				cal.Examined = figures
				page.Carrier, page.Seen, page.Figures, page.Facts = cal.Carrier, figures.Seen, figures, facts(cal)
			}
			p.done()
			if dir != "" {
				page.Verdict, page.Result = result.Verdict, result
				if err := page.Write(dir); err != nil {
					return err
				}
			}
			saved := file != "" && result.Verdict.Verdict == calib.VerdictGood
			if saved {
				if err := cal.Save(file); err != nil {
					return err
				}
			}
			err = out.print(c.OutOrStdout(), result, func(w io.Writer) {
				if cal != nil {
					printCalibration(w, cal)
				}
				printVerdict(w, result.Verdict)
				if result.Truth != nil {
					fmt.Fprintf(w, "simulated bench %q; its truth: carrier (%.4f, %.4f), radius %.4f, rho %.2f\n",
						b.sim, result.Truth.Carrier[0], result.Truth.Carrier[1], result.Truth.Radius, result.Truth.Rho)
				}
				if saved {
					fmt.Fprintf(w, "saved to %s\n", file)
				}
				printReport(w, dir)
			})
			if err == nil {
				if err = result.Verdict.Err(); err != nil {
					err = fmt.Errorf("cannot use this calibration, nothing was saved: %w", err)
				}
			}
			return err
		},
	}
	b.register(c)
	out.register(c)
	frames.register(c)
	c.Flags().IntVar(&n.features, "features", 10, "length of the vectors to project")
	c.Flags().IntVar(&n.outputs, "outputs", 0, "complex outputs (0: as many as the sensor gives)")
	c.Flags().StringVar(&file, "out", "", "`file` to save the calibration to")
	c.Flags().StringVar(&dir, "report", "", "`folder` to write a page with pictures to")
	return c
}

// calibrationReport is a calibration as programs read it. What a refused one did not
// come to is null.
type calibrationReport struct {
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
	Truth   *benchTruth    `json:"truth,omitempty"`
}

func calibrationResult(c *calib.Calibration) (r calibrationReport) {
	r.learnt(c)
	return r
}

// learnt fills in a calibration.
func (r *calibrationReport) learnt(c *calib.Calibration) {
	r.seen(c.Carrier)
	r.Notes = c.Notes
	r.SNRDB, r.LinearityDB, r.RepeatabilityDB = &c.Quality.SNR, &c.Quality.Linearity, &c.Quality.Repeatability
	r.Saturated, r.Rho = &c.Levels.Saturated, &c.Quality.Rho
	exposure, epoch := float64(c.Settings.Exposure.Microseconds()), c.Epoch()
	r.ExposureUS, r.Features, r.Outputs, r.EpochOfB = &exposure, &c.Layout.Features, &c.Outputs, &epoch
}

// fail fills in what was seen before a calibration failed.
func (r *calibrationReport) fail(f *calib.Failure) {
	r.Verdict = calib.Refuse(f)
	if f.Carrier.Radius > 0 {
		r.seen(f.Carrier)
	}
	r.Saturated = &f.Levels.Saturated
}

func (r *calibrationReport) seen(c calib.Carrier) {
	r.Carrier, r.Radius, r.SidebandDB = &[2]float64{c.Fu, c.Fv}, &c.Radius, &c.SidebandDB
}

// subject names the devices of a report.
func subject(t *table) string {
	return fmt.Sprintf("%s and %s", t.rig.SLM().Model, t.rig.Camera().Model)
}

// facts are the lines of a calibration in a report.
func facts(c *calib.Calibration) (all []report.Fact) {
	var text strings.Builder
	printCalibration(&text, c)
	for line := range strings.Lines(text.String()) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, report.Fact{Name: name, Value: strings.TrimSpace(value)})
	}
	return all
}

func printReport(w io.Writer, dir string) {
	if dir != "" {
		fmt.Fprintf(w, "report in %s\n", filepath.Join(dir, report.PageFile))
	}
}

func printVerdict(w io.Writer, v calib.Verdict) {
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

func printCalibration(w io.Writer, c *calib.Calibration) {
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
