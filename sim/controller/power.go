package controller

import "time"

// Power, idle mode and parking (manual, on DMD power, idle and park; advisory
// DLPT028).

// standbyTime is how long mirrors are exercised in standby before they park, and three
// seconds more, in which the board must not be asked to wake.
const standbyTime = 2*time.Minute + 3*time.Second

type power struct {
	standby bool
	since   time.Duration // of standby
	idle    bool
	parked  bool
}

func (b *Board) writePower(data []byte) errorCode {
	switch data[0] {
	case 0:
		if b.power.standby && b.now() < b.power.since+standbyTime {
			return notAllowed
		}
		if b.power.standby {
			b.power = power{}
			b.stick()
		}
	case 1:
		if b.sequencer.state != stopped {
			b.cut(b.now())
		}
		if !b.power.standby {
			b.power = power{standby: true, since: b.now()}
		}
	case 2:
		return b.reset()
	default:
		return invalidParameter
	}
	return noError
}

func (b *Board) readPower([]byte) ([]byte, errorCode) {
	return []byte{flag(b.power.standby)}, noError
}

func (b *Board) writeReset(data []byte) errorCode {
	if data[0] != 1 {
		return invalidParameter
	}
	return b.reset()
}

// reset boots. The command that asked for it is the last that the board knows.
func (b *Board) reset() errorCode {
	b.cut(b.now())
	b.boot()
	return noError
}

func (b *Board) writeIdle(data []byte) errorCode {
	switch {
	case data[0] > 1:
		return invalidParameter
	case data[0] == 1 && (b.sequencer.state != stopped || b.mode.display == videoMode):
		return notAllowed
	}
	b.power.idle = data[0] == 1
	return noError
}

func (b *Board) readIdle([]byte) ([]byte, errorCode) { return []byte{flag(b.power.idle)}, noError }

// writePark: after unparking the configuration must be sent again, says the manual.
func (b *Board) writePark(data []byte) errorCode {
	switch {
	case b.config.Firmware.before(4, 1):
		return invalidCommand
	case data[0] > 1:
		return invalidParameter
	case b.sequencer.state != stopped && b.mode.display != videoMode:
		return notAllowed
	}
	if b.power.parked && data[0] == 0 {
		b.mode.stuck = false
		b.memory.forget()
	}
	b.power.parked = data[0] == 1
	b.table.configured = false
	return noError
}

func (b *Board) readPark([]byte) ([]byte, errorCode) { return []byte{flag(b.power.parked)}, noError }

// stick lets a block of mirrors hold, if this board's do.
func (b *Board) stick() {
	old := !b.config.Firmware.before(4, 0) && b.config.Firmware.before(5, 1)
	if b.config.Quirks.StuckMirrors && old {
		b.mode.stuck = true
		b.memory.forget()
	}
}

func flag(on bool) byte {
	if on {
		return 1
	}
	return 0
}
