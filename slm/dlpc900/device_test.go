package dlpc900_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

func stats(t *testing.T, d *dlpc900.Device) dlpc900.Stats {
	t.Helper()
	s, err := d.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The boards that are listed, as they say who they are.
func TestBoards(t *testing.T) {
	if testing.Short() {
		t.Skip("large chips")
	}
	for _, c := range []struct {
		board controller.DMD
		want  slm.Info
	}{
		{controller.DLP6500(), slm.Info{Model: "DLP6500 (DLPC900)", Geometry: slm.Geometry{Width: 1920, Height: 1080}, MinPeriod: 105 * time.Microsecond}},
		{controller.DLP9000(), slm.Info{Model: "DLP9000 (DLPC900)", Geometry: slm.Geometry{Width: 2560, Height: 1600}, MinPeriod: 105 * time.Microsecond}},
		{controller.DLP670S(), slm.Info{Model: "DLP670S (DLPC900)", Geometry: slm.Geometry{Width: 2716, Height: 1600}}}, // sources differ about its period
		{controller.DLP500YX(), slm.Info{Model: "DLP500YX (DLPC900)", Geometry: slm.Geometry{Width: 2048, Height: 1200}, MinPeriod: 62 * time.Microsecond}},
	} {
		d, _, m := open(t, controller.Config{DMD: c.board}, dlpc900.Options{})
		got := d.Info()
		if c.want.MinPeriod == 0 {
			c.want.MinPeriod = got.MinPeriod
		}
		c.want.Serial, c.want.Capacity, c.want.MaxRun = "usb-1-2", 400, 250
		if got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
		p := slm.NewPattern(got.Geometry)
		p.Set(got.Geometry.Width-1, 0, true)
		p.Set(got.Geometry.Width/2, got.Geometry.Height-1, true)
		if err := d.Load(t.Context(), []int{0}, []*slm.Pattern{p}); err != nil {
			t.Fatal(err)
		}
		if err := d.Play(t.Context(), slm.Run{Order: []int{0}}); err != nil {
			t.Fatal(err)
		}
		if shown := m.shown(); len(shown) != 1 || !shown[0].Equal(p) {
			t.Errorf("%s did not show what was asked for", got.Model)
		}
	}
}

// A board whose DMD is not known needs a description, and one that is known no other.
func TestDescribedDMD(t *testing.T) {
	bad := smallDMD()
	bad.MinExposures = nil
	for name, c := range map[string]struct {
		board controller.DMD
		o     dlpc900.Options
	}{
		"unknown":         {controller.Custom(small), dlpc900.Options{}},
		"another":         {controller.DLP6500(), dlpc900.Options{DMD: smallDMD()}},
		"bad description": {controller.Custom(small), dlpc900.Options{DMD: bad}},
		"dummies":         {controller.Custom(small), dlpc900.Options{DMD: smallDMD(), Dummies: 1000}},
	} {
		b, err := controller.New(controller.Config{DMD: c.board})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := dlpc900.Open(t.Context(), b, c.o); !errors.Is(err, slm.ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// New patterns touch as few images as possible, those that are there cost nothing, and a run
// with the last one's timing costs three commands and two questions.
func TestWhatIsSent(t *testing.T) {
	d, _, _ := open(t, controller.Config{DMD: controller.Custom(small)}, dlpc900.Options{})
	random := rand.New(rand.NewPCG(1, 1))
	fresh := func(n int) []*slm.Pattern {
		out := make([]*slm.Pattern, n)
		for i := range out {
			out[i] = slm.NewPattern(small)
			for range 40 {
				out[i].Set(random.IntN(small.Width), random.IntN(small.Height), true)
			}
		}
		return out
	}
	slots := random.Perm(400)
	images := func(what string, want uint64, slots []int, patterns []*slm.Pattern) {
		t.Helper()
		before := stats(t, d)
		if err := d.Load(t.Context(), slots, patterns); err != nil {
			t.Fatal(err)
		}
		if got := stats(t, d).Images - before.Images; got != want {
			t.Errorf("%s: %d images were sent, want %d", what, got, want)
		}
	}
	first := fresh(24)
	images("24 patterns", 1, slots[:24], first)
	images("the same", 0, slots[:24], first)
	images("one more", 1, slots[24:25], fresh(1))
	images("all others", 16, slots[25:], fresh(375)) // the first image is full
	images("the first 24 anew, which lie together", 1, slots[:24], fresh(24))

	play := func() {
		t.Helper()
		if err := d.Play(t.Context(), slm.Run{Order: slots[:100], Period: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	play()
	before := stats(t, d)
	play()
	after := stats(t, d)
	if n := after.Line.Commands - before.Line.Commands; n != 5 {
		t.Errorf("a run took %d commands", n)
	}
	if after.Entries != before.Entries || after.Restart.Count != before.Restart.Count+1 {
		t.Errorf("a run wrote the LUT again: %+v", after)
	}
}

// Mirrors rest when nothing plays: exercised, or kept warm; the light goes off, and a run
// brings all back.
func TestRest(t *testing.T) {
	for _, rest := range []dlpc900.Rest{dlpc900.RestIdle, dlpc900.RestWarm} {
		synctest.Test(t, func(t *testing.T) {
			light := new(lamp)
			d, _, m := open(t, controller.Config{DMD: controller.Custom(small), RealTime: true}, dlpc900.Options{Rest: rest, RestAfter: time.Second, Light: light})
			p := someDifferent(2)
			if err := d.Load(t.Context(), []int{0, 1}, p); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := d.Play(t.Context(), slm.Run{Order: []int{0, 1, 0}, Period: time.Millisecond}); err != nil {
					t.Fatal(err)
				}
				if !light.on.Load() {
					t.Fatal("a run in the dark")
				}
				if n, err := d.Wait(t.Context()); n != 3 || err != nil {
					t.Fatal(n, err)
				}
				if got := m.shown(); len(got) != 3 || !got[0].Equal(p[0]) || !got[1].Equal(p[1]) {
					t.Fatal("wrong patterns")
				}
				before := m.silent()
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if light.on.Load() {
					t.Error("the light stayed on")
				}
				s, err := d.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if warm := s.Main&dlpc900.MainRunning != 0; warm != (rest == dlpc900.RestWarm) {
					t.Errorf("main status %02X at rest", s.Main)
				}
				time.Sleep(5 * time.Second)
				if err := d.Load(t.Context(), []int{5}, p[:1]); err != nil { // stops what goes on
					t.Fatal(err)
				}
				if warm := m.silent() > before; warm != (rest == dlpc900.RestWarm) {
					t.Errorf("%d patterns without trigger at rest", m.silent()-before)
				}
			}
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Dummies come first, without a trigger, and do not count.
func TestDummies(t *testing.T) {
	d, _, m := open(t, controller.Config{DMD: controller.Custom(small)}, dlpc900.Options{Dummies: 7})
	if i := d.Info(); i.Capacity != 398 || i.MaxRun != 243 {
		t.Errorf("%+v", i)
	}
	if err := d.Load(t.Context(), []int{0}, someDifferent(1)); err != nil {
		t.Fatal(err)
	}
	if err := d.Play(t.Context(), slm.Run{Order: []int{0, 0}}); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Wait(t.Context()); n != 2 || err != nil || m.silent() != 7 || len(m.shown()) != 2 {
		t.Errorf("%d shown, %d of them with trigger, %d without; %v", n, len(m.shown()), m.silent(), err)
	}
}

// Triggers, parking and idling go to the board, and a run plays after them.
func TestSettings(t *testing.T) {
	d, _, m := open(t, controller.Config{DMD: controller.Custom(small)}, dlpc900.Options{})
	for name, f := range map[string]func(context.Context) error{
		"output 1": func(ctx context.Context) error { return d.SetTriggerOut(ctx, 1, dlpc900.TriggerOut{Falling: 50 * us}) },
		"output 2": func(ctx context.Context) error { return d.SetTriggerOut(ctx, 2, dlpc900.TriggerOut{Falling: 20 * us}) },
		"inputs":   func(ctx context.Context) error { return d.SetTriggerIn(ctx, dlpc900.TriggerIn{Delay: 105 * us}) },
		"park":     d.Park,
		"idle":     d.Idle,
	} {
		if err := f(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := d.Load(t.Context(), []int{0}, someDifferent(1)); err != nil {
			t.Fatal(err)
		}
		if err := d.Play(t.Context(), slm.Run{Order: []int{0}}); err != nil {
			t.Fatal(err)
		}
		if len(m.shown()) != 1 {
			t.Errorf("after %s nothing is shown", name)
		}
	}
	for _, err := range []error{
		d.SetTriggerOut(t.Context(), 3, dlpc900.TriggerOut{}), d.SetTriggerIn(t.Context(), dlpc900.TriggerIn{}),
		d.WarmUp(t.Context(), 0, time.Second),
	} {
		if !errors.Is(err, slm.ErrInput) {
			t.Errorf("got %v", err)
		}
	}
}

// Close parks the mirrors.
func TestCloseParks(t *testing.T) {
	d, b, _ := open(t, controller.Config{DMD: controller.Custom(small)}, dlpc900.Options{})
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	b.Plug()
	ctx := t.Context()
	question := append([]byte{0xC0, 1, 2, 0, 0x0C, 0x1A}, make([]byte, 58)...)
	if err := b.Write(ctx, question); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 64)
	if err := b.Read(ctx, reply); err != nil || reply[4]&1 == 0 {
		t.Errorf("main status % X, %v: the mirrors are not parked", reply[:5], err)
	}
}

// What a job takes is said before, and what limits it.
func TestEstimate(t *testing.T) {
	d, _, _ := open(t, controller.Config{DMD: controller.Custom(small)}, dlpc900.Options{})
	order := make([]int, 100)
	for _, c := range []struct {
		job   dlpc900.Job
		limit string
	}{
		{dlpc900.Job{Run: slm.Run{Order: order, Period: time.Millisecond}}, "DMD"},
		{dlpc900.Job{Run: slm.Run{Order: order, Period: time.Millisecond}, CameraPeriod: 2 * time.Millisecond}, "camera"},
		{dlpc900.Job{Run: slm.Run{Order: order[:10], Period: time.Millisecond}}, "restart"},
		{dlpc900.Job{Run: slm.Run{Order: order, Period: time.Millisecond}, Upload: 25}, "link"},
	} {
		e, err := d.Estimate(t.Context(), c.job)
		if err != nil || e.Limit != c.limit || e.Measured {
			t.Errorf("%+v, %v: want the limit %s", e, err, c.limit)
		}
	}
	e, _ := d.Estimate(t.Context(), dlpc900.Job{Run: slm.Run{Order: order, Period: time.Millisecond}})
	if want := 100 / 0.12; e.Rate < want-1 || e.Rate > want+1 {
		t.Errorf("%v, want %.0f patterns/s", e, want)
	}
	for _, j := range []dlpc900.Job{{}, {Run: slm.Run{Order: order}, Upload: 401}, {Run: slm.Run{Order: order}, Upload: -1}} {
		if _, err := d.Estimate(t.Context(), j); !errors.Is(err, slm.ErrInput) {
			t.Errorf("%+v: %v", j, err)
		}
	}
}

// Whoever waits for a long run hears within a second that the board has gone.
func TestUnpluggedInALongRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, board, _ := open(t, controller.Config{DMD: controller.Custom(small), RealTime: true}, dlpc900.Options{})
		if err := d.Load(t.Context(), []int{0}, []*slm.Pattern{slm.NewPattern(small)}); err != nil {
			t.Fatal(err)
		}
		if err := d.Play(t.Context(), slm.Run{Order: make([]int, 200), Period: time.Second}); err != nil {
			t.Fatal(err)
		}
		const after = 20 * time.Second
		began := time.Now()
		time.AfterFunc(after, board.Unplug)
		_, err := d.Wait(t.Context())
		if took := time.Since(began) - after; !errors.Is(err, slm.ErrUnplugged) || took < 0 || took > time.Second {
			t.Errorf("%v after the plug was pulled: %v", took, err)
		}
	})
}
