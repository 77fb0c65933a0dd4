package slm

import (
	"errors"
	"testing"
	"time"
)

var info = Info{Model: "m", Serial: "s", Geometry: Geometry{70, 3}, Capacity: 4, MaxRun: 6, MinPeriod: 100 * time.Microsecond}

func TestCheckRun(t *testing.T) {
	const us = time.Microsecond
	for name, c := range map[string]struct {
		run  Run
		good bool
	}{
		"one pattern":                  {Run{Order: []int{3}}, true},
		"longest, repeated":            {Run{Order: []int{0, 1, 2, 3, 0, 0}}, true},
		"shortest period":              {Run{Order: []int{0}, Period: 100 * us, Exposure: 100 * us}, true},
		"dark for the rest":            {Run{Order: []int{0}, Period: time.Second, Exposure: us}, true},
		"exposure in the least period": {Run{Order: []int{0}, Exposure: 100 * us}, true},
		"empty":                        {Run{}, false},
		"too long":                     {Run{Order: make([]int, 7)}, false},
		"slot -1":                      {Run{Order: []int{0, -1}}, false},
		"slot 4":                       {Run{Order: []int{0, 4}}, false},
		"period too short":             {Run{Order: []int{0}, Period: 99 * us}, false},
		"negative period":              {Run{Order: []int{0}, Period: -us}, false},
		"negative exposure":            {Run{Order: []int{0}, Exposure: -us}, false},
		"exposure above the period":    {Run{Order: []int{0}, Period: 200 * us, Exposure: 201 * us}, false},
		"exposure above the least":     {Run{Order: []int{0}, Exposure: 101 * us}, false},
	} {
		if err := info.Check(c.run); (err == nil) != c.good || !c.good && !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCheckLoad(t *testing.T) {
	p, other := NewPattern(info.Geometry), NewPattern(Geometry{3, 70})
	for name, c := range map[string]struct {
		slots    []int
		patterns []*Pattern
		good     bool
	}{
		"nothing":          {nil, nil, true},
		"same for two":     {[]int{3, 0}, []*Pattern{p, p}, true},
		"too few patterns": {[]int{0, 1}, []*Pattern{p}, false},
		"too few slots":    {[]int{0}, []*Pattern{p, p}, false},
		"slot -1":          {[]int{-1}, []*Pattern{p}, false},
		"slot 4":           {[]int{0, 4}, []*Pattern{p, p}, false},
		"slot twice":       {[]int{1, 1}, []*Pattern{p, p}, false},
		"nil":              {[]int{0}, []*Pattern{nil}, false},
		"other geometry":   {[]int{0, 1}, []*Pattern{p, other}, false},
	} {
		if err := info.CheckLoad(c.slots, c.patterns); (err == nil) != c.good || !c.good && !errors.Is(err, ErrInput) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
