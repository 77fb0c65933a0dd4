package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/calib/report"
)

// recorded is what calibrate --frames prints.
type recorded struct {
	Frames     int
	Carrier    [2]float64
	Radius     float64
	Saturated  *float64
	Rho        float64  `json:"rho_estimate"`
	Predicted  *float64 `json:"predicted_db"`
	Verdict    string
	Reasons    []string
	NotJudged  []string `json:"not_judged"`
	Outputs    int
	BitDepth   int `json:"bit_depth"`
	SidebandDB float64
}

// Frames that our bench did not make: the carrier within 0.3 DFT bins wherever it
// lies, and fields that add. Set OPU_LONG for twelve geometries.
func TestRecordedFrames(t *testing.T) {
	geometries := []struct{ fu, fv, r, rho float64 }{
		{0.33, 0.325, 0.15, 4},
		{0.49, 0.31, 0.19, 4},   // wraps around in u
		{-0.2, 0.45, 0.145, 16}, // and in v
		{0.26, 0.24, 0.11, 1},
		{0.375, 0.01, 0.12, 2},
		{0.0, 0.372, 0.12, 8},
		{-0.34, 0.34, 0.16, 4},
		{0.17, 0.21, 0.085, 1},
		{-0.44, 0.17, 0.15, 2},
		{0.31, 0.1, 0.08, 16},
		{-0.08, 0.33, 0.1, 1},
		{0.42, 0.4, 0.11, 8},
	}
	if os.Getenv("OPU_LONG") == "" {
		geometries = geometries[:3]
	}
	t.Chdir(t.TempDir())
	const side = 256
	worst := 0.0
	for i, g := range geometries {
		bench := newOtherBench(uint64(100+i), side, g.fu, g.fv, g.r, g.rho)
		if g.rho < 2 {
			bench.electrons = 1800 // speckles are brighter
		}
		writeArray(t, "frames.npy", bench.frames(64), 64, side, side)
		var r recorded
		if code, stdout, stderr := opuctl(t, "calibrate", "--frames", "frames.npy", "--out", "a.opucal", "--format", "json"); code != 0 || json.Unmarshal([]byte(stdout), &r) != nil {
			t.Fatalf("%+v: exit code %d\n%s%s", g, code, stdout, stderr)
		}
		bins := side * math.Hypot(wrapped(r.Carrier[0]-g.fu), wrapped(r.Carrier[1]-g.fv))
		worst = max(worst, bins)

		// Dark, a, b, a+b.
		a, b := bench.field(), bench.field()
		both := make([]complex128, len(a))
		for i := range a {
			a[i], b[i] = a[i]/math.Sqrt2, b[i]/math.Sqrt2
			both[i] = a[i] + b[i]
		}
		pix := bench.frame(bench.frame(bench.frame(bench.frame(nil, nil), a), b), both)
		writeArray(t, "four.npy", pix, 4, side, side)
		var d struct {
			Frames, Outputs int
			Saturated       *float64
			Units           string
		}
		must(t, &d, "demodulate", "--calibration", "a.opucal", "--in", "four.npy", "--out", "y.npy")
		data, err := os.ReadFile("y.npy")
		if err != nil {
			t.Fatal(err)
		}
		y := readComplex(t, data)
		m := d.Outputs
		if d.Frames != 4 || m != r.Outputs || len(y) != 4*m || d.Units != "weighted counts" || d.Saturated == nil {
			t.Fatalf("result %+v, %d values", d, len(y))
		}
		var power, wrong float64
		for i := range m {
			dark, sum := y[i], y[3*m+i]-y[i]
			rest := sum - (y[m+i] - dark) - (y[2*m+i] - dark)
			power += sq(sum)
			wrong += sq(rest)
		}
		linearity := 10 * math.Log10(power/wrong)
		t.Logf("(%+.3f, %.3f), R %.3f, rho %4.1f: off by %.3f bins, radius by %+.4f, rho estimated %.1f, %.1f dB predicted, linear to %.1f dB",
			g.fu, g.fv, g.r, g.rho, bins, r.Radius-g.r, r.Rho, *r.Predicted, linearity)
		if r.Verdict != "good" || len(r.Reasons) != 0 || len(r.NotJudged) == 0 || r.Frames != 64 || r.BitDepth != 8 {
			t.Errorf("%+v: result %+v", g, r)
		}
		if bins > 0.3 {
			t.Errorf("%+v: the carrier is %.3f bins off", g, bins)
		}
		if linearity < 20 {
			t.Errorf("%+v: linear to %.1f dB", g, linearity)
		}
	}
	t.Logf("worst of %d: %.3f bins", len(geometries), worst)
}

func sq(z complex64) float64 {
	re, im := float64(real(z)), float64(imag(z))
	return re*re + im*im
}

// The same frames as wider pixels are the same calibration and the same fields.
func TestRecordedWidePixels(t *testing.T) {
	t.Chdir(t.TempDir())
	const side = 96
	pix := newOtherBench(1, side, 0.33, 0.325, 0.15, 4).frames(24)
	wide := make([]uint16, len(pix))
	for i, x := range pix {
		wide[i] = 16 * uint16(x)
	}
	writeArray(t, "8.npy", pix, 24, side, side)
	writeArray(t, "12.npy", wide, 24, side, side)
	var r8, r12 recorded
	must(t, &r8, "calibrate", "--frames", "8.npy", "--out", "8.opucal")
	must(t, &r12, "calibrate", "--frames", "12.npy", "--out", "12.opucal", "--bit-depth", "12", "--outputs", "50")
	if r12.BitDepth != 12 || r12.Outputs != 50 || math.Hypot(r8.Carrier[0]-r12.Carrier[0], r8.Carrier[1]-r12.Carrier[1]) > 1e-9 {
		t.Errorf("8 bits: %+v, 12 bits: %+v", r8, r12)
	}
	var d struct{ Frames, Outputs int }
	must(t, &d, "demodulate", "--calibration", "8.opucal", "--in", "8.npy", "--out", "y8.npy", "--outputs", "50")
	must(t, &d, "demodulate", "--calibration", "12.opucal", "--in", "12.npy", "--out", "y12.npy")
	y8, err8 := os.ReadFile("y8.npy")
	y12, err12 := os.ReadFile("y12.npy")
	if err := errors.Join(err8, err12); err != nil {
		t.Fatal(err)
	}
	a, b := readComplex(t, y8), readComplex(t, y12)
	if len(a) != 24*50 || len(b) != len(a) {
		t.Fatalf("%d and %d outputs", len(a), len(b))
	}
	for i := range a {
		if 16*a[i] != b[i] {
			t.Fatalf("output %d is %v from 8 bits and %v from 12", i, a[i], b[i])
		}
	}
}

// Frames that cannot be trusted: the whole object is printed, nothing is saved.
func TestRecordedRefused(t *testing.T) {
	t.Chdir(t.TempDir())
	const side = 96
	low := newOtherBench(2, side, 0.2, 0.2, 0.15, 4)
	writeArray(t, "low.npy", low.frames(20), 20, side, side)
	code, stdout, stderr := opuctl(t, "calibrate", "--frames", "low.npy", "--out", "a.opucal", "--format", "json")
	if code != exitFailed || !strings.Contains(stdout, `"verdict": "refused"`) || !strings.Contains(stdout, "tilt the reference beam") ||
		!strings.Contains(stderr, "nothing was saved") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if _, err := os.Stat("a.opucal"); err == nil {
		t.Error("a refused calibration was saved")
	}
	code, stdout, _ = opuctl(t, "calibrate", "--frames", "low.npy", "--report", "page")
	hasPage(t, "page", calib.VerdictRefused, report.SpectrumFile)
	if code != exitFailed || !strings.Contains(stdout, "verdict     refused\n  cannot separate") || !strings.Contains(stdout, "black level") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

// A calibration of a rig demodulates frames too; one of frames drives no rig.
func TestRecordedAndRig(t *testing.T) {
	if testing.Short() {
		t.Skip("it calibrates a bench of full size")
	}
	t.Chdir(t.TempDir())
	var cal struct {
		EpochOfB string `json:"epoch_of_b"`
		Outputs  int
	}
	must(t, &cal, "calibrate", "--sim", "--features", "3", "--outputs", "60", "--out", "rig.opucal")
	bench := newOtherBench(3, 256, 0.33, 0.325, 0.15, 4)
	writeArray(t, "frames.npy", bench.frames(16), 16, 256, 256)
	var d struct {
		Frames, Outputs int
		Units           string
		EpochOfB        string `json:"epoch_of_b"`
	}
	must(t, &d, "demodulate", "--calibration", "rig.opucal", "--in", "frames.npy", "--out", "y.npy")
	if d.EpochOfB != cal.EpochOfB || d.Outputs != 60 || d.Frames != 16 || d.Units != "entries of B" {
		t.Errorf("result %+v", d)
	}
	var r recorded
	must(t, &r, "calibrate", "--frames", "frames.npy", "--out", "frames.opucal")
	x := writeArray(t, "x.npy", []int8{1, 0, 1}, 1, 3)
	for _, args := range [][]string{
		{"project", "--sim", "--in", x, "--out", "z.npy", "--calibration", "frames.opucal"},
		{"inspect", "--sim", "--calibration", "frames.opucal"},
	} {
		if code, _, stderr := opuctl(t, args...); code != exitInput || !strings.Contains(stderr, "recorded frames") {
			t.Errorf("opuctl %v: exit code %d\n%s", args, code, stderr)
		}
	}
}

func TestRecordedWrongUse(t *testing.T) {
	t.Chdir(t.TempDir())
	const side = 64
	pix := newOtherBench(4, side, 0.33, 0.325, 0.15, 4).frames(16)
	good := writeArray(t, "good.npy", pix, 16, side, side)
	var r recorded
	must(t, &r, "calibrate", "--frames", good, "--out", "a.opucal")
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, data []byte) string {
		if err := os.WriteFile(name, data, 0o666); err != nil {
			t.Fatal(err)
		}
		return name
	}
	short := file("short.npy", whole[:len(whole)-1])
	long := file("long.npy", append(whole[:len(whole):len(whole)], 0))
	text := file("text", []byte("not what it seems"))
	flat := writeArray(t, "flat.npy", pix, 16*side, side)
	float := writeArray(t, "float.npy", make([]float32, side*side), 1, side, side)
	none := writeArray(t, "none.npy", []byte{}, 0, side, side)
	tiny := writeArray(t, "tiny.npy", make([]byte, 16*16*16), 16, 16, 16)
	wide := writeArray(t, "wide.npy", make([]uint16, side*side), 1, side, side)
	other := writeArray(t, "other.npy", make([]byte, side*side/2), 1, side/2, side)
	demodulate := func(in string) []string {
		return []string{"demodulate", "--calibration", "a.opucal", "--in", in, "--out", "y.npy"}
	}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"is of a bench", []string{"calibrate", "--frames", good, "--sim"}},
		{"is of a bench", []string{"calibrate", "--frames", good, "--features", "3"}},
		{"goes with --frames", []string{"calibrate", "--sim", "--bit-depth", "12"}},
		{"not 8 to 16", []string{"calibrate", "--frames", good, "--bit-depth", "17"}},
		{"pixels of uint8", []string{"calibrate", "--frames", good, "--bit-depth", "12"}},
		{"outputs", []string{"calibrate", "--frames", good, "--outputs", "1000000"}},
		{"no such file", []string{"calibrate", "--frames", "nowhere.npy"}},
		{"bytes of pixels", []string{"calibrate", "--frames", short}},
		{"bytes of pixels", []string{"calibrate", "--frames", long}},
		{"numpy.save", []string{"calibrate", "--frames", text}},
		{"frames x height x width", []string{"calibrate", "--frames", flat}},
		{"uint8 or uint16", []string{"calibrate", "--frames", float}},
		{"at least one frame", []string{"calibrate", "--frames", none}},
		{"at least 32", []string{"calibrate", "--frames", tiny}},
		{"are needed", []string{"demodulate", "--in", good, "--out", "y.npy"}},
		{"--outputs", append(demodulate(good), "--outputs", "1000000")},
		{"--outputs", append(demodulate(good), "--outputs", "-1")},
		{"no calibration's", []string{"demodulate", "--calibration", text, "--in", good, "--out", "y.npy"}},
		{"bytes of pixels", demodulate(short)},
		{"uint8 or uint16", demodulate(float)},
		{"uint16; the calibration", demodulate(wide)},
		{"64x32 pixels", demodulate(other)},
		{"is a folder", []string{"demodulate", "--calibration", "a.opucal", "--in", good, "--out", "."}},
	} {
		code, stdout, stderr := opuctl(t, c.args...)
		if code != exitInput || !strings.Contains(stderr, c.says) {
			t.Errorf("opuctl %v: exit code %d, want %d with %q:\n%s", c.args, code, exitInput, c.says, stderr)
		}
		if stdout != "" {
			t.Errorf("opuctl %v printed a result: %s", c.args, stdout)
		}
	}
	left, err := filepath.Glob("y.npy*")
	if err != nil || len(left) > 0 {
		t.Errorf("files were left behind: %v, %v", left, err)
	}
}

// A run that is stopped leaves no half-written fields.
func TestDemodulateInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	frames := writeArray(t, "frames.npy", newOtherBench(5, 64, 0.33, 0.325, 0.15, 4).frames(16), 16, 64, 64)
	var r recorded
	must(t, &r, "calibrate", "--frames", frames, "--out", "a.opucal")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stderr := &cancelWriter{when: regexp.MustCompile("never"), cancel: cancel}
	if code := run(ctx, []string{"demodulate", "--calibration", "a.opucal", "--in", frames, "--out", "y.npy"}, io.Discard, stderr); code != exitInterrupt {
		t.Errorf("exit code %d, want %d\n%s", code, exitInterrupt, stderr.String())
	}
	if left, _ := filepath.Glob("*y.npy*"); len(left) > 0 {
		t.Errorf("files were left behind: %v", left)
	}
	if left, _ := filepath.Glob(".opu-partial*"); len(left) > 0 {
		t.Errorf("files were left behind: %v", left)
	}
}

// The commands of the how-to work as they stand there.
func TestRecordedHowTo(t *testing.T) {
	if testing.Short() {
		t.Skip("it calibrates a bench of full size")
	}
	page, err := os.ReadFile(filepath.FromSlash("../../docs/how-to/work-with-recorded-frames.md"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	const side = 96
	bench := newOtherBench(6, side, 0.33, 0.325, 0.15, 4)
	writeArray(t, "frames.npy", bench.frames(16), 16, side, side)
	writeArray(t, "run.npy", bench.frames(3), 3, side, side)
	commands := regexp.MustCompile(`(?m)^opuctl (.*)$`).FindAllStringSubmatch(string(page), -1)
	if len(commands) < 5 {
		t.Fatalf("%d commands were found on the page", len(commands))
	}
	for _, c := range commands {
		if code, _, stderr := opuctl(t, strings.Fields(c[1])...); code != 0 {
			t.Errorf("opuctl %s: exit code %d\n%s", c[1], code, stderr)
		}
	}
	for _, name := range []string{"frames.opucal", "fields.npy", "mask.npy", "map.png", "B.npy", "B-errors.npy"} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}
