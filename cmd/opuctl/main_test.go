package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/npy"
)

// opuctl runs the program and returns what it printed.
func opuctl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, &out, &err)
	return code, out.String(), err.String()
}

// must runs the program, which must succeed, and decodes its JSON into result.
func must(t *testing.T, result any, args ...string) {
	t.Helper()
	code, stdout, stderr := opuctl(t, append(args, "--format", "json")...)
	if code != 0 {
		t.Fatalf("opuctl %v: exit code %d\n%s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), result); err != nil {
		t.Fatalf("opuctl %v: %v in\n%s", args, err, stdout)
	}
}

// writeArray saves an array as .npy and returns its path.
func writeArray[T npy.Element](t *testing.T, path string, data []T, shape ...int) string {
	t.Helper()
	var buf bytes.Buffer
	if err := npy.Write(&buf, data, shape...); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, buf.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{}, {"--help"}, {"train", "--help"}, {"project", "--help"}, {"inspect", "--help"}, {"calibrate", "--help"}, {"infer", "--help"}, {"demodulate", "--help"}, {"map", "--help"}, {"matrix", "--help"}} {
		code, stdout, stderr := opuctl(t, args...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, "Usage:") {
			t.Errorf("opuctl %v: exit code %d, stderr %q", args, code, stderr)
		}
		for _, line := range strings.Split(stdout, "\n") {
			if strings.Contains(line, "\t") {
				t.Errorf("opuctl %v: tab in %q", args, line)
			}
		}
	}
}

// Wrong use: the exit code that the manual says, and a message that names the thing
// and the remedy. Nothing is shown and nothing is left behind.
func TestWrongUse(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	file := func(name, text string) string {
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return name
	}
	x := writeArray(t, "x.npy", []int8{1, 0, -1, 0, 1, 1}, 2, 3)
	two := writeArray(t, "two.npy", []int8{1, 0, 2, 0, 1, 1}, 2, 3)
	nan := writeArray(t, "nan.npy", []float64{1, math.NaN()}, 1, 2)
	flat := writeArray(t, "flat.npy", []int8{1, 0}, 2)
	whole, err := os.ReadFile(x)
	if err != nil {
		t.Fatal(err)
	}
	short := file("short.npy", string(whole[:len(whole)-2]))
	text := file("text", "not what it seems")
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitInput, `no command "paint"`, []string{"paint"}},
		{exitInput, "unknown flag: --colour", []string{"train", "--colour"}},
		{exitInput, "invalid argument", []string{"train", "--epochs", "many"}},
		{exitInput, `argument "now"`, []string{"train", "now"}},
		{exitInput, "the presets are ideal", []string{"calibrate", "--sim=perfect"}},
		{exitInput, "--format is text or json", []string{"calibrate", "--sim", "--format", "xml"}},
		{exitNoDevice, "use --sim", []string{"calibrate"}},
		{exitNoDevice, "use --sim", []string{"train", "--out", "o"}},
		{exitInput, "a DMD cannot show", []string{"train", "--sim", "--error", "float"}},
		{exitInput, `no feedback "luck"`, []string{"train", "--feedback", "luck"}},
		{exitInput, "epochs", []string{"train", "--feedback", "bp", "--epochs", "0"}},
		{exitInput, "rate", []string{"train", "--feedback", "bp", "--rate", "NaN"}},
		{exitInput, "no data set found", []string{"train", "--feedback", "bp", "--data", empty, "--out", "o"}},
		{exitInput, "cannot write to the folder", []string{"train", "--feedback", "bp", "--out", filepath.Join(text, "o")}},
		{exitInput, "cannot resume", []string{"train", "--feedback", "bp", "--resume", empty}},
		{exitInput, "--data DIR", []string{"train", "--feedback", "bp", "--download", "--out", "o"}},
		{exitInput, "--in and --out", []string{"project", "--sim"}},
		{exitInput, "no such file", []string{"project", "--sim", "--in", "none.npy", "--out", "y.npy"}},
		{exitInput, "2", []string{"project", "--sim", "--in", two, "--out", "y.npy"}},
		{exitInput, "NaN", []string{"project", "--sim", "--in", nan, "--out", "y.npy"}},
		{exitInput, "rows x N", []string{"project", "--sim", "--in", flat, "--out", "y.npy"}},
		{exitInput, "short.npy", []string{"project", "--sim", "--in", short, "--out", "y.npy"}},
		{exitInput, "text", []string{"project", "--sim", "--in", text, "--out", "y.npy"}},
		{exitInput, "is a folder", []string{"project", "--sim", "--in", x, "--out", empty}},
		{exitInput, "--kind is", []string{"project", "--sim", "--in", x, "--out", "y.npy", "--kind", "imaginary"}},
		{exitInput, "no calibration's", []string{"project", "--sim", "--in", x, "--out", "y.npy", "--calibration", text}},
		{exitInput, "--model is missing", []string{"infer"}},
		{exitInput, "no such file", []string{"infer", "--model", "none"}},
		{exitInput, "text", []string{"infer", "--model", text}},
		{exitInput, "blocks", []string{"calibrate", "--sim", "--layout", "spiral"}},
		{exitInput, "at least one feature", []string{"calibrate", "--sim", "--features", "0"}},
		{exitInput, "sensor", []string{"calibrate", "--sim", "--outputs", "100000000"}},
	} {
		code, stdout, stderr := opuctl(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("opuctl %v: exit code %d, want %d with %q:\n%s", c.args, code, c.code, c.says, stderr)
		}
		if stdout != "" {
			t.Errorf("opuctl %v printed a result: %s", c.args, stdout)
		}
	}
	if _, err := os.Stat("y.npy"); err == nil {
		t.Error("y.npy was written")
	}
}

// Calibrate, then project with the file: the same matrix, and on an ideal bench the
// same results to the last bit.
func TestCalibrateAndProject(t *testing.T) {
	t.Chdir(t.TempDir())
	var cal struct {
		Carrier  [2]float64
		Radius   float64
		SNR      *float64 `json:"snr_db"`
		Linear   *float64 `json:"linearity_db"`
		Repeat   *float64 `json:"repeatability_db"`
		EpochOfB string   `json:"epoch_of_b"`
		Truth    struct{ Carrier [2]float64 }
	}
	must(t, &cal, "calibrate", "--sim=ideal", "--seed", "3", "--features", "3", "--outputs", "50", "--out", "a.opucal")
	if math.Hypot(cal.Carrier[0]-cal.Truth.Carrier[0], cal.Carrier[1]-cal.Truth.Carrier[1]) > 0.3/256 || cal.SNR == nil || cal.Linear == nil || cal.Repeat == nil {
		t.Errorf("calibration %+v", cal)
	}
	x := writeArray(t, "x.npy", []int8{1, 0, -1, 0, 0, 0, 0, 1, 1}, 3, 3)
	var result struct {
		Rows, Outputs, Projections int
		ZeroRows                   int    `json:"zero_rows"`
		EpochOfB                   string `json:"epoch_of_b"`
		Simulated, Intensity       string
	}
	project := func(out string, more ...string) []byte {
		must(t, &result, append([]string{"project", "--sim=ideal", "--seed", "3", "--in", x, "--out", out, "--calibration", "a.opucal"}, more...)...)
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	first, second := project("y1.npy"), project("y2.npy")
	if !bytes.Equal(first, second) {
		t.Error("two projections on the ideal bench differ")
	}
	if result.EpochOfB != cal.EpochOfB || result.Rows != 3 || result.Outputs != 50 || result.Projections != 3 || result.ZeroRows != 1 || result.Simulated != "ideal" {
		t.Errorf("result %+v", result)
	}
	y := readComplex(t, first)
	if len(y) != 150 {
		t.Fatalf("%d outputs, want 150", len(y))
	}
	for i, z := range y[50:100] {
		if z != 0 {
			t.Fatalf("output %d of the zero row is %v", i, z)
		}
	}
	project("r.npy", "--kind", "real")
	project("i.npy", "--kind", "intensity")
	if !strings.Contains(result.Intensity, "since x holds -1") {
		t.Errorf("intensities of -1: %q", result.Intensity)
	}
	x = writeArray(t, "b.npy", []uint8{1, 0, 1}, 1, 3)
	project("i.npy", "--kind", "intensity")
	if !strings.Contains(result.Intensity, "reference beam blocked") {
		t.Errorf("intensities of light: %q", result.Intensity)
	}
	// Another bench does not take this file.
	if code, _, stderr := opuctl(t, "project", "--sim=ideal", "--seed", "4", "--in", x, "--out", "z.npy", "--calibration", "a.opucal"); code != exitInput || !strings.Contains(stderr, "calibrate anew") {
		t.Errorf("a calibration of another bench: exit code %d, %s", code, stderr)
	}
}

func readComplex(t *testing.T, data []byte) []complex64 {
	t.Helper()
	r, err := npy.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	y := make([]complex64, r.Len())
	if _, err := npy.ReadComplex(r, y); err != nil {
		t.Fatal(err)
	}
	return y
}

func TestInspect(t *testing.T) {
	t.Chdir(t.TempDir())
	code, stdout, stderr := opuctl(t, "inspect", "--sim", "--out", "see.png")
	if code != 0 || !strings.Contains(stdout, "carrier     (0.3") || strings.Count(stdout, "S") < 1 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	picture, err := os.ReadFile("see.png")
	if err != nil || !bytes.HasPrefix(picture, []byte("\x89PNG")) {
		t.Errorf("the picture is none (%v)", err)
	}
}

// blobs is a folder with a small problem of four classes.
func blobs(t *testing.T, dir string) string {
	t.Helper()
	x, y := make([]float32, 600*6), make([]int32, 600)
	state := uint64(1)
	next := func() float32 {
		state = state*6364136223846793005 + 1442695040888963407
		return float32(state>>40) / (1 << 24)
	}
	for i := range y {
		y[i] = int32(i % 4)
		for j := range 6 {
			centre := float32(0)
			if j == i%4 {
				centre = 1
			}
			x[i*6+j] = centre + 0.4*next()
		}
	}
	writeArray(t, filepath.Join(dir, "x.npy"), x, 600, 6)
	writeArray(t, filepath.Join(dir, "y.npy"), y, 600)
	return dir
}

type trained struct {
	Dataset, Feedback, Error, Simulated, Out string
	Epochs, Seed, Projections, Exposures     *int
	Frames                                   *int
	ZeroRows                                 *int     `json:"zero_rows"`
	TestAccuracy                             *float64 `json:"test_accuracy"`
	EpochOfB                                 string   `json:"epoch_of_b"`
	Seconds                                  *float64
	FastPath                                 bool `json:"fast_path"`
}

// Train by light on one's own data, run the network without light, go on later.
func TestTrain(t *testing.T) {
	t.Chdir(t.TempDir())
	data := blobs(t, t.TempDir())
	flags := []string{"train", "--sim=good", "--data", data, "--layers", "24,16", "--batch", "32", "--rate", "0.01", "--seed", "2"}
	var r trained
	must(t, &r, append(flags, "--epochs", "3", "--out", "o")...)
	if r.Feedback != "optical" || r.Simulated != "good" || r.Projections == nil || *r.Projections != 3*(500/32)*32 || r.ZeroRows == nil ||
		r.Exposures == nil || *r.Exposures == 0 || *r.Frames <= *r.Exposures || r.TestAccuracy == nil || !strings.HasPrefix(r.EpochOfB, "b-") || *r.Seed != 2 {
		t.Errorf("result %+v", r)
	}
	for _, name := range []string{"network.safetensors", "curve.png", "result.json", "checkpoint.safetensors", "calibration.opucal"} {
		if _, err := os.Stat(filepath.Join("o", name)); err != nil {
			t.Error(err)
		}
	}
	var inferred trained
	must(t, &inferred, "infer", "--model", "o/network.safetensors", "--data", data)
	if *inferred.TestAccuracy != *r.TestAccuracy {
		t.Errorf("the network has %.4f in the file and had %.4f in training", *inferred.TestAccuracy, *r.TestAccuracy)
	}
	// Going on: the same matrix, from the calibration of the run.
	var on trained
	must(t, &on, append(flags, "--epochs", "6", "--resume", "o")...)
	if on.EpochOfB != r.EpochOfB || *on.TestAccuracy < 0.9 {
		t.Errorf("resumed: %+v", on)
	}
	// Another calibration is another matrix.
	var cal struct{}
	must(t, &cal, "calibrate", "--sim=good", "--seed", "2", "--features", "4", "--outputs", "21", "--layout", "lines", "--out", "other.opucal")
	if code, _, stderr := opuctl(t, append(flags, "--epochs", "8", "--resume", "o", "--calibration", "other.opucal")...); code != exitInput || !strings.Contains(stderr, "matrix") {
		t.Errorf("resumed on another matrix: exit code %d\n%s", code, stderr)
	}
}

// Ctrl-C leaves a checkpoint and says how to go on.
func TestInterrupt(t *testing.T) {
	t.Chdir(t.TempDir())
	data := blobs(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stderr := &cancelWriter{when: regexp.MustCompile(`epoch +2 of 500`), cancel: cancel}
	args := []string{"train", "--feedback", "ternary", "--data", data, "--layers", "16", "--batch", "32", "--epochs", "500", "--out", "o"}
	if code := run(ctx, args, io.Discard, stderr); code != exitInterrupt {
		t.Errorf("exit code %d, want %d\n%s", code, exitInterrupt, stderr.String())
	}
	if !strings.Contains(stderr.String(), "--resume o") {
		t.Errorf("it does not say how to go on:\n%s", stderr.String())
	}
	if _, err := os.Stat("o/checkpoint.safetensors"); err != nil {
		t.Error(err)
	}
}

// cancelWriter cancels when it has seen a text.
type cancelWriter struct {
	bytes.Buffer
	when   *regexp.Regexp
	cancel func()
}

func (w *cancelWriter) Write(p []byte) (int, error) {
	n, err := w.Buffer.Write(p)
	if w.when.Match(w.Bytes()) {
		w.cancel()
	}
	return n, err
}

// The fast path has the mean and the variance of the frames.
func TestFastPath(t *testing.T) {
	b := benchFlags{sim: "good", seed: 5, usb: bench.USBFast, layout: "blocks", drift: "frame"}
	p := newProgress(io.Discard, 1)
	opu, bench, err := b.opu(t.Context(), io.Discard, need{4, 400}, p, driver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer bench.rig.Close()
	fast, err := newFastPath(t.Context(), opu, 1)
	if err != nil {
		t.Fatal(err)
	}
	const rows = 150
	x := bytes.Repeat([]byte{1, 0, 0xff, 1}, rows)
	in := make([]int8, len(x))
	for i, v := range x {
		in[i] = int8(v)
	}
	moments := func(project func(context.Context, []complex64, []int8) error) (mean []complex128, variance float64) {
		y := make([]complex64, rows*400)
		if err := project(t.Context(), y, in); err != nil {
			t.Fatal(err)
		}
		mean = make([]complex128, 400)
		for i, z := range y {
			mean[i%400] += complex128(z) / rows
		}
		for i, z := range y {
			d := complex128(z) - mean[i%400]
			variance += (real(d)*real(d) + imag(d)*imag(d)) / (rows - 1) / 400
		}
		return mean, variance
	}
	slow, slowVariance := moments(opu.Project)
	quick, quickVariance := moments(fast.Project)
	var difference, power float64
	for i := range slow {
		d := slow[i] - quick[i]
		difference += real(d)*real(d) + imag(d)*imag(d)
		power += real(slow[i])*real(slow[i]) + imag(slow[i])*imag(slow[i])
	}
	t.Logf("means agree to %.1f dB, variances %.5f and %.5f", 10*math.Log10(power/difference), slowVariance, quickVariance)
	if difference/power > 0.01 {
		t.Errorf("the means differ by %.1f %%", 100*math.Sqrt(difference/power))
	}
	// The noise of an exposure grows a little with the light in it: a vector of three
	// blocks has more than the single ones that the fast path measured.
	if ratio := quickVariance / slowVariance; ratio < 0.85 || ratio > 1.1 {
		t.Errorf("the fast path has %.3f of the variance of the frames", ratio)
	}
	if y := make([]complex64, 400); fast.Project(t.Context(), y, make([]int8, 4)) != nil || y[0] != 0 {
		t.Error("the fast path's zero row is not zero")
	}
}
