package u3vcam

// FrameFault is what becomes of a frame.
type FrameFault uint8

const (
	None         FrameFault = iota
	Drop                    // it is taken, and never sent; its id is missing
	Overrun                 // its trailer says so
	Discarded               // half of its pixels are sent, and its trailer says so
	ShortPixels             // half of its pixels are sent, and its trailer says that all are there
	LongPixels              // a transfer more is sent
	NoLeader                // is sent
	NoTrailer               // is sent
	ShortLeader             // is cut in half
	ShortTrailer            // is cut in half
	WrongID                 // in its trailer
	Twice                   // its edge makes two frames
	Stall                   // the pipe stalls before it
)

// Faults is what goes wrong.
type Faults struct {
	Frames map[int]FrameFault // by frame of the run, from 0

	Deaf bool // edges are ignored

	// Of commands, counted down: so many are not answered, are answered busy, stall, or are
	// answered by something of another id first.
	Silent, Busy, Stalls, Strange int

	Pending int    // ms that every command asks for more, before it is answered
	Stuck   uint64 // a register that keeps its value; 0: none does
	First   uint64 // id of the first frame of a run
}

// SetFaults replaces what goes wrong from now on.
func (c *Camera) SetFaults(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = f
}
