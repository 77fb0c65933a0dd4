package calib_test

import (
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// BenchmarkJudge is what it costs a frame to prove itself, beside the demodulation of
// all outputs of the same frame (256 x 256 pixels) in the same run.
func BenchmarkJudge(b *testing.B) {
	for _, x := range []struct {
		name     string
		features int
		tags     bool
	}{{"features", 10, false}, {"tags", 100, true}} {
		b.Run(x.name, func(b *testing.B) {
			c := sim.Good(3)
			cal, err := learn(b, c, calib.Options{Layout: slm.LayoutSpec{Kind: slm.Blocks, Features: x.features}, Tags: x.tags})
			if err != nil {
				b.Fatal(err)
			}
			prover, err := cal.Prover()
			if err != nil || prover == nil {
				b.Fatal(prover, err)
			}
			demodulator, err := cal.Demodulator(cal.Outputs)
			if err != nil {
				b.Fatal(err)
			}
			z := make([]complex64, max(cal.Outputs, prover.Outputs()))
			w := cal.Witness
			for i := range w.Outputs { // the frame of the first column alone
				z[i] = w.Dark[i] + w.Fields[i]
			}
			img := holo.Image{Pix: make([]byte, c.Width*c.Height), Width: c.Width, Height: c.Height, Stride: c.Width, BitDepth: 8}
			field := make([]complex64, cal.Outputs)
			// The shortest of many, taken in turn: what else the machine does is in neither.
			judging, demodulating := time.Hour, time.Hour
			for b.Loop() {
				start := time.Now()
				if _, err := prover.Judge(z, 1); err != nil {
					b.Fatal(err)
				}
				between := time.Now()
				if err := demodulator.Demodulate(field, img); err != nil {
					b.Fatal(err)
				}
				judging, demodulating = min(judging, between.Sub(start)), min(demodulating, time.Since(between))
			}
			b.ReportMetric(judging.Seconds()*1e6, "us/frame")
			b.ReportMetric(demodulating.Seconds()*1e6, "us/demodulation")
			b.ReportMetric(judging.Seconds()/demodulating.Seconds(), "x-demodulation")
		})
	}
}
