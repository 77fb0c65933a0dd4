package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// smallDevice is one that is quick to simulate.
func smallDevice(t *testing.T, state string) *device {
	t.Helper()
	c := sim.Ideal(3)
	c.Width, c.Height, c.Chip = 96, 96, slm.Geometry{Width: 40, Height: 30}
	b, err := bench.New(t.Context(), c, "ideal", rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return &device{bench: b, usual: bench.Options{Features: 10, Outputs: 64, Seed: 3}, state: state, log: slog.New(slog.DiscardHandler)}
}

func quiet(string, float64) {}

// do does what a request asks for.
func do(t *testing.T, parse func([]byte) (server.Work, error), request string) (server.Outcome, error) {
	t.Helper()
	work, err := parse([]byte(request))
	if err != nil {
		t.Fatal(err)
	}
	return work(t.Context(), quiet)
}

func names(o server.Outcome) (names []string) {
	for _, f := range o.Files {
		names = append(names, f.Name)
	}
	return names
}

// The works of a device, from its first matrix to one that a restart finds again.
func TestDevice(t *testing.T) {
	if testing.Short() {
		t.Skip("left out: it calibrates again and again, on one goroutine")
	}
	state := t.TempDir()
	d := smallDevice(t, state)
	if _, err := do(t, d.selftest, ""); err == nil || !strings.Contains(err.Error(), "calibrate it") {
		t.Errorf("a self-test without a calibration: %v", err)
	}
	o, err := d.first(t.Context(), quiet)
	if err != nil || o.Matrix == nil || !slices.Contains(names(o), calibrationFile) || !slices.Contains(names(o), "report.html") {
		t.Fatalf("the first calibration: %v, %v", names(o), err)
	}
	first := o.Matrix.OPU
	y := make([]complex64, 64)
	project := func(opu server.OPU) []complex64 {
		t.Helper()
		if err := opu.ProjectWindow(t.Context(), y, []int8{1, 0, 0, -1, 0, 0, 1, 0, 0, 1}, 0, len(y)); err != nil {
			t.Error(err)
		}
		return slices.Clone(y)
	}
	before := project(first)

	// What sets the camera up otherwise leaves it as it was.
	if o, err := do(t, d.lightMap, `{"blocks":24,"share":0.5}`); err != nil || !slices.Contains(names(o), maskFile) || o.Matrix != nil {
		t.Errorf("the map: %v, %v", names(o), err)
	}
	if !slices.Equal(project(first), before) {
		t.Error("after mapping, projections are not what they were")
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = d.calibrate(ctx, d.usual, func(stage string, _ float64) {
		if stage == "carrier" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "goes on being served") {
		t.Errorf("a calibration that is cancelled: %v", err)
	}
	if !slices.Equal(project(first), before) {
		t.Error("after a cancelled calibration, projections are not what they were")
	}
	if o, err := do(t, d.selftest, `{"seed":5}`); err != nil || o.Verdict.Verdict != calib.VerdictGood {
		t.Errorf("the self-test: %+v, %v", o.Verdict, err)
	}

	// Another layout is another matrix; it is what a restart finds.
	o, err = do(t, d.calibration, `{"layout":"lines","anchor":0.2}`)
	if err != nil || o.Matrix.OPU.Epoch() == first.Epoch() {
		t.Fatalf("another calibration: %v", err)
	}
	saved, err := calib.Load(filepath.Join(state, calibrationFile))
	if err != nil || saved.Epoch() != o.Matrix.OPU.Epoch() {
		t.Errorf("the saved calibration: %v", err)
	}
	again := smallDevice(t, state)
	again.usual.Layout = slm.Lines
	o, err = again.first(t.Context(), func(stage string, _ float64) {
		if stage == calib.Stages[0] {
			t.Error("it was learnt anew")
		}
	})
	if err != nil || o.Matrix.OPU.Epoch() != saved.Epoch() {
		t.Errorf("after a restart: %v", err)
	}

	// One of another configuration, or a damaged one, is not used.
	other := smallDevice(t, state)
	if cal, err := other.saved(); cal != nil || err == nil {
		t.Errorf("a calibration of another layout: %v", err)
	}
	if err := os.WriteFile(filepath.Join(state, calibrationFile), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o, err := other.first(t.Context(), quiet); err != nil || o.Matrix == nil {
		t.Errorf("with a damaged file: %v", err)
	}
}

func TestDeviceRequests(t *testing.T) {
	d := smallDevice(t, "")
	for _, c := range []struct {
		parse   func([]byte) (server.Work, error)
		request string
		says    string
	}{
		{d.calibration, `{"sead":1}`, "sead"},
		{d.calibration, `[]`, "array"},
		{d.calibration, `{} {}`, "follows"},
		{d.calibration, `{"seed":-1}`, "seed"},
		{d.calibration, `{"layout":"spiral"}`, "spiral"},
		{d.calibration, `{"anchor":0.6}`, "anchor"},
		{d.calibration, `{"mask":"AAAA"}`, "mask"},
		{d.selftest, `{"seed":"x"}`, "seed"},
		{d.lightMap, `{"share":2}`, "share"},
		{d.lightMap, `{"blocks":2}`, "blocks"},
	} {
		if _, err := c.parse([]byte(c.request)); !errors.Is(err, server.ErrRequest) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want words about %q", c.request, err, c.says)
		}
	}
}
