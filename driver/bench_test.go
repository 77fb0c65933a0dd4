package driver_test

import (
	"context"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/sim"
)

// BenchmarkProject is the whole chain on the bench: patterns, simulated frames, proof,
// demodulation, subtraction. Beside it stands the rate of the gonum FFT chain alone,
// one core, on frames of the same size in the same run.
func BenchmarkProject(b *testing.B) {
	s := newSetup(b, sim.Good(1), 10, 1024, driver.Options{})
	x := randomTernary(1, 64, 10)
	y := make([]complex64, 64*1024)
	if err := s.opu.Project(context.Background(), y, x); err != nil { // the light of new patterns is made once
		b.Fatal(err)
	}
	before := s.opu.Stats()
	for b.Loop() {
		if err := s.opu.Project(context.Background(), y, x); err != nil {
			b.Fatal(err)
		}
	}
	seconds := b.Elapsed().Seconds()
	after := s.opu.Stats()
	frames := float64(after.Frames-before.Frames) / seconds
	b.ReportMetric(float64(after.Projections-before.Projections)/seconds, "projections/s")
	b.ReportMetric(frames, "frames/s")

	c := s.bench.Config()
	fft, err := holo.NewFFT(c.Width, c.Height, s.cal.Carrier.Band(), holo.FFTOptions{})
	if err != nil {
		b.Fatal(err)
	}
	field := make([]complex64, fft.Outputs())
	img := holo.Image{Pix: make([]byte, c.Width*c.Height), Width: c.Width, Height: c.Height, Stride: c.Width, BitDepth: 8}
	const n = 50
	start := time.Now()
	for range n {
		if err := fft.Demodulate(field, img); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(frames/(n/time.Since(start).Seconds()), "x-gonum-FFT")
}
