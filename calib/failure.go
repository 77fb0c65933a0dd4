package calib

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/rig"
)

// Failure is why a rig was refused before there was anything to judge: its devices do
// as they are told, and the light or the wiring is not fit. It wraps ErrRefused.
// Errors of a device are no Failure.
type Failure struct {
	Stage   string // of Learn, or "examination"
	Err     error
	Carrier Carrier // zero if none was seen
	Levels  Levels
	Seen    *View // nil if there was not even a frame
}

func (f *Failure) Error() string { return fmt.Sprintf("cannot calibrate (%s): %v", f.Stage, f.Err) }

// Unwrap gives the reason, and ErrRefused.
func (f *Failure) Unwrap() []error { return []error{f.Err, ErrRefused} }

// refusal marks an error that speaks of the light, not of a device or of bad input.
type refusal struct{ error }

func (r refusal) Unwrap() error { return r.error }

func refuse(format string, args ...any) error { return refusal{fmt.Errorf(format, args...)} }

// refused says whether an error is a reason to refuse the rig.
func refused(err error) bool {
	var r refusal
	return errors.As(err, &r) || errors.Is(err, rig.ErrNoContrast) || errors.Is(err, rig.ErrUnproven) || errors.Is(err, ErrNoCarrier)
}

// explain says why the camera does not see the mirrors, by frames of the shortest and
// of the longest exposure. Other errors it leaves as they are.
func explain(ctx context.Context, r *rig.Rig, longest time.Duration, err error) error {
	if !errors.Is(err, rig.ErrNoContrast) {
		return err
	}
	shortest := r.Camera().MinExposure
	short, long := lookAt(ctx, r, shortest), lookAt(ctx, r, longest)
	if short == nil || long == nil {
		return err
	}
	const (
		white = 0.5 // share of saturated pixels
		dark  = 0.5 // counts that the longest exposure adds
	)
	switch {
	case short.Saturated > white:
		return fmt.Errorf("the frames are white: %.0f %% of the pixels are saturated at %v, the camera's shortest exposure; attenuate the laser: %w",
			100*short.Saturated, shortest, rig.ErrNoContrast)
	case long.Mean-short.Mean < dark:
		return fmt.Errorf("the frames are dark: they hold %.1f counts at %v and %.1f at %v; switch the laser on, open the shutters, raise the power: %w",
			short.Mean, shortest, long.Mean, longest, rig.ErrNoContrast)
	}
	return fmt.Errorf("there is light (%.1f counts at %v), and the mirrors do not change it; open the signal beam's shutter, "+
		"check that the beam falls on the chip and that the mirrors are triggered: %w", long.Mean, longest, rig.ErrNoContrast)
}

// lookAt is look at an exposure.
func lookAt(ctx context.Context, r *rig.Rig, exposure time.Duration) *View {
	if _, err := r.Configure(ctx, camera.Config{Exposure: exposure}); err != nil {
		return nil
	}
	return look(ctx, r)
}
