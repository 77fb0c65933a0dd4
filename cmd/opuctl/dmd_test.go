package main

import (
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/slm"
)

func TestDMDInfo(t *testing.T) {
	var r boardReport
	must(t, &r, "dmd", "info", "--sim")
	if r.Model != "DLP6500 (DLPC900)" || !r.Simulated || r.Capacity != 400 || r.Hardware != "0x01" || r.Mode != 3 {
		t.Errorf("%+v", r)
	}
}

// The checks of first contact pass on the simulated board, and are kept.
func TestDMDTest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "first-contact.json")
	code, out, messages := opuctl(t, "dmd", "test", "--sim", "--out", file)
	if code != 0 || strings.Contains(out, "FAILED") || !strings.Contains(out, "simulated") {
		t.Errorf("exit %d: %s\n%s", code, messages, out)
	}
	content, err := os.ReadFile(file)
	var r boardTest
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err != nil || len(r.Checks) < 6 || !r.Board.Simulated || r.Stats.Shown < 275 {
		t.Errorf("%v: %+v", err, r)
	}
}

func TestDMDShow(t *testing.T) {
	write := func(width, height int) string {
		picture := image.NewGray(image.Rect(0, 0, width, height))
		picture.SetGray(3, 1, color.Gray{Y: 200})
		path := filepath.Join(t.TempDir(), "picture.png")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := png.Encode(f, picture); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if code, _, messages := opuctl(t, "dmd", "show", "--sim", write(1920, 1080)); code != 0 || !strings.Contains(messages, ": 1 of 2073600 mirrors on") {
		t.Errorf("exit %d: %s", code, messages)
	}
	for _, args := range [][]string{
		{"show", "--sim", write(1080, 1920)}, {"show", "--sim", "dmd_test.go"}, {"show", "--sim", "missing.png"}, {"show", "--sim"},
		{"pattern", "--sim", "plaid"}, {"pattern", "--sim", "on", "--for", "-1s"}, {"info", "--sim", "--format", "xml"}, {"info", "extra"}, {"test", "--sim", "--out", "."},
	} {
		if code, out, messages := opuctl(t, append([]string{"dmd"}, args...)...); code != exitInput || messages == "" || out != "" {
			t.Errorf("%v: exit %d: %s%s", args, code, out, messages)
		}
	}
}

// What is brighter than mid grey is on, at its place.
func TestPatternOf(t *testing.T) {
	picture := image.NewGray(image.Rect(10, 20, 10+70, 20+3))
	picture.SetGray(10+69, 20+2, color.Gray{Y: 128})
	picture.SetGray(10, 20, color.Gray{Y: 127})
	p, err := patternOf(picture, slm.Geometry{Width: 70, Height: 3})
	if err != nil || p.Count() != 1 || !p.On(69, 2) {
		t.Errorf("%v: %d mirrors are on", err, p.Count())
	}
}
