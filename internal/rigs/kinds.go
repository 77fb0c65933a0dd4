package rigs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/lightswitch"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/shifter"
	"github.com/light-in-the-loop/opu/shifter/piezo"
	"github.com/light-in-the-loop/opu/sim"
	model "github.com/light-in-the-loop/opu/sim/piezo"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// What rigs are made of, by kind. A simulated SLM or shifter has no opener: the bench has
// both.
var (
	slms = map[string]func(ctx context.Context, where string, r Rig, log *slog.Logger) (slm.Device, error){
		simulated: nil,
		"dlpc900": openDLPC900,
		replayed:  openReplayedSLM,
	}
	cameras = map[string]cameraKind{
		simulated: {open: openSimulatedCamera, list: listSimulatedCameras},
		replayed:  {open: openReplayedCamera},
		"gige":    {open: openGigE, list: listGigE, carry: carryGigE},
		"v4l2":    {open: openV4L2, list: listV4L2, carry: carryV4L2},
		"gentl":   {open: openGenTL, list: listGenTL},
		"u3v":     {open: openU3V, list: listU3V},
	}
	shifters = map[string]func(ctx context.Context, where string, o piezo.Options) (shifter.Device, error){
		simulated: nil,
		"serial":  openSerial,
	}
)

// Open opens the SLM and the camera of a rig that is not simulated, and wires them. The
// simulated ones are made by package bench, from Rig.Simulated. Drivers tell the log what they
// do to bring a device back; nil: nothing is told.
func Open(ctx context.Context, r Rig, log *slog.Logger) (*bench.Bench, error) {
	if preset, err := r.Simulated(); err != nil || preset != "" {
		return nil, errors.Join(err, fmt.Errorf("cannot open %q: it is no real device: %w", r.SLM, ErrInput))
	}
	c, err := parse("camera", r.Camera, cameras)
	if err != nil {
		return nil, err
	}
	if c.kind == replayed {
		return openReplay(c.where, r.Wiring())
	}
	dmd, err := OpenSLM(ctx, r, log)
	if err != nil {
		return nil, err
	}
	cam, err := cameras[c.kind].open(ctx, c.where)
	if err != nil {
		return nil, errors.Join(err, dmd.Close())
	}
	wired, err := rig.New(dmd, cam, r.Wiring())
	if err != nil {
		return nil, errors.Join(err, dmd.Close(), cam.Close())
	}
	b := &bench.Bench{Rig: wired}
	if err := Hold(ctx, r, b); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// OpenSLM opens the SLM of a rig that is not simulated, with its laser's switch.
func OpenSLM(ctx context.Context, r Rig, log *slog.Logger) (slm.Device, error) {
	s, err := parse("SLM", r.SLM, slms)
	if err != nil {
		return nil, err
	}
	if s.kind == simulated {
		return nil, fmt.Errorf("cannot open the SLM %q by itself: it is part of the simulated bench: %w", r.SLM, ErrInput)
	}
	return slms[s.kind](ctx, s.where, r, log)
}

// Hold opens the phase shifter of a rig, if it has one, for as long as the bench is open: the
// reference beam stands still, and nobody else moves it. That it answers is seen.
func Hold(ctx context.Context, r Rig, b *bench.Bench) error {
	if r.Shifter == "" {
		return nil
	}
	d, err := OpenShifter(ctx, r, b.Sim)
	if err != nil {
		return err
	}
	b.Shifter = d
	_, err = d.Read(ctx)
	return err
}

// lit is a board with the switch of its light, which is given back after it.
type lit struct {
	*dlpc900.Device
	light *lightswitch.Switch
}

func (l lit) Close() error { return errors.Join(l.Device.Close(), l.light.Close()) }

// Board is the DLPC900 board of an SLM that OpenSLM opened, if it is one.
func Board(d slm.Device) (board *dlpc900.Device, ok bool) {
	if l, ok := d.(lit); ok {
		return l.Device, true
	}
	board, ok = d.(*dlpc900.Device)
	return board, ok
}

// openDLPC900 opens first the switch of the light, so that nothing begins lit.
func openDLPC900(ctx context.Context, port string, r Rig, log *slog.Logger) (slm.Device, error) {
	o := dlpc900.Options{Log: log}
	if len(r.Blocks) == 2 {
		o.Blocks = dlpc900.Blocks{First: r.Blocks[0], Count: r.Blocks[1]}
	}
	if r.Laser == nil {
		return dlpc900.OpenPort(ctx, port, o)
	}
	light, err := lightswitch.Open(ctx, *r.Laser)
	if err != nil {
		return nil, err
	}
	o.Light = light
	d, err := dlpc900.OpenPort(ctx, port, o)
	if err != nil {
		return nil, errors.Join(err, light.Close())
	}
	return lit{d, light}, nil
}

// simulatedRadiansPerVolt is that of the simulated piezo: 75 V move the phase by 9 rad.
const simulatedRadiansPerVolt = 0.12

// OpenShifter opens the phase shifter of a rig. A simulated one moves the reference beam of
// the bench; with a bench of nil, nothing. Close closes it, and the instrument.
func OpenShifter(ctx context.Context, r Rig, b *sim.Bench) (shifter.Device, error) {
	p, err := r.shifter()
	switch {
	case err != nil:
		return nil, err
	case p.kind == "":
		return nil, fmt.Errorf("cannot open a phase shifter: the rig has none; name one with --shifter, or in its table: %w", ErrInput)
	case p.kind != simulated:
		return shifters[p.kind](ctx, p.where, r.Piezo.options())
	}
	o := r.Piezo.options()
	o.Name = "simulated"
	if o.RadiansPerVolt == 0 {
		o.RadiansPerVolt = simulatedRadiansPerVolt
	}
	c := model.Config{Model: "MDT693B", Serial: "simulated", RadiansPerVolt: o.RadiansPerVolt, Switch: 150, Compatible: o.Kind == "mdt69xa"}
	if b != nil {
		c.Moved = b.ShiftReference
	}
	m, err := model.New(c)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrInput)
	}
	return piezo.Open(ctx, m, o)
}

func openSerial(ctx context.Context, port string, o piezo.Options) (shifter.Device, error) {
	line, err := piezo.OpenSerial(port)
	if err != nil {
		return nil, err
	}
	o.Name = port
	o.Reopen = func(context.Context) (piezo.Port, error) { return piezo.OpenSerial(port) }
	return piezo.Open(ctx, line, o)
}
