package dlpc900

import (
	"cmp"
	"slices"

	"github.com/light-in-the-loop/opu/slm"
)

// store is the host's copy of what the board holds: which pattern lies at which place. Place
// p is plane p%24 of image p/24, and entry p of the LUT. Slots are places somewhere.
type store struct {
	place    []int          // of each slot, or -1
	patterns []*slm.Pattern // of each place; nil: free
	first    int            // free for slots from here on
}

// squareSide is the side of the squares of the warm patterns, in mirrors.
const squareSide = 8

// newStore has room for as many patterns as there are slots, behind the reserved places,
// which hold a chequered pattern and its complement: together, each mirror is on half of the
// time.
func newStore(g slm.Geometry, reserved, slots int) store {
	s := store{place: make([]int, slots), patterns: make([]*slm.Pattern, reserved+slots), first: reserved}
	for i := range s.place {
		s.place[i] = -1
	}
	for k := range reserved {
		p := slm.NewPattern(g)
		for v := range g.Height {
			for u := range g.Width {
				if (u/squareSide+v/squareSide)%2 == k%2 {
					p.Set(u, v, true)
				}
			}
		}
		s.patterns[k] = p
	}
	return s
}

// of returns the pattern in a slot, or nil.
func (s *store) of(slot int) *slm.Pattern {
	if s.place[slot] < 0 {
		return nil
	}
	return s.patterns[s.place[slot]]
}

// put places patterns and returns the images that they fall into. Because an image is sent as
// a whole, they go into as few images as possible, and then into those that hold least.
func (s *store) put(slots []int, patterns []*slm.Pattern) (images []int) {
	for _, slot := range slots {
		if at := s.place[slot]; at >= 0 {
			s.patterns[at] = nil
			s.place[slot] = -1
		}
	}
	free := make([][]int, (len(s.patterns)+planes-1)/planes)
	for p := s.first; p < len(s.patterns); p++ {
		if s.patterns[p] == nil {
			free[p/planes] = append(free[p/planes], p)
		}
	}
	held := func(image int) int { return min(planes, len(s.patterns)-image*planes) - len(free[image]) }
	for len(slots) > 0 {
		best := -1
		for image := range free {
			if len(free[image]) == 0 {
				continue
			}
			if best < 0 || cmp.Or(
				cmp.Compare(min(len(free[image]), len(slots)), min(len(free[best]), len(slots))),
				cmp.Compare(held(best), held(image))) > 0 {
				best = image
			}
		}
		n := min(len(free[best]), len(slots))
		for i, p := range free[best][:n] {
			s.place[slots[i]], s.patterns[p] = p, patterns[i].Clone()
		}
		free[best] = free[best][n:]
		slots, patterns = slots[n:], patterns[n:]
		images = append(images, best)
	}
	slices.Sort(images)
	return slices.Compact(images)
}

// entries is how many entries a LUT needs for all images up to the last that holds anything.
// They grow by whole images, so that the LUT changes when a new image is sent and not between.
func (s *store) entries() int {
	for p := len(s.patterns) - 1; p >= 0; p-- {
		if s.patterns[p] != nil {
			return min((p/planes+1)*planes, len(s.patterns))
		}
	}
	return 0
}

// image is what an image holds.
func (s *store) image(index int) *image {
	im := new(image)
	copy(im[:], s.patterns[index*planes:min((index+1)*planes, len(s.patterns))])
	return im
}
