package dfa

import (
	"math"

	"github.com/light-in-the-loop/opu/internal/parallel"
)

// Constants of Adam (Kingma, Ba 2014), the usual ones.
const (
	beta1   = 0.9
	beta2   = 0.999
	epsilon = 1e-8
)

// moments are Adam's running means for one array of weights.
type moments struct{ first, second []float32 }

func newMoments(n int) moments { return moments{make([]float32, n), make([]float32, n)} }

// adamBlock is how many weights one call updates.
const adamBlock = 1 << 15

// update makes step number step (from 1) with the gradient g.
func (m moments) update(w, g []float32, rate float64, step int) {
	c1, c2 := 1-math.Pow(beta1, float64(step)), 1-math.Pow(beta2, float64(step))
	// w -= rate (first/c1) / (sqrt(second/c2) + epsilon), with the corrections moved
	// out of the loop.
	r, e := float32(rate*math.Sqrt(c2)/c1), float32(epsilon*math.Sqrt(c2))
	parallel.Do((len(w)+adamBlock-1)/adamBlock, func(b int) {
		from, to := b*adamBlock, min(len(w), (b+1)*adamBlock)
		w, g, first, second := w[from:to], g[from:to], m.first[from:to], m.second[from:to]
		for i, x := range g {
			f := beta1*first[i] + (1-beta1)*x
			s := beta2*second[i] + (1-beta2)*x*x
			first[i], second[i] = f, s
			w[i] -= r * f / (float32(math.Sqrt(float64(s))) + e)
		}
	})
}
