// Package frameid turns the ids that a camera, or the library before it, gives its frames into
// sequence numbers that begin at 0 and have a gap for each lost frame, the first of a run
// included.
//
//	n := frameid.New(frameid.USB3Vision)
//	n.Run(64)              // of so many frames
//	seq := n.Number(id)    // of the next frame that came
//	frames := n.Frames()   // so far, those that were lost before the last included
//
// GigE Vision begins with 1 and skips 0 when its 16 bits are full; USB3 Vision begins with 0;
// others begin where they like. Some go on from run to run instead, and some begin elsewhere
// than they should. Which it is is learnt from the first runs: in those, a loss of the first
// frame may be missed, or seen where there is none.
package frameid

// Kind is a transport, which has a rule for ids.
type Kind uint8

const (
	Unknown Kind = iota // where ids begin has to be learnt
	GigEVision
	USB3Vision
)

// Numbering is the state of a camera's ids. It is for one goroutine.
type Numbering struct {
	wraps bool // after 16 bits, to 1

	first      uint64 // id of the first frame of a run
	firstKnown bool
	began      uint64 // id of the first frame of the run before
	last       uint64 // id of the frame before
	lastKnown  bool
	style      style

	running bool   // the run has a frame
	next    uint64 // sequence number, if nothing is lost
	most    uint64 // frames that a run may have lost before its first
}

// style is what becomes of ids at a new run.
type style uint8

const (
	unknown  style = iota
	restarts       // they begin again
	goesOn
)

// New is for a camera of a kind.
func New(k Kind) Numbering {
	switch k {
	case GigEVision:
		return Numbering{wraps: true, first: 1, firstKnown: true}
	case USB3Vision:
		return Numbering{firstKnown: true}
	}
	return Numbering{}
}

// Run begins a run of so many frames.
func (n *Numbering) Run(frames int) { n.running, n.next, n.most = false, 0, uint64(max(0, frames)) }

// Number is the sequence number of the frame with an id. One that goes back, or leaps by more
// than the run has frames, tells nothing, and counts as the next.
func (n *Numbering) Number(id uint64) uint64 {
	lost := uint64(0)
	if n.running {
		lost = n.skipped(n.last, id)
	} else {
		lost = n.before(id)
		n.began = id
	}
	if lost > n.most {
		lost = 0
	}
	n.running, n.last, n.lastKnown = true, id, true
	seq := n.next + lost
	n.next = seq + 1
	return seq
}

// Next numbers a frame that has no id.
func (n *Numbering) Next() uint64 {
	n.next++
	return n.next - 1
}

// Frames is how many frames the run has had.
func (n *Numbering) Frames() uint64 { return n.next }

// skipped is how many frames were between two ids.
func (n *Numbering) skipped(last, id uint64) uint64 {
	step := id - last
	if n.wraps && id < last && last <= 0xffff {
		step = id + 0xffff - last
	}
	return step - 1
}

// before is how many frames a run lost before its first one.
func (n *Numbering) before(id uint64) uint64 {
	nonsense := n.most + 1
	first, last := nonsense, nonsense
	if n.firstKnown {
		first = id - n.first
	}
	if n.lastKnown {
		last = n.skipped(n.last, id)
	}
	switch {
	case n.style == unknown && first == 0 && last != 0 && n.lastKnown:
		n.style = restarts
	case n.style == unknown && last == 0 && first != 0:
		n.style = goesOn
	case n.style != goesOn && n.lastKnown && id == n.began && first != 0: // twice the same: this is where it begins
		n.style, n.first, n.firstKnown = restarts, id, true
		return 0
	}
	lost := min(first, last)
	switch n.style {
	case restarts:
		lost = first
	case goesOn:
		lost = last
	}
	if lost > n.most { // it is otherwise than it was thought to be
		n.style, n.first, n.firstKnown = unknown, id, true
		return 0
	}
	return lost
}
