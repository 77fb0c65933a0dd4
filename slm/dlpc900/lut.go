package dlpc900

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Limits of the pattern LUT (DLPU018J, pattern LUT configuration: 1 to 400 entries; one
// table of DLPU018F says 512).
const (
	maxEntries = 400
	planes     = 24 // one-bit patterns in an image
	maxImages  = 18 // indices 0 to 17 are documented

	// maxReorder is how many entries fit a reorder command: a controller's buffer of 512
	// bytes less header, command, count and number of patterns. DLPU018F gives 512 as the
	// limit, which no command can carry.
	maxReorder = (maxData - 6) / 2
)

// maxTime is the longest exposure or dark time of an entry: 24 bits of microseconds.
const maxTime = (1<<24 - 1) * time.Microsecond

// timing is how long an entry shows its pattern, how long it is dark after that, and whether
// it waits for an edge on trigger input 1 before.
type timing struct {
	exposure, dark time.Duration
	wait           bool
}

func (t timing) period() time.Duration { return t.exposure + t.dark }

// plan turns a run's period and exposure into a timing. Fractions of a microsecond are
// rounded up: no pattern may come too early.
func (d DMD) plan(r slm.Run, minPeriod time.Duration) (timing, error) {
	up := func(d time.Duration) time.Duration {
		return (d + time.Microsecond - 1).Truncate(time.Microsecond)
	}
	period := r.Period
	if period == 0 {
		period = minPeriod
	}
	t := timing{exposure: up(period)}
	if r.Exposure != 0 {
		t.exposure = up(r.Exposure)
		t.dark = up(period) - t.exposure
	}
	switch {
	case t.exposure < minPeriod:
		return t, fmt.Errorf("exposure %v is shorter than the %v of a %s; lengthen it, or leave it 0 to fill the period: %w", r.Exposure, minPeriod, d.Name, slm.ErrInput)
	case t.exposure > maxTime || t.dark > maxTime:
		return t, fmt.Errorf("exposure %v of period %v exceeds the %v of the controller's timer; raise the rate: %w", t.exposure, period, maxTime, slm.ErrInput)
	}
	return t, nil
}

// entry is one row of the LUT (0x1A34; DLPU018F and J, pattern LUT definition).
type entry struct {
	timing
	depth int // bits, 1 to 8
	image int
	plane int // lowest bit of the pattern in its image

	clear     bool // mirrors clear after the exposure: one-bit patterns with external trigger only
	noTrigger bool // trigger output 2 stays silent
}

// ledAll is the field of light sources; it moves no mirror, and external lasers do not
// care (field reports use 0, 1 and 7).
const ledAll = 7 << 4

// append encodes the definition of entry number index.
func (e entry) append(dst []byte, index int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(index))
	dst = appendMicros(dst, e.exposure)
	flags := byte(e.depth-1)<<1 | ledAll
	if e.clear {
		flags |= 1
	}
	if e.wait {
		flags |= 0x80
	}
	dst = append(dst, flags)
	dst = appendMicros(dst, e.dark)
	trigger := byte(0)
	if e.noTrigger {
		trigger = 1 // disables it: the guide and most field reports; TI's parameter is named the other way
	}
	dst = append(dst, trigger)
	return binary.LittleEndian.AppendUint16(dst, uint16(e.image&0x7FF|e.plane<<11))
}

// appendMicros encodes a time as 24 bits of microseconds.
func appendMicros(dst []byte, d time.Duration) []byte {
	us := d / time.Microsecond
	return append(dst, byte(us), byte(us>>8), byte(us>>16))
}

// define writes one entry. Definitions work when configure has been given.
func (l *line) define(ctx context.Context, index int, e entry) error {
	return l.set(ctx, cmdDefine, e.append(make([]byte, 0, 12), index))
}

// configure makes the first entries of the LUT effective (0x1A31). How many patterns a start
// shows is 0 for endless; otherwise whole passes and the first entries of one more (DLPU018J;
// older guides call the field "repeat").
func (l *line) configure(ctx context.Context, entries, patterns int) error {
	return l.set(ctx, cmdConfigure, appendCount(make([]byte, 0, 6), entries, patterns))
}

func appendCount(dst []byte, entries, patterns int) []byte {
	dst = binary.LittleEndian.AppendUint16(dst, uint16(entries))
	return binary.LittleEndian.AppendUint32(dst, uint32(patterns))
}

// reorder lets the next start show these entries in this order (0x1A32, firmware 5.0 and
// later; needs an earlier configure). Endless: again and again.
func (l *line) reorder(ctx context.Context, order []uint16, endless bool) error {
	patterns := len(order)
	if endless {
		patterns = 0
	}
	data := appendCount(make([]byte, 0, 6+2*len(order)), len(order), patterns)
	for _, i := range order {
		data = binary.LittleEndian.AppendUint16(data, i)
	}
	// TI's program asks for no reply to this one command; a board may not give any. A lost
	// order would go unnoticed then, and the next start show something else, so the reply is
	// wanted wherever it comes: the first reorder finds that out.
	if l.orders != mute {
		_, err := l.once(ctx, acknowledged, cmdReorder, data)
		if l.orders == answered || !errors.Is(err, slm.ErrTimeout) {
			if err == nil {
				l.orders = answered
			}
			return err
		}
		if err := l.give(ctx, cmdReorder, data); err != nil {
			return err
		}
		l.orders = mute
		return nil
	}
	return l.give(ctx, cmdReorder, data)
}

// replies says whether a board answers a command.
type replies byte

const (
	untried replies = iota
	answered
	mute
)

// What a sequence can be told (0x1A24; DLPU018F, pattern start and stop). Pause is not
// used.
const (
	sequenceStop  = 0
	sequenceStart = 2
)

func (l *line) stop(ctx context.Context) error { return l.set(ctx, cmdRun, []byte{sequenceStop}) }

// start must not be given twice: the second could show everything again.
func (l *line) start(ctx context.Context) error {
	_, err := l.once(ctx, acknowledged, cmdRun, []byte{sequenceStart})
	return err
}
