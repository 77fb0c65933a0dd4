package dlpc900

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// TriggerOut is the pulse of an output (0x1A1D, 0x1A1E; DLPU018F, trigger outputs). Output 1
// frames the exposure and stays high through a run without dark time; output 2 pulses for
// 20 us at the start of each pattern: it is the one for a camera. Delays count from the start
// of the pattern (output 1: of the exposure, and from its end).
type TriggerOut struct {
	Inverted        bool
	Rising, Falling time.Duration // -20 us to 20 ms, whole microseconds
}

// Limits of trigger settings (DLPU018F, triggers).
const (
	minOutDelay = -20 * time.Microsecond
	maxOutDelay = 20000 * time.Microsecond
	minPulse    = 20 * time.Microsecond
	minInDelay  = 104 * time.Microsecond
	maxInDelay  = (1<<16 - 1) * time.Microsecond
)

// check knows the shortest exposure, which bounds how early a pulse may begin when few blocks
// move.
func (t TriggerOut) check(output int, minExposure time.Duration) error {
	earliest := max(minOutDelay, 5*time.Microsecond-minExposure)
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot set trigger output %d: %s: %w", output, fmt.Sprintf(format, args...), slm.ErrInput)
	}
	first, last := t.Rising, t.Falling
	if t.Inverted {
		first, last = last, first
	}
	switch {
	case output != 1 && output != 2:
		return fail("there are outputs 1 and 2")
	case t.Rising%time.Microsecond != 0 || t.Falling%time.Microsecond != 0:
		return fail("delays %v and %v are not whole microseconds", t.Rising, t.Falling)
	case min(t.Rising, t.Falling) < earliest || max(t.Rising, t.Falling) > maxOutDelay:
		return fail("delays %v and %v are not within %v to %v", t.Rising, t.Falling, earliest, maxOutDelay)
	case first > last || output == 2 && last-first < minPulse:
		return fail("the pulse from %v to %v is shorter than %v, or ends before it begins", first, last, minPulse)
	}
	return nil
}

func (t TriggerOut) append(dst []byte) []byte {
	inverted := byte(0)
	if t.Inverted {
		inverted = 1
	}
	dst = append(dst, inverted)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(int16(t.Rising/time.Microsecond)))
	return binary.LittleEndian.AppendUint16(dst, uint16(int16(t.Falling/time.Microsecond)))
}

// TriggerIn says how input 1 advances patterns and input 2 gates the sequence (0x1A35,
// 0x1A36; DLPU018F, trigger inputs).
type TriggerIn struct {
	Delay        time.Duration // from the edge on input 1 to the pattern, 104 us to 65.535 ms; usual 105 us
	FallingEdge  bool          // of input 1 advances
	FallingStart bool          // of input 2 starts, rising stops
}

func (t TriggerIn) check() error {
	if t.Delay%time.Microsecond != 0 || t.Delay < minInDelay || t.Delay > maxInDelay {
		return fmt.Errorf("cannot set the trigger inputs: a delay of %v is not whole microseconds of %v to %v: %w", t.Delay, minInDelay, maxInDelay, slm.ErrInput)
	}
	return nil
}

func (l *line) triggerOut(ctx context.Context, output int, t TriggerOut) error {
	c := cmdTriggerOut1
	if output == 2 {
		c = cmdTriggerOut2
	}
	return l.set(ctx, c, t.append(make([]byte, 0, 5)))
}

func (l *line) triggerIn(ctx context.Context, t TriggerIn) error {
	bit := func(b bool) byte {
		if b {
			return 1
		}
		return 0
	}
	data := binary.LittleEndian.AppendUint16(make([]byte, 0, 3), uint16(t.Delay/time.Microsecond))
	if err := l.set(ctx, cmdTriggerIn1, append(data, bit(t.FallingEdge))); err != nil {
		return err
	}
	return l.set(ctx, cmdTriggerIn2, []byte{bit(t.FallingStart)})
}
