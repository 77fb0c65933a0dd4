// Package lightswitch switches the light of a rig, a laser or its shutter, by a command or by
// a serial line. It is a dlpc900.Switch, which the driver opens before a run and closes
// afterwards.
//
//	s, err := lightswitch.Open(ctx, config) // and the light is off
//	dev, err := dlpc900.OpenPort(ctx, port, dlpc900.Options{Light: s})
//	...
//	err = errors.Join(dev.Close(), s.Close())
//
// It is no protection of eyes: a program that is killed switches nothing. See
// docs/explanation/safety-of-mirrors-and-light.md.
package lightswitch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Config is a table [rig.NAME.laser]. It has exactly one of its tables.
type Config struct {
	Command *Command `toml:"command" json:"command,omitempty"`
	Serial  *Serial  `toml:"serial" json:"serial,omitempty"`
}

// Check says whether the description makes sense; nothing is opened. Errors wrap
// slm.ErrInput.
func (c Config) Check() error {
	var err error
	switch {
	case (c.Command == nil) == (c.Serial == nil):
		err = errors.New("it has to have one of the tables command and serial")
	case c.Command != nil:
		err = c.Command.check()
	default:
		err = c.Serial.check()
	}
	if err != nil {
		return fmt.Errorf("cannot use the laser: %w: %w", err, slm.ErrInput)
	}
	return nil
}

// actuator does what it is told, or says why not. It is not told two things at once. When
// the context ends it begins nothing any more, and what it had begun is undone by the next
// call.
type actuator interface {
	set(ctx context.Context, on bool) error
	close() error
}

// limit bounds one change of the light. The driver waits as long.
const limit = time.Second

// Switch is the light of a rig. Its methods may be called at once from several goroutines.
type Switch struct {
	mu     sync.Mutex // held while the light changes
	by     actuator
	limit  time.Duration
	closed bool
}

// Open takes the switch into use and switches the light off, whatever was before. It fails if
// that fails.
func Open(ctx context.Context, c Config) (*Switch, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	s := &Switch{by: c.Command, limit: limit}
	if c.Serial != nil {
		s.by = newLine(*c.Serial, openPort)
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("cannot open the switch of the light: %w", err)
	}
	if err := s.Set(ctx, false); err != nil {
		return nil, errors.Join(err, s.by.close())
	}
	return s, nil
}

// Set switches the light, and waits for it, a second at most. The light is switched off even
// if the context has ended. A light that could not be switched on, or whose context ended
// meanwhile, is switched off again before Set returns, for a second at most. Errors wrap
// slm.ErrTimeout, slm.ErrRefused, slm.ErrUnplugged, slm.ErrClosed or what the context says.
func (s *Switch) Set(ctx context.Context, on bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("cannot switch the light: %w", slm.ErrClosed)
	}
	if !on {
		return s.off(ctx)
	}
	err := context.Cause(ctx)
	if err != nil {
		return fmt.Errorf("cannot open the light: %w", err)
	}
	within, cancel := context.WithTimeoutCause(ctx, s.limit, slm.ErrTimeout)
	defer cancel()
	if err = s.by.set(within, true); err == nil {
		err = context.Cause(within)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot open the light: %w", err), s.off(ctx))
	}
	return nil
}

// off switches the light off, for which it has its own time.
func (s *Switch) off(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), s.limit, slm.ErrTimeout)
	defer cancel()
	if err := s.by.set(ctx, false); err != nil {
		return fmt.Errorf("cannot close the light, which may be on: look, and switch it off by hand: %w", err)
	}
	return nil
}

// Close switches the light off and gives the switch back. Afterwards it does nothing.
func (s *Switch) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.off(context.Background()), s.by.close())
}
