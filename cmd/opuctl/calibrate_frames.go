package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/calib/report"
	"github.com/light-in-the-loop/opu/internal/bench"
)

// framesFlags make a calibration of recorded frames instead of a bench's.
type framesFlags struct {
	file     string
	bitDepth int
}

func (f *framesFlags) register(c *cobra.Command) {
	c.Flags().StringVar(&f.file, "frames", "", "calibrate from recorded frames in a `file` (K x H x W, uint8 or uint16), without a bench")
	c.Flags().IntVar(&f.bitDepth, "bit-depth", 0, "bits of the camera that recorded uint16 --frames (0: the fewest that hold the largest value)")
}

// check refuses flags of benches, which frames cannot tell anything about.
func (f *framesFlags) check(c *cobra.Command) error {
	if f.file == "" {
		if f.bitDepth != 0 {
			return usage("--bit-depth is that of recorded frames; it goes with --frames")
		}
		return nil
	}
	for _, name := range []string{"sim", "usb", "restart", "features", "layout", "mask", "calibration"} {
		if flag := c.Flags().Lookup(name); flag != nil && flag.Changed {
			return usage("--%s is of a bench; recorded --frames tell nothing about it", name)
		}
	}
	if f.bitDepth != 0 && (f.bitDepth < 8 || f.bitDepth > 16) {
		return usage("--bit-depth %d is not 8 to 16", f.bitDepth)
	}
	return nil
}

// recordedReport is a calibration of recorded frames as programs read it.
type recordedReport struct {
	Frames         int        `json:"frames"`
	Width          int        `json:"width"`
	Height         int        `json:"height"`
	BitDepth       int        `json:"bit_depth"`
	Carrier        [2]float64 `json:"carrier"` // fu, fv, cycles per pixel
	Radius         float64    `json:"radius"`
	SidebandDB     float64    `json:"sideband_db"`
	Mean           float64    `json:"mean_counts"`
	Noise          float64    `json:"noise_counts2"` // variance of a pixel
	Saturated      float64    `json:"saturated"`
	Independent    float64    `json:"independent_frames"`
	RepeatedFrames int        `json:"repeated_frames"`
	RhoEstimate    float64    `json:"rho_estimate"`
	PredictedDB    float64    `json:"predicted_db"`
	Outputs        int        `json:"outputs"`
	Verdict        string     `json:"verdict"`
	Reasons        []string   `json:"reasons"`
	NotJudged      []string   `json:"not_judged"`
	Out            string     `json:"out,omitempty"`
}

// run calibrates from the frames, prints the result and saves it to out if that is a
// name and the frames can be trusted.
func (f *framesFlags) run(c *cobra.Command, print format, outputs int, out, dir string) error {
	cal, seen, err := f.learn(c.Context(), newProgress(c.ErrOrStderr(), -1), outputs)
	var refused *calib.Refused
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	rec := cal.Recorded
	result := recordedReport{
		Frames: rec.Frames, Width: cal.Settings.ROI.Width, Height: cal.Settings.ROI.Height, BitDepth: cal.Settings.BitDepth,
		Carrier: [2]float64{cal.Carrier.Fu, cal.Carrier.Fv}, Radius: cal.Carrier.Radius, SidebandDB: cal.Carrier.SidebandDB,
		Mean: rec.Mean, Noise: rec.Noise, Saturated: rec.Saturated, Independent: rec.Independent, RepeatedFrames: rec.Repeated,
		RhoEstimate: cal.Quality.Rho, PredictedDB: rec.PredictedDB, Outputs: cal.Outputs,
		Verdict: calib.VerdictGood, Reasons: []string{}, NotJudged: calib.NotJudged, Out: out,
	}
	if refused != nil {
		result.Verdict, result.Out = calib.VerdictRefused, ""
		for _, reason := range refused.Reasons {
			result.Reasons = append(result.Reasons, reason.Error())
		}
	} else if out != "" {
		if err := cal.Save(out); err != nil {
			return err
		}
	}
	if dir != "" {
		page := report.Report{
			Title: "Calibration from recorded frames", Subject: f.file, Time: time.Now(), Carrier: cal.Carrier, Seen: seen,
			Verdict:   calib.Verdict{Verdict: result.Verdict, Reasons: result.Reasons},
			NotJudged: calib.NotJudged, Result: result,
		}
		if err := page.Write(dir); err != nil {
			return err
		}
	}
	text := func(w io.Writer) {
		result.text(w)
		printReport(w, dir)
	}
	if err := print.print(c.OutOrStdout(), result, text); err != nil {
		return err
	}
	if refused != nil {
		return fmt.Errorf("cannot calibrate from %s: the verdict is refused (%d reasons); nothing was saved", f.file, len(refused.Reasons))
	}
	return nil
}

// learn reads the frames one by one. The view is of the last, and of their spectrum.
func (f *framesFlags) learn(ctx context.Context, p *progress, outputs int) (*calib.Calibration, *calib.View, error) {
	defer p.done()
	frames, err := openFrames(f.file)
	if err != nil {
		return nil, nil, err
	}
	defer frames.close()
	if bytes := 1 + (f.bitDepth-1)/8; f.bitDepth != 0 && bytes != frames.in.DType.Size() {
		return nil, nil, usage("--bit-depth %d does not go with pixels of %v", f.bitDepth, frames.in.DType)
	}
	recording, err := calib.NewRecording(frames.width, frames.height, frames.depth)
	if err != nil {
		return nil, nil, usage("%v", err)
	}
	for {
		img, err := frames.next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = recording.Add(img)
		}
		if err != nil {
			return nil, nil, err
		}
		p.to(recording.Frames(), "reading frames")
	}
	cal, err := recording.Learn(calib.RecordedOptions{BitDepth: f.bitDepth, Outputs: outputs, Taps: bench.Taps, Stride: bench.Stride})
	if cal == nil {
		return nil, nil, usage("%v", err)
	}
	return cal, recording.View(), err
}

func (r recordedReport) text(w io.Writer) {
	fmt.Fprintf(w, "frames      %d of %dx%d pixels, %d bits; mean %.1f counts, %.2g %% saturated\n", r.Frames, r.Width, r.Height, r.BitDepth, r.Mean, 100*r.Saturated)
	if r.Independent > 0 { // a sideband was seen, usable or not
		fmt.Fprintf(w, "patterns    as good as %.0f independent ones\n", r.Independent)
		fmt.Fprintf(w, "carrier     (%.4f, %.4f) cycles per pixel\n", r.Carrier[0], r.Carrier[1])
		fmt.Fprintf(w, "sideband    radius %.4f cycles per pixel, %.1f dB over the floor\n", r.Radius, r.SidebandDB)
		fmt.Fprintf(w, "noise       %.3g counts squared a pixel\n", r.Noise)
		fmt.Fprintf(w, "reference   about %.1f times the power of the speckle, if the frames are independent\n", r.RhoEstimate)
	}
	if r.Verdict == calib.VerdictGood {
		fmt.Fprintf(w, "outputs     %d complex, %.1f dB predicted for one frame\n", r.Outputs, r.PredictedDB)
	}
	fmt.Fprintf(w, "verdict     %s\n", r.Verdict)
	for _, reason := range r.Reasons {
		fmt.Fprintf(w, "  %s\n", reason)
	}
	fmt.Fprintf(w, "not judged, since frames alone do not tell:\n")
	for _, n := range r.NotJudged {
		fmt.Fprintf(w, "  %s\n", n)
	}
	if r.Out != "" {
		fmt.Fprintf(w, "saved to %s\n", r.Out)
	}
}
