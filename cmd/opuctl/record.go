package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/replay"
	"github.com/light-in-the-loop/opu/slm"
)

// recordResult is what was recorded, for programs.
type recordResult struct {
	File string `json:"file"`
	replay.Summary
	Calibration bench.CalibrationResult `json:"calibration"`
	Broken      string                  `json:"broken_off,omitempty"` // why the calibration ended early
}

func newRecord() *cobra.Command {
	var b benchFlags
	var out format
	var n need
	var file string
	c := &cobra.Command{
		Use:   "record",
		Short: "Calibrate a rig and keep everything that it showed, to be replayed elsewhere",
		Long: `Calibrate a rig and keep it all in one file: the patterns, the camera's settings, every
frame as it came, what was counted, and the calibration. Somebody who has no rig then
uses the file as one:

  opuctl record --rig west --out west.opurec
  opuctl calibrate --slm replay:west.opurec --camera replay:west.opurec

With the same flags that gives the same calibration; a pattern or an exposure that was not
recorded is an error. A calibration that is refused, or breaks off, is recorded as well:
it is the one to send to a maintainer. Frames are kept as they are, so the file is large,
and it holds what the glass does to these patterns: the matrix of this calibration.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			switch {
			case file == "":
				return usage("--out is missing: the file to record to, such as rig.opurec")
			case b.calibration != "":
				return usage("record makes a calibration; --calibration is for the other commands")
			case n.features < 1 || n.outputs < 0:
				return usage("--features %d --outputs %d: at least one feature, and no negative outputs", n.features, n.outputs)
			}
			if err := writableFile(file); err != nil {
				return err
			}
			t, err := b.open(c.Context(), c.ErrOrStderr(), n)
			if err != nil {
				return err
			}
			defer t.bench.Close()
			p := newProgress(c.ErrOrStderr(), 100)
			var found *bench.Calibration
			var broken error
			err = atomicfile.Write(file, func(w io.Writer) error {
				found, broken, err = record(c, t, b.options(t, n), w, func(stage string, share float64) { p.to(int(100*share), "recording: "+stage) })
				return err
			})
			p.done()
			if err != nil {
				return err
			}
			r, err := replay.Open(file) // read again: what is sent away can be used
			if err != nil {
				return err
			}
			defer r.Close()
			result := recordResult{File: file, Summary: r.Summary()}
			if found != nil {
				result.Calibration = found.Result
			}
			if broken != nil {
				result.Broken = broken.Error()
			}
			err = out.print(c.OutOrStdout(), result, func(w io.Writer) {
				if found != nil {
					found.Print(w)
				}
				fmt.Fprintf(w, "recorded    %d patterns, %d frames in %d runs in %s; %d bad frames, %d runs unproven\n",
					result.Patterns, result.Frames, result.Runs, file, result.Bad, result.Unproven)
			})
			if err == nil && broken != nil {
				err = fmt.Errorf("%w; what came before is in %s", broken, file)
			}
			return err
		},
	}
	b.register(c)
	out.register(c)
	c.Flags().IntVar(&n.features, "features", 10, "length of the vectors to project")
	c.Flags().IntVar(&n.outputs, "outputs", 0, "complex outputs (0: as many as the sensor gives)")
	c.Flags().StringVar(&file, "out", "", "`file` to record to")
	return c
}

// record calibrates and writes everything. Broken is why the calibration could not be
// finished; what there is of it is written all the same.
func record(c *cobra.Command, t *table, o bench.Options, w io.Writer, progress func(string, float64)) (found *bench.Calibration, broken, err error) {
	var rec *replay.Recorder
	t.rig.Tap(func(dmd slm.Device, cam camera.Device) (slm.Device, camera.Device) {
		if rec, err = replay.NewRecorder(c.Context(), w, dmd, cam); err != nil {
			return dmd, cam
		}
		return rec.SLM(), rec.Camera()
	})
	if err != nil {
		return nil, nil, err
	}
	found, broken = t.bench.Calibrate(c.Context(), o, progress)
	var learnt []byte
	if broken == nil && found.Err() == nil {
		var b bytes.Buffer
		if err := found.Learnt.Write(&b); err != nil {
			return nil, nil, err
		}
		learnt = b.Bytes()
	}
	return found, broken, rec.Close(learnt)
}
