package slm

import (
	"math/bits"
	"slices"
)

// layScattered deals the head of a random permutation of the n lit mirrors. The
// generator is SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) and the shuffle
// Fisher-Yates from the front, the index of step k being k + floor(r*(n-k)/2^64):
// they are fixed for ever, because they decide which matrix a seed means.
func (l *Layout) layScattered(n int) {
	mirrors := make([]uint32, 0, n)
	width := l.spec.Chip.Width
	for u, v := range litMirrors(l.spec) {
		mirrors = append(mirrors, uint32(v*width+u))
	}
	random := splitMix(l.spec.Seed)
	area := l.spec.Area
	used := area * l.spec.Features
	for k := range used {
		// The bias of the multiplication is below n/2^64, which nothing can see.
		step, _ := bits.Mul64(random.next(), uint64(n-k))
		j := k + int(step)
		mirrors[k], mirrors[j] = mirrors[j], mirrors[k]
	}
	for own := range slices.Chunk(mirrors[:used], area) {
		slices.Sort(own)
		l.next()
		for _, m := range own {
			l.add(int(m)%width, int(m)/width)
		}
	}
}

// splitMix is the state of a SplitMix64 generator.
type splitMix uint64

func (s *splitMix) next() uint64 {
	*s += 0x9e3779b97f4a7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
