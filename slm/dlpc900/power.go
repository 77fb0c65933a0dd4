package dlpc900

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/internal/pause"
	"github.com/light-in-the-loop/opu/slm"
)

// Power modes (0x0200; DLPU018F, power mode). A software reset, 2, is not used.
const (
	powerNormal  = 0
	powerStandby = 1
)

// Display modes (0x1A1B; DLPU018F and J, display mode).
const modeOnTheFly = 3

const (
	// A board that wakes up wants three seconds (DLPU018F, standby); one that was told so a
	// moment ago may still exercise its mirrors for two minutes and refuse.
	wakeTime = 3 * time.Second

	// idleTime is how long idle mode must stay on, once on (DLPU018F, DMD idle mode).
	idleTime = 3 * time.Second

	// parkPause lies between park and unpark of the advisory (field report).
	parkPause = 150 * time.Millisecond
)

// ignoreRefusal drops the error of a board that does not know a command.
func ignoreRefusal(err error) error {
	if errors.Is(err, slm.ErrRefused) {
		return nil
	}
	return err
}

// wake takes a board out of standby.
func (l *line) wake(ctx context.Context) (woken bool, err error) {
	power, err := l.byteOf(ctx, cmdPower)
	if err != nil || power == powerNormal {
		return false, err
	}
	if err := pause.For(ctx, wakeTime); err != nil {
		return false, err
	}
	if err := l.set(ctx, cmdPower, []byte{powerNormal}); err != nil {
		return false, err
	}
	return true, pause.For(ctx, wakeTime)
}

// sticks tells whether the mirrors of this board may stay stuck after its mode was switched,
// until they are parked and released (DLPT028: revision B of the DLP6500 and DLP9000 with
// firmware 4.0, 4.1, 4.2 and 5.0.0). The revision cannot be read, so all are taken for B, and a
// DMD of unknown type for one of these. The firmware 4.0 has no park command: remedy says what to do.
func sticks(kind byte, v Version) (stuck bool, remedy error) {
	if kind == 3 || kind == 4 {
		return false, nil
	}
	switch {
	case v.Major == 4 && v.Minor == 0:
		return false, fmt.Errorf("firmware %v may leave mirrors stuck and cannot release them (advisory DLPT028); update it to 5.0.1 or later: %w", v, slm.ErrRefused)
	case v.Major == 4 && v.Minor <= 2, v == Version{5, 0, 0}:
		return true, nil
	}
	return false, nil
}

func (l *line) park(ctx context.Context) error   { return l.set(ctx, cmdPark, []byte{1}) }
func (l *line) unpark(ctx context.Context) error { return l.set(ctx, cmdPark, []byte{0}) }

// release parks and unparks, as the advisory wants it.
func (l *line) release(ctx context.Context) error {
	if err := l.park(ctx); err != nil {
		return err
	}
	if err := pause.For(ctx, parkPause); err != nil {
		return err
	}
	return l.unpark(ctx)
}

// idle switches the exercise of the mirrors, half on and half off, on or off.
func (l *line) idle(ctx context.Context, on bool) error {
	if on {
		return l.set(ctx, cmdIdle, []byte{1})
	}
	return l.set(ctx, cmdIdle, []byte{0})
}
