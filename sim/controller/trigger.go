package controller

import (
	"encoding/binary"
	"time"
)

// Triggers (manual, on trigger controls). Times are in microseconds.

const (
	lowestDelay    = -20
	highestDelay   = 20000
	lowestInDelay  = 104
	blackTime      = 105 * time.Microsecond // of the pattern that is appended before a triggered entry
	fallingAdvance = 1
)

func (b *Board) checkTriggerOut1(data []byte) errorCode { return b.checkTriggerOut(data, 0) }
func (b *Board) checkTriggerOut2(data []byte) errorCode { return b.checkTriggerOut(data, 1) }

// checkTriggerOut wants the edges in their order, at least so far apart.
func (b *Board) checkTriggerOut(data []byte, apart int) errorCode {
	first, second := int(int16(binary.LittleEndian.Uint16(data[1:]))), int(int16(binary.LittleEndian.Uint16(data[3:])))
	lowest := max(lowestDelay, 5-int(b.minExposure(1).Microseconds()))
	if data[0]&1 != 0 { // inverted: it falls first
		first, second = second, first
	}
	switch {
	case b.sequencer.state != stopped:
		return notAllowed
	case first < lowest, second > highestDelay, second-first < apart:
		return delayOutOfRange
	}
	return noError
}

// firstEdge is that of the pulse on output 2, after the start of a pattern.
func (b *Board) firstEdge() (after time.Duration, falling bool) {
	r := b.registers[codeTriggerOut2]
	at := r[1:]
	if falling = r[0]&1 != 0; falling {
		at = r[3:]
	}
	return time.Duration(int16(binary.LittleEndian.Uint16(at))) * time.Microsecond, falling
}

func (b *Board) checkTriggerIn1(data []byte) errorCode {
	switch {
	case b.sequencer.state != stopped:
		return notAllowed
	case binary.LittleEndian.Uint16(data) < lowestInDelay:
		return delayOutOfRange
	case data[2] > fallingAdvance:
		return invalidParameter
	}
	return noError
}

func (b *Board) checkTriggerIn2(data []byte) errorCode {
	switch {
	case b.sequencer.state != stopped:
		return notAllowed
	case data[0] > 1:
		return invalidParameter
	}
	return noError
}

// Trigger is an edge on TRIG_IN_1 that advances. A sequence that does not wait for
// one ignores it.
func (b *Board) Trigger() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(b.now())
	if s := &b.sequencer; s.state == running && s.waiting {
		delay := time.Duration(binary.LittleEndian.Uint16(b.registers[codeTriggerIn1])) * time.Microsecond
		s.at = max(s.at, b.now()+delay)
		s.waiting, s.triggered = false, true
		b.play()
	}
	b.schedule()
}
