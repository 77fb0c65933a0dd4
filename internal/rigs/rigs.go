// Package rigs names devices and opens them: it is the one list of what a rig can be made
// of.
//
//	r := rigs.Rig{SLM: "sim:glass", Camera: "sim", Shifter: "serial:/dev/ttyACM0"}
//	named, err := rigs.Load("/etc/opud/opud.toml") // or one of [rig.NAME] in a file
//	r, err = named.Find("bench-1")
//	preset, err := r.Simulated()                   // for package bench; "" for real devices:
//	b, err := rigs.Open(ctx, r)
//	p, err := rigs.OpenShifter(ctx, r, b.Sim)
//
// A reference is a kind and where the device is, "dlpc900:usb-1-2". A new driver adds its
// kind to the lists in kinds.go.
package rigs

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/internal/lightswitch"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/shifter/piezo"
	"github.com/light-in-the-loop/opu/sim"
)

// The conditions that callers act on, beside those of the devices.
var (
	ErrInput  = errors.New("bad description of a rig")
	ErrNoRigs = errors.New("no such rig")
)

// Rig says what a rig is made of: a table [rig.NAME] of the configuration file.
type Rig struct {
	SLM     string `toml:"slm" json:"slm"`         // sim, sim:PRESET, dlpc900:PORT or replay:FILE
	Camera  string `toml:"camera" json:"camera"`   // sim, sim:PRESET, replay:FILE or KIND:PLACE[,OPTION=VALUE...] (docs/reference/cameras.md)
	Shifter string `toml:"shifter" json:"shifter"` // sim or serial:PORT; "": none

	// RateHz is how many patterns are shown a second; 0: 1500, or as many as the SLM and the
	// camera can if they say so. A rate that the camera cannot follow is found when the rig
	// is calibrated.
	RateHz float64 `toml:"rate_hz" json:"rate_hz,omitempty"`

	// Blocks are the neighbouring blocks of rows that move, [first, count], where the SLM has
	// such (dlpc900.Blocks); empty: all.
	Blocks []int `toml:"blocks" json:"blocks,omitempty"`

	Piezo Piezo               `toml:"piezo" json:"piezo"`
	Laser *lightswitch.Config `toml:"laser" json:"laser,omitempty"` // nil: nothing switches it
}

// Piezo is what is known of the phase shifter's piezo; 0 and "" mean the defaults of
// piezo.Options.
type Piezo struct {
	Kind           string  `toml:"kind" json:"kind"`
	Axis           string  `toml:"axis" json:"axis"`
	Min            float64 `toml:"min_volts" json:"min_volts"`
	Max            float64 `toml:"max_volts" json:"max_volts"`
	Step           float64 `toml:"step_volts" json:"step_volts"`
	Tolerance      float64 `toml:"tolerance_volts" json:"tolerance_volts"`
	PauseMS        float64 `toml:"pause_ms" json:"pause_ms"`
	SettleMS       float64 `toml:"settle_ms" json:"settle_ms"`
	RadiansPerVolt float64 `toml:"radians_per_volt" json:"radians_per_volt"`
}

func (p Piezo) options() piezo.Options {
	ms := func(x float64) time.Duration {
		if !(x >= -1e9 && x <= 1e9) { // piezo refuses it; a conversion would be undefined
			return -1
		}
		return time.Duration(x * float64(time.Millisecond))
	}
	return piezo.Options{
		Kind: p.Kind, Axis: p.Axis, Min: p.Min, Max: p.Max, Step: p.Step, Tolerance: p.Tolerance,
		Pause: ms(p.PauseMS), Settle: ms(p.SettleMS), RadiansPerVolt: p.RadiansPerVolt,
	}
}

// The rates that make sense: a mirror needs 20 us, and nobody waits longer than a minute.
const slowest, fastest = 1.0 / 60, 50000

// Wiring is how the parts of a rig run together.
func (r Rig) Wiring() rig.Config {
	if r.RateHz == 0 {
		return rig.Config{}
	}
	return rig.Config{Period: time.Duration(float64(time.Second) / r.RateHz)}
}

// checkTiming says whether rate and blocks make sense; the devices decide about the rest.
func (r Rig) checkTiming() error {
	switch {
	case r.RateHz != 0 && !(r.RateHz >= slowest && r.RateHz <= fastest):
		return fmt.Errorf("cannot show %g patterns a second: rates are %.2g to %d: %w", r.RateHz, slowest, fastest, ErrInput)
	case len(r.Blocks) != 0 && len(r.Blocks) != 2:
		return fmt.Errorf("cannot use the blocks %v: they are two numbers, the first one and how many: %w", r.Blocks, ErrInput)
	case len(r.Blocks) != 0 && strings.HasPrefix(r.SLM, simulated):
		return fmt.Errorf("cannot use blocks with the SLM %q: the simulated one has none; leave them out: %w", r.SLM, ErrInput)
	}
	return nil
}

// ref is a reference to a device.
type ref struct{ kind, where string }

// parse reads a reference; kinds are those of its role.
func parse[T any](role, text string, kinds map[string]T) (ref, error) {
	kind, where, _ := strings.Cut(text, ":")
	if _, ok := kinds[kind]; !ok {
		return ref{}, fmt.Errorf("cannot use the %s %q: there is no kind %q; known: %s: %w",
			role, text, kind, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "), ErrInput)
	}
	return ref{kind, where}, nil
}

// simulated is the kind of parts of the simulated bench.
const simulated = "sim"

// defaultPreset is that of "sim".
const defaultPreset = "good"

// Simulated returns the preset of a simulated rig; "" if it is made of real devices. It is
// also the check of a description: nothing is opened.
func (r Rig) Simulated() (preset string, err error) {
	if r.SLM == "" || r.Camera == "" {
		return "", fmt.Errorf("cannot use a rig with the SLM %q and the camera %q: it needs both: %w", r.SLM, r.Camera, ErrInput)
	}
	s, err := parse("SLM", r.SLM, slms)
	if err != nil {
		return "", err
	}
	c, err := parse("camera", r.Camera, cameras)
	if err != nil {
		return "", err
	}
	p, err := r.shifter()
	if err != nil {
		return "", err
	}
	if err := r.checkTiming(); err != nil {
		return "", err
	}
	if err := checkReplay(s, c); err != nil {
		return "", err
	}
	if s.kind != simulated && c.kind == simulated || s.kind == simulated && c.kind != simulated && cameras[c.kind].carry == nil {
		return "", fmt.Errorf("cannot wire the SLM %q to the camera %q: a simulated camera sees the simulated SLM alone, and such a camera does not see that: %w", r.SLM, r.Camera, ErrInput)
	}
	if r.Laser != nil {
		if err := r.Laser.Check(); err != nil {
			return "", fmt.Errorf("%w: %w", err, ErrInput)
		}
		if s.kind == simulated {
			return "", fmt.Errorf("cannot use a laser with the SLM %q: a simulated bench has its own light; leave the table laser out: %w", r.SLM, ErrInput)
		}
	}
	if s.kind != simulated {
		if p.kind == simulated {
			return "", fmt.Errorf("cannot use the shifter %q with the SLM %q: a simulated one moves the simulated bench alone: %w", r.Shifter, r.SLM, ErrInput)
		}
		return "", nil
	}
	parts := []string{s.where}
	if c.kind == simulated {
		parts = append(parts, c.where)
	}
	if p.kind == simulated {
		parts = append(parts, p.where)
	}
	for _, at := range parts {
		if at != "" && preset != "" && at != preset {
			return "", fmt.Errorf("cannot build one bench from %q and %q; name one preset: %w", preset, at, ErrInput)
		}
		preset = cmp.Or(at, preset)
	}
	preset = cmp.Or(preset, defaultPreset)
	if _, err := sim.Preset(preset, 1); err != nil {
		return "", fmt.Errorf("%w: %w", err, ErrInput)
	}
	return preset, nil
}

// shifter is the reference to the shifter; one of no kind: there is none.
func (r Rig) shifter() (ref, error) {
	if r.Shifter == "" {
		return ref{}, nil
	}
	p, err := parse("shifter", r.Shifter, shifters)
	if err == nil && p.kind != simulated && p.where == "" {
		err = fmt.Errorf("cannot use the shifter %q: say where, such as %s:/dev/ttyACM0: %w", r.Shifter, p.kind, ErrInput)
	}
	return p, err
}
