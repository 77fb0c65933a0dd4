package main

import (
	"bytes"
	"context"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// smallBench is a simulated bench that is quick, calibrated.
func smallBench(t testing.TB, c sim.Config, features, outputs int, seed uint64) *bench.Bench {
	t.Helper()
	c.Width, c.Height, c.Chip = 128, 128, slm.Geometry{Width: 64, Height: 64}
	b, err := bench.Open(t.Context(), c, bench.Options{Features: features, Outputs: outputs, Seed: seed}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// daemon serves a bench as opud does, on a Unix socket, until it is stopped.
func daemon(t testing.TB, b *bench.Bench, o server.Options, path string) (stop func()) {
	t.Helper()
	cal := b.OPU.Calibration()
	o.Matrix, o.Shutter = &server.Matrix{
		OPU: b.OPU, Calibration: cal, Verdict: b.Verdict,
		View: func(ctx context.Context) (*calib.View, error) { return cal.View(ctx, b.Rig, 1) },
	}, true
	o.Device, o.Version = "bench of the test", "1.2.3"
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := server.ListenSocket(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("the daemon ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// Through a daemon every command that projects prints and writes what it does with an
// OPU of its own.
func TestThroughDaemon(t *testing.T) {
	t.Chdir(t.TempDir())
	b := smallBench(t, sim.Good(2), 6, 40, 2)
	socket := filepath.Join(t.TempDir(), "opud.sock")
	daemon(t, b, server.Options{Simulated: "good"}, socket)

	var projected struct {
		Rows, Inputs, Outputs, Projections, Exposures int
		EpochOfB                                      string `json:"epoch_of_b"`
		Simulated, Daemon, Intensity                  string
		ZeroRows                                      int `json:"zero_rows"`
	}
	x := writeArray(t, "x.npy", []int8{1, 0, -1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1}, 3, 6)
	must(t, &projected, "project", "--url", socket, "--in", x, "--out", "y.npy")
	if projected.Rows != 3 || projected.Inputs != 6 || projected.Outputs != 40 || projected.EpochOfB != b.OPU.Epoch() || projected.Simulated != "good" ||
		projected.Daemon != socket || projected.Projections != 3 || projected.ZeroRows != 1 || projected.Exposures < 3 {
		t.Errorf("project printed %+v", projected)
	}
	written, err := os.ReadFile("y.npy")
	if err != nil {
		t.Fatal(err)
	}
	y := readComplex(t, written)
	if len(y) != 120 || y[0] == 0 || y[40] != 0 || y[119] == 0 {
		t.Errorf("project wrote %d outputs, %v", len(y), y)
	}
	must(t, &projected, "project", "--url", socket, "--in", x, "--out", "few.npy", "--outputs", "7", "--kind", "real")
	if projected.Outputs != 7 {
		t.Errorf("with --outputs 7: %+v", projected)
	}
	binary := writeArray(t, "binary.npy", []uint8{1, 0, 1, 0, 1, 0}, 1, 6)
	must(t, &projected, "project", "--url", socket, "--in", binary, "--out", "i.npy", "--kind", "intensity")
	if !strings.Contains(projected.Intensity, "reference beam blocked") {
		t.Errorf("the intensities are %q", projected.Intensity)
	}
	code, stdout, stderr := opuctl(t, "project", "--url", "unix://"+socket, "--in", x, "--out", "y.npy")
	if code != 0 || !strings.Contains(stdout, `simulated bench "good"`) || !strings.Contains(stdout, "daemon at unix://"+socket) ||
		!strings.Contains(stderr, `daemon: bench of the test (simulated bench "good"), 40 x 6, matrix `+b.OPU.Epoch()) {
		t.Errorf("as text: code %d\n%s%s", code, stdout, stderr)
	}

	var matrix struct {
		Shape     [2]int
		SNR       float64 `json:"snr_db"`
		Simulated string
	}
	must(t, &matrix, "matrix", "--url", socket, "--out", "B.npy")
	if matrix.Shape != [2]int{40, 6} || matrix.SNR < 20 || matrix.Simulated != "good" {
		t.Errorf("matrix printed %+v", matrix)
	}
	must(t, &matrix, "matrix", "--url", socket, "--out", "B.npy", "--features", "2", "--outputs", "5")
	if matrix.Shape != [2]int{5, 2} {
		t.Errorf("a part of the matrix is %v", matrix.Shape)
	}

	var seen struct {
		Mean, Health float64
		Calibration  struct {
			Epoch string `json:"epoch_of_b"`
		}
		Simulated, Daemon string
	}
	must(t, &seen, "inspect", "--url", socket, "--out", "see.png")
	if seen.Health < 0.9 || seen.Calibration.Epoch != b.OPU.Epoch() || seen.Simulated != "good" || seen.Daemon != socket {
		t.Errorf("inspect printed %+v", seen)
	}
	if picture, err := os.ReadFile("see.png"); err != nil || !bytes.HasPrefix(picture, []byte("\x89PNG")) {
		t.Errorf("the picture is none (%v)", err)
	}
	if code, stdout, _ := opuctl(t, "inspect", "--url", socket); code != 0 || !strings.Contains(stdout, "carrier     (") || strings.Count(stdout, "S") < 1 {
		t.Errorf("inspect as text: code %d\n%s", code, stdout)
	}

	// Training on four of the six inputs and 20 of the 40 outputs.
	data := blobs(t, t.TempDir())
	flags := []string{"train", "--url", socket, "--data", data, "--layers", "24,16", "--batch", "32", "--rate", "0.01", "--seed", "2", "--out", "o"}
	var r struct {
		trained
		Daemon string
	}
	must(t, &r, append(flags, "--epochs", "3")...)
	if r.Feedback != "optical" || r.Simulated != "good" || r.Daemon != socket || *r.Projections != 3*(500/32)*32 || *r.Exposures == 0 || *r.Frames <= *r.Exposures ||
		r.EpochOfB != b.OPU.Epoch() || *r.TestAccuracy < 0.9 {
		t.Errorf("train printed %+v", r)
	}
	must(t, &r, append(flags, "--epochs", "4", "--resume", "o")...)
	if r.EpochOfB != b.OPU.Epoch() {
		t.Errorf("resumed: %+v", r)
	}
}

// The accuracy is that of the same training in one process, to the bit on a bench
// without noise.
func TestTrainsAlike(t *testing.T) {
	t.Chdir(t.TempDir())
	data := blobs(t, t.TempDir())
	flags := []string{"--data", data, "--layers", "24,16", "--batch", "32", "--rate", "0.01", "--seed", "3", "--epochs", "1"}
	var here, there trained
	must(t, &here, append([]string{"train", "--sim=ideal", "--out", "here"}, flags...)...)
	c, err := bench.Fit("ideal", 3, 4, 20)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bench.Open(t.Context(), c, bench.Options{Features: 4, Outputs: 20, Seed: 3}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	socket := filepath.Join(t.TempDir(), "opud.sock")
	daemon(t, b, server.Options{Simulated: "ideal"}, socket)
	must(t, &there, append([]string{"train", "--url", socket, "--out", "there"}, flags...)...)
	if *here.TestAccuracy != *there.TestAccuracy || here.EpochOfB != there.EpochOfB || *here.Projections != *there.Projections {
		t.Errorf("here %.4f on %s, there %.4f on %s", *here.TestAccuracy, here.EpochOfB, *there.TestAccuracy, there.EpochOfB)
	}
}

// Wrong uses of a daemon, with the exit codes that the manual says.
func TestWrongUseOfDaemon(t *testing.T) {
	t.Chdir(t.TempDir())
	b := smallBench(t, sim.Ideal(4), 3, 20, 4)
	socket := filepath.Join(t.TempDir(), "opud.sock")
	daemon(t, b, server.Options{Simulated: "ideal"}, socket)
	x := writeArray(t, "x.npy", []int8{1, 0, -1}, 1, 3)
	wide := writeArray(t, "wide.npy", []int8{1, 0, -1, 0}, 1, 4)
	stack := func(name string, parts ...client.Part) string {
		m := client.Manifest{Stack: 1, Parts: parts}
		var text bytes.Buffer
		if err := m.Write(&text); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, text.Bytes(), 0o666); err != nil {
			t.Fatal(err)
		}
		return name
	}
	m, err := client.NewManifest(t.Context(), []client.Part{{URL: socket}}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other := m.Parts[0]
	other.Version, other.Epoch = "1", "b-another"
	gap := m.Parts[0]
	gap.Rows = [2]int{1, 5}
	blobs := blobs(t, t.TempDir())
	project := func(url string, more ...string) []string {
		return append([]string{"project", "--url", url, "--in", x, "--out", "y.npy"}, more...)
	}
	lease, err := client.Connect(socket, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitNoDevice, "opud -sim", project(socket + "-missing")},
		{exitNoDevice, "no daemon answers at http://127.0.0.1:1", project("http://127.0.0.1:1")},
		{exitInput, "cannot use the address", project("localhost")},
		{exitInput, "takes 3", []string{"project", "--url", socket, "--in", wide, "--out", "y.npy"}},
		{exitInput, "20 x 3", project(socket, "--outputs", "21")},
		{exitInput, "--sim is for a device", project(socket, "--sim")},
		{exitInput, "--layout is for a device", project(socket, "--layout", "lines")},
		{exitInput, "--calibration is for a device", project(socket, "--calibration", "a.opucal")},
		{exitInput, "--share-equal-rows is for a device", project(socket, "--share-equal-rows")},
		{exitInput, "--fast-path is for a device", []string{"train", "--url", socket, "--fast-path", "--out", "o"}},
		{exitInput, "--model is for a daemon", []string{"project", "--sim", "--model", "left", "--in", x, "--out", "y.npy"}},
		{exitInput, "negative", project(socket, "--patience", "-1s")},
		{exitInput, "cannot find model", project(socket, "--model", "left")},
		{exitInput, "lease", project(socket, "--lease", "ABC")},
		{exitInput, "no such file", project("missing.json")},
		{exitInput, "cannot read the stack", project(x)}, // an array is no stack
		{exitInput, "part 0", project(stack("other.json", other))},
		{exitInput, "begin with 1", project(stack("gap.json", gap))},
		{exitInput, "named by each part", project(stack("good.json", m.Parts[0]), "--model", "left")},
		{exitInput, "20 x 3", []string{"train", "--url", socket, "--data", blobs, "--layers", "24,16", "--batch", "32", "--out", "o"}},
		{exitInput, "20 x 3", []string{"matrix", "--url", socket, "--out", "B.npy", "--features", "4"}},
	} {
		code, stdout, stderr := opuctl(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("opuctl %v: exit code %d, want %d with %q:\n%s", c.args, code, c.code, c.says, stderr)
		}
		if stdout != "" {
			t.Errorf("opuctl %v printed a result: %s", c.args, stdout)
		}
	}
	if err := lease.Call(t.Context(), "POST", "/opu/v1/leases", map[string]any{"who": "Ada"}, nil); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := opuctl(t, project(socket, "--patience", "0s")...); code != exitBusy || !strings.Contains(stderr, "Ada") {
		t.Errorf("a leased OPU: exit code %d, want %d and for whom:\n%s", code, exitBusy, stderr)
	}
	if _, err := os.Stat("y.npy"); err == nil {
		t.Error("y.npy was written")
	}
}

// A daemon that goes away in the middle of a training: the run waits, then ends with a
// checkpoint; one that comes back with its matrix is used on, one with another is not.
func TestDaemonGoes(t *testing.T) {
	t.Chdir(t.TempDir())
	data := blobs(t, t.TempDir())
	b := smallBench(t, sim.Ideal(5), 4, 20, 5)
	socket := filepath.Join(t.TempDir(), "opud.sock")
	train := func(seen string, patience string, then func()) (int, string) {
		stderr := &cancelWriter{when: regexp.MustCompile(seen), cancel: sync.OnceFunc(then)}
		code := run(t.Context(), []string{"train", "--url", socket, "--data", data, "--layers", "24,16", "--batch", "32", "--epochs", "20",
			"--out", "o", "--patience", patience, "--resume", map[bool]string{true: "o"}[exists("o/checkpoint.safetensors")]}, io.Discard, stderr)
		return code, stderr.String()
	}
	stop := daemon(t, b, server.Options{}, socket)
	code, stderr := train(`epoch +2 of 20`, "0s", func() { go stop() })
	if code != exitNoDevice || !strings.Contains(stderr, "--resume o") {
		t.Fatalf("without patience: exit code %d, want %d and how to go on\n%s", code, exitNoDevice, stderr)
	}
	again := daemon(t, b, server.Options{}, socket)
	code, stderr = train(`epoch +8 of 20`, "1m", func() {
		go func() {
			again()
			daemon(t, b, server.Options{}, socket)
		}()
	})
	if code != 0 {
		t.Fatalf("a daemon that came back: exit code %d\n%s", code, stderr)
	}
	other := smallBench(t, sim.Ideal(6), 4, 20, 6)
	elsewhere := filepath.Join(t.TempDir(), "opud.sock")
	daemon(t, other, server.Options{}, elsewhere)
	socket = elsewhere
	if code, stderr := train(`never`, "0s", func() {}); code != exitInput || !strings.Contains(stderr, "matrix") {
		t.Errorf("resumed on another matrix: exit code %d, want %d\n%s", code, exitInput, stderr)
	}
}

// Ctrl-C ends a projection through a daemon.
func TestInterruptDaemon(t *testing.T) {
	t.Chdir(t.TempDir())
	b := smallBench(t, sim.Ideal(7), 3, 20, 7)
	socket := filepath.Join(t.TempDir(), "opud.sock")
	daemon(t, b, server.Options{}, socket)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stderr := &cancelWriter{when: regexp.MustCompile(`daemon: `), cancel: cancel}
	x := writeArray(t, "x.npy", bytes.Repeat([]byte{1}, 3*100_000), 100_000, 3)
	if code := run(ctx, []string{"project", "--url", socket, "--in", x, "--out", "y.npy"}, io.Discard, stderr); code != exitInterrupt {
		t.Errorf("exit code %d, want %d\n%s", code, exitInterrupt, stderr.String())
	}
	if exists("y.npy") {
		t.Error("half of the results were written")
	}
}

// Two daemons stacked are one OPU with the outputs of both.
func TestThroughStack(t *testing.T) {
	t.Chdir(t.TempDir())
	x := writeArray(t, "x.npy", []int8{1, 0, -1, 0, 0, 0, 0, 1, 1}, 3, 3)
	var parts []client.Part
	var ys [][]complex64
	for i := range 2 {
		b := smallBench(t, sim.Ideal(uint64(8+i)), 3, 20, 8)
		socket := filepath.Join(t.TempDir(), "opud.sock")
		daemon(t, b, server.Options{Simulated: "ideal"}, socket)
		parts = append(parts, client.Part{URL: socket})
		y := make([]complex64, 3*20)
		if err := b.OPU.Project(t.Context(), y, []int8{1, 0, -1, 0, 0, 0, 0, 1, 1}); err != nil {
			t.Fatal(err)
		}
		ys = append(ys, y)
	}
	m, err := client.NewManifest(t.Context(), parts, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Save("stack.json"); err != nil {
		t.Fatal(err)
	}
	var r struct {
		Outputs, Projections, Exposures int
		Simulated, Daemon               string
	}
	must(t, &r, "project", "--url", "stack.json", "--in", x, "--out", "y.npy")
	if r.Outputs != 40 || r.Projections != 3 || r.Exposures < 2*3 || r.Simulated != "ideal" || r.Daemon != "stack.json" {
		t.Errorf("project printed %+v", r)
	}
	written, err := os.ReadFile("y.npy")
	if err != nil {
		t.Fatal(err)
	}
	for i, z := range readComplex(t, written) {
		if want := ys[i%40/20][i/40*20+i%20]; z != want {
			t.Fatalf("output %d of row %d is %v, want %v", i%40, i/40, z, want)
		}
	}
}

// Every counter of a rig is added up, and only counters are there.
func TestAddCounted(t *testing.T) {
	var sum, none rig.Stats
	now := rig.Stats{Runs: 1, Exposures: 2, Unproven: 3}
	addCounted(&sum, &none, &now)
	addCounted(&sum, &rig.Stats{Runs: 1}, &rig.Stats{Runs: 5, Lost: math.MaxUint32})
	if want := (rig.Stats{Runs: 5, Exposures: 2, Unproven: 3, Lost: math.MaxUint32}); sum != want {
		t.Errorf("got %+v, want %+v", sum, want)
	}
}
