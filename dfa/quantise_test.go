package dfa

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestQuantise(t *testing.T) {
	below := math.Nextafter32(0.1, 0)
	above := math.Nextafter32(0.1, 1)
	for _, test := range []struct {
		name, coding string
		threshold    float32
		e            []float32
		q            []int8
		gain         float64
	}{
		{"signs", Ternary, 0.1, []float32{0.5, -0.6, 0.1, -0.05}, []int8{1, -1, 0, 0}, 1},
		{"exactly at the threshold", Ternary, 0.1, []float32{0.1, -0.1, above, -above, below}, []int8{0, 0, 1, -1, 0}, 1},
		{"untrained softmax of ten", Ternary, 0.1, []float32{0.1, 0.1, -0.9}, []int8{0, 0, -1}, 1},
		{"threshold zero", Ternary, 0, []float32{0, 1e-30, -1e-30}, []int8{0, 1, -1}, 1},
		{"nothing beyond", Ternary, 0.1, []float32{0.02, -0.02}, []int8{0, 0}, 1},
		// largest 0.6, limit 0.18; g = (0.5 + 0.6)/2
		{"gain", Gain, 0.1, []float32{0.5, -0.6, 0.1}, []int8{1, -1, 0}, 0.55},
		// largest 0.03: above the gate, though below the threshold; limit 0.009
		{"gain of a small error", Gain, 0.1, []float32{0.01, -0.03, 0.008, 0.012}, []int8{1, -1, 0, 1}, 0.052 / 3},
		{"gain at the gate", Gain, 0.1, []float32{-0.02, 0}, []int8{-1, 0}, 0.02},
		{"gain below the gate", Gain, 0.1, []float32{0.0199, -0.0199}, []int8{0, 0}, 0},
		{"gain of zeros", Gain, 0.1, []float32{0, 0}, []int8{0, 0}, 0},
		{"stochastic, sure", Stochastic, 0.1, []float32{1, -1, 0}, []int8{1, -1, 0}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			q := slices.Repeat([]int8{7}, len(test.e)) // must all be overwritten
			gain, any := quantise(q, test.e, test.coding, test.threshold, rand.New(rand.NewPCG(1, 1)))
			if !slices.Equal(q, test.q) || math.Abs(float64(gain)-test.gain) > 1e-7 {
				t.Errorf("%v becomes %v with gain %g, want %v with %g", test.e, q, gain, test.q, test.gain)
			}
			if want := slices.ContainsFunc(test.q, func(x int8) bool { return x != 0 }); any != want {
				t.Errorf("any entry: %v, want %v", any, want)
			}
		})
	}
}

// Whatever comes in, only -1, 0 and 1 come out, and never the wrong sign.
func TestQuantiseRange(t *testing.T) {
	random := rand.New(rand.NewPCG(2, 2))
	odd := []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0, float32(math.Copysign(0, -1))}
	q, e := make([]int8, 6), make([]float32, 6)
	for range 5000 {
		for j := range e {
			e[j] = float32(random.NormFloat64())
			if random.IntN(20) == 0 {
				e[j] = odd[random.IntN(len(odd))]
			}
		}
		for _, coding := range []string{Ternary, Gain, Stochastic} {
			_, any := quantise(q, e, coding, random.Float32(), random)
			some := false
			for j, x := range q {
				some = some || x != 0
				if x < -1 || x > 1 || x > 0 && !(e[j] > 0) || x < 0 && !(e[j] < 0) {
					t.Fatalf("%s: %v becomes %v", coding, e, q)
				}
			}
			if some != any {
				t.Fatalf("%s: any is %v for %v", coding, any, q)
			}
		}
	}
}

// Stochastic rounding is right on average, and repeats with the seed.
func TestStochasticUnbiased(t *testing.T) {
	const draws, seed = 40000, 3
	e := []float32{0.3, -0.7, 0.05, -0.011, 0}
	run := func(seed uint64) (sums []int, all []int8) {
		random := rand.New(rand.NewPCG(seed, 0))
		q := make([]int8, len(e))
		sums = make([]int, len(e))
		for range draws {
			quantise(q, e, Stochastic, 0.1, random)
			for j, x := range q {
				sums[j] += int(x)
			}
			all = append(all, q...)
		}
		return sums, all
	}
	sums, all := run(seed)
	for j, sum := range sums {
		p := math.Abs(float64(e[j]))
		sigma := math.Sqrt(p * (1 - p) / draws)
		if mean := float64(sum) / draws; math.Abs(mean-float64(e[j])) > 4*sigma {
			t.Errorf("seed %d: the mean for %g is %g, off by more than 4 times %g", seed, e[j], mean, sigma)
		}
	}
	if _, again := run(seed); !slices.Equal(all, again) {
		t.Error("the same seed gave other numbers")
	}
	if _, other := run(seed + 1); slices.Equal(all, other) {
		t.Error("another seed gave the same numbers")
	}
}
