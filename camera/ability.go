package camera

import (
	"fmt"
	"time"
)

// Inspector is a camera that tells what arming did to the controls that would change
// what a pixel's count means: automatic exposure and gain, gamma, look-up tables,
// denoising, the black level, the shutter.
type Inspector interface {
	// Settings returns them as the last Arm read them back; before it, as they stand.
	// It never blocks.
	Settings() []Setting
}

// Paced is a camera that knows how fast it is.
type Paced interface {
	// MinPeriod is the shortest time from trigger to trigger as the camera was opened: with
	// the whole sensor, and an exposure as short as there is; 0: not known. It never blocks.
	MinPeriod() time.Duration
}

// Setting is one control and what came of it.
type Setting struct {
	Name  string // what it controls, in the camera's words, such as GainAuto
	Value string // as read back; "" if it is absent
	State SettingState
}

// SettingState says whether a control can be relied on.
type SettingState uint8

const (
	Safe   SettingState = iota // read back as it must be
	Absent                     // the camera does not offer it: what it does is not known
	Stuck                      // the camera keeps it otherwise: pixels may not be linear
)

func (s SettingState) String() string {
	switch s {
	case Safe:
		return "safe"
	case Absent:
		return "absent"
	case Stuck:
		return "stuck"
	}
	return fmt.Sprintf("SettingState(%d)", uint8(s))
}
