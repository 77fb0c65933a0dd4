package slmtest

import (
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// checkBadLoads: a load that names one wrong thing changes nothing at all.
func checkBadLoads(b *bench) {
	p := b.pattern()
	q := b.unlike(p)
	b.load([]int{0}, []*slm.Pattern{p})
	g := b.info.Geometry
	wide := slm.NewPattern(slm.Geometry{Width: g.Width%slm.MaxSide + 1, Height: g.Height})
	high := slm.NewPattern(slm.Geometry{Width: g.Width, Height: g.Height%slm.MaxSide + 1})
	for _, c := range []struct {
		name     string
		slots    []int
		patterns []*slm.Pattern
	}{
		{"a pattern that is too wide", []int{0}, []*slm.Pattern{wide}},
		{"a pattern that is too high", []int{0}, []*slm.Pattern{high}},
		{"a good pattern and a wrong one", []int{0, min(1, b.info.Capacity-1)}, []*slm.Pattern{q, wide}},
		{"a nil pattern", []int{0}, []*slm.Pattern{nil}},
		{"slot -1", []int{0, -1}, []*slm.Pattern{q, q}},
		{"a slot beyond the last", []int{0, b.info.Capacity}, []*slm.Pattern{q, q}},
		{"a slot named twice", []int{0, 0}, []*slm.Pattern{q, q}},
		{"more slots than patterns", []int{0, b.info.Capacity - 1}, []*slm.Pattern{q}},
		{"more patterns than slots", []int{0}, []*slm.Pattern{q, q}},
	} {
		b.expect("Load of "+c.name, b.device.Load(b.ctx(), c.slots, c.patterns), slm.ErrInput)
		b.play(slm.Run{Order: []int{0}})
		b.expectShown([]*slm.Pattern{p})
	}
	b.usable()
}

// checkBadRuns: a run outside the limits does not begin, and the last one stays
// the last.
func checkBadRuns(b *bench) {
	p := b.pattern()
	b.load([]int{0}, []*slm.Pattern{p})
	b.play(slm.Run{Order: []int{0}})
	fast := b.info.MinPeriod
	type bad struct {
		name string
		run  slm.Run
	}
	cases := []bad{
		{"an empty order", slm.Run{}},
		{"slot -1", slm.Run{Order: []int{0, -1}}},
		{"a slot beyond the last", slm.Run{Order: []int{0, b.info.Capacity}}},
		{"a negative period", slm.Run{Order: []int{0, 0}, Period: -fast}},
		{"a negative exposure", slm.Run{Order: []int{0, 0}, Exposure: -1}},
		{"an exposure longer than its period", slm.Run{Order: []int{0, 0}, Period: 2 * fast, Exposure: 3 * fast}},
		{"an exposure longer than the shortest period", slm.Run{Order: []int{0, 0}, Exposure: fast + time.Microsecond}},
	}
	if fast > 1 {
		cases = append(cases, bad{"a period that is too short", slm.Run{Order: []int{0, 0}, Period: fast - 1}})
	}
	if b.info.MaxRun < longestRun {
		cases = append(cases, bad{"one pattern too many", slm.Run{Order: make([]int, b.info.MaxRun+1)}})
	}
	if last := b.info.Capacity - 1; last > 0 {
		cases = append(cases, bad{"a slot that was never loaded", slm.Run{Order: []int{0, last}}})
	}
	for _, c := range cases {
		b.expect("Play of "+c.name, b.device.Play(b.ctx(), c.run), slm.ErrInput)
		b.wait(1)
		b.expectShown([]*slm.Pattern{p})
	}
	b.usable()
}

// checkBusy tries to disturb a run.
func checkBusy(b *bench) {
	_, ordered := b.startLongRun()
	err := b.device.Load(b.ctx(), []int{0}, []*slm.Pattern{b.pattern()})
	b.expectBusy("Load", err)
	err = b.device.Play(b.ctx(), b.longRun())
	b.expectBusy("Play", err)
	if err := b.device.Stop(b.ctx()); err != nil {
		b.Fatalf("Stop: %v", err)
	}
	if shown, err := b.device.Wait(b.ctx()); err != nil || shown > ordered {
		b.Errorf("after refusals and a stop Wait = %d, %v, want the count of the run of %d", shown, err, ordered)
	}
	b.usable()
}

// expectBusy fails the check unless the call was refused because a run played.
// If a slow machine let the run end meanwhile nothing can be said.
func (b *bench) expectBusy(what string, err error) {
	b.Helper()
	if err == nil && !b.playing(2*time.Second) {
		b.Skipf("the run ended before %s", what)
	}
	b.expect(what+" during a run", err, slm.ErrBusy)
}
