package bench_test

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/light-in-the-loop/opu/calib/report"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
)

// The pictures of docs/how-to/diagnose-a-bad-calibration.md are what a report shows of
// benches on which one thing is wrong. This draws them again:
//
//	OPU_PICTURES=$PWD/docs/images go test -count=1 -run TestPicturesOfFailures ./internal/bench
func TestPicturesOfFailures(t *testing.T) {
	out := os.Getenv("OPU_PICTURES")
	if out == "" {
		t.Skip("draws pictures for the documentation: set OPU_PICTURES to their folder")
	}
	for _, x := range []struct {
		name    string
		picture string
		change  func(*sim.Config)
		options bench.Options
	}{
		{"carrier", report.SpectrumFile, func(c *sim.Config) { c.Carrier = [2]float64{0.16, 0.16} }, bench.Options{}},
		{"twin", report.SpectrumFile, func(c *sim.Config) { c.Carrier = [2]float64{0.44, 0.08} }, bench.Options{}},
		{"white", report.FrameFile, func(c *sim.Config) { c.MeanElectrons = 2e7 }, bench.Options{}},
		{"dark", report.FrameFile, func(c *sim.Config) { c.MeanElectrons = 0.01 }, bench.Options{}},
		{"no-reference", report.SpectrumFile, func(c *sim.Config) { c.ReferenceCut = 1 }, bench.Options{}},
		{"no-signal", report.FrameFile, func(c *sim.Config) { c.Rho = 1e6 }, bench.Options{}},
		{"shutter", report.FrameFile, func(c *sim.Config) { c.ReferenceCut = 0.5 }, bench.Options{}},
		{"drift", report.SelfTestFile, func(c *sim.Config) { c.PhaseDrift = 10 }, bench.Options{}},
		{"jitter", report.SelfTestFile, func(c *sim.Config) { c.PhaseJitter = 0.9 }, bench.Options{}},
		{"medium", report.SelfTestFile, func(c *sim.Config) { c.Decorrelation = 5e8 }, bench.Options{}},
		{"delay", report.FrameFile, func(c *sim.Config) { c.FrameDelay = 1 }, bench.Options{}},
		{"dead-inputs", report.SelfTestFile, func(c *sim.Config) { c.IlluminationWaist = 0.45 }, bench.Options{Features: 100}},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := sim.Good(3)
			c.Width, c.Height = 128, 128
			x.change(&c)
			b, err := bench.New(t.Context(), c, "good, "+x.name, rig.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			x.options.Features, x.options.Seed = max(10, x.options.Features), 3
			found, err := b.Calibrate(t.Context(), x.options, func(string, float64) {})
			if err != nil {
				t.Fatal(err)
			}
			if found.Err() == nil {
				t.Fatal("the bench was called good")
			}
			t.Log(found.Err())
			dir := t.TempDir()
			if err := found.Report.Write(dir); err != nil {
				t.Fatal(err)
			}
			small(t, filepath.Join(dir, x.picture), filepath.Join(out, "refused-"+x.name+".png"))
		})
	}
}

// small copies a picture at two thirds of its size, so that it weighs less.
func small(t *testing.T, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	big, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	size := big.Bounds().Size()
	img := image.NewRGBA(image.Rect(0, 0, size.X*2/3, size.Y*2/3))
	for v := range img.Rect.Max.Y {
		for u := range img.Rect.Max.X {
			var r, g, b, n uint32
			for y := v * 3 / 2; y < (v*3+3+1)/2; y++ {
				for x := u * 3 / 2; x < (u*3+3+1)/2; x++ {
					cr, cg, cb, _ := big.At(x, y).RGBA()
					r, g, b, n = r+cr>>8, g+cg>>8, b+cb>>8, n+1
				}
			}
			img.Set(u, v, color.RGBA{uint8(r / n), uint8(g / n), uint8(b / n), 255})
		}
	}
	w, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(w, img); err != nil {
		t.Fatal(err)
	}
}
