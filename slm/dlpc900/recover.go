package dlpc900

import (
	"context"
	"errors"
	"fmt"

	"github.com/light-in-the-loop/opu/slm"
)

// recover brings a lost board back, by ever harder means: its link is closed, which cancels
// what is under way and gives the interface back, and opened again; if the board does not answer
// then, its USB port is reset in between. A board that is not there needs a hand, not a reset.
// Each rung is logged and counted; when none helps the device stays lost, and the next call
// tries again.
func (d *Device) recover(ctx context.Context) error {
	log := d.options.Log.With("board", d.options.Port)
	log.Warn("opening the link to the board again")
	err := d.reopen(ctx)
	if wedged := errors.Is(err, slm.ErrTimeout) || errors.Is(err, slm.ErrProtocol); wedged && d.options.Reset != nil && ctx.Err() == nil {
		log.Warn("resetting the USB port of the board", "because", err)
		d.line.link.Close()
		d.line.stats.Resets++
		if failure := d.options.Reset(ctx); failure != nil {
			err = fmt.Errorf("%w; its port cannot be reset: %w", err, failure)
		} else {
			err = d.reopen(ctx)
		}
	}
	if err != nil {
		log.Error("the board does not come back", "because", err)
		return err
	}
	log.Info("the board is back")
	d.lost, d.unready = false, false
	d.line.stats.Reopened++
	return nil
}

// reopen opens the link again, and sees that the same board answers.
func (d *Device) reopen(ctx context.Context) error {
	d.line.link.Close() // it is of no use; what it says about that is of none either
	link, err := d.options.Reopen(ctx)
	if err != nil {
		return err
	}
	d.line.link, d.line.suspect = link, false
	kind, versions := d.kind, d.versions
	kindNow, err := d.introduce(ctx)
	if err == nil && (kindNow != kind || d.versions != versions) {
		err = fmt.Errorf("another board is there now: DMD type %d instead of %d; close this device and open that one: %w", kindNow, kind, slm.ErrUnplugged)
	}
	d.versions = versions
	if err == nil {
		err = d.line.ready(ctx, d.dmd.Controllers)
	}
	if err == nil {
		err = d.prepare(ctx)
	}
	return err
}
