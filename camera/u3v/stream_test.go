package u3v

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genicam"
)

// transfers is a pipe with what is in it.
type transfers struct {
	all  [][]byte
	at   int
	over bool // again from the start
}

var errEmpty = errors.New("the pipe is empty")

func (x *transfers) Read(p []byte) (int, error) {
	if x.at == len(x.all) {
		if !x.over {
			return 0, errEmpty
		}
		x.at = 0
	}
	n := copy(p, x.all[x.at])
	x.at++
	return n, nil
}

func (x *transfers) Close() error { return nil }

// image is a small one, of two transfers.
var image = genicam.Image{Width: 64, Height: 32, Format: genicam.Mono8, Bytes: 2048}

func testPlan(t testing.TB) plan {
	p, err := newPlan(uint64(image.Bytes), leaderSize, trailerSize, 0, Options{Transfer: 1024, InFlight: 4096}, 512)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// testFrame is a frame's transfers, as this test has them.
func testFrame(id uint64) [][]byte {
	le := binary.LittleEndian
	leader := append([]byte("U3VL\x00\x00\x34\x00"), make([]byte, 44)...)
	le.PutUint64(leader[8:], id)
	leader[18] = 1
	le.PutUint32(leader[28:], uint32(image.Format))
	le.PutUint32(leader[32:], uint32(image.Width))
	le.PutUint32(leader[36:], uint32(image.Height))
	trailer := append([]byte("U3VT\x00\x00\x20\x00"), make([]byte, 24)...)
	le.PutUint64(trailer[8:], id)
	le.PutUint64(trailer[20:], uint64(image.Bytes))
	return [][]byte{leader, bytes.Repeat([]byte{1}, 1024), bytes.Repeat([]byte{2}, 1024), trailer}
}

func newReceiver(s *stream, pipe Pipe, p plan) *receiver {
	return &receiver{stream: s, pipe: pipe, plan: p, head: make([]byte, p.size), waste: make([]byte, p.payload+p.size+p.alignment)}
}

// A frame costs no memory, from its transfers to its return.
func TestNoAllocations(t *testing.T) {
	p := testPlan(t)
	s := newStream("test", 4)
	s.begin(image, p, 1<<30)
	r := newReceiver(s, &transfers{all: testFrame(0), over: true}, p)
	room := make([]camera.Frame, 1)
	ctx := t.Context()
	n := testing.AllocsPerRun(100, func() {
		if err := r.frame(); err != nil {
			t.Fatal(err)
		}
		if k, err := s.wait(ctx, room); k != 1 || err != nil || room[0].Status != camera.OK {
			t.Fatal(k, err, room[0].Status)
		}
		s.requeue(room)
	})
	if n != 0 {
		t.Errorf("%v allocations for a frame, want none", n)
	}
}

// Frames for which there is no buffer are read all the same, and counted.
func TestNoBuffer(t *testing.T) {
	p := testPlan(t)
	s := newStream("test", 2) // and so four buffers
	s.begin(image, p, 100)
	pipe := &transfers{}
	for id := range uint64(7) {
		pipe.all = append(pipe.all, testFrame(id)...)
	}
	r := newReceiver(s, pipe, p)
	for range 6 {
		if err := r.frame(); err != nil {
			t.Fatal(err)
		}
	}
	room := make([]camera.Frame, 4)
	for _, want := range []uint64{0, 2} {
		n, err := s.wait(t.Context(), room)
		if n != 2 || err != nil || room[0].Seq != want {
			t.Fatalf("%d frames from %d on, %v", n, room[0].Seq, err)
		}
		s.requeue(room[:n])
	}
	if err := r.frame(); err != nil {
		t.Fatal(err)
	}
	if n, err := s.wait(t.Context(), room); n != 1 || err != nil || room[0].Seq != 6 {
		t.Errorf("%d frames, the first is %d, %v; want frame 6", n, room[0].Seq, err)
	}
	if got, want := s.end(), (camera.Counts{Frames: 7, Delivered: 5, Lost: 2}); got != want {
		t.Errorf("counts are %+v, want %+v", got, want)
	}
}

// Whatever comes over the pipe: frames are what they say, and after any nonsense two whole
// frames bring at least the second.
func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x04\x00U3VL\x20\x00U3VT\x00\x04xxxx"))
	var whole []byte
	for _, b := range testFrame(3) {
		whole = append(binary.LittleEndian.AppendUint16(whole, uint16(len(b))), b...)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, data []byte) {
		p := testPlan(t)
		pipe := &transfers{}
		for len(data) >= 2 {
			n := min(int(binary.LittleEndian.Uint16(data))%(p.size+1), len(data)-2)
			pipe.all = append(pipe.all, data[2:2+n])
			data = data[2+n:]
		}
		given := len(pipe.all)
		pipe.all = append(append(pipe.all, testFrame(1000)...), testFrame(1001)...)
		s := newStream("test", 8)
		s.begin(image, p, 1<<30)
		r := newReceiver(s, pipe, p)
		var err error
		for err == nil {
			err = r.frame()
		}
		if !errors.Is(err, errEmpty) {
			t.Fatal(err)
		}
		room := make([]camera.Frame, 16)
		good := 0
		for {
			n, _, err := s.pop(room)
			if err != nil || n == 0 {
				break
			}
			for i := range room[:n] {
				if err := room[i].Check(); err != nil {
					t.Fatal(err)
				}
				if room[i].Status == camera.OK && bytes.Equal(room[i].Pix[:1024], bytes.Repeat([]byte{1}, 1024)) {
					good++
				}
			}
			s.requeue(room[:n])
		}
		if given < 8 && good == 0 { // more might fill the buffers
			t.Error("no good frame after nonsense")
		}
	})
}

// How fast transfers become frames, and what that is of copying the pixels.
func BenchmarkReceive(b *testing.B) {
	big := genicam.Image{Width: 1024, Height: 1024, Format: genicam.Mono8, Bytes: 1 << 20}
	p, err := newPlan(uint64(big.Bytes), leaderSize, trailerSize, 0, Options{Transfer: defaultTransfer, InFlight: defaultInFlight}, 1024)
	if err != nil {
		b.Fatal(err)
	}
	parts := testFrame(0)
	le := binary.LittleEndian
	le.PutUint32(parts[0][32:], uint32(big.Width))
	le.PutUint32(parts[0][36:], uint32(big.Height))
	le.PutUint64(parts[3][20:], uint64(big.Bytes))
	pipe := &transfers{all: [][]byte{parts[0]}, over: true}
	for range p.count {
		pipe.all = append(pipe.all, make([]byte, p.size))
	}
	pipe.all = append(pipe.all, parts[3])
	s := newStream("test", 4)
	s.begin(big, p, 1<<30)
	r := newReceiver(s, pipe, p)
	room := make([]camera.Frame, 1)
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if err := r.frame(); err != nil {
			b.Fatal(err)
		}
		if _, err := s.wait(ctx, room); err != nil {
			b.Fatal(err)
		}
		s.requeue(room)
	}
	each := b.Elapsed().Seconds() / float64(b.N)
	to := make([]byte, p.size)
	copy(to, pipe.all[1])
	began := time.Now()
	const copies = 2000
	for range copies {
		copy(to, pipe.all[1])
	}
	copying := time.Since(began).Seconds() / copies * float64(p.count)
	b.ReportMetric(1/each, "frames/s")
	b.ReportMetric(each/copying, "of-copying")
}
