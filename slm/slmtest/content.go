package slmtest

import (
	"slices"

	"github.com/light-in-the-loop/opu/slm"
)

func checkInfo(b *bench) {
	i := b.info
	if i.Model == "" || i.Serial == "" {
		b.Errorf("model %q and serial %q: neither may be empty", i.Model, i.Serial)
	}
	if err := i.Geometry.Check(); err != nil {
		b.Error(err)
	}
	if i.Capacity < 1 || i.MaxRun < 1 {
		b.Errorf("capacity %d and longest run %d: both must be at least 1", i.Capacity, i.MaxRun)
	}
	if i.MinPeriod <= 0 {
		b.Errorf("the shortest period is %v, it must be above 0", i.MinPeriod)
	}
	if again := b.device.Info(); again != i {
		b.Errorf("Info changed from %+v to %+v", i, again)
	}
	b.usable()
	if again := b.device.Info(); again != i {
		b.Errorf("a run changed Info from %+v to %+v", i, again)
	}
}

// checkContent loads random patterns into random slots, again and again, and
// plays random orders of what is there.
func checkContent(b *bench) {
	rounds := 3 // a real device takes about a second for a pattern
	if b.shown != nil {
		rounds = 40
	}
	slots := map[int]*slm.Pattern{}
	for range rounds {
		var into []int
		var patterns []*slm.Pattern
		for range b.random.IntN(min(4, b.info.Capacity) + 1) {
			slot := b.random.IntN(min(b.info.Capacity, 8)) // few, so that many are loaded again
			if b.random.IntN(2) == 0 {
				slot = b.info.Capacity - 1 - slot
			}
			if slices.Contains(into, slot) {
				continue
			}
			p := b.pattern()
			into, patterns = append(into, slot), append(patterns, p)
		}
		b.load(into, patterns)
		for i, slot := range into {
			slots[slot] = patterns[i].Clone()
		}
		if len(slots) == 0 {
			continue
		}
		var loaded []int
		for slot := range slots {
			loaded = append(loaded, slot)
		}
		slices.Sort(loaded) // else the seed would not decide
		order := make([]int, 1+b.random.IntN(min(30, b.info.MaxRun)))
		want := make([]*slm.Pattern, len(order))
		for k := range order {
			order[k] = loaded[b.random.IntN(len(loaded))]
			want[k] = slots[order[k]]
		}
		b.play(slm.Run{Order: order})
		b.expectShown(want)
	}
}

// checkCopies changes everything that was given to the device after the calls
// have returned.
func checkCopies(b *bench) {
	p := b.pattern()
	q := b.unlike(p)
	given, slots := p.Clone(), []int{0}
	b.load(slots, []*slm.Pattern{given})
	given.Copy(q)
	slots[0] = -1
	order := []int{0, 0}
	if err := b.device.Play(b.ctx(), slm.Run{Order: order}); err != nil {
		b.Fatalf("Play: %v", err)
	}
	order[0], order[1] = -1, -1
	b.wait(2)
	b.expectShown([]*slm.Pattern{p, p})
	// A pattern that the device lent out would be another way in.
	if b.shown != nil {
		b.play(slm.Run{Order: []int{0}})
		b.expectShown([]*slm.Pattern{p})
	}
}

// longestRun bounds the orders that are tried: beyond it the limit of a device is
// the memory of the host.
const longestRun = 1 << 16

// checkLongestRun plays as many patterns as one run takes, from few slots.
func checkLongestRun(b *bench) {
	p := b.pattern()
	patterns := []*slm.Pattern{p, b.unlike(p)}[:min(2, b.info.Capacity)]
	b.load([]int{0, 1}[:len(patterns)], patterns)
	order := make([]int, min(b.info.MaxRun, longestRun))
	want := make([]*slm.Pattern, len(order))
	for k := range order {
		order[k] = b.random.IntN(len(patterns))
		want[k] = patterns[order[k]]
	}
	b.play(slm.Run{Order: order})
	b.expectShown(want)
	b.play(slm.Run{Order: order[:1], Period: b.info.MinPeriod, Exposure: b.info.MinPeriod})
	b.expectShown(want[:1])
}

// checkCounts asks Wait before any run and more than once after it.
func checkCounts(b *bench) {
	b.wait(0)
	b.load([]int{0}, []*slm.Pattern{b.pattern()})
	b.wait(0)
	for _, n := range []int{min(3, b.info.MaxRun), 1} {
		b.play(slm.Run{Order: make([]int, n)})
		b.wait(n)
		b.load([]int{0}, []*slm.Pattern{b.pattern()})
		b.wait(n)
	}
}
