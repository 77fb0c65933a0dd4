package calib

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/holo"
)

// record makes a recording of frames.
func record(t testing.TB, o *optics, frames int, next func(k int) holo.Image) *Recording {
	t.Helper()
	r, err := NewRecording(o.width, o.height, 8)
	if err != nil {
		t.Fatal(err)
	}
	for k := range frames {
		if err := r.Add(next(k)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

var usualBand = holo.Band{Fu: 0.33, Fv: 0.325, R: 0.15}

// The light is judged from the spectrum alone: rho, the noise and the number of
// independent frames, and the prediction follows from them.
func TestRecordingJudgesLight(t *testing.T) {
	for i, x := range []struct {
		rho, electrons float64
		frames         int
	}{{1, 3000, 64}, {4, 3000, 64}, {16, 3000, 64}, {4, 200, 24}} {
		o := newOptics(uint64(60+i), optics{width: 192, height: 192, band: usualBand, rho: x.rho, electrons: x.electrons, extended: true})
		cal, err := record(t, o, x.frames, func(int) holo.Image { return o.frame() }).Learn(RecordedOptions{})
		if err != nil {
			t.Fatal(err)
		}
		rec := cal.Recorded
		// The generator's noise: shot noise, 10 electrons of read noise, rounding.
		perCount := 20000.0 / 255
		noise := (x.electrons+100)/perCount/perCount + 1.0/12
		t.Logf("rho %g: found %.2f; noise %.3f counts^2, want %.3f; %.0f of %d frames independent; %.1f dB predicted; off by %.3f bins",
			x.rho, cal.Quality.Rho, rec.Noise, noise, rec.Independent, rec.Frames, rec.PredictedDB, o.error(cal.Carrier.Band()))
		if r := cal.Quality.Rho / x.rho; r < 0.8 || r > 1.25 {
			t.Errorf("rho %g: found %.2f", x.rho, cal.Quality.Rho)
		}
		if r := rec.Noise / noise; r < 0.9 || r > 1.1 {
			t.Errorf("noise %.3f counts^2, want %.3f", rec.Noise, noise)
		}
		if r := rec.Independent / float64(x.frames); r < 0.8 || r > 1.2 {
			t.Errorf("%.1f frames of %d are independent", rec.Independent, x.frames)
		}
		if e := o.error(cal.Carrier.Band()); e > 0.4 {
			t.Errorf("the carrier is %.2f bins off", e)
		}
		if cal.Settings.BitDepth != 8 || cal.Outputs != 47*47 {
			t.Errorf("%d bits, %d outputs", cal.Settings.BitDepth, cal.Outputs)
		}
	}
}

// What is predicted from a recording is what new frames show: noise and |S|^2 of the
// demodulated field.
func TestRecordingPredicts(t *testing.T) {
	o := newOptics(70, optics{width: 128, height: 128, band: usualBand, rho: 4, electrons: 500, extended: true})
	cal, err := record(t, o, 64, func(int) holo.Image { return o.frame() }).Learn(RecordedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := cal.Demodulator(cal.Outputs)
	if err != nil {
		t.Fatal(err)
	}
	// The same field twice: what differs is noise.
	demodulate := func(img holo.Image) []complex64 {
		z := make([]complex64, d.Outputs())
		if err := d.Demodulate(z, img); err != nil {
			t.Fatal(err)
		}
		return z
	}
	var signal, noise float64
	for range 8 {
		o.frame()
		a := demodulate(o.again())
		b := demodulate(o.again())
		for i := range a {
			signal += power(a[i])
			noise += power(a[i]-b[i]) / 2
		}
	}
	got := decibel((signal - noise) / noise)
	t.Logf("%.2f dB predicted, %.2f dB seen", cal.Recorded.PredictedDB, got)
	if math.Abs(got-cal.Recorded.PredictedDB) > 1.5 {
		t.Errorf("%.2f dB predicted, %.2f dB seen", cal.Recorded.PredictedDB, got)
	}
}

// Each way of spoiling a recording is refused with its own words.
func TestRecordingRefuses(t *testing.T) {
	for _, x := range []struct {
		name   string
		frames int
		optics optics
		next   func(o *optics) func(k int) holo.Image // nil: independent frames
		is     error
		says   string
	}{
		{name: "few frames", frames: 8, says: "8 of the 8 frames"},
		{name: "saturated", frames: 32, optics: optics{electrons: 9000}, says: "shorten the exposure"},
		{name: "frozen", frames: 32, next: func(o *optics) func(int) holo.Image {
			img := o.frame()
			return func(int) holo.Image { return img }
		}, says: "frames are equal"},
		{name: "one pattern", frames: 32, next: func(o *optics) func(int) holo.Image {
			o.frame()
			return func(int) holo.Image { return o.again() }
		}, says: "differ by no more than their noise"},
		{name: "four patterns", frames: 32, next: func(o *optics) func(int) holo.Image {
			var fields [4][]complex128
			for i := range fields {
				o.frame()
				fields[i] = slices.Clone(o.grid)
			}
			return func(k int) holo.Image {
				copy(o.grid, fields[k%4])
				return o.again()
			}
		}, says: "independent patterns"},
		{name: "carrier too low", frames: 32, optics: optics{band: holo.Band{Fu: 0.23, Fv: 0.23, R: 0.15}}, is: holo.ErrOverlap, says: "tilt the reference beam"},
		{name: "no reference", frames: 32, optics: optics{noReference: true}, is: ErrNoCarrier, says: "both beams"},
	} {
		t.Run(x.name, func(t *testing.T) {
			o := x.optics
			o.width, o.height, o.rho = 128, 128, 4
			if o.band.R == 0 {
				o.band = usualBand
			}
			if o.electrons == 0 {
				o.electrons = 3000
			}
			made := newOptics(80, o)
			next := func(int) holo.Image { return made.frame() }
			if x.next != nil {
				next = x.next(made)
			}
			cal, err := record(t, made, x.frames, next).Learn(RecordedOptions{})
			var refused *Refused
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), x.says) || x.is != nil && !errors.Is(err, x.is) {
				t.Fatalf("%v, want Refused with %q", err, x.says)
			}
			if cal == nil || cal.Recorded.Frames != x.frames {
				t.Errorf("what was found is missing: %+v", cal)
			}
			t.Logf("%v", errors.Join(refused.Reasons...))
		})
	}
}

// Depths of two-byte pixels are guessed from the largest value, or given.
func TestRecordingBitDepth(t *testing.T) {
	o := newOptics(90, optics{width: 64, height: 64, band: usualBand, rho: 4, electrons: 3000})
	r, err := NewRecording(64, 64, 16)
	if err != nil {
		t.Fatal(err)
	}
	wide := make([]byte, 2*64*64)
	for range 32 {
		for i, x := range o.frame().Pix { // 12 bits, left of which the lowest four are empty
			wide[2*i], wide[2*i+1] = x<<4, x>>4
		}
		if err := r.Add(holo.Image{Pix: wide, Width: 64, Height: 64, Stride: 128, BitDepth: 16}); err != nil {
			t.Fatal(err)
		}
	}
	cal, err := r.Learn(RecordedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if d := cal.Settings.BitDepth; d != 11 && d != 12 {
		t.Errorf("%d bits for a largest value below 4096", d)
	}
	if cal, err := r.Learn(RecordedOptions{BitDepth: 14}); err != nil || cal.Settings.BitDepth != 14 {
		t.Errorf("14 bits were given: %v", err)
	}
	for _, bad := range []RecordedOptions{{BitDepth: 8}, {BitDepth: 9}, {BitDepth: 17}, {Outputs: 1e6}, {Outputs: -1}} {
		if _, err := r.Learn(bad); !errors.Is(err, holo.ErrImage) && !errors.Is(err, holo.ErrOutputs) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	for _, img := range []holo.Image{o.frame(), {}, {Pix: wide, Width: 64, Height: 64, Stride: 100, BitDepth: 16}, {Pix: wide, Width: 32, Height: 64, Stride: 128, BitDepth: 16}} {
		if err := r.Add(img); !errors.Is(err, holo.ErrImage) {
			t.Errorf("an image of %dx%d pixels and %d bits: %v", img.Width, img.Height, img.BitDepth, err)
		}
	}
	if r.Frames() != 32 {
		t.Errorf("%d frames after refusals, want 32", r.Frames())
	}
	for _, size := range [][2]int{{31, 64}, {64, 1 << 20}, {-1, 64}} {
		if _, err := NewRecording(size[0], size[1], 8); !errors.Is(err, holo.ErrImage) {
			t.Errorf("frames of %v: %v", size, err)
		}
	}
}

// The file keeps a calibration of recorded frames, which demodulates and drives
// nothing.
func TestRecordedFile(t *testing.T) {
	o := newOptics(91, optics{width: 64, height: 64, band: usualBand, rho: 4, electrons: 3000})
	cal, err := record(t, o, 32, func(int) holo.Image { return o.frame() }).Learn(RecordedOptions{Outputs: 100})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.opucal")
	if err := cal.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Epoch() != cal.Epoch() || *got.Recorded != *cal.Recorded || !bytes.Equal(int8s(got.Kernel.Re), int8s(cal.Kernel.Re)) {
		t.Errorf("saved %+v, loaded %+v", cal.Recorded, got.Recorded)
	}
	if err := got.OnRig(); !errors.Is(err, ErrFile) {
		t.Errorf("on a rig: %v", err)
	}
	for name, change := range map[string]func(*Calibration){
		"mean":     func(c *Calibration) { c.Recorded.Mean = math.NaN() },
		"frames":   func(c *Calibration) { c.Recorded.Frames = 0 },
		"features": func(c *Calibration) { c.Layout.Features = 3 },
		"outputs":  func(c *Calibration) { c.Outputs = 1 << 20 },
		"bits":     func(c *Calibration) { c.Settings.BitDepth = 0 },
	} {
		bad := *cal
		rec := *cal.Recorded
		bad.Recorded = &rec
		change(&bad)
		if err := bad.Check(); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v, want ErrFile", name, err)
		}
	}
}

func int8s(x []int8) []byte {
	out := make([]byte, len(x))
	for i, v := range x {
		out[i] = byte(v)
	}
	return out
}
