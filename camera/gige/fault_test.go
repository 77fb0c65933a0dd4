package gige_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/gige"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/sim/gigecam"
)

// packetsOfFrame is how many the table's camera sends for a frame of 32x24 pixels of 16 bits
// in packets of 576 bytes.
const packetsOfFrame = 1 + 3 + 1

// lossyTable has several packets in each frame.
func lossyTable(t *testing.T, c gigecam.Config) *table {
	t.Helper()
	c.MTU = 576
	return newTable(t, withDepth(16), c)
}

// shoot arms, triggers n frames and returns those that come within some seconds, without their
// pixels, and the counts.
func (x *table) shoot(t *testing.T, d *gige.Device, n, come int) ([]camera.Frame, camera.Counts) {
	t.Helper()
	if err := d.Arm(t.Context(), camera.Run{Frames: n}); err != nil {
		t.Fatal(err)
	}
	x.trigger(t, n)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []camera.Frame
	for len(got) < come {
		frames := make([]camera.Frame, 4)
		k, err := d.Wait(ctx, frames)
		if err != nil {
			t.Fatalf("after %d frames: %v", len(got), err)
		}
		got = append(got, frames[:k]...)
		d.Requeue(frames[:k]...)
	}
	counts, err := d.Stop(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return got, counts
}

// What is lost once is asked for again, and comes; the counters tell exactly what was injected.
func TestLostPacketsComeAgain(t *testing.T) {
	t.Parallel()
	for name, fate := range map[string]gigecam.Fate{"lost": gigecam.Drop, "late": gigecam.Late, "doubled": gigecam.Double} {
		for _, extended := range []bool{false, true} {
			x := lossyTable(t, gigecam.Config{Extended: extended})
			d := x.open(t, gige.Options{})
			x.model.SetFaults(func(p gigecam.Packet) gigecam.Fate {
				if !p.Resent && (p.Frame*packetsOfFrame+uint64(p.ID))%7 == 3 && p.Frame < 19 { // leaders and trailers, too
					return fate
				}
				return gigecam.Arrive
			})
			const n = 20
			got, counts := x.shoot(t, d, n, n)
			for i, f := range got {
				if f.Seq != uint64(i) || f.Status != camera.OK {
					t.Errorf("%s: frame %d is %d, %v", name, i, f.Seq, f.Status)
				}
			}
			if want := (camera.Counts{Frames: n, Delivered: n}); counts != want {
				t.Errorf("%s: counts are %+v", name, counts)
			}
			s, m := d.Stats(), x.model.Stats()
			if m.Dropped+m.Late+m.Doubled == 0 || s.Missing != 0 || s.Lost != 0 || s.Incomplete != 0 || s.Malformed != 0 {
				t.Errorf("%s: the driver counts %+v, the model %+v", name, s, m)
			}
			if s.Packets != n*packetsOfFrame || s.Recovered < m.Dropped || s.Asked < m.Dropped {
				t.Errorf("%s: %d packets were lost; the driver counts %+v", name, m.Dropped, s)
			}
			// Whatever arrived is counted, once. On a busy host packets are asked for that are only
			// late, and what is sent again for nothing may come after the run.
			came, arrived := s.Packets+s.Doubled+s.Late, m.Packets+2*m.Doubled+m.Late
			if came > arrived || arrived-came > m.Resent-min(m.Resent, m.Dropped) {
				t.Errorf("%s: %d packets arrived, %d of them asked for; the driver counts %+v", name, arrived, m.Resent, s)
			}
		}
	}
}

// What never comes leaves exactly the frames incomplete, or out, of which it was a part.
func TestLostPacketsStayLost(t *testing.T) {
	t.Parallel()
	for name, noResend := range map[string]bool{"asked for in vain": false, "cannot be asked for": true} {
		t.Run(name, func(t *testing.T) {
			x := lossyTable(t, gigecam.Config{NoResend: noResend})
			d := x.open(t, gige.Options{})
			const pixels, leaders, all = 3, 6, 9 // frames
			x.model.SetFaults(func(p gigecam.Packet) gigecam.Fate {
				if p.Frame == pixels && p.ID == 2 || p.Frame == leaders && p.ID == 0 || p.Frame == all {
					return gigecam.Drop
				}
				return gigecam.Arrive
			})
			const n = 12
			got, counts := x.shoot(t, d, n, n-2)
			for _, f := range got {
				want := camera.OK
				if f.Seq == pixels {
					want = camera.Incomplete
				}
				if f.Status != want || f.Seq == leaders || f.Seq == all {
					t.Errorf("frame %d is %v", f.Seq, f.Status)
				}
			}
			if want := (camera.Counts{Frames: n, Delivered: n - 2, Lost: 2}); counts != want {
				t.Errorf("counts are %+v, want %+v", counts, want)
			}
			s := d.Stats()
			if s.Missing != 1+1+packetsOfFrame || s.Incomplete != 1 || s.Lost != 2 || noResend != (s.Asked == 0) {
				t.Errorf("the driver counts %+v", s)
			}
		})
	}
}

// The pixels that did not come are zero, and the others are those of the light.
func TestMissingPixelsAreZero(t *testing.T) {
	t.Parallel()
	x := lossyTable(t, gigecam.Config{NoResend: true})
	d := x.open(t, gige.Options{})
	x.model.SetFaults(func(p gigecam.Packet) gigecam.Fate {
		if p.ID == 2 {
			return gigecam.Drop
		}
		return gigecam.Arrive
	})
	if err := d.Arm(t.Context(), camera.Run{Frames: 1}); err != nil {
		t.Fatal(err)
	}
	x.trigger(t, 1)
	frames := make([]camera.Frame, 1)
	if _, err := d.Wait(t.Context(), frames); err != nil {
		t.Fatal(err)
	}
	const each = 576 - 36 // bytes of a packet
	light := 0
	for i, b := range frames[0].Pix {
		if missing := i >= each && i < 2*each; !missing {
			light += int(b)
		} else if b != 0 {
			t.Fatalf("byte %d was not sent and is %d", i, b)
		}
	}
	if light == 0 {
		t.Error("the pixels that came are dark")
	}
}

// waitsFor expects Wait to fail, within a time.
func waitsFor(t *testing.T, d *gige.Device, want error, limit time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	began := time.Now()
	_, err := d.Wait(ctx, make([]camera.Frame, 1))
	if !errors.Is(err, want) || time.Since(began) > limit {
		t.Errorf("Wait failed after %v with %v, want %v", time.Since(began), err, want)
	}
}

// A cable that is pulled during a run ends it, and nothing is left behind.
func TestUnplug(t *testing.T) {
	before := runtime.NumGoroutine()
	x := newTable(t, sim.Good(1), gigecam.Config{})
	d := x.open(t, gige.Options{})
	if err := d.Arm(t.Context(), camera.Run{Frames: 10}); err != nil {
		t.Fatal(err)
	}
	x.trigger(t, 1)
	frames := make([]camera.Frame, 1)
	if _, err := d.Wait(t.Context(), frames); err != nil {
		t.Fatal(err)
	}
	x.model.Unplug()
	waitsFor(t, d, camera.ErrUnplugged, 10*time.Second)
	if _, err := d.Stop(t.Context()); !errors.Is(err, camera.ErrUnplugged) {
		t.Errorf("Stop: %v", err)
	}
	if err := d.Arm(t.Context(), camera.Run{Frames: 1}); !errors.Is(err, camera.ErrUnplugged) {
		t.Errorf("Arm: %v", err)
	}
	began := time.Now()
	if err := d.Close(); err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("Close took %v: %v", time.Since(began), err)
	}
	if _, err := d.Stop(t.Context()); !errors.Is(err, camera.ErrClosed) {
		t.Errorf("Stop after Close: %v", err)
	}
	if _, err := gige.Open(t.Context(), x.at, gige.Options{}); !errors.Is(err, camera.ErrUnplugged) {
		t.Errorf("Open of a camera that is not there: %v", err)
	}
	if err := x.model.Replug(); err != nil {
		t.Fatal(err)
	}
	again := x.open(t, gige.Options{})
	if got, _ := x.shoot(t, again, 3, 3); got[2].Status != camera.OK {
		t.Errorf("after it was plugged in again: %+v", got)
	}
	again.Close()
	x.model.Close()
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
		<-time.After(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines are left", runtime.NumGoroutine()-before)
}

// A camera that forgets its master, as one that was restarted does, is lost: another program
// may have set it up since.
func TestLostControl(t *testing.T) {
	t.Parallel()
	x := newTable(t, sim.Good(1), gigecam.Config{Heartbeat: 300 * time.Millisecond})
	d := x.open(t, gige.Options{})
	if err := d.Arm(t.Context(), camera.Run{Frames: 10}); err != nil {
		t.Fatal(err)
	}
	x.model.DropMaster()
	waitsFor(t, d, gige.ErrLostControl, 5*time.Second)
	if _, err := d.Stop(t.Context()); !errors.Is(err, gige.ErrLostControl) || !errors.Is(err, camera.ErrUnplugged) {
		t.Errorf("Stop: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// The heartbeat keeps a camera that drops its master soon, while nothing is asked of it.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	x := newTable(t, sim.Good(1), gigecam.Config{Heartbeat: 500 * time.Millisecond})
	d := x.open(t, gige.Options{})
	if err := d.Arm(t.Context(), camera.Run{Frames: 1}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	if _, err := d.Wait(ctx, make([]camera.Frame, 1)); !errors.Is(err, camera.ErrTimeout) { // that no trigger comes is no fault
		t.Errorf("Wait without a trigger: %v", err)
	}
	if s := x.model.Stats(); s.Expired != 0 {
		t.Error("the camera did not hear from its master")
	}
	x.trigger(t, 1)
	if _, err := d.Wait(t.Context(), make([]camera.Frame, 1)); err != nil {
		t.Error(err)
	}
}

func TestOneMaster(t *testing.T) {
	x := newTable(t, sim.Good(1), gigecam.Config{Serial: "one", Name: "left arm"})
	d := x.open(t, gige.Options{})
	if _, err := gige.Open(t.Context(), x.at, gige.Options{}); !errors.Is(err, camera.ErrRefused) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a second master: %v", err)
	}
	x.shoot(t, d, 2, 2) // undisturbed
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	x.open(t, gige.Options{}).Close()
}

func TestOpenByName(t *testing.T) {
	x := newTable(t, sim.Good(1), gigecam.Config{Serial: "S-" + t.Name(), Name: "arm"})
	found, err := gige.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	heard := false
	for _, f := range found {
		heard = heard || f.Address.String() == x.at && f.Serial == "S-"+t.Name()[:13] && f.Name == "arm" && f.Vendor == "opu"
	}
	if runtime.GOOS == "linux" && !heard {
		t.Errorf("the camera is not among %v", found)
	}
	for reference, want := range map[string]error{"": camera.ErrInput, "::1": camera.ErrInput, "no such camera": camera.ErrUnplugged, "127.255.255.1": camera.ErrUnplugged} {
		if d, err := gige.Open(t.Context(), reference, gige.Options{}); !errors.Is(err, want) {
			t.Errorf("%q: %v, %v", reference, d, err)
		}
	}
	if _, err := gige.Open(t.Context(), x.at, gige.Options{PacketSize: 577}); !errors.Is(err, camera.ErrInput) {
		t.Errorf("packets of 577 bytes: %v", err)
	}
	if runtime.GOOS == "linux" {
		d, err := gige.Open(t.Context(), "S-"+t.Name()[:13], gige.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d.Close()
	}
}

// Twice as many triggers make twice as many frames, and no frame passes for another.
func TestDoubleTrigger(t *testing.T) {
	t.Parallel()
	x := newTable(t, sim.Good(1), gigecam.Config{})
	d := x.open(t, gige.Options{})
	x.bench.SetFaults(func(e sim.Exposure) sim.Fault {
		if e.Position == 1 {
			return sim.Fault{Kind: sim.ExtraTrigger}
		}
		return sim.Fault{}
	})
	got, counts := x.shoot(t, d, 3, 4)
	for i, f := range got {
		if f.Seq != uint64(i) || f.Status != camera.OK {
			t.Errorf("frame %d is %d, %v", i, f.Seq, f.Status)
		}
	}
	if counts.Frames != 4 || got[2].DeviceTime-got[1].DeviceTime != 500*time.Microsecond {
		t.Errorf("counts are %+v; the second trigger was half a period after the first, at %v and %v", counts, got[1].DeviceTime, got[2].DeviceTime)
	}
}

func TestRoundedRegion(t *testing.T) {
	t.Parallel()
	for _, step := range []int{1, 4, 8} { // what the camera announces; its sensor rounds to 4 by itself
		x := newTable(t, sim.Good(1), gigecam.Config{Step: step})
		d := x.open(t, gige.Options{})
		asked := camera.ROI{U: 5, V: 7, Width: 9, Height: 6}
		got, err := d.Configure(t.Context(), camera.Config{ROI: asked})
		if err != nil {
			t.Fatal(err)
		}
		r := got.ROI
		if r.U > asked.U || r.V > asked.V || r.U+r.Width < asked.U+asked.Width || r.V+r.Height < asked.V+asked.Height || r.Width%4 != 0 {
			t.Errorf("with steps of %d, %v became %v", step, asked, r)
		}
		frames, _ := x.shoot(t, d, 2, 2)
		for _, f := range frames {
			if f.Status != camera.OK || f.Width != r.Width || f.Height != r.Height {
				t.Errorf("with steps of %d, a frame of %v is %dx%d, %v", step, r, f.Width, f.Height, f.Status)
			}
		}
	}
}

func TestHygiene(t *testing.T) {
	t.Parallel()
	x := newTable(t, sim.Good(1), gigecam.Config{})
	d := x.open(t, gige.Options{})
	if err := d.Arm(t.Context(), camera.Run{Frames: 1}); err != nil {
		t.Fatal(err)
	}
	safe := map[string]bool{}
	for _, s := range d.Settings() {
		if s.State == camera.Stuck {
			t.Errorf("%+v", s)
		}
		safe[s.Name] = s.State == camera.Safe
	}
	for _, name := range []string{"ExposureAuto", "GainAuto", "GammaEnable", "LUTEnable", "BlackLevel", "SensorShutterMode"} {
		if !safe[name] {
			t.Errorf("%s is not safe", name)
		}
	}
	rolling := newTable(t, sim.Good(1), gigecam.Config{Rolling: true})
	if err := rolling.open(t, gige.Options{}).Arm(t.Context(), camera.Run{Frames: 1}); !errors.Is(err, camera.ErrRefused) {
		t.Errorf("a rolling shutter: %v", err)
	}
	other := newTable(t, sim.Good(1), gigecam.Config{})
	if err := other.open(t, gige.Options{Source: "Line7"}).Arm(t.Context(), camera.Run{Frames: 1}); !errors.Is(err, camera.ErrRefused) {
		t.Errorf("a line that is not there: %v", err)
	}
}

// A caller that takes nothing loses frames when the memory is full, and they are counted.
func TestOverrun(t *testing.T) {
	t.Parallel()
	x := newTable(t, sim.Good(1), gigecam.Config{})
	d := x.open(t, gige.Options{Memory: 1}) // room for the least that there is
	const n, room = 40, 18
	if err := d.Arm(t.Context(), camera.Run{Frames: n}); err != nil {
		t.Fatal(err)
	}
	x.trigger(t, n)
	counts, err := d.Stop(t.Context()) // when all have come
	if err != nil {
		t.Fatal(err)
	}
	if counts.Frames != n || counts.Lost != n {
		t.Errorf("counts are %+v", counts)
	}
	if s := d.Stats(); s.Overruns != n-room || s.Lost != n-room {
		t.Errorf("%+v, want %d overruns", s, n-room)
	}
}

// The largest packets that the link carries are found.
func TestPacketSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		model gigecam.Config
		o     gige.Options
		want  int
	}{
		{gigecam.Config{}, gige.Options{}, 9000},
		{gigecam.Config{MTU: 1500}, gige.Options{}, 1500},
		{gigecam.Config{MTU: 1476}, gige.Options{}, 1400},
		{gigecam.Config{NoTestPackets: true}, gige.Options{}, 1400},
		{gigecam.Config{}, gige.Options{PacketSize: 4000}, 4000},
	} {
		x := newTable(t, sim.Good(1), c.model)
		d := x.open(t, c.o)
		if got := d.PacketSize(); got != c.want {
			t.Errorf("%+v, %+v: packets of %d bytes, want %d", c.model, c.o, got, c.want)
		}
		if warned := len(d.Warnings()) > 0; warned != (c.want <= 1500) {
			t.Errorf("with packets of %d bytes it warns of %q", c.want, d.Warnings())
		}
		x.shoot(t, d, 2, 2)
	}
}
