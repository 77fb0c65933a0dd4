package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib/report"
)

func newCalibrate() *cobra.Command {
	var b benchFlags
	var out format
	var n need
	var file, dir string
	var frames framesFlags
	var remote remoteFlags
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

With --url a daemon calibrates its device, for the shape of vectors that it serves, and
serves the new matrix from then on if it is good; else it goes on with the one before.
What is not given by a flag is as the daemon is configured. Ctrl-C cancels it there.

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
			if err := remote.check(c, "frames", "bit-depth", "features", "outputs"); err != nil {
				return err
			}
			if remote.given() {
				return remote.calibrate(c, out, &b, file, dir)
			}
			if frames.file != "" {
				return frames.run(c, out, n.outputs, file, dir)
			}
			t, err := b.open(c.Context(), c.ErrOrStderr(), n)
			if err != nil {
				return err
			}
			defer t.bench.Close()
			p := newProgress(c.ErrOrStderr(), 100)
			found, err := t.bench.Calibrate(c.Context(), b.options(t, n), func(stage string, share float64) {
				p.to(int(100*share), "calibrating: "+stage)
			})
			p.done()
			if err != nil {
				return err
			}
			if dir != "" {
				if err := found.Report.Write(dir); err != nil {
					return err
				}
			}
			saved := file != "" && found.Err() == nil
			if saved {
				if err := found.Learnt.Save(file); err != nil {
					return err
				}
			}
			err = out.print(c.OutOrStdout(), found.Result, func(w io.Writer) {
				found.Print(w)
				if saved {
					fmt.Fprintf(w, "saved to %s\n", file)
				}
				printReport(w, dir)
			})
			if err == nil {
				if err = found.Err(); err != nil {
					err = fmt.Errorf("%w; nothing was saved", err)
				}
			}
			return err
		},
	}
	b.register(c)
	out.register(c)
	frames.register(c)
	remote.register(c)
	c.Flags().IntVar(&n.features, "features", 10, "length of the vectors to project")
	c.Flags().IntVar(&n.outputs, "outputs", 0, "complex outputs (0: as many as the sensor gives)")
	c.Flags().StringVar(&file, "out", "", "`file` to save the calibration to")
	c.Flags().StringVar(&dir, "report", "", "`folder` to write a page with pictures to")
	return c
}

func printReport(w io.Writer, dir string) {
	if dir != "" {
		fmt.Fprintf(w, "report in %s\n", filepath.Join(dir, report.PageFile))
	}
}

// calibrate has a daemon calibrate its device.
func (r *remoteFlags) calibrate(c *cobra.Command, out format, b *benchFlags, file, dir string) error {
	request := map[string]any{}
	for name, value := range map[string]any{"seed": b.seed, "layout": b.layout, "anchor": b.anchor, "tags": b.tags} {
		if c.Flags().Changed(name) {
			request[name] = value
		}
	}
	if b.mask != "" {
		mask, err := os.ReadFile(b.mask)
		if err != nil {
			return fmt.Errorf("cannot read the mask: %w", err)
		}
		request["mask"] = mask
	}
	d, err := r.connect()
	if err != nil {
		return err
	}
	defer d.Close()
	j, err := r.doJob(c, d, "calibration", request)
	if err != nil {
		return err
	}
	if err := j.fetchReport(c.Context(), d, dir); err != nil {
		return err
	}
	saved, err := j.fetch(c.Context(), d, "calibration.opucal", file)
	if err == nil {
		err = j.print(c, d, out, func(w io.Writer) {
			if saved {
				fmt.Fprintf(w, "saved to %s\n", file)
			}
			printReport(w, dir)
		})
	}
	return cmp.Or(err, j.err())
}
