package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/image/tiff"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/internal/rigs"
)

func TestCameraList(t *testing.T) {
	var r struct{ Cameras []rigs.FoundCamera }
	must(t, &r, "camera", "list")
	if !slices.ContainsFunc(r.Cameras, func(f rigs.FoundCamera) bool { return f.Ref == "sim:good" && f.Simulated }) {
		t.Errorf("%+v", r)
	}
}

func TestCameraInfo(t *testing.T) {
	var r cameraReport
	must(t, &r, "camera", "info", "--camera", "sim:ideal")
	if r.Model != "simulated camera" || r.Width != 256 || !slices.Equal(r.BitDepths, []int{16}) || r.Now.ROI != "256x256+0+0" || !r.Clock || r.Controls != nil {
		t.Errorf("%+v", r)
	}
}

// The same frame, in every kind of file: counts in two of them, the whole range in the third.
func TestCameraGrab(t *testing.T) {
	for _, c := range []struct {
		preset string
		bits   int
	}{{"good", 8}, {"ideal", 16}} {
		dir := t.TempDir()
		grab := func(name string, n string) (r grabbed) {
			must(t, &r, "camera", "grab", "--camera", "sim:"+c.preset, "--roi", "40x24+8+4", "--count", n, "--out", filepath.Join(dir, name))
			return r
		}
		r := grab("f.npy", "3")
		if len(r.Saved) != 3 || r.Good != 3 || r.Bad != 0 || r.Taken.ROI != "40x24+8+4" {
			t.Errorf("%+v", r)
		}
		file, err := os.Open(r.Files[0])
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		in, err := npy.NewReader(file)
		if err != nil {
			t.Fatal(err)
		}
		pixels, err := npy.ReadAll[uint16](in, 1<<20)
		if err != nil || !slices.Equal(in.Shape, []int{3, 24, 40}) {
			t.Fatalf("%v: shape %v", err, in.Shape)
		}
		decode := func(name string, decode func(*bytes.Reader) (image.Image, error)) image.Image {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			img, err := decode(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			return img
		}
		pages := decode(grab("f.tiff", "2").Files[0], func(r *bytes.Reader) (image.Image, error) { return tiff.Decode(r) })
		files := grab("f.png", "2").Files
		if len(files) != 2 || filepath.Base(files[1]) != "f-0001.png" {
			t.Errorf("files %v", files)
		}
		picture := decode(files[0], func(r *bytes.Reader) (image.Image, error) { return png.Decode(r) })
		for v := range 24 {
			for u := range 40 {
				want := int(pixels[v*40+u])
				for _, img := range []image.Image{pages, picture} {
					gray, _, _, _ := img.At(u, v).RGBA() // of 8 bits: times 257
					if got := int(gray) >> (16 - c.bits); got != want {
						t.Fatalf("%s: pixel (%d, %d) is %d in a %T and %d in the array", c.preset, u, v, got, img, want)
					}
				}
			}
		}
	}
}

// Frames go on from run to run, with numbers that go on.
func TestStreamRenewsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cam, err := rigs.OpenCamera(t.Context(), "sim")
		if err != nil {
			t.Fatal(err)
		}
		defer cam.Close()
		if _, err := cam.Configure(t.Context(), camera.Config{ROI: camera.ROI{Width: 4, Height: 4}}); err != nil {
			t.Fatal(err)
		}
		const n = runFrames + 10
		var seen tally
		err = stream(t.Context(), cam, true, time.Second, func(f *camera.Frame) (bool, error) {
			seen.add(f)
			return seen.Good == n, nil
		})
		if err != nil || seen.Lost > 0 || seen.next != n {
			t.Errorf("%v: %+v", err, seen)
		}
	})
}

// Counts of 12 bits fill the range of a picture of 16.
func TestPictureOf(t *testing.T) {
	f := &camera.Frame{Pix: []byte{0xff, 0x0f, 0, 0, 0, 8}, Width: 3, Height: 1, Stride: 6, BitDepth: 12}
	img := pictureOf(f).(*image.Gray16)
	for u, want := range []uint16{0xffff, 0, 0x8008} {
		if got := img.Gray16At(u, 0).Y; got != want {
			t.Errorf("pixel %d is %#x, want %#x", u, got, want)
		}
	}
}

func TestCameraLive(t *testing.T) {
	code, out, messages := opuctl(t, "camera", "live", "--camera", "sim", "--count", "1", "--format", "json")
	var l liveLine
	if err := json.Unmarshal([]byte(out), &l); code != 0 || err != nil || l.Good == 0 || l.Levels == nil || l.Levels.Mean < 5 {
		t.Errorf("exit %d: %v, %s %s", code, err, out, messages)
	}
	// Nothing triggers a simulated camera that is alone.
	code, out, messages = opuctl(t, "camera", "live", "--camera", "sim", "--count", "1", "--triggered")
	if code != 0 || !strings.Contains(out, "no frame to see") {
		t.Errorf("exit %d: %s %s", code, out, messages)
	}
}

func TestCameraTest(t *testing.T) {
	code, out, messages := opuctl(t, "camera", "test", "--camera", "sim")
	if code != 0 || strings.Count(out, "SUCCESS") != 8 || !strings.Contains(out, "IGNORED  controls") {
		t.Errorf("exit %d: %s\n%s", code, messages, out)
	}
}

// flawed is a camera with a flaw.
type flawed struct {
	camera.Device
	arm    func(camera.Run) error
	config func(camera.Config) camera.Config
	frame  func(*camera.Frame)
	list   []camera.Setting
}

func (f flawed) Arm(ctx context.Context, r camera.Run) error {
	if f.arm != nil {
		if err := f.arm(r); err != nil {
			return err
		}
	}
	return f.Device.Arm(ctx, r)
}

func (f flawed) Configure(ctx context.Context, c camera.Config) (camera.Config, error) {
	got, err := f.Device.Configure(ctx, c)
	if f.config != nil {
		got = f.config(got)
	}
	return got, err
}

func (f flawed) Wait(ctx context.Context, dst []camera.Frame) (int, error) {
	n, err := f.Device.Wait(ctx, dst)
	for i := range dst[:n] {
		if f.frame != nil {
			f.frame(&dst[i])
		}
	}
	return n, err
}

func (f flawed) Settings() []camera.Setting { return f.list }

// Each flaw of a camera is found by the question that is there for it.
func TestCameraExamFinds(t *testing.T) {
	for name, c := range map[string]struct {
		flaw    flawed
		check   string
		verdict verdict
		says    string
	}{
		"it takes another exposure": {flawed{config: func(c camera.Config) camera.Config {
			c.Exposure *= 4
			return c
		}}, "settings", failure, "asked for an exposure"},
		"it does not run free": {flawed{arm: func(r camera.Run) error {
			if r.Free {
				return camera.ErrInput
			}
			return nil
		}}, "noise", ignored, "does not run free"},
		"it damages frames": {flawed{frame: func(f *camera.Frame) {
			if f.Seq == 2 {
				f.Status = camera.Damaged
			}
		}}, "free run", failure, "1 bad"},
		"it loses frames": {flawed{frame: func(f *camera.Frame) { f.Seq += f.Seq / 3 }}, "free run", failure, "lost"},
		"a control is stuck": {flawed{list: []camera.Setting{{Name: "GainAuto", Value: "Continuous", State: camera.Stuck}}},
			"controls", failure, "GainAuto stays at Continuous"},
		"it shows a test image": {flawed{frame: func(f *camera.Frame) {
			for i := range f.Pix {
				f.Pix[i] = byte(i)
			}
		}}, "noise", failure, "test image"},
		"it is dark":            {flawed{frame: func(f *camera.Frame) { clear(f.Pix) }}, "noise", failure, "black level"},
		"its clock is too fast": {flawed{frame: func(f *camera.Frame) { f.DeviceTime *= 2 }}, "clock", failure, "advanced"},
		"its counts are bent": {flawed{frame: func(f *camera.Frame) {
			for i, x := range f.Pix {
				f.Pix[i] = byte(int(x) * int(x) / 64)
			}
		}}, "exposure", failure, "do not follow the exposure"},
		"its frames are smaller": {flawed{frame: func(f *camera.Frame) { f.Width /= 2 }}, "frames", failure, "configured were"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cam, err := rigs.OpenCamera(t.Context(), "sim")
			if err != nil {
				t.Fatal(err)
			}
			defer cam.Close()
			before, err := cam.Configure(t.Context(), camera.Config{ROI: camera.ROI{Width: 64, Height: 64}})
			if err != nil {
				t.Fatal(err)
			}
			c.flaw.Device = cam
			e := &cameraExam{cam: c.flaw, before: before}
			got := checksByName(e.run(t.Context(), func(string) {}))[c.check]
			if got.Verdict != c.verdict || !strings.Contains(got.Found, c.says) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestCameraWrongUse(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitNoDevice, "camera list", []string{"info"}},
		{exitInput, "there is no kind", []string{"info", "--camera", "phone"}},
		{exitInput, "gold", []string{"info", "--camera", "sim:gold"}},
		{exitInput, "use one", []string{"info", "--camera", "sim", "--rig", "a"}},
		{exitInput, "--out is missing", []string{"grab", "--camera", "sim"}},
		{exitInput, "must end in", []string{"grab", "--camera", "sim", "--out", "f.gif"}},
		{exitInput, "is a folder", []string{"grab", "--camera", "sim", "--out", mkdir(t, filepath.Join(dir, "a.png"))}},
		{exitInput, "--count 0", []string{"grab", "--camera", "sim", "--count", "0", "--out", "f.png"}},
		{exitInput, "WxH+U+V", []string{"grab", "--camera", "sim", "--roi", "640x480", "--out", filepath.Join(dir, "f.png")}},
		{exitInput, "does not lie on the sensor", []string{"grab", "--camera", "sim", "--roi", "640x480+0+0", "--out", filepath.Join(dir, "f.png")}},
		{exitInput, "bit depth 12", []string{"live", "--camera", "sim", "--bits", "12"}},
		{exitInput, "exposure", []string{"live", "--camera", "sim", "--exposure", "1h"}},
		{exitFailed, "no frame in time", []string{"grab", "--camera", "sim", "--triggered", "--timeout", "10ms", "--out", filepath.Join(dir, "f.png")}},
	} {
		code, _, messages := opuctl(t, append([]string{"camera"}, c.args...)...)
		if code != c.code || !strings.Contains(messages, c.says) {
			t.Errorf("%v: exit %d, want %d: %s", c.args, code, c.code, messages)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("files were left behind: %v", left)
	}
}

func mkdir(t *testing.T, name string) string {
	t.Helper()
	if err := os.Mkdir(name, 0o777); err != nil {
		t.Fatal(err)
	}
	return name
}

// The region of a flag is what regions print.
func TestParseROI(t *testing.T) {
	want := camera.ROI{U: 1, V: 2, Width: 3, Height: 4}
	if got, err := parseROI(want.String()); err != nil || got != want {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"3x4", "3x4+1", "3x4+1+2x", "x"} {
		if _, err := parseROI(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
