package dfa

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Fifty steps against Adam as Kingma and Ba write it, in float64.
func TestAdam(t *testing.T) {
	const n, steps, rate = adamBlock + 77, 50, 0.003
	random := rand.New(rand.NewPCG(1, 0))
	w, g := make([]float32, n), make([]float32, n)
	want, m, v := make([]float64, n), make([]float64, n), make([]float64, n)
	for i := range w {
		w[i] = float32(random.NormFloat64())
		want[i] = float64(w[i])
	}
	adam := newMoments(n)
	for step := 1; step <= steps; step++ {
		for i := range g {
			// Sizes from where epsilon rules to large ones, and a weight without gradient.
			g[i] = float32(random.NormFloat64() * math.Pow(10, float64(i%12-10)))
			if i == 5 {
				g[i] = 0
			}
			x := float64(g[i])
			m[i] = 0.9*m[i] + 0.1*x
			v[i] = 0.999*v[i] + 0.001*x*x
			mHat, vHat := m[i]/(1-math.Pow(0.9, float64(step))), v[i]/(1-math.Pow(0.999, float64(step)))
			want[i] -= rate * mHat / (math.Sqrt(vHat) + 1e-8)
		}
		adam.update(w, g, rate, step)
	}
	for i := range w {
		// fifty roundings of a float32 of size about 1, and of the steps
		if d := math.Abs(float64(w[i]) - want[i]); d > 50*1.2e-7*(math.Abs(want[i])+rate) {
			t.Fatalf("weight %d with gradients of %.0e: %g, want %g", i, math.Pow(10, float64(i%12-10)), w[i], want[i])
		}
	}
}

func TestRate(t *testing.T) {
	c := Config{Rate: 0.2, Schedule: Cosine}
	for step, want := range map[int]float64{0: 0.2, 25: 0.1 * (1 + math.Sqrt2/2), 50: 0.1, 75: 0.1 * (1 - math.Sqrt2/2), 100: 0} {
		if got := c.rate(step, 100); math.Abs(got-want) > 1e-15 {
			t.Errorf("cosine, step %d of 100: %g, want %g", step, got, want)
		}
	}
	c.Schedule = Constant
	if got := c.rate(99, 100); got != 0.2 {
		t.Errorf("constant: %g, want 0.2", got)
	}
}
