package shifter

import (
	"errors"
	"math"
	"testing"
)

var info = Info{Model: "test", Serial: "1", Min: -10, Max: 60, RadiansPerVolt: 0.25}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		volts float64
		ok    bool
	}{{-10, true}, {60, true}, {0, true}, {-10.001, false}, {60.001, false}, {math.NaN(), false}, {math.Inf(1), false}, {math.Inf(-1), false}} {
		if err := info.Check(c.volts); (err == nil) != c.ok || err != nil && !errors.Is(err, ErrInput) {
			t.Errorf("%g V: %v, want it to be possible: %t", c.volts, err, c.ok)
		}
	}
}

func TestVolts(t *testing.T) {
	for _, sign := range []float64{1, -1} {
		i := info
		i.RadiansPerVolt *= sign
		for _, volts := range []float64{-10, 0, 12.5, 60} {
			got, err := i.Volts(i.Phase(volts))
			if err != nil || math.Abs(got-volts) > 1e-12 {
				t.Errorf("%g V: %g, %v", volts, got, err)
			}
		}
		if i.Phase(-10) != 0 || math.Abs(i.Phase(-6)-sign) > 1e-12 {
			t.Errorf("phases %g and %g, want 0 and %g", i.Phase(-10), i.Phase(-6), sign)
		}
		for _, radians := range []float64{sign * 17.6, -sign * 0.01, math.NaN()} {
			if v, err := i.Volts(radians); !errors.Is(err, ErrInput) {
				t.Errorf("%g rad: %g V, %v", radians, v, err)
			}
		}
	}
	i := info
	i.RadiansPerVolt = 0
	if _, err := i.Volts(0); !errors.Is(err, ErrInput) {
		t.Errorf("without a calibration: %v", err)
	}
}
