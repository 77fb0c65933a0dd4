package gige

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genicam"
)

// A sender makes the packets of frames, as the protocol's layout says.
type sender struct {
	image    genicam.Image
	size     int // of packets
	extended bool
	first    uint64 // number of the first frame
}

// number is that of frame seq.
func (s sender) number(seq int) uint64 {
	n := s.first + uint64(seq)
	if !s.extended {
		n = (n-1)%65535 + 1
	}
	return n
}

func (s sender) packet(seq int, content byte, id int, status uint16, body []byte) []byte {
	p := binary.BigEndian.AppendUint16(nil, status)
	if s.extended {
		p = binary.BigEndian.AppendUint16(p, 0)
		p = binary.BigEndian.AppendUint32(p, 1<<31|uint32(content)<<24)
		p = binary.BigEndian.AppendUint64(p, s.number(seq))
		p = binary.BigEndian.AppendUint32(p, uint32(id))
	} else {
		p = binary.BigEndian.AppendUint16(p, uint16(s.number(seq)))
		p = binary.BigEndian.AppendUint32(p, uint32(content)<<24|uint32(id))
	}
	return append(p, body...)
}

// pixels of a frame are never 0 and differ from frame to frame.
func (s sender) pixels(seq int) []byte {
	pix := make([]byte, s.image.Bytes)
	for i := range pix {
		pix[i] = byte(1 + (i*7+seq*31)%255)
	}
	return pix
}

func (s sender) frame(seq int) [][]byte {
	lead := binary.BigEndian.AppendUint32(nil, 1)
	lead = binary.BigEndian.AppendUint64(lead, uint64(1000+seq))
	for _, x := range []uint32{uint32(s.image.Format), uint32(s.image.Width), uint32(s.image.Height), 0, 0, 0} {
		lead = binary.BigEndian.AppendUint32(lead, x)
	}
	packets := [][]byte{s.packet(seq, 1, 0, 0, lead)}
	each := s.size - 36
	if s.extended {
		each = s.size - 48
	}
	for part := range slices.Chunk(s.pixels(seq), each) {
		packets = append(packets, s.packet(seq, 3, len(packets), 0, part))
	}
	return append(packets, s.packet(seq, 2, len(packets), 0, binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, uint32(s.image.Height))))
}

// A receiver is an assembler with as many buffers as it wants.
type receiver struct {
	*assembler
	buffers [][]byte
	free    []int
	got     []finished
}

func newReceiver(s sender, buffers, frames int, resends bool) *receiver {
	r := &receiver{}
	for i := range buffers {
		r.buffers = append(r.buffers, bytes.Repeat([]byte{0xEE}, s.image.Bytes)) // of an earlier frame
		r.free = append(r.free, i)
	}
	r.assembler = &assembler{image: s.image, packetSize: s.size, resends: resends, numbering: numbering{frames: uint64(frames)}, take: func() (int, []byte) {
		if len(r.free) == 0 {
			return -1, nil
		}
		i := r.free[len(r.free)-1]
		r.free = r.free[:len(r.free)-1]
		return i, r.buffers[i]
	}}
	return r
}

// collect takes what is finished.
func (r *receiver) collect() {
	for _, f := range r.out {
		if f.lost && f.buffer >= 0 {
			r.free = append(r.free, f.buffer)
		}
		r.got = append(r.got, f)
	}
	r.out = r.out[:0]
}

var small = genicam.Image{Width: 50, Height: 20, Format: genicam.Mono8, Bytes: 1000}

// Over a link that loses, doubles and exchanges packets, those that are sent again as well, a
// frame is whole if all its packets came, else it has zeros where they did not, and the
// counters have every packet and every frame.
func TestAssembler(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 7))
		s := sender{image: small, size: 136 + random.IntN(400), extended: seed%2 == 1, first: 1}
		if seed%3 == 1 {
			s.first = 65530 // numbers wrap within the run, or go on from an earlier one
		}
		const frames = 60
		r := newReceiver(s, frames, frames, seed%5 != 4)
		loss := []float64{0, 0.02, 0.3}[random.IntN(3)]
		now := time.Unix(0, 0)
		came := make([]map[int]bool, frames) // packets, before the frame was given out
		sent := make([][][]byte, frames)
		doubled := uint64(0)
		arrive := func(seq, id int) {
			finished := len(r.got) > seq
			if !finished && came[seq][id] {
				doubled++
			}
			if !finished {
				came[seq][id] = true
			}
			r.packet(now, sent[seq][id])
			r.collect()
		}
		step := func(d time.Duration) {
			now = now.Add(d)
			r.tick(now)
			r.collect()
			gaps := slices.Clone(r.gaps)
			r.gaps = r.gaps[:0]
			for _, g := range gaps {
				for seq := range sent {
					for id := g.first; id <= g.last && s.number(seq) == g.block; id++ {
						if random.Float64() >= loss {
							arrive(seq, int(id))
						}
					}
				}
			}
		}
		for seq := range frames {
			came[seq] = map[int]bool{}
			sent[seq] = s.frame(seq)
			order := make([]int, 0, len(sent[seq]))
			for id := range sent[seq] {
				always := id == 0 && (seq == 0 || seq == frames-1) // so that it is known which they are
				if random.Float64() >= loss || always {
					order = append(order, id)
				}
				if random.Float64() < loss {
					order = append(order, id)
				}
			}
			for i := range order {
				if i > 0 && random.Float64() < loss {
					order[i-1], order[i] = order[i], order[i-1]
				}
			}
			for _, id := range order {
				arrive(seq, id)
				step(50 * time.Microsecond)
			}
		}
		for range 200 {
			step(5 * time.Millisecond)
		}
		if !r.idle() {
			t.Fatalf("seed %d: frames are open after a second", seed)
		}
		if len(r.got) != frames {
			t.Fatalf("seed %d: %d frames came of %d", seed, len(r.got), frames)
		}
		missing, lost := uint64(0), uint64(0)
		for seq, f := range r.got {
			if f.seq != uint64(seq) {
				t.Fatalf("seed %d: frame %d came where %d was expected", seed, f.seq, seq)
			}
			all := len(came[seq]) == len(sent[seq])
			missing += uint64(len(sent[seq]) - len(came[seq]))
			if !came[seq][0] {
				lost++
			}
			switch {
			case f.lost != !came[seq][0], !f.lost && (f.status == camera.OK) != all, !f.lost && !all && f.status != camera.Incomplete:
				t.Fatalf("seed %d: of frame %d came %v; it is lost: %t, %v", seed, seq, came[seq], f.lost, f.status)
			case f.lost:
				continue
			case f.ticks != uint64(1000+seq):
				t.Fatalf("seed %d: frame %d has the time %d", seed, seq, f.ticks)
			}
			want := s.pixels(seq)
			for id := 1; id < len(sent[seq])-1; id++ {
				if !came[seq][id] {
					clear(want[(id-1)*r.each() : min(id*r.each(), len(want))])
				}
			}
			if !bytes.Equal(r.buffers[f.buffer], want) {
				t.Fatalf("seed %d: frame %d has wrong pixels", seed, seq)
			}
		}
		if r.stats.Missing != missing || r.stats.Lost != lost || r.stats.Doubled != doubled || r.stats.Malformed != 0 {
			t.Errorf("seed %d: %d packets are missing, %d doubled, %d frames lost; counted are %+v", seed, missing, doubled, lost, r.stats)
		}
		if loss == 0 && (r.stats.Asked != 0 || missing != 0) {
			t.Errorf("seed %d: nothing was lost, and counted are %+v", seed, r.stats)
		}
	}
}

// A long gap is counted and not filled, and frames go on.
func TestManyLostFrames(t *testing.T) {
	s := sender{image: small, size: 576, first: 1}
	r := newReceiver(s, 20, 1000, true)
	now := time.Unix(0, 0)
	for _, seq := range []int{0, 1, 500, 501} {
		for _, p := range s.frame(seq) {
			r.packet(now, p)
		}
		r.collect()
	}
	for range 100 {
		now = now.Add(5 * time.Millisecond)
		r.tick(now)
		r.collect()
	}
	var good []uint64
	for _, f := range r.got {
		if !f.lost && f.status == camera.OK {
			good = append(good, f.seq)
		}
	}
	if want := []uint64{0, 1, 500, 501}; !slices.Equal(good, want) || r.stats.Lost != 498 {
		t.Errorf("frames %v came, want %v; %d are lost", good, want, r.stats.Lost)
	}
}

func TestOtherFramesThanAsked(t *testing.T) {
	asked := sender{image: small, size: 576, first: 1}
	for name, sent := range map[string]genicam.Image{
		"another format": {Width: 50, Height: 20, Format: 0x01080009, Bytes: 1000},
		"another width":  {Width: 20, Height: 50, Format: genicam.Mono8, Bytes: 1000},
	} {
		r := newReceiver(asked, 1, 1, true)
		for _, p := range (sender{image: sent, size: 576, first: 1}).frame(0) {
			r.packet(time.Unix(0, 0), p)
		}
		r.collect()
		if len(r.got) != 1 || r.got[0].status != camera.Damaged {
			t.Errorf("%s: %+v", name, r.got)
		}
	}
	// The camera itself says that something was wrong.
	r := newReceiver(asked, 1, 1, true)
	for id, p := range asked.frame(0) {
		if id == 1 {
			binary.BigEndian.PutUint16(p, 0x800D)
		}
		r.packet(time.Unix(0, 0), p)
	}
	if r.collect(); len(r.got) != 1 || r.got[0].status != camera.Damaged {
		t.Errorf("an overrun in the camera: %+v", r.got)
	}
}

// A packet that the camera cannot send again is not waited for.
func TestUnavailablePackets(t *testing.T) {
	s := sender{image: small, size: 576, first: 1}
	r := newReceiver(s, 1, 1, true)
	now := time.Unix(0, 0)
	for id, p := range s.frame(0) {
		if id != 1 {
			r.packet(now, p)
		}
	}
	now = now.Add(2 * order)
	if r.tick(now); len(r.gaps) != 1 || r.gaps[0] != (gap{1, false, 1, 1}) {
		t.Fatalf("asked for %+v", r.gaps)
	}
	r.packet(now, s.packet(0, 3, 1, 0x800C, nil))
	if r.collect(); len(r.got) != 1 || r.got[0].status != camera.Incomplete {
		t.Errorf("a packet that is not available: %+v", r.got)
	}
}

// Without a buffer a frame is lost, and the next is not.
func TestNoBuffer(t *testing.T) {
	s := sender{image: small, size: 576, first: 1}
	r := newReceiver(s, 1, 3, true)
	for seq := range 3 {
		if seq == 2 {
			r.free = append(r.free, r.got[0].buffer)
		}
		for _, p := range s.frame(seq) {
			r.packet(time.Unix(0, 0), p)
		}
		r.collect()
	}
	if len(r.got) != 3 || r.got[0].lost || !r.got[1].lost || r.got[2].lost || r.stats.Overruns != 1 {
		t.Errorf("%+v, %+v", r.got, r.stats)
	}
}

func TestNumbering(t *testing.T) {
	for name, c := range map[string]struct {
		n        numbering
		extended bool
		first    uint64
		seq      uint64
	}{
		"begins with 1":                      {numbering{frames: 10}, false, 1, 0},
		"the first two are lost":             {numbering{frames: 10}, false, 3, 2},
		"goes on, of which nothing is known": {numbering{frames: 10}, false, 65400, 0},
		"goes on, and that is seen":          {numbering{frames: 10, before: 7}, false, 8, 0},
		"goes on, the first is lost":         {numbering{frames: 10, continues: true, before: 65535}, false, 2, 1},
		"went on, and nobody knows how":      {numbering{frames: 10, continues: true, before: 100}, false, 300, 0},
		"begins with 1 again":                {numbering{frames: 10, before: 7}, true, 1, 0},
	} {
		n := c.n
		n.first(c.first, c.extended)
		if n.seq != c.seq {
			t.Errorf("%s: the first frame is %d, want %d", name, n.seq, c.seq)
		}
		for d := range uint64(70000) {
			number := c.first + d
			if !c.extended {
				number = (number-1)%65535 + 1
			}
			if seq, ok := n.place(number, c.extended, true); !ok || seq != c.seq+d || n.number(seq, c.extended) != number {
				t.Fatalf("%s: the frame %d after it is %d, %t", name, d, seq, ok)
			}
		}
	}
	n := numbering{frames: 10}
	n.first(2, false)
	for _, number := range []uint64{65000, 30000} {
		if seq, ok := n.place(number, false, false); ok {
			t.Errorf("number %d is frame %d of a run that has begun with 2", number, seq)
		}
	}
}

// Whatever comes, frames leave in order, each buffer once, and their number is counted.
func FuzzAssembler(f *testing.F) {
	s := sender{image: small, size: 576, first: 1}
	var seed []byte
	for _, p := range append(s.frame(0), s.frame(2)...) {
		seed = append(append(seed, 5, byte(len(p)>>8), byte(len(p))), p...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newReceiver(s, 3, 5, true)
		now := time.Unix(0, 0)
		for len(data) >= 3 {
			now = now.Add(time.Duration(data[0]) * time.Millisecond)
			n := min(int(data[1])<<8|int(data[2]), len(data)-3)
			r.packet(now, data[3:3+n])
			r.tick(now)
			r.collect()
			r.gaps = r.gaps[:0]
			data = data[3+n:]
		}
		r.giveUpAll()
		r.collect()
		next := uint64(0)
		used := map[int]bool{}
		for _, f := range r.got {
			if f.seq < next || !f.lost && used[f.buffer] {
				t.Fatalf("frame %d after %d, in buffer %d", f.seq, next, f.buffer)
			}
			next = f.seq + 1
			used[f.buffer] = used[f.buffer] || !f.lost
		}
		if whole := uint64(len(r.got)); whole > next {
			t.Fatalf("%d frames of %d", whole, next)
		}
	})
}

// In steady state nothing is allocated.
func TestAssemblerAllocatesNothing(t *testing.T) {
	s := sender{image: small, size: 576, first: 1}
	r := newReceiver(s, 1, 1<<20, true)
	frame := s.frame(0)
	seq := 0
	one := func() {
		for _, p := range frame {
			binary.BigEndian.PutUint16(p[2:], uint16(seq%65535+1))
			r.packet(time.Unix(0, 0), p)
		}
		r.tick(time.Unix(0, 0))
		r.free = append(r.free[:0], r.out[0].buffer)
		r.out = r.out[:0]
		seq++
	}
	one()
	if n := testing.AllocsPerRun(100, one); n != 0 {
		t.Errorf("%v allocations per frame", n)
	}
}

// How fast frames of 1 Mpx are put together, over copying their pixels.
func BenchmarkAssembler(b *testing.B) {
	s := sender{image: genicam.Image{Width: 1024, Height: 1024, Format: genicam.Mono8, Bytes: 1 << 20}, first: 1}
	for _, size := range []int{1500, 9000} {
		b.Run(map[int]string{1500: "packets of 1500", 9000: "packets of 9000"}[size], func(b *testing.B) {
			s.size = size
			r := newReceiver(s, 1, 1<<30, true)
			frame := s.frame(0)
			seq := 0
			for b.Loop() {
				for _, p := range frame {
					binary.BigEndian.PutUint16(p[2:], uint16(seq%65535+1))
					r.packet(time.Unix(0, 0), p)
				}
				r.free = append(r.free[:0], r.out[0].buffer)
				r.out = r.out[:0]
				seq++
			}
			assembling := b.Elapsed().Seconds() / float64(b.N)
			pix := s.pixels(0)
			began := time.Now()
			for range b.N {
				copy(r.buffers[0], pix)
			}
			copying := time.Since(began).Seconds() / float64(b.N)
			b.ReportMetric(1/assembling, "frames/s")
			b.ReportMetric(float64(s.image.Bytes)/assembling/1e6, "MB/s")
			b.ReportMetric(assembling/copying, "of-copying")
		})
	}
}
