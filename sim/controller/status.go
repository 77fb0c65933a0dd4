package controller

import "encoding/binary"

// What the board tells of itself (manual, on status, versions and errors).

const (
	textSize = 128 // of an error text
	tagSize  = 31
)

func (b *Board) readErrorCode([]byte) ([]byte, errorCode) {
	if b.config.Quirks.EmptyErrorCode {
		return nil, noError
	}
	return []byte{byte(b.lastError)}, noError
}

func (b *Board) readErrorText([]byte) ([]byte, errorCode) {
	text := make([]byte, textSize)
	copy(text, errorTexts[b.lastError])
	return text, noError
}

// readVersions: application, API, software configuration, sequencer configuration.
// Only the first differs between the model's boards.
func (b *Board) readVersions([]byte) ([]byte, errorCode) {
	data := make([]byte, 0, 16)
	for _, v := range []Version{b.config.Firmware, {1, 0, 0}, {1, 0, 0}, {1, 0, 0}} {
		data = binary.LittleEndian.AppendUint16(data, uint16(v.Patch))
		data = append(data, byte(v.Minor), byte(v.Major))
	}
	return data, noError
}

func (b *Board) readIdentity([]byte) ([]byte, errorCode) {
	data := make([]byte, 1+tagSize)
	data[0] = b.dmd.Type
	copy(data[1:], b.config.Tag)
	return data, noError
}

func (b *Board) readHardwareStatus([]byte) ([]byte, errorCode) {
	status := byte(1) // initialised
	if b.dmd.Controllers == 2 {
		status |= 1 << 4
	}
	if b.config.Quirks.ReservedBit {
		status |= 1 << 5
	}
	if b.mode.abortLatched {
		status |= 1 << 6
	}
	return []byte{status}, noError
}

func (b *Board) readSystemStatus([]byte) ([]byte, errorCode) { return []byte{1}, noError }
func (b *Board) readNoFaults([]byte) ([]byte, errorCode)     { return []byte{0}, noError }

func (b *Board) readMainStatus([]byte) ([]byte, errorCode) {
	var status byte
	if b.power.parked {
		status |= 1 << 0
	}
	if b.sequencer.state == running || b.power.idle && b.config.Quirks.IdleRuns {
		status |= 1 << 1
	}
	return []byte{status}, noError
}

// readMinExposures: 16 bits for each of depths 1 to 8, 32 bits for 10, 12, 14 and
// 16, in microseconds; 0 for a depth that the chip cannot show.
func (b *Board) readMinExposures([]byte) ([]byte, errorCode) {
	data := make([]byte, 0, 32)
	for depth := 1; depth <= 8; depth++ {
		data = binary.LittleEndian.AppendUint16(data, uint16(b.minExposure(depth).Microseconds()))
	}
	for depth := 10; depth <= 16; depth += 2 {
		data = binary.LittleEndian.AppendUint32(data, uint32(b.minExposure(depth).Microseconds()))
	}
	return data, noError
}
