package gentl

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genicam"
	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
)

// The whole of the sensor, in a byte a pixel.
var whole = shape{Image: genicam.Image{Width: 64, Height: 48, Format: genicam.Mono8, Bytes: 64 * 48}, depth: 8, size: 64 * 48, parts: 1}

// rawStream is a stream without the camera's features: what those would write is written here.
type rawStream struct {
	*stream
	m *model
}

func openRaw(t testing.TB, old bool) *rawStream {
	t.Helper()
	m := newModel(t)
	p, opened := connectTo(t.Context(), t, producer(t, old))
	m.accept()
	const buffers = 8
	memory, err := mapMemory(p.memory, buffers*whole.size*4)
	if err != nil {
		t.Fatal(err)
	}
	s := &rawStream{newStream(p, memory, buffers, opened, func(context.Context) error { return nil }), m}
	t.Cleanup(s.stream.close)
	return s
}

// register writes a register of the camera.
func (s *rawStream) register(address uint64, value uint32) {
	s.m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := s.p.ask(ctx, callLimit, wire.Request{Do: wire.Write, Port: wire.Remote, Address: address, Data: binary.LittleEndian.AppendUint32(nil, value)})
	if err != nil {
		s.m.t.Fatal(err)
	}
}

// arm begins a run with triggers.
func (s *rawStream) arm(frames int) {
	s.m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.start(ctx, whole, frames); err != nil {
		s.m.t.Fatal(err)
	}
	s.register(0x058, 1) // TriggerMode
	s.register(0x04C, 1) // AcquisitionStart
}

// next waits for one frame.
func (s *rawStream) next() camera.Frame {
	s.m.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var f [1]camera.Frame
	if _, err := s.wait(ctx, f[:]); err != nil {
		s.m.t.Fatal(err)
	}
	return f[0]
}

// checkPixels sees that a frame shows what the camera drew as its k-th.
func checkPixels(t testing.TB, f *camera.Frame, k int) {
	t.Helper()
	if err := f.Check(); err != nil {
		t.Fatal(err)
	}
	for v := range f.Height {
		for u := range f.Width {
			if got, want := f.At(u, v), (u+2*v+3*k)&(1<<f.BitDepth-1); got != want {
				t.Fatalf("pixel (%d, %d) of frame %d is %d, want %d", u, v, k, got, want)
			}
		}
	}
}

// Frames arrive in the memory that both processes share, through new producers and old.
func TestStream(t *testing.T) {
	for _, old := range []bool{false, true} {
		s := openRaw(t, old)
		for range 2 { // runs
			s.arm(20)
			for k := range 20 {
				s.m.do("trigger", 1)
				f := s.next()
				if f.Seq != uint64(k) || f.Status != camera.OK {
					t.Fatalf("frame %d is %d, %v", k, f.Seq, f.Status)
				}
				checkPixels(t, &f, k)
				s.requeue([]camera.Frame{f})
			}
			counts, err := s.stop(t.Context())
			if want := (camera.Counts{Frames: 20, Delivered: 20}); err != nil || counts != want {
				t.Errorf("counts are %+v, %v; want %+v", counts, err, want)
			}
			s.register(0x050, 1) // AcquisitionStop
		}
	}
}

// What happens to the library happens to its helper: the run ends in time, with an error that
// says so, and the camera can be opened again.
func TestCrash(t *testing.T) {
	s := openRaw(t, false)
	s.arm(4)
	s.m.do("trigger", 1)
	f := s.next()
	pending := make(chan error, 1)
	go func() {
		_, err := s.wait(t.Context(), make([]camera.Frame, 1))
		pending <- err
	}()
	s.m.do("crash", 1)
	select {
	case err := <-pending:
		if !errors.Is(err, camera.ErrUnplugged) {
			t.Errorf("Wait when the library crashed: %v, want ErrUnplugged", err)
		}
		t.Log(err)
	case <-time.After(5 * time.Second):
		t.Fatal("Wait did not notice that the library crashed")
	}
	checkPixels(t, &f, 0) // who has a frame still has it
	if err := s.start(t.Context(), whole, 1); !errors.Is(err, camera.ErrUnplugged) {
		t.Errorf("start after the crash: %v, want ErrUnplugged", err)
	}
	s = openRaw(t, false)
	s.arm(1)
	s.m.do("trigger", 1)
	f = s.next()
	checkPixels(t, &f, 0)
}
