package shifter

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// The conditions that callers act on. Drivers wrap them with the device, the
// limit and the remedy; test with errors.Is.
var (
	ErrClosed    = errors.New("closed by us")
	ErrUnplugged = errors.New("phase shifter unplugged")
	ErrTimeout   = errors.New("phase shifter did not answer in time")
	ErrProtocol  = errors.New("phase shifter answered nonsense")
	ErrRefused   = errors.New("phase shifter refused")
	ErrInput     = errors.New("bad input") // found before anything was sent
)

// Device is a phase shifter: one piezo and what drives it.
//
// Its methods may be called from any goroutine; they wait for each other. Every
// blocking call ends when its context does, even if the hardware never answers,
// with an error that wraps the context's; a context that has already ended lets
// nothing begin. What else a device can do is found by asserting for a small
// interface of its own.
type Device interface {
	// Info describes the device. It never blocks and does not change while the
	// device is open.
	Info() Info

	// Set drives the piezo to a voltage and returns when it has settled there. The
	// way is a ramp where the device has a limit of steps. A voltage outside
	// Info.Min to Info.Max is ErrInput, and nothing is sent. If the device reports
	// another voltage than it was told, that is ErrRefused. After an error the
	// voltage is somewhere between the old one and the new one.
	Set(ctx context.Context, volts float64) error

	// Read asks the device for its voltage. It is what the device believes, or
	// measures at its output: an open-loop device does not know where the piezo is.
	Read(ctx context.Context) (volts float64, err error)

	// Close ends all pending calls with ErrClosed. The piezo stays where it is. It
	// may be called more than once.
	Close() error
}

// Info describes a device and its limits.
type Info struct {
	Model  string // for people: "MDT694B"
	Serial string // tells two devices of a model apart: a serial number or a port

	Min, Max   float64       // volts that Set takes: the narrowest of all limits
	Resolution float64       // volts that Read may differ from what was Set
	Settle     time.Duration // what Set waits after the last step

	// RadiansPerVolt is how far a volt moves the phase, which a calibration finds; it
	// may be negative. 0: not known, and only volts make sense.
	RadiansPerVolt float64
}

// Check says whether the device takes a voltage. The error wraps ErrInput.
func (i Info) Check(volts float64) error {
	if !(volts >= i.Min && volts <= i.Max) { // written so that NaN fails
		return fmt.Errorf("cannot set %s (%s) to %.4g V: its limits are %.4g V to %.4g V: %w", i.Model, i.Serial, volts, i.Min, i.Max, ErrInput)
	}
	return nil
}

// Phase is that of a voltage, in radians: 0 at Min. It is 0 everywhere without a
// calibration.
func (i Info) Phase(volts float64) float64 { return (volts - i.Min) * i.RadiansPerVolt }

// Volts is the voltage of a phase, in radians from the phase at Min. Without a
// calibration, or outside the limits, the error wraps ErrInput.
func (i Info) Volts(radians float64) (float64, error) {
	if i.RadiansPerVolt == 0 {
		return 0, fmt.Errorf("cannot set the phase of %s (%s): its radians per volt are not known; configure radians_per_volt, or give volts: %w", i.Model, i.Serial, ErrInput)
	}
	volts := i.Min + radians/i.RadiansPerVolt
	if err := i.Check(volts); err != nil {
		return 0, fmt.Errorf("cannot set a phase of %.4g rad, of the %.4g rad that are within reach: %w", radians, i.Phase(i.Max), err)
	}
	return volts, nil
}

// SetPhase sets the phase of the beam, in radians from that at Min.
func SetPhase(ctx context.Context, d Device, radians float64) error {
	volts, err := d.Info().Volts(radians)
	if err != nil {
		return err
	}
	return d.Set(ctx, volts)
}
