package genicam

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// Gate is what the calls of a camera.Device pass that talk to the camera: one at a time, each
// with the errors that the contract asks for, none after Shut. Its methods may be called from
// any goroutine.
type Gate struct {
	name string
	turn chan struct{} // holds a token while a call is inside

	mu     sync.Mutex // guards what follows
	closed bool
	armed  bool
}

// NewGate is open. The info names the camera in errors.
func NewGate(i camera.Info) *Gate {
	return &Gate{name: fmt.Sprintf("%s (%s)", i.Model, i.Serial), turn: make(chan struct{}, 1)}
}

// Fail is an error of a call.
func (g *Gate) Fail(what string, err error) error {
	return fmt.Errorf("cannot %s camera %s: %w", what, g.name, err)
}

// Enter waits for the turn of a call, which leave ends. A context that has ended lets nobody
// in.
func (g *Gate) Enter(ctx context.Context, what string) (leave func(), err error) {
	if err := context.Cause(ctx); err != nil {
		return nil, g.Fail(what, err)
	}
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, g.Fail(what, context.Cause(ctx))
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		<-g.turn
		return nil, g.Fail(what, camera.ErrClosed)
	}
	return func() { <-g.turn }, nil
}

// EnterIdle is Enter for what is not allowed during a run.
func (g *Gate) EnterIdle(ctx context.Context, what string) (leave func(), err error) {
	leave, err = g.Enter(ctx, what)
	if err == nil && g.Armed() {
		leave()
		return nil, g.Fail(what, camera.ErrArmed)
	}
	return leave, err
}

// Armed tells whether there is a run.
func (g *Gate) Armed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.armed
}

// SetArmed begins or ends a run; the caller is inside.
func (g *Gate) SetArmed(armed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed = armed
}

// Shut lets nobody in any more. If whoever is inside leaves in time, tidy is called, alone,
// with whether there was a run.
func (g *Gate) Shut(patience time.Duration, tidy func(armed bool)) {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case g.turn <- struct{}{}:
		tidy(g.Armed())
		<-g.turn
	case <-timer.C:
	}
}
