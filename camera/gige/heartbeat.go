package gige

import (
	"errors"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// watch reads the control channel's privilege three times in the time after which the camera
// would drop its master, until the device is closed. It is what keeps the camera ours, and
// what finds out that it is gone.
func (d *Device) watch(heartbeat time.Duration) {
	beat := time.NewTicker(min(heartbeat/3, time.Second))
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
		case <-d.life.Done():
			return
		}
		privilege, err := d.control.readRegister(d.life, regPrivilege)
		switch {
		case d.life.Err() != nil:
			return
		case err == nil && privilege&privilegeAny == 0:
			d.lose(fmt.Errorf("%w: another program has taken it, or it was restarted; open it again: %w", ErrLostControl, camera.ErrUnplugged))
			return
		case errors.Is(err, camera.ErrUnplugged):
			d.lose(err)
			return
		}
	}
}

// lose ends all calls, present and future, with an error.
func (d *Device) lose(err error) {
	d.end(err)
	d.signal()
}
