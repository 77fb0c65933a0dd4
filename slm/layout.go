package slm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"iter"
	"math/bits"
	"slices"
)

// MaxFeatures is the most features that a Layout takes.
const MaxFeatures = 1_000_000

// Kind is the rule by which features get their mirrors.
type Kind uint8

const (
	// Blocks are equal squares on a grid, as large as fit, those nearest to the
	// middle of the lit mirrors, where a beam is brightest; features in reading
	// order. Squares keep the light of a feature together, so its speckle is
	// coarse on the medium and neighbours may be correlated.
	Blocks Kind = iota

	// Lines follow the lit mirrors in reading order, each feature the next ones. It
	// wastes the fewest mirrors.
	Lines

	// Scattered gives each feature lit mirrors drawn at random without replacement:
	// whatever the beam's profile and the medium's memory, all features see the same
	// of it.
	Scattered
)

var kindNames = [...]string{"blocks", "lines", "scattered"}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// ParseKind is the inverse of String. Its error wraps ErrInput.
func ParseKind(s string) (Kind, error) {
	if i := slices.Index(kindNames[:], s); i >= 0 {
		return Kind(i), nil
	}
	return 0, fmt.Errorf("cannot use layout %q: it is not one of %v: %w", s, kindNames, ErrInput)
}

// LayoutSpec says what Layout to make. Equal specs make equal layouts, in every
// version of this package.
type LayoutSpec struct {
	Kind     Kind
	Features int      // 1 to MaxFeatures
	Chip     Geometry // of the device
	Mask     *Pattern // the mirrors that light falls on; nil: all
	Seed     uint64   // of Scattered
	Area     int      // mirrors per feature, a square number for Blocks; 0: as many as fit
}

// Layout gives every feature of a vector its own mirrors, the same number for
// each, so that the columns of the optical matrix have equal expected norms. The
// remaining mirrors are always off. It does not change and may be used from any
// goroutine.
type Layout struct {
	spec LayoutSpec // Area resolved, Mask the layout's own copy
	id   string

	// Feature i lights spans[first[i]:first[i+1]]. Its mirrors are grouped by the
	// words of a Pattern, which turns a block of a hundred mirrors into about ten
	// operations.
	spans []span
	first []uint32
}

// span is mirrors that share a word of a Pattern.
type span struct {
	mask uint64
	word uint32
}

// NewLayout makes a layout. Errors wrap ErrInput: features outside 1 to
// MaxFeatures, a mask for another chip, or more mirrors needed than are lit. A
// full HD chip takes up to a second.
func NewLayout(s LayoutSpec) (*Layout, error) {
	fail := func(format string, args ...any) (*Layout, error) {
		return nil, fmt.Errorf("cannot lay out %d features as %v: %s: %w", s.Features, s.Kind, fmt.Sprintf(format, args...), ErrInput)
	}
	if err := s.Chip.Check(); err != nil {
		return fail("%v", err)
	}
	switch {
	case int(s.Kind) >= len(kindNames):
		return fail("the kind is not one of %v", kindNames)
	case s.Features < 1 || s.Features > MaxFeatures:
		return fail("the number of features must be 1 to %d", MaxFeatures)
	case s.Area < 0:
		return fail("%d mirrors per feature are negative; 0 takes as many as fit", s.Area)
	case s.Mask != nil && s.Mask.Geometry() != s.Chip:
		return fail("the mask has %v mirrors, the chip %v", s.Mask.Geometry(), s.Chip)
	}
	lit := s.Chip.Mirrors()
	if s.Mask != nil {
		s.Mask = s.Mask.Clone()
		lit = s.Mask.Count()
	}
	if need := max(1, s.Area); need > lit/s.Features {
		return fail("the %d lit mirrors are fewer than %d for each; use fewer features or smaller ones", lit, need)
	}

	var cells []block
	if s.Kind == Blocks {
		var err error
		if cells, s.Area, err = chooseBlocks(s, lit); err != nil {
			return fail("%v", err)
		}
	} else if s.Area == 0 {
		s.Area = lit / s.Features
	}

	l := &Layout{spec: s, first: make([]uint32, 0, s.Features+1)}
	switch s.Kind {
	case Blocks:
		l.layBlocks(cells)
	case Lines:
		l.layLines()
	case Scattered:
		l.layScattered(lit)
	}
	l.first = append(l.first, uint32(len(l.spans)))
	l.spans = slices.Clip(l.spans)
	l.id = identify(s)
	return l, nil
}

// Features is the length of the vectors that the layout encodes.
func (l *Layout) Features() int { return l.spec.Features }

// Area is the number of mirrors of each feature.
func (l *Layout) Area() int { return l.spec.Area }

// Chip is the geometry of the patterns that Encode fills.
func (l *Layout) Chip() Geometry { return l.spec.Chip }

// Spec is what NewLayout was given, with Area filled in. The mask is the layout's
// own copy and must not be changed.
func (l *Layout) Spec() LayoutSpec { return l.spec }

// ID names the layout: equal IDs mean that every feature has the same mirrors. It
// may be stored; it is part of what identifies the optical matrix.
func (l *Layout) ID() string { return l.id }

// Encode shows one sign of a vector: it lights the mirrors of every feature i with
// x[i] == sign and turns all others off. It does not allocate. x must have one
// entry per feature and dst the chip's geometry; anything else is a mistake of the
// program and panics.
func (l *Layout) Encode(dst *Pattern, x []int8, sign int8) {
	if len(x) != l.spec.Features || dst.geometry != l.spec.Chip {
		panic(fmt.Sprintf("slm: a layout of %d features on %v cannot encode %d entries on %v",
			l.spec.Features, l.spec.Chip, len(x), dst.geometry))
	}
	words := dst.words
	clear(words)
	for i, v := range x {
		if v != sign {
			continue
		}
		for _, s := range l.spans[l.first[i]:l.first[i+1]] {
			words[s.word] |= s.mask
		}
	}
}

// Mirrors yields column and row of every mirror of feature i, in reading order.
func (l *Layout) Mirrors(i int) iter.Seq2[int, int] {
	stride := (l.spec.Chip.Width + 63) / 64
	return func(yield func(u, v int) bool) {
		for _, s := range l.spans[l.first[i]:l.first[i+1]] {
			for m := s.mask; m != 0; m &= m - 1 {
				if !yield(int(s.word)%stride*64+bits.TrailingZeros64(m), int(s.word)/stride) {
					return
				}
			}
		}
	}
}

// next starts the mirrors of the next feature.
func (l *Layout) next() { l.first = append(l.first, uint32(len(l.spans))) }

// add gives a mirror to the feature that next started. Mirrors come in reading
// order.
func (l *Layout) add(u, v int) {
	stride := (l.spec.Chip.Width + 63) / 64
	word, bit := uint32(v*stride+u/64), uint64(1)<<(u%64)
	n := len(l.spans)
	if n > int(l.first[len(l.first)-1]) && l.spans[n-1].word == word {
		l.spans[n-1].mask |= bit
	} else {
		l.spans = append(l.spans, span{mask: bit, word: word})
	}
}

func (l *Layout) layLines() {
	taken := 0
	for u, v := range litMirrors(l.spec) {
		if taken == l.spec.Features*l.spec.Area {
			return
		}
		if taken%l.spec.Area == 0 {
			l.next()
		}
		l.add(u, v)
		taken++
	}
}

// litMirrors yields column and row of the mirrors that a layout may use, in reading
// order.
func litMirrors(s LayoutSpec) iter.Seq2[int, int] {
	return func(yield func(u, v int) bool) {
		for v := range s.Chip.Height {
			for u := range s.Chip.Width {
				if (s.Mask == nil || s.Mask.words[v*s.Mask.stride+u/64]>>(u%64)&1 != 0) && !yield(u, v) {
					return
				}
			}
		}
	}
}

// identify hashes what decides which mirrors a feature has. A mask that lights
// the whole chip is no mask, and the seed matters to Scattered only.
func identify(s LayoutSpec) string {
	if s.Kind != Scattered {
		s.Seed = 0
	}
	h := sha256.New()
	fmt.Fprintf(h, "slm.Layout 1 %v %d %v %d %d\n", s.Kind, s.Features, s.Chip, s.Area, s.Seed)
	if s.Mask != nil && s.Mask.Count() < s.Chip.Mirrors() {
		binary.Write(h, binary.LittleEndian, s.Mask.words) // a hash never fails
	}
	return "l-" + hex.EncodeToString(h.Sum(nil)[:8])
}
