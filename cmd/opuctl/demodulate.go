package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/npy"
)

type demodulateCommand struct {
	format
	calibration, in, out string
	outputs              int
}

func newDemodulate() *cobra.Command {
	d := &demodulateCommand{}
	c := &cobra.Command{
		Use:   "demodulate --calibration CAL --in frames.npy --out y.npy",
		Short: "Turn recorded frames into complex fields",
		Long: `Demodulate recorded frames (K x H x W, uint8 or uint16) with a calibration, of
recorded frames or of a rig, and write the fields: complex64, K x M, a row for each
frame. The frames are read as a stream, however many there are. They must have the
size and the bytes per pixel of the calibration.

A row is linear in the light's field: the signal's field at M places of the sensor,
each with a constant phase of its own, plus what the frame has without signal.
Subtract the row of an all-off frame to have the signal alone; the difference of two
rows needs none. Rows are in units of the matrix B if the calibration is of a rig,
and else in weighted counts, up to one unknown complex factor.

Nothing is corrected: neither drift of the reference's phase nor the laser's power.
The result names the largest share of pixels at the end of the camera's range in any
frame, since such frames are not linear.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return d.run(c) },
	}
	d.format.register(c)
	f := c.Flags()
	f.StringVar(&d.calibration, "calibration", "", "calibration `file`")
	f.StringVar(&d.in, "in", "", "`file` with the frames: K x H x W")
	f.StringVar(&d.out, "out", "", "`file` for the fields: K x M")
	f.IntVar(&d.outputs, "outputs", 0, "outputs M, the first of the calibrated grid (0: as many as the calibration has)")
	return c
}

func (d *demodulateCommand) run(c *cobra.Command) error {
	if err := d.format.check(); err != nil {
		return err
	}
	if d.calibration == "" || d.in == "" || d.out == "" {
		return usage("--calibration, --in and --out are needed")
	}
	cal, err := calib.Load(d.calibration)
	if err != nil {
		return err
	}
	outputs := d.outputs
	if outputs == 0 {
		outputs = cal.Outputs
	}
	demodulator, err := cal.Demodulator(outputs)
	if err != nil {
		return usage("--outputs: %v", err)
	}
	frames, err := openFrames(d.in)
	if err != nil {
		return err
	}
	defer frames.close()
	s := cal.Settings
	if frames.width != s.ROI.Width || frames.height != s.ROI.Height || frames.depth > 8 != (s.BitDepth > 8) {
		return usage("the frames in %s are %d of %dx%d pixels, %v; the calibration %s is for %dx%d pixels of %d bits",
			d.in, frames.count, frames.width, frames.height, frames.in.DType, d.calibration, s.ROI.Width, s.ROI.Height, s.BitDepth)
	}
	if err := writableFile(d.out); err != nil {
		return err
	}
	result := struct {
		Frames    int     `json:"frames"`
		Outputs   int     `json:"outputs"`
		Units     string  `json:"units"`
		Saturated float64 `json:"saturated"` // largest share of any frame
		EpochOfB  string  `json:"epoch_of_b,omitempty"`
		Out       string  `json:"out"`
	}{Frames: frames.count, Outputs: outputs, Units: "weighted counts", Out: d.out}
	scale := float32(1)
	if cal.Recorded == nil {
		result.Units, result.EpochOfB = "entries of B", cal.Epoch()
		scale = float32(1 / cal.Scale)
	}
	p := newProgress(c.ErrOrStderr(), frames.count)
	err = atomicfile.Write(d.out, func(w io.Writer) error {
		result.Saturated, err = demodulate(c.Context(), w, frames, demodulator, s.BitDepth, scale, p)
		return err
	})
	p.done()
	if err != nil {
		return err
	}
	return d.print(c.OutOrStdout(), result, func(w io.Writer) {
		fmt.Fprintf(w, "%d frames demodulated to %d outputs each, in %s\n", result.Frames, result.Outputs, result.Units)
		fmt.Fprintf(w, "at most %.2g %% of a frame's pixels are saturated\n", 100*result.Saturated)
		if result.EpochOfB != "" {
			fmt.Fprintf(w, "matrix %s\n", result.EpochOfB)
		}
		fmt.Fprintf(w, "saved to %s\n", d.out)
	})
}

// demodulate streams the frames through and returns the largest share of pixels at
// the end of a range of bits.
func demodulate(ctx context.Context, w io.Writer, frames *recordedFrames, d *holo.Direct, bits int, scale float32, p *progress) (saturated float64, err error) {
	out, err := npy.NewWriter[complex64](w, frames.count, d.Outputs())
	if err != nil {
		return 0, err
	}
	y := make([]complex64, d.Outputs())
	for k := range frames.count {
		img, err := frames.next()
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = d.Demodulate(y, img)
		}
		if err != nil {
			return 0, err
		}
		for i := range y {
			y[i] *= complex(scale, 0)
		}
		if err := out.Write(y); err != nil {
			return 0, err
		}
		saturated = max(saturated, frames.saturated(bits))
		p.to(k+1, "demodulating")
	}
	if _, err := frames.next(); err != io.EOF {
		return 0, err
	}
	return saturated, out.Close()
}

// saturated is the share of the present frame's pixels at or beyond the end of a
// range of bits.
func (f *recordedFrames) saturated(bits int) float64 {
	full, n := uint16(1<<bits-1), 0
	if f.wide == nil {
		for _, x := range f.pix {
			if uint16(x) >= full {
				n++
			}
		}
	}
	for _, x := range f.wide {
		if x >= full {
			n++
		}
	}
	return float64(n) / float64(f.width*f.height)
}
