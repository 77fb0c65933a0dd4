package rigs

import (
	"context"
	"errors"
	"fmt"

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
	slms = map[string]func(ctx context.Context, where string, laser *lightswitch.Config) (slm.Device, error){
		simulated: nil,
		"dlpc900": openDLPC900,
	}
	cameras = map[string]cameraKind{
		simulated: {open: openSimulatedCamera, list: listSimulatedCameras},
	}
	shifters = map[string]func(ctx context.Context, where string, o piezo.Options) (shifter.Device, error){
		simulated: nil,
		"serial":  openSerial,
	}
)

// Open opens the SLM and the camera of a rig that is not simulated, and wires them. The
// simulated ones are made by package bench, from Rig.Simulated.
func Open(ctx context.Context, r Rig) (*bench.Bench, error) {
	if preset, err := r.Simulated(); err != nil || preset != "" {
		return nil, errors.Join(err, fmt.Errorf("cannot open %q: it is no real device: %w", r.SLM, ErrInput))
	}
	s, err := parse("SLM", r.SLM, slms)
	if err != nil {
		return nil, err
	}
	c, err := parse("camera", r.Camera, cameras)
	if err != nil {
		return nil, err
	}
	dmd, err := slms[s.kind](ctx, s.where, r.Laser)
	if err != nil {
		return nil, err
	}
	cam, err := cameras[c.kind].open(ctx, c.where)
	if err != nil {
		return nil, errors.Join(err, dmd.Close())
	}
	wired, err := rig.New(dmd, cam, rig.Config{})
	if err != nil {
		return nil, errors.Join(err, dmd.Close(), cam.Close())
	}
	return &bench.Bench{Rig: wired}, nil
}

// lit is a board with the switch of its light, which is given back after it.
type lit struct {
	*dlpc900.Device
	light *lightswitch.Switch
}

func (l lit) Close() error { return errors.Join(l.Device.Close(), l.light.Close()) }

// openDLPC900 opens first the switch of the light, so that nothing begins lit.
func openDLPC900(ctx context.Context, port string, laser *lightswitch.Config) (slm.Device, error) {
	if laser == nil {
		return dlpc900.OpenPort(ctx, port, dlpc900.Options{})
	}
	light, err := lightswitch.Open(ctx, *laser)
	if err != nil {
		return nil, err
	}
	d, err := dlpc900.OpenPort(ctx, port, dlpc900.Options{Light: light})
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
