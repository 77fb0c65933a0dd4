package driver_test

import (
	"context"
	"errors"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
)

// A calibration of recorded frames is sound, and says nothing of any rig.
func TestRecordedCalibrationDrivesNothing(t *testing.T) {
	bench, err := sim.New(sim.Good(1))
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(bench.DMD(), bench.Camera(), rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cal := &calib.Calibration{
		Outputs: 4, Recorded: &calib.Recorded{Frames: 64},
		Kernel: calib.Kernel{Taps: 2, Stride: 1, Re: make([]int8, 4), Im: make([]int8, 4)},
	}
	cal.Settings.BitDepth, cal.Settings.ROI.Width, cal.Settings.ROI.Height = 8, 64, 64
	if err := cal.Check(); err != nil {
		t.Fatal(err)
	}
	if _, err := driver.New(context.Background(), r, cal, driver.Options{}); !errors.Is(err, calib.ErrFile) {
		t.Errorf("it drives a rig: %v", err)
	}
	if _, err := cal.View(context.Background(), r, 1); !errors.Is(err, calib.ErrFile) {
		t.Errorf("it shows a rig: %v", err)
	}
}
