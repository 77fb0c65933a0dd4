package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/calib/report"
	"github.com/light-in-the-loop/opu/internal/bench"
)

// A self-test finds its own bench good, and another medium not the calibration's; both
// leave a page, and so does a calibration that is refused.
func TestSelftest(t *testing.T) {
	dir := t.TempDir()
	file, page := filepath.Join(dir, "bench.opucal"), filepath.Join(dir, "page")
	var calibrated bench.CalibrationResult
	must(t, &calibrated, "calibrate", "--sim=ideal", "--out", file, "--report", page)
	hasPage(t, page, calib.VerdictGood, report.SelfTestFile)
	var tested bench.SelftestResult
	must(t, &tested, "selftest", "--sim=ideal", "--calibration", file, "--report", page)
	hasPage(t, page, calib.VerdictGood, report.SelfTestFile)
	if tested.Verdict.Verdict != calib.VerdictGood || tested.EpochOfB != *calibrated.EpochOfB || tested.Figures.SNR < 20 {
		t.Errorf("self-test: %+v", tested)
	}
	code, _, stderr := opuctl(t, "selftest", "--sim=ideal", "--seed", "2", "--calibration", file, "--report", page)
	if code != exitFailed || !strings.Contains(stderr, "health of the probe") {
		t.Errorf("with another medium: exit code %d, %q", code, stderr)
	}
	hasPage(t, page, calib.VerdictRefused, report.SelfTestFile)

	page = filepath.Join(dir, "refused")
	if code, _, stderr := opuctl(t, "calibrate", "--sim=broken", "--report", page); code != exitFailed {
		t.Errorf("a broken bench: exit code %d, %q", code, stderr)
	}
	hasPage(t, page, calib.VerdictRefused, report.SpectrumFile)
	if code, _, stderr := opuctl(t, "selftest", "--sim"); code != exitInput || !strings.Contains(stderr, "--calibration is missing") {
		t.Errorf("without a calibration: exit code %d, %q", code, stderr)
	}
}

// hasPage says whether a folder has a page with the verdict, and a picture.
func hasPage(t *testing.T, dir, verdict, picture string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, report.PageFile))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "<div class=\"verdict "+verdict) {
		t.Errorf("%s does not say %q", dir, verdict)
	}
	if _, err := os.Stat(filepath.Join(dir, picture)); err != nil {
		t.Error(err)
	}
}

// Commands that calibrate on the way judge what they learnt before they use it.
func TestProjectRefuses(t *testing.T) {
	dir := t.TempDir()
	in, out := writeArray(t, filepath.Join(dir, "x.npy"), make([]int8, 20), 2, 10), filepath.Join(dir, "y.npy")
	if code, _, stderr := opuctl(t, "project", "--sim=broken", "--in", in, "--out", out); code != exitFailed || !strings.Contains(stderr, "tilt the reference beam") {
		t.Errorf("a broken bench: exit code %d, %q", code, stderr)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("projections of a broken bench were written")
	}
	if code, _, stderr := opuctl(t, "project", "--sim", "--in", in, "--out", out, "--drift", "magic"); code != exitInput || !strings.Contains(stderr, "it is frame, probe or none") {
		t.Errorf("an unknown correction: exit code %d, %q", code, stderr)
	}
}
