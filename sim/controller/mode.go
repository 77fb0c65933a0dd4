package controller

// Display modes and what is common to all patterns (manual, on the display mode and
// on block load).

// displayMode is what command 0x1A1B sets.
type displayMode byte

const (
	videoMode        displayMode = 0
	flashMode        displayMode = 1
	videoPatternMode displayMode = 2
	onTheFlyMode     displayMode = 3
)

type mode struct {
	display      displayMode
	told         displayMode // what the next read-back says, where it is slow
	slow         bool
	abortLatched bool
	stuck        bool // a block of mirrors holds
}

func (b *Board) writeMode(data []byte) errorCode {
	next := displayMode(data[0])
	switch {
	case next > onTheFlyMode:
		return invalidParameter
	case b.sequencer.state != stopped && b.config.Quirks.LocksUp:
		b.hung = true
		return notAllowed
	case b.sequencer.state != stopped, b.power.idle, b.power.parked:
		return notAllowed
	case next == videoPatternMode && b.mode.display != next: // needs a locked source; there is none
		return notAllowed
	}
	b.mode.told, b.mode.slow = b.mode.display, b.config.Quirks.SlowReadBack && next != b.mode.display
	b.mode.display = next
	b.table = table{definitions: make([]entry, b.dmd.Entries)}
	b.memory = newMemory(b.dmd)
	b.stick()
	return noError
}

func (b *Board) readMode([]byte) ([]byte, errorCode) {
	if b.mode.slow {
		b.mode.slow = false
		return []byte{byte(b.mode.told)}, noError
	}
	return []byte{byte(b.mode.display)}, noError
}

// writeBlocks takes the first block and the number of blocks in use.
func (b *Board) writeBlocks(data []byte) errorCode {
	first, count := int(data[0]), int(data[1])
	switch {
	case b.sequencer.state != stopped:
		return notAllowed
	case count < 1 || first+count > len(b.dmd.Blocks):
		return invalidParameter
	}
	b.blocks = [2]int{first, count}
	b.memory.forget()
	return noError
}

func (b *Board) readBlocks([]byte) ([]byte, errorCode) {
	return []byte{byte(b.blocks[0]), byte(b.blocks[1])}, noError
}
