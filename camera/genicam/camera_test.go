package genicam

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/light-in-the-loop/opu/camera"
)

func TestOpen(t *testing.T) {
	m := whole()
	c := m.mustOpen(t, Options{})
	want := camera.Info{
		Model: "model", Serial: "7", Width: 648, Height: 480, BitDepths: []int{8, 10, 12},
		MinExposure: 12 * time.Microsecond, MaxExposure: time.Second,
	}
	if got := c.Info(); !cmp.Equal(got, want) {
		t.Error(cmp.Diff(want, got))
	}
	if got, want := c.Image(), (Image{648, 480, Mono8, 648 * 480}); got != want { // it was set to a Bayer format
		t.Errorf("images are %+v, want %+v", got, want)
	}
	if m.value("AcquisitionStop", 0) != 1 || m.value("TLParamsLocked", 0) != 0 {
		t.Error("what another program left running runs on")
	}
	if m.value("ExposureAuto", 0) != 0 || m.value("AcquisitionFrameRateEnable", 0) != 0 {
		t.Error("the exposure is not free to be set")
	}
	if c.MinPeriod() != 5*time.Millisecond || m.value("ExposureTime", 0) != 5000 {
		t.Errorf("at most 200 frames a second are a period of %v; the exposure was left at %d us", c.MinPeriod(), m.value("ExposureTime", 0))
	}
	if c := whole().without("AcquisitionFrameRate").mustOpen(t, Options{}); c.MinPeriod() != 0 {
		t.Errorf("a camera that does not tell has a period of %v", c.MinPeriod())
	}
}

func TestConfigure(t *testing.T) {
	m := whole()
	c := m.mustOpen(t, Options{})
	configure := func(want, expect camera.Config) {
		t.Helper()
		if got, err := c.Configure(t.Context(), want); err != nil || got != expect {
			t.Errorf("asked for %+v, got %+v, %v, want %+v", want, got, err, expect)
		}
	}
	now := camera.Config{Exposure: 5 * time.Millisecond, BitDepth: 8, ROI: camera.ROI{Width: 648, Height: 480}}
	configure(camera.Config{}, now)
	now.ROI = camera.ROI{U: 4, V: 7, Width: 24, Height: 4} // columns 7 to 26, rows 7 to 9
	configure(camera.Config{ROI: camera.ROI{U: 7, V: 7, Width: 20, Height: 3}}, now)
	now.BitDepth, now.Exposure = 12, 100*time.Microsecond
	configure(camera.Config{BitDepth: 12, Exposure: 100_300 * time.Nanosecond}, now)
	if got, want := c.Image(), (Image{24, 4, Mono12, 24 * 4 * 2}); got != want {
		t.Errorf("images are %+v, want %+v", got, want)
	}
	before := len(m.wrote)
	for name, bad := range map[string]camera.Config{
		"an exposure": {Exposure: 2 * time.Second, BitDepth: 8}, "a depth": {BitDepth: 14}, "a region": {ROI: camera.ROI{U: 640, Width: 9, Height: 2}},
	} {
		if _, err := c.Configure(t.Context(), bad); !errors.Is(err, camera.ErrInput) {
			t.Errorf("%s that the camera does not have: %v", name, err)
		}
	}
	configure(camera.Config{}, now)
	if len(m.wrote) != before {
		t.Errorf("that wrote %v", m.wrote[before:])
	}
	packed := whole().mustOpen(t, Options{Packed: true})
	if _, err := packed.Configure(t.Context(), camera.Config{BitDepth: 12}); err != nil || packed.Image().Format != Mono12p {
		t.Errorf("packed pixels are %v, %v", packed.Image().Format, err)
	}
}

// After a setting that failed half-way, what the camera has is known again.
func TestConfigureFails(t *testing.T) {
	m := whole()
	c := m.mustOpen(t, Options{})
	m.fail, m.failAt = errLink, "Height"
	if _, err := c.Configure(t.Context(), camera.Config{BitDepth: 12, ROI: camera.ROI{Width: 64, Height: 64}}); !errors.Is(err, errLink) {
		t.Fatalf("over a broken link: %v", err)
	}
	m.fail = nil
	want := camera.Config{Exposure: 5 * time.Millisecond, BitDepth: 12, ROI: camera.ROI{Width: 64, Height: 480}}
	if got, err := c.Configure(t.Context(), camera.Config{}); err != nil || got != want {
		t.Errorf("it has %+v, %v, want %+v", got, err, want)
	}
}

// Every range is covered by what it is rounded to, which is as the camera wants it.
func TestRound(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 7))
	for range 20000 {
		inc, startInc := 1+random.IntN(9), 1+random.IntN(9)
		least := 1 + random.IntN(20)
		most := least + inc*random.IntN(40)
		size := 1 + random.IntN(most)
		start := random.IntN(most - size + 1)
		u, n := round(start, size, startInc, least, most, inc)
		if u < 0 || u > start || u%startInc != 0 || n < least || (n-least)%inc != 0 || u+n > most || u+n < start+size {
			t.Fatalf("%d+%d became %d+%d, with starts every %d, sizes %d to %d every %d", start, size, u, n, startInc, least, most, inc)
		}
		if again, m := round(u, n, startInc, least, most, inc); again != u || m != n {
			t.Fatalf("%d+%d became %d+%d, and that %d+%d", start, size, u, n, again, m)
		}
	}
}

// A camera may lack nearly everything.
func TestSmallCamera(t *testing.T) {
	m := newModel()
	m.integer("Width", 64, "<Min>64</Min><Max>64</Max>")
	m.integer("Height", 48, "<Min>48</Min><Max>48</Max>")
	m.enumeration("PixelFormat", 0, "Mono16=0x01100007")
	m.float("ExposureTimeAbs", 100, "<Min>10</Min><Max>1000</Max>")
	m.enumeration("TriggerMode", 0, "Off", "On")
	m.enumeration("TriggerSource", 0, "Software")
	m.command("AcquisitionStart")
	m.command("AcquisitionStop")
	c := m.mustOpen(t, Options{Source: "Software"})
	got, err := c.Configure(t.Context(), camera.Config{ROI: camera.ROI{U: 10, V: 10, Width: 4, Height: 4}})
	want := camera.Config{Exposure: 100 * time.Microsecond, BitDepth: 16, ROI: camera.ROI{Width: 64, Height: 48}}
	if err != nil || got != want {
		t.Errorf("it took %+v, %v, want %+v", got, err, want)
	}
	if err := c.Arm(t.Context(), camera.Run{Frames: 1}); err != nil {
		t.Error(err)
	}
	for _, s := range c.Settings() {
		if s.State != camera.Absent || s.Value != "" || s.Name == "" {
			t.Errorf("it has none of the controls, but %+v", s)
		}
	}
}

func TestUnusableCameras(t *testing.T) {
	for name, m := range map[string]*model{
		"no width": whole().without("Width"), "no pixel format": whole().without("PixelFormat"), "no exposure": whole().without("ExposureTime"),
		"no monochrome": func() *model {
			m := whole().without("PixelFormat")
			m.enumeration("PixelFormat", 0, "BayerRG8", "RGB8")
			return m
		}(),
	} {
		if _, err := m.open(t, Options{}); !errors.Is(err, camera.ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m := whole()
	m.fail = errLink
	if _, err := m.open(t, Options{}); !errors.Is(err, errLink) || errors.Is(err, camera.ErrRefused) {
		t.Errorf("over a broken link: %v", err)
	}
}

func TestStartAndStop(t *testing.T) {
	m := whole()
	c := m.mustOpen(t, Options{})
	m.wrote = nil
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"TLParamsLocked=1", "AcquisitionStart=1", "AcquisitionStop=1", "TLParamsLocked=0"}; !slices.Equal(m.wrote, want) {
		t.Errorf("starting and stopping wrote %v, want %v", m.wrote, want)
	}
	if err := whole().without("AcquisitionStart").mustOpen(t, Options{}).Start(t.Context()); !errors.Is(err, camera.ErrRefused) {
		t.Errorf("a camera that cannot be started: %v", err)
	}
}
