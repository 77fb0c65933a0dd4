// Package bench assembles an OPU from its parts: a simulated bench, the rig of its two
// devices, the calibration that is learnt from its frames and judged, and the driver.
//
//	c, err := bench.Fit("good", seed, features, outputs)
//	b, err := bench.Open(ctx, c, bench.Options{Features: features}, func(stage string) { ... })
//	defer b.Close()
//	err = b.OPU.Project(ctx, y, x)
package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/shifter"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// ErrInput is the condition that callers act on, beside calib.ErrRefused.
var ErrInput = errors.New("bad input")

// Options say how to calibrate, and how to drive what was calibrated.
type Options struct {
	Features int
	Outputs  int // complex; 0: as many as the sensor gives
	Layout   slm.Kind
	Seed     uint64
	Mask     *slm.Pattern // of the lit mirrors; nil: all
	Anchor   float64      // as calib.Options has them
	Tags     bool

	Driver driver.Options
}

// Bench is the devices of an OPU, and what is done with them.
type Bench struct {
	Rig    *rig.Rig
	DMD    *dlpc900.Device
	Sim    *sim.Bench // nil: real devices
	Preset string     // of the simulated bench, for people

	Shifter shifter.Device // of the reference beam; nil: none. Nobody else moves it meanwhile.

	// Of Open alone.
	OPU     *driver.OPU
	Verdict calib.Verdict
}

// Taps and Stride are those of the kernel: 8x8 taps, an output every 4 pixels
// (performance notes, section 4).
const Taps, Stride = 8, 4

const (
	maxSide           = 4096 // of a simulated sensor: frames of 16 Mpx
	mirrorsPerFeature = 4    // at least
)

// Fit returns a preset of the simulated bench, grown until it has room for the
// features and outputs.
func Fit(preset string, seed uint64, features, outputs int) (sim.Config, error) {
	c, err := sim.Preset(preset, seed)
	if err != nil {
		return c, err
	}
	if features < 1 || features > slm.MaxFeatures || outputs < 0 {
		return c, fmt.Errorf("cannot simulate %d features and %d outputs: 1 to %d features, and no negative outputs: %w", features, outputs, slm.MaxFeatures, ErrInput)
	}
	for holo.MaxOutputs(holo.Kernel{Taps: Taps, Stride: Stride}, c.Width, c.Height) < outputs {
		if c.Width, c.Height = 2*c.Width, 2*c.Height; c.Width > maxSide {
			return c, fmt.Errorf("cannot simulate %d outputs: they need a sensor of more than %dx%d pixels: %w", outputs, maxSide, maxSide, ErrInput)
		}
	}
	for c.Chip.Mirrors() < mirrorsPerFeature*features {
		c.Chip.Width, c.Chip.Height = 2*c.Chip.Width, 2*c.Chip.Height
	}
	return c, nil
}

// New wires a simulated bench as a real one would be: patterns go through the driver of
// DLPC900 boards, in bytes, to the bench's board and its mirrors. Its preset's name is for
// people; w.Shutter is the bench's own.
func New(ctx context.Context, c sim.Config, preset string, w rig.Config) (*Bench, error) {
	return NewThrough(ctx, c, preset, w, nil)
}

// A Transport carries the frames of a simulated bench's camera as those of another kind of
// camera come, and returns that camera.
type Transport func(ctx context.Context, sensor camera.Device) (camera.Device, error)

// renderingTime is how much later than a real camera's the frames of a simulated one may come,
// if a transport waits for them: they are rendered meanwhile, on a host that may be busy.
const renderingTime = 10 * time.Second

// NewThrough is New with a camera whose frames come through a transport; nil: directly.
func NewThrough(ctx context.Context, c sim.Config, preset string, w rig.Config, through Transport) (*Bench, error) {
	table, err := sim.New(c)
	if err != nil {
		return nil, err
	}
	dmd, err := openDMD(ctx, table)
	if err != nil {
		return nil, err
	}
	w.Shutter = table
	var cam camera.Device = table.Camera()
	if through != nil {
		if cam, err = through(ctx, cam); err != nil {
			return nil, errors.Join(err, dmd.Close())
		}
		w.Grace = max(w.Grace, renderingTime)
	}
	r, err := rig.New(dmd, cam, w)
	if err != nil {
		return nil, errors.Join(err, dmd.Close(), cam.Close())
	}
	return &Bench{Rig: r, DMD: dmd, Sim: table, Preset: preset}, nil
}

// Outputs is how many complex outputs a calibration has, of which so many are asked for
// (0: as many as there are).
func (b *Bench) Outputs(asked int) (int, error) {
	most := holo.MaxOutputs(holo.Kernel{Taps: Taps, Stride: Stride}, b.Rig.Camera().Width, b.Rig.Camera().Height)
	if asked > most {
		return 0, fmt.Errorf("cannot give %d complex outputs: the camera has room for %d: %w", asked, most, ErrInput)
	}
	if asked == 0 {
		asked = most
	}
	return asked, nil
}

// Open makes a bench, calibrates and judges it, which takes some seconds. Progress is
// called when a stage begins. A calibration that is not good is calib.ErrRefused, with
// what to turn.
func Open(ctx context.Context, c sim.Config, o Options, progress func(stage string)) (*Bench, error) {
	b, err := New(ctx, c, "", rig.Config{})
	if err != nil {
		return nil, err
	}
	found, err := b.Calibrate(ctx, o, func(stage string, _ float64) { progress(stage) })
	if err == nil {
		err = found.Err()
	}
	if err == nil {
		b.Verdict = found.Result.Verdict
		b.OPU, err = driver.New(ctx, b.Rig, found.Learnt, o.Driver)
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Judge examines a calibration that was just learnt. One that is not good is
// calib.ErrRefused.
func Judge(ctx context.Context, cal *calib.Calibration, r *rig.Rig, seed uint64) (calib.Verdict, error) {
	figures, err := cal.Examine(ctx, r, seed)
	if err != nil {
		return calib.Verdict{}, err
	}
	v := cal.Judge(figures)
	if err := v.Err(); err != nil {
		return v, fmt.Errorf("cannot use the OPU: %w", err)
	}
	return v, nil
}

// Close parks the mirrors and closes the devices. It may be called more than once.
func (b *Bench) Close() error {
	err := b.Rig.Close()
	if b.Shifter != nil {
		err = errors.Join(err, b.Shifter.Close())
	}
	return err
}
