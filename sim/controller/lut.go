package controller

import (
	"encoding/binary"
	"time"
)

// The table of patterns (manual, on pattern display LUT definition, configuration
// and reorder).

const (
	maxEntries = 1024
	maxReorder = 512 // indices of one order, says the manual; the buffer holds fewer
)

// entry is one line of the table.
type entry struct {
	defined        bool
	exposure, dark time.Duration
	depth          int
	wait           bool // for an edge on TRIG_IN_1
	silent         bool // no pulse on TRIG_OUT_2
	image, bit     int  // of its lowest plane
}

// table is the pattern table: what was defined, and what of it is in effect.
type table struct {
	definitions []entry

	configured bool
	told       [6]byte // the configuration as it was sent
	lut        []entry // in effect
	tails      []bool  // entries with a black pattern appended, since a triggered one follows
	order      []int   // entries, in the order of showing
	total      uint32  // patterns to show; 0: endless
}

func (b *Board) writeDefinition(data []byte) errorCode {
	index := int(binary.LittleEndian.Uint16(data))
	flags, more := data[5], data[9]
	place := binary.LittleEndian.Uint16(data[10:])
	e := entry{
		defined:  true,
		exposure: micros24(data[2:]), dark: micros24(data[6:]),
		depth: int(flags>>1&7) + 1, wait: flags&0x80 != 0, silent: more&1 != 0,
		image: int(place & 0x7ff), bit: int(place >> 11),
	}
	if more&2 != 0 {
		if b.config.Firmware.before(6, 0) {
			return invalidDefinition
		}
		e.depth += 8
	}
	switch {
	case b.mode.display == videoMode:
		return notAllowed
	case index >= len(b.table.definitions):
		return numberOutOfRange
	case b.minExposure(e.depth) == 0, b.blocks[1] != len(b.dmd.Blocks) && e.depth > 1:
		return invalidDefinition
	case e.exposure < b.minExposure(e.depth):
		return exposureTooShort
	case e.bit+e.depth > planesPerImage:
		return bitOutOfRange
	case b.mode.display == onTheFlyMode && e.image >= b.dmd.images():
		return addressOutOfRange
	}
	b.table.definitions[index] = e
	return noError
}

// micros24 is a time of 24 bits in microseconds.
func micros24(data []byte) time.Duration {
	return time.Duration(int(data[0])|int(data[1])<<8|int(data[2])<<16) * time.Microsecond
}

// minExposure is the shortest exposure of a depth with the blocks in use; 0 if the
// chip cannot show it.
func (b *Board) minExposure(depth int) time.Duration {
	if depth == 1 && b.blocks[1] != len(b.dmd.Blocks) {
		return b.dmd.Blocks[b.blocks[1]-1]
	}
	return b.dmd.MinExposure[depth]
}

// writeConfiguration makes the first definitions effective.
func (b *Board) writeConfiguration(data []byte) errorCode {
	n := int(binary.LittleEndian.Uint16(data) & 0x7ff)
	switch {
	case b.mode.display == videoMode, b.sequencer.state != stopped:
		return notAllowed
	case n < 1 || n > len(b.table.definitions):
		return numberOutOfRange
	}
	planes := map[[2]int]bool{}
	for _, e := range b.table.definitions[:n] {
		if !e.defined {
			return itemAbsent
		}
		for k := range e.depth {
			planes[[2]int{e.image, e.bit + k}] = true
		}
	}
	switch {
	case len(planes) > b.dmd.Capacity:
		return outOfMemory
	case b.mode.display == flashMode:
		return notInFlash
	}
	t := &b.table
	t.configured, t.told = true, [6]byte(data)
	t.lut = append(t.lut[:0], t.definitions[:n]...)
	t.total = binary.LittleEndian.Uint32(data[2:])
	t.tails, t.order = make([]bool, n), make([]int, n)
	for i := range n {
		t.tails[i] = t.lut[(i+1)%n].wait
		t.order[i] = i
	}
	b.sequencer = sequencer{}
	b.memory.forget()
	return noError
}

func (b *Board) readConfiguration([]byte) ([]byte, errorCode) { return b.table.told[:], noError }

// writeReorder plays entries of the table in effect in another order. Black patterns
// stay with the entries that they were appended to.
func (b *Board) writeReorder(data []byte) errorCode {
	n := int(binary.LittleEndian.Uint16(data))
	total, indices := binary.LittleEndian.Uint32(data[2:]), data[6:]
	switch {
	case b.mode.display != flashMode && b.mode.display != onTheFlyMode, b.sequencer.state != stopped:
		return notAllowed
	case !b.table.configured:
		return itemAbsent
	case n < 1 || n > maxReorder:
		return numberOutOfRange
	case len(indices) < 2*n:
		return invalidParameter
	}
	order := make([]int, n)
	for i := range order {
		order[i] = int(binary.LittleEndian.Uint16(indices[2*i:]))
		if order[i] >= len(b.table.lut) {
			return numberOutOfRange
		}
	}
	b.table.order, b.table.total = order, total
	b.sequencer = sequencer{}
	return noError
}

// checkInvert: definitions must be sent again after it, says the manual.
func (b *Board) checkInvert(data []byte) errorCode {
	switch {
	case b.sequencer.state != stopped:
		return notAllowed
	case data[0] > 1:
		return invalidParameter
	}
	clear(b.table.definitions)
	b.table.configured = false
	b.memory.forget()
	return noError
}
