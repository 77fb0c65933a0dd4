//go:build linux && (amd64 || arm64)

package video_test

import (
	"testing"

	"github.com/light-in-the-loop/opu/dfa"
	"github.com/light-in-the-loop/opu/dfa/dataset"
	"github.com/light-in-the-loop/opu/driver"
	opu "github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/rigs"
	"github.com/light-in-the-loop/opu/slm"
)

// The whole bench with the kernel between its light and its numbers: it is calibrated and judged
// from frames that the V4L2 driver took, and trains a network.
func TestBench(t *testing.T) {
	needLab(t)
	c, err := opu.Fit("good", 1, 10, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Width, c.Height, c.Chip = 64, 64, slm.Geometry{Width: 64, Height: 32} // an emulated processor computes the light
	r := rigs.Rig{SLM: "sim", Camera: "v4l2:" + node(t, looped, "vid-cap")}
	if preset, err := r.Simulated(); preset != "good" || err != nil {
		t.Fatalf("the rig is not a simulated one: %q, %v", preset, err)
	}
	b, err := opu.NewThrough(t.Context(), c, "good", r.Wiring(), r.Transport())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	found, err := b.Calibrate(t.Context(), opu.Options{Features: 10}, func(string, float64) {})
	if err == nil {
		err = found.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	device, err := driver.New(t.Context(), b.Rig, found.Learnt, driver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	config := dfa.Default()
	config.Feedback, config.Error, config.Layers = dfa.Optical, dfa.Gain, []int{64}
	config.Batch, config.Epochs, config.Rate = 8, 3, 0.01
	if testing.Short() {
		config.Epochs = 1
	}
	data := dataset.Digits(1, 128, 200)
	result, _, err := dfa.Train(t.Context(), config, &data, device, dfa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := b.Rig.Stats()
	t.Logf("test accuracy %.3f after %d samples, simulated; %+v", result.TestAccuracy, result.Samples, s)
	if !testing.Short() && result.TestAccuracy < 0.4 { // guessing: 0.1
		t.Errorf("test accuracy is %.3f", result.TestAccuracy)
	}
	if s.Lost+s.Damaged+s.Wrong+s.Unproven > 0 {
		t.Errorf("nothing was injected: %+v", s)
	}
}
