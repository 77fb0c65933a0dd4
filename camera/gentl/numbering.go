package gentl

// numbering turns the ids that a producer gives its frames into sequence numbers that begin
// at 0 and have a gap for each lost frame, the first of a run included.
//
// What the id of a run's first frame is the standard leaves open. GigE Vision begins with 1
// and skips 0 when its 16 bits are full; USB3 Vision begins with 0; others begin where they
// like. Some go on from run to run instead. Which it is is learnt from the first runs: where
// the first frame of one of those is lost, it may be missed only by the counters.
type numbering struct {
	gev bool

	first      uint64 // id of the first frame of a run
	firstKnown bool
	last       uint64 // id of the frame before
	lastKnown  bool

	style style

	began bool   // the run has a frame
	next  uint64 // sequence number, if nothing is lost
	most  uint64 // frames that a run may have lost before its first
}

// style is what becomes of ids at a new run.
type style uint8

const (
	unknown  style = iota
	restarts       // they begin again
	goesOn
)

// newNumbering knows where ids begin for a type of transport layer.
func newNumbering(kind string) numbering {
	switch kind {
	case "GEV":
		return numbering{gev: true, first: 1, firstKnown: true}
	case "U3V":
		return numbering{firstKnown: true}
	}
	return numbering{}
}

// run begins a run of so many frames.
func (n *numbering) run(frames int) { n.began, n.next, n.most = false, 0, uint64(frames) }

// skipped is how many frames were between two ids.
func (n *numbering) skipped(last, id uint64) uint64 {
	step := id - last
	if n.gev && id < last && last <= 0xffff {
		step = id + 0xffff - last
	}
	return step - 1
}

// number is the sequence number of the frame with an id.
func (n *numbering) number(id uint64) uint64 {
	lost := uint64(0)
	if n.began {
		lost = n.skipped(n.last, id)
	} else {
		lost = n.before(id)
	}
	if lost > n.most { // an id that goes back, or leaps: it tells nothing
		lost = 0
	}
	n.began, n.last, n.lastKnown = true, id, true
	seq := n.next + lost
	n.next = seq + 1
	return seq
}

// before is how many frames a run lost before its first one.
func (n *numbering) before(id uint64) uint64 {
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
