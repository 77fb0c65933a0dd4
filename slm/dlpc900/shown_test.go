package dlpc900_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// Whatever is loaded and played, the mirrors show it, in that order and at that time. The
// model's mirrors are compared with what was asked of the driver; the bytes in between are
// nobody's business here.
func TestWhatIsAskedIsShown(t *testing.T) {
	for name, c := range map[string]controller.Config{
		"one controller":  {DMD: controller.Custom(small), Report: time.Millisecond, Restart: 3 * time.Millisecond},
		"two controllers": {DMD: halved()},
		"old firmware":    {DMD: controller.Custom(small), Firmware: controller.Version{Major: 4, Minor: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			d, _, m := open(t, c, dlpc900.Options{})
			info := d.Info()
			random := rand.New(rand.NewPCG(7, uint64(len(name))))
			slots := make(map[int]*slm.Pattern) // what each holds
			for range 40 {
				// New patterns into some slots, old ones among them.
				var into []int
				var put []*slm.Pattern
				for _, slot := range random.Perm(info.Capacity)[:random.IntN(60)] {
					p := slots[slot]
					if p == nil || random.IntN(3) > 0 {
						p = randomPattern(random, info.Geometry)
					}
					into, put, slots[slot] = append(into, slot), append(put, p), p
				}
				if err := d.Load(t.Context(), into, put); err != nil {
					t.Fatal(err)
				}
				if len(slots) == 0 {
					continue
				}
				var held []int
				for slot := range info.Capacity {
					if slots[slot] != nil {
						held = append(held, slot)
					}
				}
				order := make([]int, 1+random.IntN(info.MaxRun))
				for i := range order {
					order[i] = held[random.IntN(len(held))]
				}
				period := info.MinPeriod + time.Duration(random.Int64N(int64(20*time.Millisecond)))
				exposure := time.Duration(0)
				if random.IntN(2) == 0 {
					exposure = info.MinPeriod + time.Duration(random.Int64N(int64(period-info.MinPeriod)+1))
				}
				if err := d.Play(t.Context(), slm.Run{Order: order, Period: period, Exposure: exposure}); err != nil {
					t.Fatal(err)
				}
				if shown, err := d.Wait(t.Context()); err != nil || shown != len(order) {
					t.Fatalf("%d of %d patterns were shown, %v", shown, len(order), err)
				}
				compareShown(t, m.exposures(), order, slots, period, exposure)
			}
		})
	}
}

// compareShown compares exposures of the mirrors with an order. Times of a board are whole
// microseconds, rounded up.
func compareShown(t *testing.T, got []controller.Exposure, order []int, slots map[int]*slm.Pattern, period, exposure time.Duration) {
	t.Helper()
	up := func(d time.Duration) time.Duration { return (d + time.Microsecond - 1).Truncate(time.Microsecond) }
	if len(got) != len(order) {
		t.Fatalf("the mirrors showed %d patterns, %d were asked for", len(got), len(order))
	}
	for i, e := range got {
		if !e.Pattern.Equal(slots[order[i]]) {
			t.Fatalf("position %d of %d shows another pattern than that of slot %d", i, len(order), order[i])
		}
		if at := e.Start - got[0].Start; at != time.Duration(i)*up(period) {
			t.Fatalf("position %d was shown after %v, with a period of %v", i, at, period)
		}
		if whole := e.Exposure + e.Dark; whole != up(period) || exposure != 0 && e.Exposure != up(exposure) || exposure == 0 && e.Dark != 0 {
			t.Fatalf("position %d was on for %v and dark for %v, asked for %v of %v", i, e.Exposure, e.Dark, exposure, period)
		}
	}
}

func randomPattern(random *rand.Rand, g slm.Geometry) *slm.Pattern {
	p := slm.NewPattern(g)
	for v := range g.Height {
		for u := range g.Width {
			p.Set(u, v, random.IntN(2) == 0)
		}
	}
	return p
}
