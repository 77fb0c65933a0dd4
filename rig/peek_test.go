package rig_test

import (
	"errors"
	"testing"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// Where nothing can be proven, a frame can still be looked at; where no frame comes,
// Peek says so.
func TestPeek(t *testing.T) {
	bench, r := table(t, nil)
	info := r.Camera()
	if _, err := r.Configure(t.Context(), camera.Config{Exposure: info.MinExposure, BitDepth: info.BitDepths[0], ROI: camera.ROI{Width: info.Width, Height: info.Height}}); err != nil {
		t.Fatal(err)
	}
	p := patterns(r.SLM().Geometry, 1)[0]
	if err := r.Show(t.Context(), []*slm.Pattern{p}, func(int, *camera.Frame) error { return nil }); !errors.Is(err, rig.ErrNoContrast) {
		t.Fatalf("far too short an exposure: %v, want %v", err, rig.ErrNoContrast)
	}
	seen := uint64(0)
	if err := r.Peek(t.Context(), p, func(f *camera.Frame) { _, seen = sim.ReadStamp(f) }); err != nil {
		t.Error(err)
	}
	if seen != p.Hash() {
		t.Error("the frame does not show the pattern")
	}

	bench.SetFaults(func(sim.Exposure) sim.Fault { return sim.Fault{Kind: sim.DropFrame} })
	if err := r.Peek(t.Context(), p, func(*camera.Frame) { t.Error("a frame came") }); !errors.Is(err, rig.ErrUnproven) {
		t.Errorf("without frames: %v, want %v", err, rig.ErrUnproven)
	}
	if err := r.Peek(t.Context(), nil, nil); !errors.Is(err, slm.ErrInput) {
		t.Errorf("without a pattern: %v, want %v", err, slm.ErrInput)
	}
}
