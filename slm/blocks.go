package slm

import (
	"fmt"
	"math/bits"
	"slices"
)

// block is the place of a square: its first column and row, and how far its
// middle is from that of the grid (squared, in half mirrors).
type block struct{ u, v, far int }

// chooseBlocks returns a block for every feature, and how many mirrors each has.
func chooseBlocks(s LayoutSpec, lit int) (cells []block, area int, err error) {
	side := isqrt(lit / s.Features)
	if s.Area == 0 {
		// Not all sizes below one that fits do fit, because the grid moves over the
		// mask: try each, the largest first.
		for cells = blocks(s, side); len(cells) < s.Features && side > 1; cells = blocks(s, side) {
			side--
		}
	} else {
		if side = isqrt(s.Area); side*side != s.Area {
			return nil, 0, fmt.Errorf("%d mirrors make no square; use %d or %d", s.Area, side*side, (side+1)*(side+1))
		}
		cells = blocks(s, side)
	}
	if len(cells) < s.Features {
		return nil, 0, fmt.Errorf("only %d blocks of %dx%d lie wholly on lit mirrors; use smaller blocks or another kind", len(cells), side, side)
	}
	return middle(cells, s.Features), side * side, nil
}

func (l *Layout) layBlocks(cells []block) {
	side := isqrt(l.spec.Area)
	for _, c := range cells {
		l.next()
		for v := c.v; v < c.v+side; v++ {
			for u := c.u; u < c.u+side; u++ {
				l.add(u, v)
			}
		}
	}
}

// blocks returns, in reading order, the squares of a grid that are wholly lit. The
// grid is centred on the lit mirrors.
func blocks(s LayoutSpec, side int) []block {
	left, top, right, bottom := bounds(s)
	columns, rows := (right-left)/side, (bottom-top)/side
	left += (right - left - columns*side) / 2
	top += (bottom - top - rows*side) / 2
	cells := make([]block, 0, columns*rows)
	for r := range rows {
		for c := range columns {
			u, v := left+c*side, top+r*side
			if s.Mask != nil && !s.Mask.whole(u, v, side) {
				continue
			}
			x, y := (2*c+1-columns)*side, (2*r+1-rows)*side
			cells = append(cells, block{u, v, x*x + y*y})
		}
	}
	return cells
}

// middle returns the n cells nearest to the middle, in the order they had; of
// equally near ones the first.
func middle(cells []block, n int) []block {
	far := make([]int, len(cells))
	for i, c := range cells {
		far[i] = c.far
	}
	slices.Sort(far)
	limit := far[n-1]
	nearer, _ := slices.BinarySearch(far, limit)
	atLimit := n - nearer // how many of those just at the limit are taken
	taken := cells[:0]
	for _, c := range cells {
		if c.far == limit {
			atLimit--
		}
		if c.far < limit || c.far == limit && atLimit >= 0 {
			taken = append(taken, c)
		}
	}
	return taken
}

// bounds is the smallest rectangle that holds the lit mirrors; right and bottom
// are the first column and row beyond.
func bounds(s LayoutSpec) (left, top, right, bottom int) {
	if s.Mask == nil {
		return 0, 0, s.Chip.Width, s.Chip.Height
	}
	left, top = s.Chip.Width, s.Chip.Height
	for v := range s.Chip.Height {
		for i, w := range s.Mask.Row(v) {
			if w != 0 {
				left, right = min(left, 64*i+bits.TrailingZeros64(w)), max(right, 64*i+bits.Len64(w))
				top, bottom = min(top, v), v+1
			}
		}
	}
	return left, top, right, bottom
}

// whole tells whether all mirrors of a square within the chip are on.
func (p *Pattern) whole(u, v, side int) bool {
	for row := v; row < v+side; row++ {
		words := p.Row(row)
		for at, end := u, u+side; at < end; {
			n := min(64-at%64, end-at) // of this word
			mask := ^uint64(0) >> (64 - n) << (at % 64)
			if words[at/64]&mask != mask {
				return false
			}
			at += n
		}
	}
	return true
}

// isqrt is the largest r with r*r <= n.
func isqrt(n int) int {
	r := 0
	for bit := 1 << (bits.Len(uint(n)) / 2); bit > 0; bit >>= 1 {
		if (r+bit)*(r+bit) <= n {
			r += bit
		}
	}
	return r
}
