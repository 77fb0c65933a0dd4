package controller

import (
	"math"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// The sequencer plays the table (manual, on pattern display start and stop).

// Exposure is what the mirrors did for one entry of the table.
type Exposure struct {
	// Pattern is what was on, as the chip's mirrors lie; of an entry of more than one bit, its
	// lowest plane, and Upper the planes above it.
	Pattern *slm.Pattern
	Upper   []*slm.Pattern

	Entry    int           // of the table; -1: the black pattern before a triggered entry
	Position uint64        // in the sequence since it was started, black ones not counted
	Trigger  bool          // there was a pulse on TRIG_OUT_2
	Pulse    time.Duration // its first edge, after Start
	Inverted bool          // it was the falling one

	// On the board's clock: when the mirrors were set, for how long, and how long they
	// were dark after it. A stop cuts them short.
	Start, Exposure, Dark time.Duration
}

type state uint8

const (
	stopped state = iota
	running
	paused
)

type sequencer struct {
	state     state
	shown     uint64        // patterns since the start
	black     bool          // the appended black pattern of the last one is shown now
	at        time.Duration // when the present step begins, or began
	waiting   bool          // for a trigger
	triggered bool          // it came
	batch     []Exposure    // not given to Show yet
}

// Limits of virtual time: the longest sequence that is over when its start returns, and the
// most exposures that Show is given at once.
const (
	atOnce   = 1 << 16
	maxBatch = 1 << 16
)

func (b *Board) writeStart(data []byte) errorCode {
	s := &b.sequencer
	switch data[0] {
	case 0:
		b.cut(b.now())
		s.state = stopped
	case 1:
		if s.state == running {
			b.cut(b.now())
			s.state = paused
		}
	case 2:
		switch {
		case b.mode.display == videoMode, b.power.idle, b.power.parked:
			return notAllowed
		case !b.table.configured:
			return itemAbsent
		case s.state == running:
			return noError
		case s.state == stopped:
			*s = sequencer{}
		}
		b.stats.Starts++
		s.state, s.at = running, b.now()+b.config.Restart
		b.play()
	default:
		return invalidParameter
	}
	return noError
}

// play lets a sequence go on. In virtual time one that ends is over at once, or waits for
// a trigger.
func (b *Board) play() {
	if b.config.RealTime || b.table.total == 0 || b.table.total > atOnce {
		b.advance(b.now())
		return
	}
	b.advance(math.MaxInt64)
	b.clock = max(b.clock, b.sequencer.at)
}

// present is the step that the sequencer is at: an entry, or the black pattern behind it.
func (b *Board) present() (index int, e entry) {
	t, s := &b.table, &b.sequencer
	index = t.order[s.shown%uint64(len(t.order))]
	if s.black {
		return -1, entry{exposure: blackTime}
	}
	return index, t.lut[index]
}

// advance shows everything that is over at a time.
func (b *Board) advance(to time.Duration) {
	s := &b.sequencer
	for s.state == running {
		index, e := b.present()
		if e.wait && !s.triggered {
			s.waiting = true
			break
		}
		if s.at+e.exposure+e.dark > to {
			break
		}
		b.emit(index, e, e.exposure, e.dark)
		s.at += e.exposure + e.dark
		s.triggered = false
		if !s.black && b.table.tails[index] {
			s.black = true
			continue
		}
		s.black = false
		s.shown++
		if total := uint64(b.table.total); total > 0 && s.shown >= total {
			s.state = stopped
		}
	}
	b.flush()
}

// cut ends the step that is being shown.
func (b *Board) cut(now time.Duration) {
	s := &b.sequencer
	b.advance(now)
	if s.state == running && !s.waiting && s.at < now {
		index, e := b.present()
		lit := min(now-s.at, e.exposure)
		b.emit(index, e, lit, now-s.at-lit)
		b.flush()
	}
	s.waiting, s.triggered = false, false
	if s.state == running {
		s.state = stopped
	}
}

// nextEvent is when the present step is over.
func (b *Board) nextEvent() (time.Duration, bool) {
	if s := &b.sequencer; s.state == running && !s.waiting {
		_, e := b.present()
		return s.at + e.exposure + e.dark, true
	}
	return 0, false
}

// emit notes what the mirrors did.
func (b *Board) emit(index int, e entry, exposure, dark time.Duration) {
	b.stats.Exposures++
	b.stats.Showing += exposure + dark
	if b.config.Show == nil {
		return
	}
	s := &b.sequencer
	x := Exposure{Entry: index, Position: s.shown, Start: s.at, Exposure: exposure, Dark: dark}
	if index < 0 {
		x.Pattern = b.memory.black
	} else {
		x.Pattern, x.Trigger = b.mirrors(e.image, e.bit), !e.silent
		x.Pulse, x.Inverted = b.firstEdge()
		for k := 1; k < e.depth; k++ {
			x.Upper = append(x.Upper, b.mirrors(e.image, e.bit+k))
		}
	}
	s.batch = append(s.batch, x)
	if len(s.batch) == maxBatch {
		b.flush()
	}
}

func (b *Board) flush() {
	if batch := b.sequencer.batch; len(batch) > 0 {
		b.sequencer.batch = nil
		b.config.Show(batch)
	}
}
