package sim_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// tell sends a command to the bench's board and fails the test unless it is carried out.
func tell(t *testing.T, b *sim.Bench, code uint16, data ...byte) {
	t.Helper()
	message := binary.LittleEndian.AppendUint16([]byte{0x40, 0}, uint16(2+len(data)))
	message = append(binary.LittleEndian.AppendUint16(message, code), data...)
	message = append(message, make([]byte, (64-len(message)%64)%64)...)
	if err := b.Board().Write(t.Context(), message); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 64)
	if err := b.Board().Read(t.Context(), reply); err != nil || reply[0] != 0x40 {
		t.Fatalf("command %#x % x: reply % x, %v", code, data, reply[:4], err)
	}
}

// show plays up to 24 patterns on the bench's board, without a driver: one image that is not
// compressed, an entry for each.
func show(t *testing.T, b *sim.Bench, patterns []*slm.Pattern, exposure, dark time.Duration) {
	t.Helper()
	u16, u32 := binary.LittleEndian.AppendUint16, binary.LittleEndian.AppendUint32
	g := b.Config().Chip
	image := u16(u16([]byte("Spld"), uint16(g.Width)), uint16(g.Height))
	image = append(image, make([]byte, 40)...)
	copy(image[12:], bytes.Repeat([]byte{0xff}, 8))
	image[26] = 1
	for v := range g.Height {
		for u := range g.Width {
			pixel := 0
			for k, p := range patterns {
				if p.On(u, v) {
					pixel |= 1 << k
				}
			}
			image = append(image, byte(pixel>>16), byte(pixel>>8), byte(pixel))
		}
		image = append(image, make([]byte, (16-3*g.Width%16)%16)...)
	}
	tell(t, b, 0x1A24, 0)
	tell(t, b, 0x1A1B, 3)
	for k := range patterns {
		us := func(d time.Duration) []byte { return u32(nil, uint32(d.Microseconds()))[:3] }
		entry := append(u16(nil, uint16(k)), us(exposure)...)
		entry = append(append(append(entry, 0x70), us(dark)...), 0)
		tell(t, b, 0x1A34, u16(entry, uint16(k<<11))...)
	}
	tell(t, b, 0x1A31, u32(u16(nil, uint16(len(patterns))), uint32(len(patterns)))...)
	tell(t, b, 0x1A2A, u32(u16(nil, 0), uint32(len(image)))...)
	for len(image) > 0 {
		n := min(len(image), 504)
		tell(t, b, 0x1A2B, append(u16(nil, uint16(n)), image[:n]...)...)
		image = image[n:]
	}
	tell(t, b, 0x1A24, 2)
}

// frames are those of a run that play starts, copied.
func frames(t *testing.T, b *sim.Bench, n int, play func()) []camera.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // nothing here takes time
	defer cancel()
	if err := b.Camera().Arm(ctx, camera.Run{Frames: n}); err != nil {
		t.Fatal(err)
	}
	play()
	got := make([]camera.Frame, n)
	for k := range got {
		if _, err := b.Camera().Wait(ctx, got[k:k+1]); err != nil {
			t.Fatal(err)
		}
		b.Camera().Requeue(got[k])
		got[k].Pix = bytes.Clone(got[k].Pix)
	}
	if _, err := b.Camera().Stop(ctx); err != nil {
		t.Fatal(err)
	}
	return got
}

func randomPatterns(g slm.Geometry, n int) []*slm.Pattern {
	random := rand.New(rand.NewPCG(1, 2))
	patterns := make([]*slm.Pattern, n)
	for i := range patterns {
		patterns[i] = slm.NewPattern(g)
		for k := range g.Mirrors() {
			patterns[i].Set(k%g.Width, k/g.Width, random.Uint32()&1 != 0)
		}
	}
	return patterns
}

// The same patterns give the same frames, to the last bit, whether they come by bytes
// or by the plain DMD; on the bench's clock they differ by what bytes and restarts take.
func TestBoardShowsWhatTheDMDShows(t *testing.T) {
	config := sim.Glass(3)
	config.Chip, config.Width, config.Height = slm.Geometry{Width: 70, Height: 9}, 32, 24
	config.Readout = 0                                                  // else every other trigger is ignored
	config.PhaseDrift, config.FanJitter, config.Decorrelation = 0, 0, 0 // time itself is compared below
	slow := config
	slow.Report, slow.Restart = time.Millisecond, 10*time.Millisecond
	patterns := randomPatterns(config.Chip, 24)
	const exposure, dark = 600 * time.Microsecond, 67 * time.Microsecond

	plain, err := sim.New(config)
	if err != nil {
		t.Fatal(err)
	}
	order := make([]int, len(patterns))
	for k := range order {
		order[k] = k
	}
	want := frames(t, plain, len(patterns), func() {
		if err := plain.DMD().Load(t.Context(), order, patterns); err != nil {
			t.Fatal(err)
		}
		if err := plain.DMD().Play(t.Context(), slm.Run{Order: order, Period: exposure + dark, Exposure: exposure}); err != nil {
			t.Fatal(err)
		}
	})
	for name, c := range map[string]sim.Config{"in no time": config, "at full speed": slow} {
		b, err := sim.New(c)
		if err != nil {
			t.Fatal(err)
		}
		got := frames(t, b, len(patterns), func() { show(t, b, patterns, exposure, dark) })
		// Before the start: 28 commands of one report, four blocks of eight and one of one, each with a
		// reply. Then the start, and the restart.
		var late time.Duration
		if c.Report > 0 {
			late = time.Duration(2*28+4*(8+1)+2+1)*c.Report + c.Restart
		}
		for k := range want {
			if !bytes.Equal(got[k].Pix, want[k].Pix) || got[k].Seq != want[k].Seq {
				t.Fatalf("%s: frame %d differs", name, k)
			}
			if d := got[k].DeviceTime - want[k].DeviceTime; d != late {
				t.Fatalf("%s: frame %d comes %v late, want %v", name, k, d, late)
			}
		}
	}
}
