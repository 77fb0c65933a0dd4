package gige

import (
	"slices"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genicam"
)

// When the assembler takes a packet for lost, and a frame.
const (
	// quiet is how long nothing must have come for a frame, none of whose successors has
	// begun, before its end counts as lost.
	quiet = 5 * time.Millisecond
	// order is how much later than its successors a packet may come.
	order = time.Millisecond
	// askAgain is the time between the first two requests for the same packets; it doubles. After
	// so many requests, the frame is given up when nothing has come for the time of patience; of
	// silence, if nothing shows that the camera has gone on and the host was not just busy.
	askAgain = 10 * time.Millisecond
	requests = 4
	patience = 100 * time.Millisecond
	silence  = 500 * time.Millisecond
	// maxGap is how many lost frames in a row are asked for.
	maxGap = 16
	// maxGaps is how many gaps of a frame are asked for at a time.
	maxGaps = 32
)

// Stats counts what came of a stream since the camera was opened. All numbers only grow.
type Stats struct {
	Packets   uint64 // of frames, received
	Asked     uint64 // for which the camera was asked again, each time
	Recovered uint64 // that came after they were asked for
	Missing   uint64 // that never came
	Doubled   uint64 // that came more than once
	Late      uint64 // that came after their frame was given up
	Malformed uint64 // that made no sense
	Foreign   uint64 // that others than the camera sent

	Incomplete uint64 // frames of which packets were missing, given out as such
	Lost       uint64 // frames of which too little came to give them out
	Overruns   uint64 // frames for which there was no buffer, among the lost ones
}

// A finished frame leaves the assembler.
type finished struct {
	seq    uint64
	buffer int  // -1: there was none
	lost   bool // the buffer is free again
	ticks  uint64
	status camera.Status
}

// A block is a frame on its way.
type block struct {
	number   uint64 // of the camera
	extended bool
	seq      uint64
	buffer   int // -1: none yet, or none was free
	refused  bool
	leader   leader
	rows     uint32
	damaged  bool // the camera said so, or the frame is another than was asked for

	have    []uint64 // bits: packets that came
	came    int      // how many
	given   []uint64 // bits: packets that the camera cannot send again
	gone    int      // how many
	asked   []uint64 // bits: packets that were asked for
	touched time.Time
	due     time.Time // since then all should be there; zero: not yet
	guessed bool      // from silence alone
	last    time.Time // of the last request
	tries   int
	done    bool
}

// assembler makes frames of packets. It knows no network and no clock: packets and times
// are given to it. It is for one goroutine.
type assembler struct {
	image      genicam.Image
	packetSize int // with all headers
	resends    bool
	numbering  numbering

	take func() (index int, buffer []byte) // gets a free buffer; -1 if there is none
	pix  [][]byte                          // by index, those taken

	started  bool
	extended bool
	payloads uint32   // packets with pixels in each frame
	blocks   []*block // in the order of their seq, none missing between
	next     uint64   // seq of the first of them
	spare    []*block
	out      []finished
	gaps     []gap
	stats    Stats
}

// numbering turns the numbers of a camera's frames into those of a run.
type numbering struct {
	frames uint64 // that the run expects

	continues bool   // the camera does not begin each run with 1
	before    uint64 // number of the last frame of the run before; 0: not known

	last uint64 // number of some frame of this run
	seq  uint64 // and its place
}

// distance is how many frames b is after a: below 0, if it is before.
func distance(a, b uint64, extended bool) int64 {
	if extended {
		return int64(b - a)
	}
	const period = 1<<16 - 1 // 0 is skipped
	d := (int64(b) - int64(a)) % period
	if d < 0 {
		d += period
	}
	if d > period/2 {
		d -= period
	}
	return d
}

// first decides which frame of the run the first one is that came. Cameras begin with 1, so
// that it is known if the first was lost; those that go on counting are recognised by it.
func (n *numbering) first(number uint64, extended bool) {
	n.last, n.seq = number, 0
	n.continues = n.continues || n.before != 0 && distance(n.before, number, extended) == 1
	if !n.continues && number <= n.frames {
		n.seq = number - 1
		return
	}
	n.continues = true
	if n.before != 0 {
		if d := distance(n.before, number, extended); d >= 1 && d <= int64(n.frames) {
			n.seq = uint64(d - 1)
		}
	}
}

// maxJump is how many frames can be lost at once. More would be nonsense.
const maxJump = 1 << 20

// place is the place of a frame in the run; false if it is of another run, or of none. That
// many frames were lost is only believed of leaders.
func (n *numbering) place(number uint64, extended, leads bool) (uint64, bool) {
	d := distance(n.last, number, extended)
	if d < 0 && (d < -maxJump || uint64(-d) > n.seq) || d > maxGap && !leads || d > maxJump {
		return 0, false
	}
	seq := n.seq + uint64(d)
	if d > 0 {
		n.last, n.seq = number, seq
	}
	return seq, true
}

// number is that of the frame at a place.
func (n *numbering) number(seq uint64, extended bool) uint64 {
	d := seq - n.seq // wraps where it is before
	if extended {
		return n.last + d
	}
	const period = 1<<16 - 1
	x := (int64(n.last) - 1 + int64(d)%period) % period
	if x < 0 {
		x += period
	}
	return uint64(x) + 1
}

// begin says how the packets of the stream are, from the first of them.
func (a *assembler) begin(p packet) {
	a.started, a.extended = true, p.extended
	each := a.each()
	a.payloads = uint32((a.image.Bytes + each - 1) / each)
	a.numbering.first(p.block, p.extended)
}

// each is how many bytes of a frame a packet has.
func (a *assembler) each() int { return a.packetSize - header(a.extended) }

// packets is how many a frame has, leader and trailer among them.
func (a *assembler) packets() int { return int(a.payloads) + 2 }

// packet takes a packet that came now.
func (a *assembler) packet(now time.Time, data []byte) {
	p, err := parsePacket(data)
	if err != nil || a.started && p.extended != a.extended {
		a.stats.Malformed++
		return
	}
	if !a.started {
		a.begin(p)
	}
	seq, ok := a.numbering.place(p.block, p.extended, p.content == contentLeader)
	if !ok || seq < a.next {
		a.stats.Late++
		return
	}
	b := a.block(now, seq)
	if b == nil {
		a.stats.Late++
		return
	}
	a.put(now, b, p)
	if b.done {
		a.settle()
	}
}

// block finds the block of a place, and makes it, and those before it that are missing.
func (a *assembler) block(now time.Time, seq uint64) *block {
	if end := a.next + uint64(len(a.blocks)); seq >= end {
		if behind := seq - end; behind > maxGap { // too many are lost to be asked for
			a.giveUpAll()
			a.stats.Lost += behind - maxGap
			a.next += behind - maxGap
		}
		for end := a.next + uint64(len(a.blocks)); end <= seq; end++ {
			a.blocks = append(a.blocks, a.fresh(now, end))
		}
		for _, b := range a.blocks[:len(a.blocks)-1] { // the frame after it has begun
			if b.due.IsZero() {
				b.due = now
			}
			b.guessed = false
		}
	}
	if seq < a.next {
		return nil
	}
	return a.blocks[seq-a.next]
}

// fresh is a block of which nothing has come.
func (a *assembler) fresh(now time.Time, seq uint64) *block {
	words := (a.packets() + 63) / 64
	var b *block
	if n := len(a.spare); n > 0 {
		b, a.spare = a.spare[n-1], a.spare[:n-1]
		clear(b.have)
		clear(b.given)
		clear(b.asked)
	} else {
		bits := make([]uint64, 3*words)
		b = &block{have: bits[:words:words], given: bits[words : 2*words : 2*words], asked: bits[2*words:]}
	}
	*b = block{
		have: b.have, given: b.given, asked: b.asked, buffer: -1, touched: now, seq: seq,
		number: a.numbering.number(seq, a.extended), extended: a.extended,
	}
	return b
}

func bit(bits []uint64, i uint32) bool { return bits[i/64]>>(i%64)&1 != 0 }
func set(bits []uint64, i uint32)      { bits[i/64] |= 1 << (i % 64) }

// put puts a packet into its frame.
func (a *assembler) put(now time.Time, b *block, p packet) {
	switch {
	case p.id >= uint32(a.packets()):
		a.stats.Malformed++
		return
	case b.done || bit(b.have, p.id):
		a.stats.Doubled++
		return
	}
	if p.status&0x8000 != 0 && len(p.body) == 0 { // it cannot be sent again
		if !bit(b.given, p.id) {
			set(b.given, p.id)
			b.gone++
		}
		a.check(b)
		return
	}
	if b.buffer < 0 && !b.refused {
		var pix []byte
		if b.buffer, pix = a.take(); b.buffer < 0 {
			b.refused = true
			a.stats.Overruns++
		} else {
			for len(a.pix) <= b.buffer {
				a.pix = append(a.pix, nil)
			}
			a.pix[b.buffer] = pix
		}
	}
	if !a.store(b, p) {
		a.stats.Malformed++
		return
	}
	a.stats.Packets++
	if bit(b.asked, p.id) {
		a.stats.Recovered++
	}
	if bit(b.given, p.id) {
		b.gone--
		b.given[p.id/64] &^= 1 << (p.id % 64)
	}
	b.damaged = b.damaged || p.status&0x8000 != 0
	set(b.have, p.id)
	b.came++
	b.touched = now
	if p.content == contentTrailer {
		if b.due.IsZero() {
			b.due = now
		}
		b.guessed = false
	}
	a.check(b)
}

// check finishes a block of which no more will come.
func (a *assembler) check(b *block) { b.done = b.done || b.came+b.gone >= a.packets() }

// store keeps what a packet carries, and says whether it makes sense.
func (a *assembler) store(b *block, p packet) bool {
	trailer := uint32(a.packets() - 1)
	switch {
	case p.content == contentLeader && p.id == 0:
		l, err := parseLeader(p.body)
		if err != nil {
			return false
		}
		b.leader = l
		b.damaged = b.damaged || !l.is(a.image)
	case p.content == contentTrailer && p.id == trailer:
		rows, err := parseTrailer(p.body)
		if err != nil {
			return false
		}
		b.rows = rows
	case p.content == contentPayload && p.id != 0 && p.id < trailer:
		at := int(p.id-1) * a.each()
		want := min(a.each(), a.image.Bytes-at)
		if len(p.body) < want {
			return false
		}
		if b.buffer >= 0 {
			copy(a.pix[b.buffer][at:at+want], p.body)
		}
	default:
		return false
	}
	return true
}

// settle gives out the frames that are done, as long as none before them is not.
func (a *assembler) settle() {
	for len(a.blocks) > 0 && a.blocks[0].done {
		b := a.blocks[0]
		a.finish(b)
		a.blocks = slices.Delete(a.blocks, 0, 1)
		a.next++
		a.spare = append(a.spare, b)
	}
}

// finish gives out a frame.
func (a *assembler) finish(b *block) {
	f := finished{seq: b.seq, buffer: b.buffer, ticks: b.leader.ticks}
	missing := a.packets() - b.came
	a.stats.Missing += uint64(missing)
	switch {
	case b.buffer < 0 || !bit(b.have, 0): // nobody knows what it is, or when
		a.stats.Lost++
		f.lost = true
		a.out = append(a.out, f)
		return
	case b.damaged:
		f.status = camera.Damaged
	case missing > 0 || b.rows > 0 && b.rows < uint32(a.image.Height): // 0: it does not say
		f.status = camera.Incomplete
		a.stats.Incomplete++
	}
	if missing > 0 {
		a.blank(b)
	}
	a.out = append(a.out, f)
}

// blank clears the pixels that did not come: the buffer has those of an earlier frame.
func (a *assembler) blank(b *block) {
	for id := uint32(1); id <= a.payloads; id++ {
		if !bit(b.have, id) {
			at := int(id-1) * a.each()
			clear(a.pix[b.buffer][at:min(at+a.each(), a.image.Bytes)])
		}
	}
}

// tick looks for what is late. It must be called every few milliseconds while frames are
// open.
func (a *assembler) tick(now time.Time) {
	for _, b := range a.blocks {
		if b.due.IsZero() && now.Sub(b.touched) >= quiet {
			b.due, b.guessed = now.Add(-order), true
		}
		if b.done || b.due.IsZero() || now.Sub(b.due) < order {
			continue
		}
		switch {
		case !a.resends || b.tries == requests:
			limit := patience
			if b.guessed {
				limit = silence
			}
			b.done = now.Sub(later(b.due, later(b.touched, b.last))) >= limit
		case b.tries == 0 || now.Sub(b.last) >= askAgain<<(b.tries-1):
			b.tries++
			b.last = now
			a.ask(b)
		}
	}
	a.settle()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// ask asks for the packets of a block that are missing.
func (a *assembler) ask(b *block) {
	n := uint32(a.packets())
	asked := 0
	for first := uint32(0); first < n && asked < maxGaps; first++ {
		if bit(b.have, first) || bit(b.given, first) {
			continue
		}
		last := first
		for last+1 < n && !bit(b.have, last+1) && !bit(b.given, last+1) {
			last++
		}
		for id := first; id <= last; id++ {
			set(b.asked, id)
		}
		a.stats.Asked += uint64(last - first + 1)
		a.gaps = append(a.gaps, gap{b.number, b.extended, first, last})
		asked++
		first = last
	}
}

// giveUpAll finishes all frames that have begun: nothing more will come.
func (a *assembler) giveUpAll() {
	for _, b := range a.blocks {
		b.done = true
	}
	a.settle()
}

// idle says that no frame is open.
func (a *assembler) idle() bool { return len(a.blocks) == 0 }
