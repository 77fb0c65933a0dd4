package camera

import (
	"errors"
	"math"
	"testing"
	"time"
)

func TestCheckConfig(t *testing.T) {
	info := Info{Width: 40, Height: 30, BitDepths: []int{8, 12}, MinExposure: time.Microsecond, MaxExposure: time.Second}
	for name, c := range map[string]struct {
		config Config
		good   bool
	}{
		"nothing":             {Config{}, true},
		"everything":          {Config{Exposure: time.Second, BitDepth: 12, ROI: ROI{Width: 40, Height: 30}}, true},
		"the last pixel":      {Config{ROI: ROI{U: 39, V: 29, Width: 1, Height: 1}}, true},
		"exposure too short":  {Config{Exposure: 999 * time.Nanosecond}, false},
		"exposure too long":   {Config{Exposure: time.Second + 1}, false},
		"negative exposure":   {Config{Exposure: -1}, false},
		"unknown depth":       {Config{BitDepth: 10}, false},
		"left of the sensor":  {Config{ROI: ROI{U: -1, Width: 2, Height: 2}}, false},
		"above the sensor":    {Config{ROI: ROI{V: -1, Width: 2, Height: 2}}, false},
		"no width":            {Config{ROI: ROI{Height: 2}}, false},
		"only a corner":       {Config{ROI: ROI{U: 1}}, false},
		"one column too many": {Config{ROI: ROI{U: 1, Width: 40, Height: 1}}, false},
		"one row too many":    {Config{ROI: ROI{V: 30, Width: 1, Height: 1}}, false},
		"overflow":            {Config{ROI: ROI{U: math.MaxInt, Width: math.MaxInt, Height: 1}}, false},
	} {
		if err := info.CheckConfig(c.config); (err == nil) != c.good || !c.good && !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := (ROI{U: 4, V: 8, Width: 30, Height: 20}).String(); got != "30x20+4+8" {
		t.Errorf("a region of interest prints %q", got)
	}
}
