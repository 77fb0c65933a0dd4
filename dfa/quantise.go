package dfa

import (
	"math"
	"math/rand/v2"
)

// How an error becomes a vector that a Projector takes.
const (
	Ternary    = "ternary"    // sign of the entries beyond the threshold, else 0
	Gain       = "gain"       // ternary relative to the largest entry, and a digital gain per sample
	Stochastic = "stochastic" // entry e becomes sign(e) with probability abs(e), else 0
	Float      = "float"      // unquantised; only digital feedback can use it
)

// Errors lists the names that Config.Error takes.
func Errors() []string { return []string{Ternary, Gain, Stochastic, Float} }

// Parameters of ternary with gain (reference, section 12).
const (
	gainShare = 0.3  // entries beyond this share of the largest are shown
	gainGate  = 0.02 // samples whose largest entry is smaller are not
)

// quantise codes the error of one sample into {-1, 0, 1} and returns the gain that
// its projection is multiplied with, and whether any entry is not zero.
func quantise(q []int8, e []float32, coding string, threshold float32, random *rand.Rand) (gain float32, any bool) {
	switch coding {
	case Gain:
		largest := float32(0)
		for _, x := range e {
			largest = max(largest, abs(x))
		}
		if largest < gainGate {
			clear(q)
			return 0, false
		}
		any = round(q, e, gainShare*largest)
		var eq, qq float32 // the least-squares scale of q to e
		for j, x := range q {
			eq += e[j] * float32(x)
			qq += float32(x) * float32(x)
		}
		return eq / qq, any
	case Stochastic:
		for j, x := range e {
			q[j] = 0
			if random.Float32() < abs(x) {
				q[j] = sign(x)
				any = any || q[j] != 0
			}
		}
		return 1, any
	}
	return 1, round(q, e, threshold)
}

// round keeps the signs of entries strictly beyond the threshold: with softmax over
// ten classes, errors start exactly at 0.1 (pitfall 2).
func round(q []int8, e []float32, threshold float32) (any bool) {
	for j, x := range e {
		q[j] = 0
		if abs(x) > threshold {
			q[j] = sign(x)
			any = true
		}
	}
	return any
}

func abs(x float32) float32 { return float32(math.Abs(float64(x))) }

func sign(x float32) int8 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0
}
