package report

import (
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
)

// A page shows the verdict, every check and each picture that can be drawn; names are
// not taken for markup, and pictures of an earlier report do not stay.
func TestWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	const side = 32
	power := make([]float64, side*side)
	power[5] = 1
	full := Report{
		Title: "Calibration", Subject: "<b>DMD</b>", Simulated: "good",
		Verdict: calib.Verdict{Verdict: calib.VerdictRefused, Reasons: []string{"turn the knob"}, Checks: []calib.Check{{Name: "rho", Limit: "at least 1"}}},
		Carrier: calib.Carrier{Fu: 0.3, Fv: 0.3, Radius: 0.1},
		Seen:    &calib.View{Width: side, Height: side, BitDepth: 8, Frame: make([]float64, side*side), Power: power},
		Figures: &calib.Figures{Sample: []complex64{1, 1i}, Norms: []float64{1, 2}, Probes: []calib.ProbePoint{{}, {Time: 1, Phase: 2}}},
		Facts:   []Fact{{"epoch", "b-1"}}, NotJudged: []string{"the weather"}, Result: map[string]int{"answer": 1},
	}
	if err := full.Write(dir); err != nil {
		t.Fatal(err)
	}
	text := read(t, dir, PageFile)
	for _, want := range []string{"refused", "turn the knob", "rho", "at least 1", "&lt;b&gt;DMD", "Simulated", "b-1", "the weather", FrameFile, SpectrumFile, SelfTestFile} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not have %q", want)
		}
	}
	if got := read(t, dir, ResultFile); !strings.Contains(got, `"answer": 1`) {
		t.Errorf("%s holds %s", ResultFile, got)
	}
	for _, name := range []string{FrameFile, SpectrumFile, SelfTestFile} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.Decode(f); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}

	// Of a rig without light there is nothing to draw.
	if err := (&Report{Title: "Calibration"}).Write(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, FrameFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the picture of an earlier report is still there (%v)", err)
	}
	if text := read(t, dir, PageFile); strings.Contains(text, "<img") {
		t.Error("the page shows pictures that do not exist")
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
