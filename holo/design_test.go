package holo

import (
	"errors"
	"math"
	"testing"
)

func TestDesignKernel(t *testing.T) {
	rnd := newRand(t, 14)
	for range 30 {
		// Any band at all, separated or not.
		b := Band{Fu: rnd.Float64() - 0.5, Fv: rnd.Float64() / 2, R: 0.02 + 0.3*rnd.Float64()}
		d := Design{Band: b, Rho: 0.5 + 16*rnd.Float64(), MeanElectrons: 50 + 1e4*rnd.Float64(), Taps: 2 + rnd.IntN(11), Stride: 1 + rnd.IntN(5)}
		k, err := DesignKernel(d)
		if err != nil {
			t.Fatalf("%+v: %v", d, err)
		}
		if err := k.Check(); err != nil {
			t.Fatalf("%+v: %v", d, err)
		}
		re, im, largest := 0, 0, 0
		for i := range k.Re {
			re, im = re+int(k.Re[i]), im+int(k.Im[i])
			largest = max(largest, int(k.Re[i]), -int(k.Re[i]), int(k.Im[i]), -int(k.Im[i]))
		}
		if re != 0 || im != 0 {
			t.Errorf("%+v: weights sum to %d%+di", d, re, im)
		}
		if largest < MaxWeight-2 {
			t.Errorf("%+v: no weight above %d", d, largest)
		}
	}
}

// The figures of plan A (performance, section 4): 8x8 taps at gamma 64 give 31.1 dB
// at a neighbour correlation of 0.15, gamma 1 gives 27.4 and none at all 33.6 at
// 0.29.
func TestPredictPlanA(t *testing.T) {
	for _, row := range []struct{ gamma, linear, neighbour float64 }{
		{1, 27.4, 0.14}, {64, 31.1, 0.15}, {math.Inf(1), 33.6, 0.29},
	} {
		d := Design{Band: Band{0.3235, 0.3235, 0.1525}, Rho: 4, MeanElectrons: 2500, ReadNoise: 5, FullWell: 10000, Gamma: row.gamma}
		k, err := DesignKernel(d)
		if err != nil {
			t.Fatal(err)
		}
		p, err := d.Predict(k)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("gamma %g: linear %.1f dB, neighbours %.2f", row.gamma, p.LinearDB, p.Neighbour)
		if math.Abs(p.LinearDB-row.linear) > 1.5 || math.Abs(p.Neighbour-row.neighbour) > 0.05 {
			t.Errorf("gamma %g: linear %.1f dB, neighbours %.2f; want %.1f and %.2f", row.gamma, p.LinearDB, p.Neighbour, row.linear, row.neighbour)
		}
	}
}

func TestDesignRefuses(t *testing.T) {
	good := Design{Band: Band{0.33, 0.325, 0.15}, Rho: 4, MeanElectrons: 5000}
	for name, spoil := range map[string]func(*Design){
		"rho":       func(d *Design) { d.Rho = 0 },
		"NaN":       func(d *Design) { d.Rho = math.NaN() },
		"electrons": func(d *Design) { d.MeanElectrons = 0 },
		"noise":     func(d *Design) { d.ReadNoise = -1 },
		"taps":      func(d *Design) { d.Taps = MaxTaps + 1 },
		"stride":    func(d *Design) { d.Stride = -4 },
		"gamma":     func(d *Design) { d.Gamma = -1 },
	} {
		d := good
		spoil(&d)
		if _, err := DesignKernel(d); !errors.Is(err, ErrKernel) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bad := good
	bad.Band.Fv = -0.3
	if _, err := DesignKernel(bad); !errors.Is(err, ErrBand) {
		t.Errorf("band: %v", err)
	}
}
