package main

import (
	"fmt"
	"io"
	"math"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/picture"
)

func newInspect() *cobra.Command {
	var b benchFlags
	var out format
	var file string
	n := need{features: 10}
	c := &cobra.Command{
		Use:   "inspect",
		Short: "Look at a frame, its spectrum and the calibration",
		Long: `Take frames of random patterns and show what they look like: levels and
saturation, the mean spectrum with the sideband that the calibration uses, and the
calibration itself. As text, or with --out as a picture.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if file != "" {
				if err := writableFile(file); err != nil {
					return err
				}
			}
			t, err := b.open(c.ErrOrStderr(), n)
			if err != nil {
				return err
			}
			defer t.rig.Close()
			p := newProgress(c.ErrOrStderr(), -1)
			var cal *calib.Calibration
			if b.calibration != "" {
				cal, err = calib.Load(b.calibration)
			} else {
				cal, err = b.calibrate(c.Context(), t, n, p)
			}
			p.done()
			if err != nil {
				return err
			}
			view, err := cal.View(c.Context(), t.rig, b.seed)
			if err != nil {
				return err
			}
			if file != "" {
				title := "opuctl inspect"
				if b.sim != "" {
					title = fmt.Sprintf("simulated bench %q, seed %d", b.sim, b.seed)
				}
				h := picture.Hologram{
					Title: title, Width: view.Width, Height: view.Height, Frame: view.Frame, Power: view.Power,
					Fu: cal.Carrier.Fu, Fv: cal.Carrier.Fv, Radius: cal.Carrier.Radius,
				}
				if err := atomicfile.Write(file, h.WritePNG); err != nil {
					return err
				}
			}
			result := struct {
				Mean        float64                 `json:"mean_counts"`
				Saturated   float64                 `json:"saturated"`
				Health      float64                 `json:"health"`
				PhaseRad    float64                 `json:"phase_rad"`
				Calibration bench.CalibrationResult `json:"calibration"`
				Simulated   string                  `json:"simulated,omitempty"`
				Picture     string                  `json:"picture,omitempty"`
			}{view.Mean, view.Saturated, view.Drift.Health, view.Drift.Phase(), bench.CalibrationResultOf(cal), b.sim, file}
			return out.print(c.OutOrStdout(), result, func(w io.Writer) {
				bench.PrintCalibration(w, cal)
				fmt.Fprintf(w, "now         mean level %.1f counts, %.2g %% saturated; probe: health %.3f, phase %+.3f rad\n",
					view.Mean, 100*view.Saturated, view.Drift.Health, view.Drift.Phase())
				fmt.Fprintf(w, "spectrum (dB over its floor; S marks the sideband, s its twin):\n")
				printSpectrum(w, view, cal.Carrier)
				if file != "" {
					fmt.Fprintf(w, "picture in %s\n", file)
				}
			})
		},
	}
	b.register(c)
	out.register(c)
	c.Flags().StringVar(&file, "out", "", "`file` for the picture (PNG)")
	return c
}

// printSpectrum draws the spectrum with characters, fv upwards.
func printSpectrum(w io.Writer, view *calib.View, c calib.Carrier) {
	const columns, rows = 64, 32
	const shades = " .:-=+*#%@"
	cells := make([]float64, columns*rows)
	for v := range view.Height {
		for u := range view.Width {
			cu := (u*columns/view.Width + columns/2) % columns
			cv := (v*rows/view.Height + rows/2) % rows
			cells[cv*columns+cu] += view.Power[v*view.Width+u]
		}
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for i, p := range cells {
		cells[i] = math.Log10(math.Max(p, 1e-12))
		lo, hi = min(lo, cells[i]), max(hi, cells[i])
	}
	near := func(fu, fv, u, v float64) bool {
		du, dv := fu-u, fv-v
		du, dv = du-math.Round(du), dv-math.Round(dv)
		return math.Abs(du) < 0.5/columns && math.Abs(dv) < 0.5/rows
	}
	for row := rows - 1; row >= 0; row-- {
		line := make([]byte, columns)
		for col := range columns {
			fu, fv := (float64(col)+0.5)/columns-0.5, (float64(row)+0.5)/rows-0.5
			line[col] = shades[int((cells[row*columns+col]-lo)/math.Max(hi-lo, 1e-9)*float64(len(shades)-1))]
			switch {
			case near(fu, fv, -c.Fu, -c.Fv):
				line[col] = 'S'
			case near(fu, fv, c.Fu, c.Fv):
				line[col] = 's'
			}
		}
		fmt.Fprintf(w, "  %+.2f |%s|\n", (float64(row)+0.5)/rows-0.5, line)
	}
	fmt.Fprintf(w, "  fv/fu  -0.5%*s0%*s+0.5\n", columns/2-4, "", columns/2-5, "")
}
