package sim

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// mix is the finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of
// 64-bit words that scatters neighbouring inputs over all outputs. It makes
// streams that are addressed instead of advanced: word i of a stream is
// mix(key + i*golden).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

const golden = 0x9e3779b97f4a7c15

// What a stream of random words is for; each purpose has keys of its own.
const (
	forMedium = iota + 1
	forReference
	forPixels
	forFrame
	forConfig
	forGain
	forHot
	forRows
	forAgedMedium
)

// streamKey is the key of stream i for one purpose of a bench.
func streamKey(seed uint64, purpose, i uint64) uint64 {
	return mix(mix(mix(seed+golden)+purpose*golden) + i*golden)
}

// stream draws words of one stream in order.
type stream struct{ state uint64 }

func newStream(seed uint64, purpose, i uint64) stream {
	return stream{streamKey(seed, purpose, i)}
}

func (s *stream) word() uint64 {
	s.state += golden
	return mix(s.state)
}

// uniform is in (0, 1).
func (s *stream) uniform() float64 { return (float64(s.word()>>11) + 0.5) / (1 << 53) }

// between is uniform from lo to hi.
func (s *stream) between(lo, hi float64) float64 { return lo + (hi-lo)*s.uniform() }

// normal is a standard normal number at full precision (for the few that a
// frame needs; its pixels use the table below).
func (s *stream) normal() float64 { return distuv.UnitNormal.Quantile(s.uniform()) }

// normals holds the 2^14 midpoint quantiles of the normal distribution, scaled
// to unit variance. A pixel's noise needs no more: the tails end at 4 standard
// deviations, and one 64-bit word makes four numbers.
var normals = func() (table [1 << 14]float32) {
	var q [len(table)]float64
	power := 0.0
	for i := range q {
		q[i] = distuv.UnitNormal.Quantile((float64(i) + 0.5) / float64(len(q)))
		power += q[i] * q[i]
	}
	scale := 1 / math.Sqrt(power/float64(len(q)))
	for i := range q {
		table[i] = float32(q[i] * scale)
	}
	return table
}()
