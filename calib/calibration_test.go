package calib_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// learn calibrates a bench.
func learn(t testing.TB, c sim.Config, o calib.Options) (*calib.Calibration, error) {
	t.Helper()
	r, _ := table(t, c)
	if o.Layout.Features == 0 {
		o.Layout = slm.LayoutSpec{Kind: slm.Blocks, Features: 10}
	}
	return calib.Learn(context.Background(), r, o)
}

// small is a bench that is quick to calibrate.
func small(seed uint64) sim.Config {
	c := sim.Good(seed)
	c.Width, c.Height = 96, 96
	c.Chip = slm.Geometry{Width: 40, Height: 30}
	return c
}

// What is learnt from frames alone agrees with what the bench knows of itself. Set
// OPU_LONG for frames of 256 x 256 on all benches.
func TestLearn(t *testing.T) {
	washed := sim.Good(4)
	washed.Name, washed.Visibility = "half washed out", 0.5
	for _, c := range []sim.Config{sim.Ideal(1), sim.Good(2), sim.Noisy(3), washed} {
		if c.Name != "good" && os.Getenv("OPU_LONG") == "" {
			c.Width, c.Height = 128, 128
		}
		t.Run(c.Name, func(t *testing.T) {
			cal, err := learn(t, c, calib.Options{Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			bins := float64(c.Width) * math.Hypot(cal.Carrier.Fu-c.Carrier[0], cal.Carrier.Fv-c.Carrier[1])
			t.Logf("carrier %.3f bins off, radius %.4f, rho %.2f, %+v", bins, cal.Carrier.Radius, cal.Quality.Rho, cal.Quality)
			if bins > 0.3 {
				t.Errorf("the carrier is %.2f bins off", bins)
			}
			if math.Abs(cal.Carrier.Radius-c.Radius) > 0.005 {
				t.Errorf("radius %.4f, want %.4f", cal.Carrier.Radius, c.Radius)
			}
			if c.Name != "noisy" && math.Abs(cal.Quality.Rho/c.Rho-1) > 0.1 {
				t.Errorf("rho %.2f, want %.2f", cal.Quality.Rho, c.Rho)
			}
			if math.Abs(cal.Quality.Visibility-c.Visibility) > 0.15 {
				t.Errorf("visibility %.2f, want %.2f", cal.Quality.Visibility, c.Visibility)
			}
			if math.Abs(cal.Levels.Black-c.BlackLevel) > 0.5 {
				t.Errorf("black level %.2f, want %.2f", cal.Levels.Black, c.BlackLevel)
			}
		})
	}
}

// Too much light is turned down by the exposure.
func TestExposureComesDown(t *testing.T) {
	c := small(4)
	c.MeanElectrons = 60000 // three times the full well
	cal, err := learn(t, c, calib.Options{})
	if err != nil {
		t.Fatal(err)
	}
	full := 255.0
	t.Logf("exposure %v, levels %+v", cal.Settings.Exposure, cal.Levels)
	if cal.Levels.Saturated > 0.0005 || cal.Levels.Half > 0.35*full || cal.Levels.Half < 0.15*full {
		t.Errorf("exposure %v leaves levels %+v; a quarter of %g counts was wanted", cal.Settings.Exposure, cal.Levels, full)
	}
}

// Benches that cannot work are refused, with the reason.
func TestRefused(t *testing.T) {
	for _, x := range []struct {
		name   string
		change func(*sim.Config)
		want   error
	}{
		{"carrier too low", func(c *sim.Config) { c.Carrier = [2]float64{0.16, 0.16} }, calib.ErrNoCarrier},
		{"fringes washed out", func(c *sim.Config) { c.Visibility = 0 }, calib.ErrNoCarrier},
		{"next to no light", func(c *sim.Config) { c.MeanElectrons = 0.01 }, rig.ErrNoContrast},
	} {
		c := small(5)
		x.change(&c)
		_, err := learn(t, c, calib.Options{})
		if !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", x.name, err, x.want)
		} else {
			t.Logf("%s: %v", x.name, err)
		}
	}
	if _, err := learn(t, small(5), calib.Options{Outputs: 1e6}); err == nil || !strings.Contains(err.Error(), "1000000 complex outputs") {
		t.Errorf("too many outputs: %v", err)
	}
	if _, err := learn(t, small(5), calib.Options{Layout: slm.LayoutSpec{Features: 5000}}); err == nil {
		t.Error("more features than mirrors were taken")
	}
}

// example is a calibration of a small bench, saved.
func example(t testing.TB) (*calib.Calibration, []byte) {
	t.Helper()
	cal, err := learn(t, small(6), calib.Options{Outputs: 20})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.opucal")
	if err := cal.Save(path); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return cal, text
}

func TestFileRoundTrip(t *testing.T) {
	cal, text := example(t)
	got, err := calib.Read(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if got.Epoch() != cal.Epoch() || !got.Created.Equal(cal.Created) || !slices.Equal(got.Probe.Field, cal.Probe.Field) {
		t.Error("what was read is not what was saved")
	}
	later := *cal
	later.Created = later.Created.Add(1e9)
	if later.Epoch() != cal.Epoch() {
		t.Error("the time of learning changed the epoch")
	}
	scaled := *cal
	scaled.Scale *= 2
	if scaled.Epoch() == cal.Epoch() {
		t.Error("another scale has the same epoch")
	}
}

// Masks survive the file.
func TestMask(t *testing.T) {
	mask := slm.NewPattern(small(7).Chip)
	for v := 5; v < 25; v++ {
		for u := 3; u < 35; u++ {
			mask.Set(u, v, true)
		}
	}
	cal, err := learn(t, small(7), calib.Options{Outputs: 20, Layout: slm.LayoutSpec{Kind: slm.Lines, Features: 7, Mask: mask}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.opucal")
	if err := cal.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := calib.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := got.LayoutSpec()
	if err != nil || spec.Mask == nil || !spec.Mask.Equal(mask) {
		t.Errorf("the mask was lost on the way (%v)", err)
	}
}

// A file cut at any length, or with any byte altered, is refused.
func TestDamagedFile(t *testing.T) {
	_, text := example(t)
	for n := 0; n < len(text); n += 1 + len(text)/500 {
		if _, err := calib.Read(bytes.NewReader(text[:n])); !errors.Is(err, calib.ErrFile) {
			t.Fatalf("cut at %d of %d bytes: %v", n, len(text), err)
		}
	}
	for i := 0; i < len(text); i += 1 + len(text)/500 {
		bad := slices.Clone(text)
		bad[i] ^= 1
		if _, err := calib.Read(bytes.NewReader(bad)); !errors.Is(err, calib.ErrFile) {
			t.Fatalf("byte %d altered: %v", i, err)
		}
	}
	if _, err := calib.Load(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// Contents that are well-formed and senseless are refused by name.
func TestSenseless(t *testing.T) {
	good, _ := example(t)
	for _, x := range []struct {
		name   string
		change func(*calib.Calibration)
	}{
		{"scale", func(c *calib.Calibration) { c.Scale = math.NaN() }},
		{"scale", func(c *calib.Calibration) { c.Scale = 0 }},
		{"chip", func(c *calib.Calibration) { c.Layout.Chip.Width = -3 }},
		{"features", func(c *calib.Calibration) { c.Layout.Features = 1 << 40 }},
		{"kind", func(c *calib.Calibration) { c.Layout.Kind = "spiral" }},
		{"mask", func(c *calib.Calibration) { c.Layout.Mask = []byte{1} }},
		{"exposure", func(c *calib.Calibration) { c.Settings.Exposure = c.Settings.Period + 1 }},
		{"region", func(c *calib.Calibration) { c.Settings.ROI.Width = 1 << 30 }},
		{"outputs", func(c *calib.Calibration) { c.Outputs = 1 << 40 }},
		{"taps", func(c *calib.Calibration) { c.Kernel.Taps = 3 }},
		{"probe", func(c *calib.Calibration) { c.Probe.Field = nil }},
		{"likeness", func(c *calib.Calibration) { c.Probe.Likeness = 0 }},
		{"likeness", func(c *calib.Calibration) { c.Probe.Likeness = 1.1 }},
		{"probe", func(c *calib.Calibration) { c.Probe.Field = make(calib.Field, len(c.Probe.Field)) }},
	} {
		bad := *good
		x.change(&bad)
		if err := bad.Check(); !errors.Is(err, calib.ErrFile) {
			t.Errorf("%s: %v, want ErrFile", x.name, err)
		}
		if err := bad.Save(filepath.Join(t.TempDir(), "x")); err == nil {
			t.Errorf("%s: it was saved", x.name)
		}
	}
}

func FuzzRead(f *testing.F) {
	_, text := example(f)
	f.Add(text)
	f.Add([]byte("opu-calibration 2 00 2\n{}"))
	f.Add([]byte("opu-calibration 2 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a 2\n{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := calib.Read(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, calib.ErrFile) {
				t.Fatal(err)
			}
			return
		}
		if _, err := c.Demodulator(c.Outputs); err != nil {
			t.Fatalf("a calibration that was taken cannot be used: %v", err)
		}
		if c.OnRig() == nil {
			c.ProbePattern()
		}
		c.Epoch()
	})
}
