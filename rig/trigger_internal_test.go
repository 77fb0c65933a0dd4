package rig

import (
	"math/rand/v2"
	"testing"
)

// What was done to the order is found in its frames, and nothing else is.
func TestJudge(t *testing.T) {
	n := len(triggerOrder)
	type made struct {
		frames []int // the pattern that each frame shows
		fault  TriggerFault
		by     int
	}
	span := func(from, to, step int) (all []int) {
		for k := from; k < to; k += step {
			all = append(all, k)
		}
		return all
	}
	twice := func() (all []int) {
		for k := range n {
			all = append(all, k, k)
		}
		return all
	}
	cases := map[string]made{
		"good":             {span(0, n, 1), TriggerGood, 0},
		"silent":           {nil, TriggerSilent, 0},
		"once":             {span(0, 1, 1), TriggerOnce, 0},
		"twice":            {twice(), TriggerDouble, 0},
		"every other":      {span(0, n, 2), TriggerHalf, 0},
		"the others":       {span(1, n, 2), TriggerHalf, 1},
		"one late":         {span(-1, n-1, 1), TriggerLate, 1},
		"three late":       {span(-3, n-3, 1), TriggerLate, 3},
		"first lost":       {span(1, n, 1), TriggerFirstLost, 1},
		"first two lost":   {span(2, n, 1), TriggerFirstLost, 2},
		"the last lost":    {span(0, n-1, 1), TriggerGaps, 0},
		"a frame too many": {append(span(0, n, 1), n-1), TriggerGaps, 0},
	}
	random := rand.New(rand.NewPCG(1, 2))
	noise := made{fault: TriggerBlind}
	for range n {
		noise.frames = append(noise.frames, random.IntN(n))
	}
	cases["any order"] = noise
	for name, c := range cases {
		seen := make([]glimpse, len(c.frames))
		for seq, k := range c.frames {
			seen[seq] = glimpse{seq, 10}
			if k >= 0 && triggerOrder[k] {
				seen[seq].variance = 400
			}
		}
		try := TriggerTry{Frames: len(c.frames)}
		if try.judge(triggerOrder, seen); try.Fault != c.fault || try.By != c.by || try.Before != 0 || try.After != 0 {
			t.Errorf("%s: %+v, want %q by %d", name, try, c.fault, c.by)
		}
	}
}

// Every pattern is there between every two neighbours, more than once.
func TestTriggerOrder(t *testing.T) {
	counts := map[[3]bool]int{}
	for k := 1; k < len(triggerOrder)-1; k++ {
		counts[[3]bool(triggerOrder[k-1:k+2])]++
	}
	for _, before := range []bool{false, true} {
		for _, after := range []bool{false, true} {
			for _, lit := range []bool{false, true} {
				if counts[[3]bool{before, lit, after}] < 2 {
					t.Errorf("%v is there %d times", [3]bool{before, lit, after}, counts[[3]bool{before, lit, after}])
				}
			}
		}
	}
}
