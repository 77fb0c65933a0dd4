package v4l2

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/cameratest"
)

// models are cameras of all kinds.
var models = map[string]func(*fakeModel){
	"crops":          nil,
	"crops in eight": func(m *fakeModel) { m.cropStep = 8 },
	"planes":         func(m *fakeModel) { m.caps = capCaptureMPlane | capStreaming; m.header = 24 },
	"one size":       func(m *fakeModel) { m.cropStep = 0 },
	"three sizes":    func(m *fakeModel) { m.cropStep = 0; m.sizes = [][2]int{{16, 8}, {48, 32}, {24, 32}} },
	"packed": func(m *fakeModel) {
		m.codes = []uint32{code("Y10P"), code("Y12P"), code("Y16 ") | bigEndian}
		m.padding = 3
	},
	"packed, one size": func(m *fakeModel) { m.cropStep = 0; m.codes = []uint32{code("Y10B")} },
	"packed, planes": func(m *fakeModel) {
		m.caps, m.header, m.codes = capCaptureMPlane|capStreaming, 7, []uint32{code("ip3y"), code("GREY")}
	},
	"times of exposure": func(m *fakeModel) { m.timeOfExposure = true },
	"fixed exposure": func(m *fakeModel) {
		m.controls = slices.DeleteFunc(m.controls, func(c *fakeControl) bool { return c.id == cidExposureAbsolute })
	},
	"two buffers": func(m *fakeModel) { m.buffers = 2 },
}

func TestConformance(t *testing.T) {
	for kind, change := range models {
		t.Run(kind, func(t *testing.T) {
			var f *fake
			cameratest.Run(t, cameratest.Harness{
				Open: func(t *testing.T) camera.Device {
					f = newFake(change)
					f.model.runsFree = true
					return f.device(t, Options{Trigger: []Control{{"Trigger Mode", 1}}, Free: []Control{{"Trigger Mode", 0}}})
				},
				Trigger: func(_ *testing.T, _ camera.Device, n int) { f.trigger(n) },
				Drop:    func(_ *testing.T, _ camera.Device, k int) { f.skip = map[int]bool{k: true} },
				Damage:  func(_ *testing.T, _ camera.Device, k int) { f.damage = map[int]bool{k: true} },
				Free:    true,
				Around:  synctest.Test,
			})
		})
	}
}

// Every pixel of every format and region is the one that the camera took, and unless it had to
// be unpacked it lies where the kernel wrote it.
func TestPixels(t *testing.T) {
	for kind, change := range models {
		t.Run(kind, func(t *testing.T) {
			f := newFake(change)
			d := f.device(t, Options{})
			for _, depth := range d.Info().BitDepths {
				for _, roi := range []camera.ROI{{Width: 48, Height: 32}, {U: 5, V: 3, Width: 17, Height: 9}, {U: 47, V: 31, Width: 1, Height: 1}} {
					got, err := d.Configure(t.Context(), camera.Config{ROI: roi, BitDepth: depth})
					if err != nil {
						t.Fatal(err)
					}
					if r := got.ROI; r.U > roi.U || r.V > roi.V || r.U+r.Width < roi.U+roi.Width || r.V+r.Height < roi.V+roi.Height {
						t.Errorf("asked for %v, got %v, which does not hold it", roi, r)
					}
					arm(t, d, 2)
					f.trigger(2)
					for k := range 2 {
						frame := take(t, d)
						for v := range frame.Height {
							for u := range frame.Width {
								if x, want := frame.At(u, v), int(f.value(k, got.ROI.U+u, got.ROI.V+v)); x != want {
									t.Fatalf("%d bits, %v: pixel (%d, %d) of frame %d is %d, want %d", depth, got.ROI, u, v, k, x, want)
								}
							}
						}
						if inKernel(f, frame.Pix) != (f.format().unpack == nil) {
							t.Errorf("%s: pixels are in the kernel's buffer: %t", name(f.code), inKernel(f, frame.Pix))
						}
						d.Requeue(frame)
					}
					if _, err := d.Stop(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// inKernel tells whether pixels lie in a buffer of the kernel's.
func inKernel(f *fake, pix []byte) bool {
	for i := range f.buffers {
		b := f.buffers[i].bytes
		for j := range b {
			if &b[j] == &pix[0] {
				return true
			}
		}
	}
	return false
}

func arm(t testing.TB, d *Device, n int) {
	t.Helper()
	if err := d.Arm(t.Context(), camera.Run{Frames: n}); err != nil {
		t.Fatal(err)
	}
}

// take waits for one frame.
func take(t testing.TB, d *Device) camera.Frame {
	t.Helper()
	var room [1]camera.Frame
	if _, err := d.Wait(t.Context(), room[:]); err != nil {
		t.Fatal(err)
	}
	return room[0]
}

func stop(t testing.TB, d *Device) camera.Counts {
	t.Helper()
	counts, err := d.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func TestInfo(t *testing.T) {
	d := newFake(nil).device(t, Options{})
	want := camera.Info{
		Model: "Fake Camera 5000", Serial: "platform:fake", Width: 48, Height: 32, BitDepths: []int{8, 10, 12, 16}, Buffers: 6,
		MinExposure: 100 * time.Microsecond, MaxExposure: 500 * time.Millisecond, Latency: defaultLatency,
	}
	got := d.Info()
	if !slices.Equal(got.BitDepths, want.BitDepths) {
		t.Errorf("bit depths %v, want %v", got.BitDepths, want.BitDepths)
	}
	got.BitDepths, want.BitDepths = nil, nil
	if got.Model != want.Model || got.Serial != want.Serial || got.Width != want.Width || got.Height != want.Height || got.Buffers != want.Buffers ||
		got.MinExposure != want.MinExposure || got.MaxExposure != want.MaxExposure || got.Latency != want.Latency || got.HasTime || got.CountsTriggers {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !newFake(models["times of exposure"]).device(t, Options{}).Info().HasTime {
		t.Error("a driver that stamps the start of exposure has no time")
	}
}

// What cannot be used is refused when it is opened, with what to do, and nothing is left open.
func TestOpenRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		change  func(*fakeModel)
		options Options
		want    error
		text    string
	}{
		"colour alone":            {func(m *fakeModel) { m.codes = []uint32{code("YUYV"), code("MJPG")} }, Options{}, camera.ErrRefused, "YUYV, MJPG"},
		"another format":          {func(m *fakeModel) { m.give = code("YUYV") }, Options{}, camera.ErrRefused, "it gives YUYV"},
		"an output":               {func(m *fakeModel) { m.caps = 2 | capStreaming }, Options{}, camera.ErrInput, "does not capture"},
		"no streaming":            {func(m *fakeModel) { m.caps = capCapture }, Options{}, camera.ErrRefused, "does not stream"},
		"one buffer":              {func(m *fakeModel) { m.buffers = 1 }, Options{}, camera.ErrRefused, "1 buffers"},
		"no sensor":               {func(m *fakeModel) { m.width = 0 }, Options{}, camera.ErrProtocol, "0x32"},
		"an exposure control":     {nil, Options{Exposure: "Integration Time", Unit: time.Microsecond}, camera.ErrInput, "Exposure Time, Absolute"},
		"a format that is not":    {nil, Options{Format: "Y12P"}, camera.ErrRefused, "not the format Y12P"},
		"a format of nobody":      {nil, Options{Format: "H264"}, camera.ErrInput, "H264"},
		"one buffer as an option": {nil, Options{Buffers: 1}, camera.ErrInput, "2 to 32"},
		"a unit alone":            {nil, Options{Unit: time.Second}, camera.ErrInput, "both or neither"},
	} {
		f := newFake(c.change)
		err := c.options.check()
		if err == nil {
			_, err = open(t.Context(), f, "/dev/video9", "", c.options)
			if f.closes != 1 || f.mapped != 0 {
				t.Errorf("%s: the node was closed %d times, and %d buffers are mapped", what, f.closes, f.mapped)
			}
		}
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want it to wrap %q and say %q", what, err, c.want, c.text)
		}
	}
}

// A Bayer format is grey where Options says so.
func TestBayer(t *testing.T) {
	f := newFake(func(m *fakeModel) { m.codes = []uint32{code("RGGB"), code("RG10")} })
	if d := f.device(t, Options{Format: "RG10"}); !slices.Equal(d.Info().BitDepths, []int{10}) {
		t.Errorf("bit depths %v", d.Info().BitDepths)
	}
}

// An exposure in lines is as long as the lines are.
func TestExposureInLines(t *testing.T) {
	f := newFake(func(m *fakeModel) {
		m.controls = []*fakeControl{
			{id: cidExposure, kind: ctrlInteger, name: "Exposure", min: 2, max: 1000, value: 100},
			{id: cidHBlank, kind: ctrlInteger, name: "Horizontal Blanking", max: 1000, value: 52, flags: ctrlReadOnly},
			{id: cidPixelRate, kind: ctrlInteger64, name: "Pixel Rate", max: 1 << 40, value: 10_000_000, flags: ctrlReadOnly},
		}
	})
	d := f.device(t, Options{})
	if i := d.Info(); i.MinExposure != 20*time.Microsecond || i.MaxExposure != 10*time.Millisecond {
		t.Errorf("exposures %v to %v", i.MinExposure, i.MaxExposure) // lines of 10 us
	}
	got, err := d.Configure(t.Context(), camera.Config{Exposure: 504 * time.Microsecond})
	if err != nil || got.Exposure != 500*time.Microsecond || f.named("Exposure").value != 50 {
		t.Errorf("exposure %v, %d lines, %v", got.Exposure, f.named("Exposure").value, err)
	}
}

// A control of the vendor's with a unit of its own.
func TestExposureByName(t *testing.T) {
	f := newFake(func(m *fakeModel) {
		m.controls = append(m.controls, &fakeControl{id: 0x9a1000, kind: ctrlInteger64, name: "Exposure Time (ns)", min: 1, max: 1e10, value: 1e6})
	})
	d := f.device(t, Options{Exposure: "exposure time ns", Unit: time.Nanosecond})
	got, err := d.Configure(t.Context(), camera.Config{Exposure: 123457 * time.Nanosecond})
	if err != nil || got.Exposure != 123457*time.Nanosecond || f.named("Exposure Time (ns)").value != 123457 {
		t.Errorf("exposure %v, %v", got.Exposure, err)
	}
	if f.named("Auto Exposure").value != 1 {
		t.Error("the automatic exposure was left on")
	}
}

// setting finds one by its name.
func setting(d *Device, name string) camera.Setting {
	for _, s := range d.Settings() {
		if s.Name == name {
			return s
		}
	}
	return camera.Setting{Name: "there is no " + name}
}

func TestHygiene(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{Trigger: []Control{{"trigger_mode", 1}}, Free: []Control{{"trigger_mode", 0}}})
	if s := setting(d, "LUT Enable"); s.State != camera.Stuck || s.Value != "on" || f.named("LUT Enable").value != 1 {
		t.Errorf("before the first run: %+v", s)
	}
	arm(t, d, 1)
	for _, want := range []camera.Setting{
		{Name: "Auto Exposure", Value: "Manual Mode", State: camera.Safe},
		{Name: "Gain, Automatic", Value: "off", State: camera.Safe},
		{Name: "Gamma", Value: "Linear", State: camera.Safe},
		{Name: "LUT Enable", Value: "off", State: camera.Safe},
		{Name: "3D Noise Reduction", Value: "0", State: camera.Safe},
		{Name: "Black Level", Value: "3", State: camera.Safe},
		{Name: "Shutter Type", Value: "Global Reset", State: camera.Safe},
		{Name: "external trigger", Value: "trigger_mode=1", State: camera.Safe},
	} {
		if got := setting(d, want.Name); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if f.named("Trigger Mode").value != 1 || f.named("Gain").value != 30 {
		t.Errorf("trigger mode %d, gain %d", f.named("Trigger Mode").value, f.named("Gain").value)
	}
	stop(t, d)
	if err := d.Arm(t.Context(), camera.Run{Frames: 1, Free: true}); err != nil {
		t.Fatal(err)
	}
	if f.named("Trigger Mode").value != 0 {
		t.Error("a free run with the trigger on")
	}
	stop(t, d)
}

// What a camera does not have, or does not do, is told and not assumed.
func TestHygieneTells(t *testing.T) {
	f := newFake(func(m *fakeModel) {
		m.controls = []*fakeControl{
			{id: cidAutoGain, kind: ctrlBoolean, name: "Gain, Automatic", max: 1, value: 1, stuck: true},
			{id: cidGamma, kind: ctrlInteger, name: "Gamma", min: 1, max: 500, value: 220},
			{id: 0x981000, kind: ctrlInteger, name: "Black Level", max: 255, refuses: errRefused},
		}
	})
	d := f.device(t, Options{})
	arm(t, d, 1)
	for _, want := range []camera.Setting{
		{Name: "automatic exposure", Value: "", State: camera.Absent},
		{Name: "Gain, Automatic", Value: "on", State: camera.Stuck},
		{Name: "Gamma", Value: "220", State: camera.Stuck}, // the kernel gives it no unit
		{Name: "look-up table", Value: "", State: camera.Absent},
		{Name: "denoising", Value: "", State: camera.Absent},
		{Name: "Black Level", Value: "0", State: camera.Stuck},
		{Name: "shutter", Value: "", State: camera.Absent},
		{Name: "external trigger", Value: "", State: camera.Absent},
	} {
		if got := setting(d, want.Name); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}

// What the caller names is the caller's to know; a gamma of a USB camera has a unit.
func TestHygieneKnows(t *testing.T) {
	gamma := func(driver string) *fake {
		return newFake(func(m *fakeModel) {
			m.driver = driver
			m.controls = []*fakeControl{{id: cidGamma, kind: ctrlInteger, name: "Gamma", min: 1, max: 500, value: 220}}
		})
	}
	f := gamma("vendor")
	d := f.device(t, Options{Fixed: []Control{{"gamma", 45}}})
	arm(t, d, 1)
	if got := setting(d, "Gamma"); got.State != camera.Safe || got.Value != "45" {
		t.Errorf("%+v", got)
	}
	f = gamma("uvcvideo")
	d = f.device(t, Options{})
	arm(t, d, 1)
	if got := setting(d, "Gamma"); got.State != camera.Safe || got.Value != "100" {
		t.Errorf("%+v", got)
	}
	for _, o := range []Options{{Fixed: []Control{{"gamut", 1}}}, {Trigger: []Control{{"gamma", 501}}}} {
		d := gamma("vendor").device(t, o)
		if err := d.Arm(t.Context(), camera.Run{Frames: 1}); !errors.Is(err, camera.ErrInput) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// The rows of a rolling shutter see different patterns.
func TestRollingShutter(t *testing.T) {
	f := newFake(func(m *fakeModel) {
		m.controls = []*fakeControl{{id: 0x981003, kind: ctrlMenu, name: "Shutter Mode", max: 1, flags: ctrlReadOnly, items: []string{"Rolling Shutter", "Global Shutter"}}}
	})
	d := f.device(t, Options{})
	if err := d.Arm(t.Context(), camera.Run{Frames: 1}); !errors.Is(err, camera.ErrRefused) || !strings.Contains(err.Error(), "rolling") {
		t.Errorf("with triggers: %v", err)
	}
	if err := d.Arm(t.Context(), camera.Run{Frames: 1, Free: true}); err != nil {
		t.Errorf("without: %v", err)
	}
	if got := setting(d, "Shutter Mode"); got.State != camera.Stuck {
		t.Errorf("%+v", got)
	}
}

// A camera whose trigger is named must be told how to do without.
func TestFreeNeedsControls(t *testing.T) {
	d := newFake(nil).device(t, Options{Trigger: []Control{{"Trigger Mode", 1}}})
	if err := d.Arm(t.Context(), camera.Run{Frames: 1, Free: true}); !errors.Is(err, camera.ErrInput) {
		t.Errorf("%v", err)
	}
}

func TestControls(t *testing.T) {
	f := newFake(nil)
	d := f.device(t, Options{})
	all, err := d.Controls(t.Context())
	if err != nil || len(all) != len(f.model.controls)-1 {
		t.Fatalf("%d controls, %v", len(all), err)
	}
	for _, c := range all {
		if c.Name == "Shutter Type" && (c.String() != "Rolling" || len(c.Items) != 2 || c.Items[1] != Item{2, "Global Reset"}) {
			t.Errorf("%+v", c)
		}
	}
	arm(t, d, 1)
	if got, err := d.Set(t.Context(), Control{"gain", 77}); got != 77 || err != nil || f.named("Gain").value != 77 {
		t.Errorf("gain %d, %v", got, err)
	}
	if _, err := d.Set(t.Context(), Control{"Software Trigger", 1}); err != nil {
		t.Error(err)
	}
	for _, c := range []Control{{"gain", 481}, {"gain", -1}, {"brightness", 1}} {
		if _, err := d.Set(t.Context(), c); !errors.Is(err, camera.ErrInput) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for s, want := range map[string]Control{"Trigger Mode=1": {"Trigger Mode", 1}, " gain = -3 ": {"gain", -3}} {
		if got, err := ParseControl(s); got != want || err != nil {
			t.Errorf("%q: %+v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "gain", "=1", "gain=", "gain=on", "gain=1 2", "?=1"} {
		if c, err := ParseControl(s); !errors.Is(err, camera.ErrInput) {
			t.Errorf("%q: %+v, %v", s, c, err)
		}
	}
}

// Frames need no memory, and their pixels no copy.
func TestNoAllocations(t *testing.T) {
	f := newFake(func(m *fakeModel) { m.codes = []uint32{code("GREY")} })
	d := f.device(t, Options{})
	arm(t, d, 1<<30)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	room := make([]camera.Frame, 4)
	f.fillNothing(t)
	cycle := func() {
		f.trigger(1)
		n, err := d.Wait(ctx, room)
		if err != nil {
			t.Fatal(err)
		}
		d.Requeue(room[:n]...)
	}
	cycle() // makes room
	if n := testing.AllocsPerRun(1000, cycle); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
