package piezo_test

import (
	"context"
	"io/fs"
	"math"
	"math/cmplx"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/shifter"
	"github.com/light-in-the-loop/opu/shifter/piezo"
	"github.com/light-in-the-loop/opu/shifter/shiftertest"
	"github.com/light-in-the-loop/opu/sim"
	model "github.com/light-in-the-loop/opu/sim/piezo"
	"github.com/light-in-the-loop/opu/slm"
)

// pty puts a model behind a pseudo-terminal.
func pty(t *testing.T, c model.Config) (*model.Controller, *model.Line, string) {
	t.Helper()
	m := controller(t, c)
	line, name, err := model.Pty(m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { line.Close() })
	return m, line, name
}

// openSerial opens a model through a serial port, as a real one is opened.
func openSerial(t *testing.T, name string, o piezo.Options) *piezo.Device {
	t.Helper()
	port, err := piezo.OpenSerial(name)
	if err != nil {
		t.Fatal(err)
	}
	o.Name = name
	d, err := piezo.Open(t.Context(), port, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func TestConformanceOnSerialPort(t *testing.T) {
	var m *model.Controller
	shiftertest.Run(t, shiftertest.Harness{
		Open: func(t *testing.T) shifter.Device {
			var name string
			m, _, name = pty(t, model.Config{})
			return openSerial(t, name, piezo.Options{Step: 25, Pause: time.Millisecond, Settle: 2 * time.Millisecond})
		},
		Output: func(shifter.Device) float64 { return m.Volts() },
	})
}

// Everything at once: a phase is asked for, bytes go over a serial port, the model's piezo
// moves the bench's reference, and the demodulated hologram has turned by that phase.
func TestHologramTurns(t *testing.T) {
	config := sim.Ideal(7)
	bench, err := sim.New(config)
	if err != nil {
		t.Fatal(err)
	}
	const radiansPerVolt = 0.12
	_, _, name := pty(t, model.Config{RadiansPerVolt: radiansPerVolt, Moved: bench.ShiftReference})
	d := openSerial(t, name, piezo.Options{RadiansPerVolt: radiansPerVolt, Step: 25, Pause: time.Millisecond, Settle: time.Millisecond})

	pattern := slm.NewPattern(config.Chip)
	for k := 0; k < config.Chip.Mirrors(); k += 3 {
		pattern.Set(k%config.Chip.Width, k/config.Chip.Width, true)
	}
	dmd, cam := bench.DMD(), bench.Camera()
	if err := dmd.Load(t.Context(), []int{0}, []*slm.Pattern{pattern}); err != nil {
		t.Fatal(err)
	}
	truth := bench.Truth()
	demodulate, err := holo.NewFFT(config.Width, config.Height, holo.Band{Fu: truth.Carrier[0], Fv: truth.Carrier[1], R: truth.Radius}, holo.FFTOptions{})
	if err != nil {
		t.Fatal(err)
	}
	field := func() []complex64 {
		t.Helper()
		if err := cam.Arm(t.Context(), camera.Run{Frames: 1}); err != nil {
			t.Fatal(err)
		}
		if err := dmd.Play(t.Context(), slm.Run{Order: []int{0}}); err != nil {
			t.Fatal(err)
		}
		var f [1]camera.Frame
		if _, err := cam.Wait(t.Context(), f[:]); err != nil {
			t.Fatal(err)
		}
		z := make([]complex64, demodulate.Outputs())
		if err := demodulate.Demodulate(z, holo.Image{Pix: f[0].Pix, Width: f[0].Width, Height: f[0].Height, Stride: f[0].Stride, BitDepth: f[0].BitDepth}); err != nil {
			t.Fatal(err)
		}
		cam.Requeue(f[0])
		if _, err := cam.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		return z
	}
	start := field()
	for _, radians := range []float64{math.Pi / 2, math.Pi, 3 * math.Pi / 2, 2 * math.Pi, 1, 0} {
		if err := shifter.SetPhase(t.Context(), d, radians); err != nil {
			t.Fatal(err)
		}
		var turn complex128
		for i, z := range field() {
			turn += complex128(start[i]) * cmplx.Conj(complex128(z)) // outputs are A exp(-i phi) S
		}
		// Millivolts are sent: 0.12 rad/V * 0.5 mV, and what 16 bits resolve.
		if off := cmplx.Phase(turn * cmplx.Exp(complex(0, -radians))); math.Abs(off) > 1e-3 {
			t.Errorf("asked for %.4f rad, the hologram turned by %.4f rad more", radians, off)
		}
	}
	// It holds.
	if v, err := d.Read(t.Context()); err != nil || v != 0 {
		t.Errorf("%g V, %v", v, err)
	}
}

// The cable is pulled: in the middle of a ramp, and while nobody looks; and is put back.
func TestUnplugSerial(t *testing.T) {
	m, line, name := pty(t, model.Config{RadiansPerVolt: 1})
	again := ""
	d := openSerial(t, name, piezo.Options{Step: 1, Pause: 5 * time.Millisecond, Reopen: func(context.Context) (piezo.Port, error) {
		if again == "" {
			return piezo.OpenSerial("/dev/opu-that-is-not-there")
		}
		return piezo.OpenSerial(again)
	}})
	time.AfterFunc(30*time.Millisecond, func() { line.Close() })
	expect(t, "Set", d.Set(t.Context(), 70), shifter.ErrUnplugged)
	if v := m.Volts(); v >= 70 {
		t.Errorf("it arrived at %g V without a cable", v)
	}
	_, err := d.Read(t.Context())
	expect(t, "Read", err, shifter.ErrUnplugged)
	_, _, again = pty(t, model.Config{})
	if v, err := d.Read(t.Context()); err != nil || v != 0 {
		t.Errorf("put back: %g V, %v", v, err)
	}
	if s := d.Stats(); s.Reopened != 1 {
		t.Errorf("counted %+v", s)
	}
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = d.Read(t.Context())
	expect(t, "Read after Close", err, shifter.ErrClosed)
}

// What cannot be opened says why.
func TestOpenSerial(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, name := pty(t, model.Config{})
	if _, err := piezo.OpenSerial(name); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		name string
		want error
	}{
		"absent": {"/dev/opu-that-is-not-there", shifter.ErrUnplugged},
		"file":   {file, shifter.ErrInput},
		"null":   {"/dev/null", shifter.ErrInput},
		"in use": {name, shifter.ErrRefused},
		"denied": {name, fs.ErrPermission},
	} {
		if os.Getuid() == 0 && (what == "in use" || what == "denied") {
			continue // root may open everything
		}
		if what == "denied" {
			os.Chmod(name, 0)
		}
		_, err := piezo.OpenSerial(c.name)
		expect(t, what, err, c.want)
		t.Log(err)
	}
}
