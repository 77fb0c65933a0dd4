package holo

import (
	"errors"
	"math"
	"testing"
)

func TestBandCheck(t *testing.T) {
	for _, row := range []struct {
		band  Band
		share float64
		want  error
	}{
		{Band{0.33, 0.325, 0.15}, 0, nil},
		{Band{-0.33, 0.325, 0.15}, 0, nil},
		{Band{0.375, 0, 0.125}, 0, nil},
		{Band{0.375, 0, 0.126}, 0, ErrOverlap},
		{Band{0.376, 0, 0.1251}, 0, ErrTwin}, // 2f is 0.248 from a whole number
		{Band{0.5, 0.304, 0.194}, 0, nil},    // wraps around
		{Band{0.5, 0.4, 0.11}, 0, ErrTwin},
		{Band{0.32, 0.31, 0.15}, 0, ErrOverlap},
		{Band{0.32, 0.31, 0.15}, 0.02, nil},
		{Band{0.2, 0.2, 0.14}, 0.02, ErrOverlap},
		{Band{0.3, -0.3, 0.1}, 0, ErrBand},
		{Band{-0.3, 0, 0.1}, 0, ErrBand},
		{Band{0, 0, 0.1}, 0, ErrBand},
		{Band{0.6, 0.3, 0.1}, 0, ErrBand},
		{Band{0.3, 0.3, 0}, 0, ErrBand},
		{Band{0.3, 0.3, math.NaN()}, 0, ErrBand},
		{Band{math.NaN(), 0.3, 0.1}, 0, ErrBand},
		{Band{0.3, math.Inf(1), 0.1}, 0, ErrBand},
	} {
		if err := row.band.CheckWithin(row.share); !errors.Is(err, row.want) {
			t.Errorf("%v within %g: %v, want %v", row.band, row.share, err, row.want)
		}
	}
}
