package main

import (
	"bytes"
	"context"
	"encoding/json"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
)

// built has benches built otherwise from now on.
func built(t *testing.T, change func(*sim.Config)) {
	t.Helper()
	usual := newBench
	newBench = func(ctx context.Context, c sim.Config, preset string, r rig.Config) (*bench.Bench, error) {
		change(&c)
		return usual(ctx, c, preset, r)
	}
	t.Cleanup(func() { newBench = usual })
}

func TestAlign(t *testing.T) {
	built(t, func(c *sim.Config) { c.Width, c.Height, c.PhaseDrift = 128, 128, 100 })
	file := filepath.Join(t.TempDir(), "align.png")
	code, out, messages := opuctl(t, "align", "--sim", "--count", "2", "--format", "json", "--out", file)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 2 {
		t.Fatalf("exit %d: %s\n%s", code, messages, out)
	}
	var first, second alignLine
	for i, l := range []*alignLine{&first, &second} {
		if err := json.Unmarshal([]byte(lines[i]), l); err != nil {
			t.Fatal(err)
		}
	}
	if first.Carrier == nil || len(first.Advice) > 0 || first.Rho < 2 || first.Visibility < 0.8 || first.Simulated != "good" {
		t.Errorf("%+v", first)
	}
	if second.Phase == 0 || second.RadPerS == 0 {
		t.Errorf("the reference drifts, and it is not seen: %+v", second)
	}
	picture, err := os.ReadFile(file)
	if err == nil {
		_, err = png.Decode(bytes.NewReader(picture))
	}
	if err != nil {
		t.Error(err)
	}
}

// A rig that cannot be calibrated is shown, with the way to turn, and whatever its camera sees.
func TestAlignMisaligned(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*sim.Config)
		says   []string
	}{
		"low carrier": {func(c *sim.Config) { c.Carrier, c.Radius = [2]float64{0.1, 0.12}, 0.08 }, []string{"turn ↙ by 0.1", "tilt the reference beam"}},
		"dark":        {func(c *sim.Config) { c.MeanElectrons = 1e-3 }, []string{"no sideband", "check the laser"}},
	} {
		t.Run(name, func(t *testing.T) {
			built(t, func(cfg *sim.Config) {
				cfg.Width, cfg.Height = 128, 128
				c.change(cfg)
			})
			code, out, messages := opuctl(t, "align", "--sim", "--count", "1", "--out", filepath.Join(t.TempDir(), "a.png"))
			for _, says := range c.says {
				if code != 0 || !strings.Contains(out, says) {
					t.Errorf("exit %d, it does not say %q: %s\n%s", code, says, messages, out)
				}
			}
		})
	}
}

func TestAlignWrongUse(t *testing.T) {
	for _, args := range [][]string{{"--sim", "--count", "-1"}, {"--sim", "--interval", "-1s"}, {"--sim", "--out", "."}, {"--sim", "--exposure", "1h"}} {
		if code, _, messages := opuctl(t, append([]string{"align"}, args...)...); code != exitInput {
			t.Errorf("%v: exit %d: %s", args, code, messages)
		}
	}
	if code, _, _ := opuctl(t, "align"); code != exitNoDevice {
		t.Errorf("no rig: exit %d", code)
	}
}

// TestPicturesOfAlignment draws those of the documentation:
//
//	OPU_PICTURES=$PWD/docs/images go test -count=1 -run TestPicturesOfAlignment ./cmd/opuctl
func TestPicturesOfAlignment(t *testing.T) {
	folder := os.Getenv("OPU_PICTURES")
	if folder == "" {
		t.Skip("draws pictures for the documentation: set OPU_PICTURES to their folder")
	}
	for name, carrier := range map[string][2]float64{"low": {0.13, 0.15}, "twin": {0.43, 0.045}, "good": {0.29, 0.21}} {
		t.Run(name, func(t *testing.T) {
			built(t, func(c *sim.Config) { c.Width, c.Height, c.Carrier, c.Radius = 128, 128, carrier, 0.09 })
			code, out, messages := opuctl(t, "align", "--sim", "--count", "1", "--out", filepath.Join(folder, "align-"+name+".png"))
			if code != 0 {
				t.Errorf("exit %d: %s", code, messages)
			}
			t.Log(out)
		})
	}
}
