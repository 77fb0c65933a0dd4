package slm

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/bits"
)

// MaxSide is the largest width or height of a chip, in mirrors. It bounds what
// NewPattern allocates (32 MiB) and is far above any DMD that is sold.
const MaxSide = 1 << 14

// Geometry is the size of a mirror array.
type Geometry struct {
	Width, Height int // mirrors
}

// Mirrors is the number of mirrors of the array.
func (g Geometry) Mirrors() int { return g.Width * g.Height }

// Check says whether a chip can have this geometry.
func (g Geometry) Check() error {
	if g.Width < 1 || g.Height < 1 || g.Width > MaxSide || g.Height > MaxSide {
		return fmt.Errorf("cannot use a chip of %v mirrors: each side must be 1 to %d", g, MaxSide)
	}
	return nil
}

func (g Geometry) String() string { return fmt.Sprintf("%dx%d", g.Width, g.Height) }

// Pattern is one binary picture for a chip: one bit per mirror, 1 = on. Rows
// are packed into 64-bit words, mirror u of a row in bit u%64 of word u/64; the
// bits beyond the width are always 0, so that counting and comparing need no
// mask. A Pattern is not safe for concurrent writing.
type Pattern struct {
	geometry Geometry
	stride   int // words per row
	words    []uint64
}

// NewPattern returns an all-off pattern. It panics if the geometry fails its
// Check: a chip's geometry comes from Device.Info, never from a user's input.
func NewPattern(g Geometry) *Pattern {
	if err := g.Check(); err != nil {
		panic(err)
	}
	stride := (g.Width + 63) / 64
	return &Pattern{geometry: g, stride: stride, words: make([]uint64, stride*g.Height)}
}

// Geometry is the size of the chip that the pattern is for.
func (p *Pattern) Geometry() Geometry { return p.geometry }

// Row is row v, packed (mirror u in bit u%64 of word u/64). It aliases the
// pattern; writers must leave the bits beyond the width at 0.
func (p *Pattern) Row(v int) []uint64 { return p.words[v*p.stride : (v+1)*p.stride] }

// On tells whether the mirror in column u and row v is on.
func (p *Pattern) On(u, v int) bool {
	p.check(u, v)
	return p.words[v*p.stride+u/64]>>(u%64)&1 != 0
}

// Set turns the mirror in column u and row v on or off.
func (p *Pattern) Set(u, v int, on bool) {
	p.check(u, v)
	w, bit := &p.words[v*p.stride+u/64], uint64(1)<<(u%64)
	if on {
		*w |= bit
	} else {
		*w &^= bit
	}
}

func (p *Pattern) check(u, v int) {
	if uint(u) >= uint(p.geometry.Width) || uint(v) >= uint(p.geometry.Height) {
		panic(fmt.Sprintf("slm: mirror (%d, %d) lies outside a chip of %v", u, v, p.geometry))
	}
}

// Clear turns all mirrors off.
func (p *Pattern) Clear() { clear(p.words) }

// Fill turns all mirrors on.
func (p *Pattern) Fill() {
	last := ^uint64(0) >> (uint(p.stride*64-p.geometry.Width) % 64)
	for v := range p.geometry.Height {
		row := p.Row(v)
		for i := range row {
			row[i] = ^uint64(0)
		}
		row[len(row)-1] = last
	}
}

// Copy makes p equal to q. Both must have the same geometry.
func (p *Pattern) Copy(q *Pattern) {
	if p.geometry != q.geometry {
		panic(fmt.Sprintf("slm: a pattern of %v cannot be copied to one of %v", q.geometry, p.geometry))
	}
	copy(p.words, q.words)
}

// Or turns on what is on in q, which must be of the same geometry.
func (p *Pattern) Or(q *Pattern) {
	if p.geometry != q.geometry {
		panic(fmt.Sprintf("slm: a pattern of %v cannot be laid over one of %v", q.geometry, p.geometry))
	}
	for i, w := range q.words {
		p.words[i] |= w
	}
}

// Clone is a copy of its own.
func (p *Pattern) Clone() *Pattern {
	q := *p
	q.words = append([]uint64(nil), p.words...)
	return &q
}

// Count is the number of mirrors that are on.
func (p *Pattern) Count() int {
	n := 0
	for _, w := range p.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// Equal tells whether both patterns have the same geometry and mirrors.
func (p *Pattern) Equal(q *Pattern) bool {
	if p.geometry != q.geometry {
		return false
	}
	for i, w := range p.words {
		if w != q.words[i] {
			return false
		}
	}
	return true
}

// seed makes the hashes of one process differ from those of the next: they are
// for tables in memory and must not be stored.
var seed = maphash.MakeSeed()

// Hash is a key for tables of patterns, valid within this process. Different
// patterns may share it: compare with Equal before trusting a match.
func (p *Pattern) Hash() uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	var buf [8 * 64]byte
	for i := 0; i < len(p.words); i += 64 {
		n := 0
		for _, w := range p.words[i:min(i+64, len(p.words))] {
			binary.LittleEndian.PutUint64(buf[n:], w)
			n += 8
		}
		h.Write(buf[:n])
	}
	return h.Sum64()
}
