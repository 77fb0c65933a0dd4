package gentl

// numbering turns the ids that a producer gives its frames into sequence numbers that begin
// at 0 and have a gap for each lost frame, the first of a run included.
//
// What the id of a run's first frame is the standard leaves open. GigE Vision begins with 1
// and skips 0 when its 16 bits are full; USB3 Vision begins with 0; others begin where they
// like, or go on from run to run, which is learnt: a run whose first frame is lost is then
// seen from the second run on, and in the first only by the counters.
type numbering struct {
	gev bool

	first      uint64 // id of the first frame of a run
	firstKnown bool
	last       uint64 // id of the frame before
	lastKnown  bool

	began bool   // the run has a frame
	next  uint64 // sequence number, if nothing is lost
	most  uint64 // frames that a run may have lost before its first
}

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
	lost := n.most + 1
	if n.firstKnown {
		lost = min(lost, id-n.first)
	}
	if n.lastKnown {
		lost = min(lost, n.skipped(n.last, id))
	}
	if lost > n.most {
		n.first, n.firstKnown = id, true
		return 0
	}
	return lost
}
