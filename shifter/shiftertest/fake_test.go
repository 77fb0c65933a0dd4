package shiftertest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/shifter"
)

// bug is what a driver got wrong, in words.
type bug string

const (
	settle    = 20 * time.Millisecond
	replyTime = 200 * time.Millisecond
)

// fake is a device in memory. With a bug it is a driver that the suite must refuse.
type fake struct {
	bug  bug
	turn chan struct{}

	once   sync.Once
	closed chan struct{}

	mu     sync.Mutex // guards what follows
	volts  float64
	silent bool
	infos  int
}

func newFake(b bug) *fake {
	return &fake{bug: b, turn: make(chan struct{}, 1), closed: make(chan struct{})}
}

func (f *fake) output() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.volts
}

func (f *fake) silence() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.silent = true
}

func (f *fake) Info() shifter.Info {
	i := shifter.Info{Model: "fake", Serial: "1", Max: 75, Resolution: 0.1, Settle: settle}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.infos++
	switch f.bug {
	case "Info counts its calls":
		i.Serial = fmt.Sprint(f.infos)
	case "Info has no serial":
		i.Serial = ""
	case "Info has no limits":
		i.Min, i.Max = 0, 0
	case "Info has no resolution":
		i.Resolution = 0
	}
	return i
}

// begin takes the turn.
func (f *fake) begin(ctx context.Context, what bug) error {
	closed := f.closed
	if f.bug == what+" works after Close" {
		closed = nil
	}
	wait := ctx
	if f.bug == what+" ignores its context" || f.bug == what+" begins under an ended context" {
		wait = context.WithoutCancel(ctx)
	}
	select {
	case f.turn <- struct{}{}:
	case <-wait.Done():
		return fmt.Errorf("cannot %s: %w", what, wait.Err())
	case <-closed:
		return fmt.Errorf("cannot %s: %w", what, shifter.ErrClosed)
	}
	err := wait.Err()
	select {
	case <-closed:
		err = shifter.ErrClosed
	default:
	}
	if err != nil {
		<-f.turn
		return fmt.Errorf("cannot %s: %w", what, err)
	}
	return nil
}

// pause waits, for an answer or for the piezo.
func (f *fake) pause(ctx context.Context, what bug, d time.Duration) error {
	done, closed := ctx.Done(), f.closed
	if f.bug == what+" ignores its context" || f.bug == what+" begins under an ended context" {
		done = nil
	}
	if f.bug == "Close leaves calls pending" {
		closed, d = nil, time.Hour
	}
	select {
	case <-time.After(d):
		return nil
	case <-done:
		if f.bug == what+" hides the context's error" {
			return shifter.ErrTimeout
		}
		return ctx.Err()
	case <-closed:
		if f.bug == "Close ends calls with an error of its own" {
			return errors.New("gone")
		}
		return shifter.ErrClosed
	}
}

// answer waits for the device's answer.
func (f *fake) answer(ctx context.Context, what bug) error {
	f.mu.Lock()
	silent := f.silent
	f.mu.Unlock()
	if !silent {
		return nil
	}
	patience := replyTime
	if f.bug == what+" waits for ever" {
		patience = time.Hour
	}
	if err := f.pause(ctx, what, patience); err != nil {
		return err
	}
	return shifter.ErrTimeout
}

func (f *fake) Set(ctx context.Context, volts float64) error {
	if err := f.Info().Check(volts); err != nil {
		switch f.bug {
		case "Set passes the limits":
		case "Set takes what is no number":
			if !math.IsNaN(volts) {
				return err
			}
		case "Set clamps to the limits":
			volts = math.Min(math.Max(volts, 0), 75)
		case "Set checks when it is too late":
			f.mu.Lock()
			f.volts = 0
			f.mu.Unlock()
			return err
		case "Set refuses with an error of its own":
			return errors.New("no")
		default:
			return err
		}
	}
	if err := f.begin(ctx, "Set"); err != nil {
		return err
	}
	defer func() { <-f.turn }()
	if err := f.answer(ctx, "Set"); err != nil {
		return err
	}
	f.mu.Lock()
	switch {
	case f.bug == "Set does nothing":
	case f.bug == "Set stops halfway":
		f.volts = (f.volts + volts) / 2
	case f.bug == "Set forgets the upper limit" && volts == 75:
		f.volts = 74
	default:
		f.volts = volts
	}
	f.mu.Unlock()
	if f.bug == "Set does not wait" {
		return nil
	}
	return f.pause(ctx, "Set", settle)
}

func (f *fake) Read(ctx context.Context) (float64, error) {
	if err := f.begin(ctx, "Read"); err != nil {
		return 0, err
	}
	defer func() { <-f.turn }()
	if err := f.answer(ctx, "Read"); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bug == "Read tells another scale" {
		return 0.9 * f.volts, nil
	}
	return f.volts, nil
}

func (f *fake) Close() error {
	first := false
	f.once.Do(func() { first = true; close(f.closed) })
	if !first && f.bug == "Close works once" {
		return shifter.ErrClosed
	}
	if f.bug == "Close moves the piezo" {
		f.mu.Lock()
		f.volts = 0
		f.mu.Unlock()
	}
	return nil
}
