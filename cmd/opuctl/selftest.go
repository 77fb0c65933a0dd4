package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/calib/report"
)

func newSelftest() *cobra.Command {
	var b benchFlags
	var out format
	var file, dir string
	c := &cobra.Command{
		Use:   "selftest",
		Short: "Judge again whether an OPU is as good as its calibration",
		Long: `Show some 250 patterns with the settings of a calibration and judge what comes
back as calibrate does: light, noise, linearity, outputs and columns, the carrier's
place, drift and jitter, and whether the probe still looks as it did, that is
whether the matrix is still the one of the calibration. Nothing is changed. If the
verdict is "refused" the exit code is 1.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if file == "" {
				return usage("--calibration is missing: the calibration to judge by; opuctl calibrate --out makes one")
			}
			cal, err := calib.Load(file)
			if err == nil {
				err = cal.OnRig()
			}
			if err != nil {
				return err
			}
			if dir != "" {
				if err := writable(dir); err != nil {
					return err
				}
			}
			t, err := b.open(c.ErrOrStderr(), need{features: cal.Layout.Features, outputs: cal.Outputs})
			if err != nil {
				return err
			}
			defer t.rig.Close()
			figures, err := cal.Examine(c.Context(), t.rig, b.seed)
			if err != nil {
				return err
			}
			result := selftestReport{EpochOfB: cal.Epoch(), Verdict: cal.Judge(figures), Figures: figures, Simulated: b.sim}
			if dir != "" {
				page := report.Report{
					Title: "Self-test", Subject: subject(t), Simulated: b.sim, Time: time.Now(), Verdict: result.Verdict,
					Carrier: cal.Carrier, Seen: figures.Seen, Figures: figures, Facts: facts(cal), Result: result,
				}
				if err := page.Write(dir); err != nil {
					return err
				}
			}
			err = out.print(c.OutOrStdout(), result, func(w io.Writer) {
				fmt.Fprintf(w, "epoch       %s, of %s\n", cal.Epoch(), cal.Created.Local().Format("2006-01-02 15:04:05"))
				printVerdict(w, result.Verdict)
				printReport(w, dir)
			})
			if err == nil {
				if err = result.Verdict.Err(); err != nil {
					err = fmt.Errorf("cannot go on with this calibration: %w", err)
				}
			}
			return err
		},
	}
	b.registerBench(c)
	out.register(c)
	c.Flags().StringVar(&file, "calibration", "", "calibration `file` to judge by")
	c.Flags().StringVar(&dir, "report", "", "`folder` to write a page with pictures to")
	return c
}

// selftestReport is a self-test as programs read it.
type selftestReport struct {
	EpochOfB string `json:"epoch_of_b"`
	calib.Verdict
	Figures   *calib.Figures `json:"figures"`
	Simulated string         `json:"simulated,omitempty"`
}
