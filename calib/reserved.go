package calib

import "github.com/light-in-the-loop/opu/slm"

// Reserved is a band across the middle of the chip that no feature uses. Part of it
// is an anchor, always on, whose light tells phase and power of every frame; the
// rest spells a tag, by which a frame tells which pattern it shows (Witness).
type Reserved struct {
	Anchor int `json:"anchor_rows"`
	Tag    int `json:"tag_rows"`
}

// tags is how many parts the tag's rows fall into: one bit of its code each. Of the
// 2^28 codes two patterns' differ in fewer than two bits once in ten million times,
// and less than that cannot be seen.
const tags = 28

// tagShare is the share of the chip that a tag takes. Each part then has 0.8 %, whose
// light is read from 4096 outputs to 0.12 of itself, whatever else half of the chip
// shows.
const tagShare = 0.22

// rows says where the band is: the anchor from first to middle, the tag from there to
// end.
func (r Reserved) rows(g slm.Geometry) (first, middle, end int) {
	first = (g.Height - r.Anchor - r.Tag) / 2
	return first, first + r.Anchor, first + r.Anchor + r.Tag
}

// free is what the band leaves to features of a mask (nil: the whole chip); nil if
// nothing is reserved.
func (r Reserved) free(g slm.Geometry, mask *slm.Pattern) *slm.Pattern {
	if r == (Reserved{}) {
		return mask
	}
	free := slm.NewPattern(g)
	if mask == nil {
		free.Fill()
	} else {
		free.Copy(mask)
	}
	first, _, end := r.rows(g)
	for v := first; v < end; v++ {
		clear(free.Row(v))
	}
	return free
}

// dress turns on the anchor and the parts of the tag that code has bits for.
func (r Reserved) dress(p *slm.Pattern, anchor bool, code uint64) {
	g := p.Geometry()
	first, middle, end := r.rows(g)
	if anchor && middle > first {
		for u := range g.Width {
			p.Set(u, first, true)
		}
		for v := first + 1; v < middle; v++ {
			copy(p.Row(v), p.Row(first))
		}
	}
	if end == middle {
		return
	}
	for i := range tags {
		if code>>i&1 == 0 {
			continue
		}
		for u := i * g.Width / tags; u < (i+1)*g.Width/tags; u++ {
			p.Set(u, middle, true)
		}
	}
	for v := middle + 1; v < end; v++ {
		copy(p.Row(v), p.Row(middle))
	}
}
