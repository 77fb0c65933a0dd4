package main

import (
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
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
	if code != 0 || strings.Contains(out, "FAILURE") || !strings.Contains(out, "simulated") || !strings.Contains(out, "IGNORED     planes") {
		t.Errorf("exit %d: %s\n%s", code, messages, out)
	}
	content, err := os.ReadFile(file)
	var r boardTest
	if err == nil {
		err = json.Unmarshal(content, &r)
	}
	if err != nil || len(r.Checks) != len(quickQuestions) || !r.Board.Simulated || r.Stats.Shown < 275 {
		t.Errorf("%v: %+v", err, r)
	}
}

// All questions of first contact, asked of the simulated board; nobody is there to look.
func TestSelftestDMD(t *testing.T) {
	file := filepath.Join(t.TempDir(), "first-contact.json")
	var r boardTest
	must(t, &r, "selftest", "--dmd", "--sim", "--out", file)
	content, err := os.ReadFile(file)
	var saved boardTest
	if err == nil {
		err = json.Unmarshal(content, &saved)
	}
	if err != nil || !reflect.DeepEqual(saved, r) {
		t.Errorf("%v: saved %+v, printed %+v", err, saved, r)
	}
	verdicts := map[dlpc900.Verdict]int{}
	for i, c := range r.Checks {
		verdicts[c.Verdict]++
		if c.Name != dlpc900.ContactQuestions()[i] || c.Found == "" {
			t.Errorf("%+v", c)
		}
	}
	if verdicts[dlpc900.Failure] > 0 || verdicts[dlpc900.Success] != 8 || verdicts[dlpc900.Ignored] != 5 {
		t.Errorf("%v of %+v", verdicts, r.Checks)
	}
	for _, args := range [][]string{{"--dmd", "--calibration", "x"}, {"--dmd", "--url", "local"}, {"--yes"}, {"--port", "usb-1-2"}, {"--dmd", "--sim", "--out", "."}} {
		if code, _, messages := opuctl(t, append([]string{"selftest"}, args...)...); code != exitInput {
			t.Errorf("%v: exit %d: %s", args, code, messages)
		}
	}
	if code, _, messages := opuctl(t, "selftest", "--dmd", "--port", "usb-99-1", "--out", file); code != exitNoDevice {
		t.Errorf("no board: exit %d: %s", code, messages)
	}
}

// Answers are read line by line, and waited for no longer than the command lives.
func TestAskFrom(t *testing.T) {
	var out strings.Builder
	in, typist := io.Pipe()
	go io.WriteString(typist, "  yes \r\n\n")
	ask := askFrom(in, &out)
	for _, want := range []string{"yes", ""} {
		if got, err := ask(t.Context(), "Well?"); got != want || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := ask(ctx, "Still there?"); err != context.Canceled {
		t.Errorf("given up: %v", err)
	}
	typist.Close()
	if _, err := ask(t.Context(), "And now?"); err != io.EOF {
		t.Errorf("nobody there: %v", err)
	}
	if out.String() != "Well? Well? Still there? And now? " {
		t.Errorf("asked %q", out.String())
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
