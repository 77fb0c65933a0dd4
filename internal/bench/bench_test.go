package bench_test

import (
	"errors"
	"math"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

func TestFit(t *testing.T) {
	c, err := bench.Fit("good", 1, 10, 0)
	if err != nil || c != sim.Good(1) {
		t.Errorf("the usual bench grew to %+v (%v)", c, err)
	}
	c, err = bench.Fit("ideal", 1, 10000, 20000)
	if most := holo.MaxOutputs(holo.Kernel{Taps: bench.Taps, Stride: bench.Stride}, c.Width, c.Height); err != nil || c.Chip.Mirrors() < 40000 || most < 20000 {
		t.Errorf("10000 features and 20000 outputs got a chip of %v, and %d outputs (%v)", c.Chip, most, err)
	}
	for _, x := range []struct{ features, outputs int }{{0, 10}, {10, -1}, {slm.MaxFeatures + 1, 10}, {10, math.MaxInt}} {
		if _, err := bench.Fit("good", 1, x.features, x.outputs); !errors.Is(err, bench.ErrInput) {
			t.Errorf("%+v: %v, want ErrInput", x, err)
		}
	}
}

func TestOpen(t *testing.T) {
	c := sim.Ideal(3)
	c.Width, c.Height, c.Chip = 96, 96, slm.Geometry{Width: 40, Height: 30}
	var stages []string
	b, err := bench.Open(t.Context(), c, bench.Options{Features: 10, Outputs: 64, Seed: 3}, func(stage string) { stages = append(stages, stage) })
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if m, n := b.OPU.Shape(); m != 64 || n != 10 || len(stages) < 2 {
		t.Errorf("opened %d x %d in the stages %v", m, n, stages)
	}
	if err := b.OPU.Project(t.Context(), make([]complex64, 64), []int8{1, 0, 0, -1, 0, 0, 0, 0, 0, 1}); err != nil {
		t.Error(err)
	}
}

func TestOpenRefuses(t *testing.T) {
	c := sim.Broken(1)
	c.Width, c.Height = 128, 128
	if _, err := bench.Open(t.Context(), c, bench.Options{Features: 10, Seed: 1}, func(string) {}); !errors.Is(err, calib.ErrRefused) {
		t.Errorf("a bench that no calibration may call good: %v, want ErrRefused", err)
	}
}
