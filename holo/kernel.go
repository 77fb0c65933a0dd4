package holo

import (
	"fmt"
	"math"
	"math/cmplx"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// Kernel is the patch that Direct multiplies pixels with: complex weights in
// integers whose real and imaginary parts each sum to zero, so that a constant
// background vanishes exactly.
type Kernel struct {
	Taps   int    // pixels along each side of the patch, 2 to 16
	Stride int    // pixels from one output to the next
	Re, Im []int8 // Taps x Taps, row-major, -64 to 64
}

// maxWeight keeps the sums of a patch within 32 bits at 16 bits a pixel, and
// within what 8-bit multiply-add instructions take without saturating.
const maxWeight = 64

// maxTaps bounds the size of a kernel, for the same reason.
const maxTaps = 16

// Check says whether Direct can use the kernel.
func (k Kernel) Check() error {
	if k.Taps < 2 || k.Taps > maxTaps || k.Stride < 1 || k.Stride > maxSide {
		return fmt.Errorf("cannot use a kernel of %d taps every %d pixels: 2 to %d taps, one pixel or more: %w", k.Taps, k.Stride, maxTaps, ErrInput)
	}
	if len(k.Re) != k.Taps*k.Taps || len(k.Im) != k.Taps*k.Taps {
		return fmt.Errorf("cannot use a kernel of %d taps with %d and %d weights: %w", k.Taps, len(k.Re), len(k.Im), ErrInput)
	}
	for _, w := range [][]int8{k.Re, k.Im} {
		sum := 0
		for _, x := range w {
			if x < -maxWeight || x > maxWeight {
				return fmt.Errorf("cannot use a kernel with the weight %d: they are -%d to %d: %w", x, maxWeight, maxWeight, ErrInput)
			}
			sum += int(x)
		}
		if sum != 0 {
			return fmt.Errorf("cannot use a kernel whose weights sum to %d instead of 0: %w", sum, ErrInput)
		}
	}
	return nil
}

// Response is what the kernel makes of the plane wave exp(i 2 pi k.r), with r from
// the patch's first pixel: its transfer function.
func (k Kernel) Response(fu, fv float64) complex128 {
	var sum complex128
	for v := range k.Taps {
		for u := range k.Taps {
			w := complex(float64(k.Re[v*k.Taps+u]), float64(k.Im[v*k.Taps+u]))
			sum += w * cmplx.Rect(1, 2*math.Pi*(fu*float64(u)+fv*float64(v)))
		}
	}
	return sum
}

// Design is what a kernel is designed from.
type Design struct {
	Band         Band
	Taps, Stride int

	Rho           float64 // power of the reference over that of the speckle
	MeanElectrons float64 // per pixel; together with the next three it gives the noise
	ReadNoise     float64 // electrons
	FullWell      float64 // electrons; 0 leaves quantisation out
	Bits          int

	// Gamma weighs what must be stopped against fidelity to the field at the patch's
	// centre: 1 is the Wiener estimate, larger is more linear. 0 means 64, which
	// gives up little of either (performance notes, section 4).
	Gamma float64
}

const (
	defaultGamma = 64

	// constantWeight makes the constant background count as this many times its own
	// power, so that the solution all but cancels it before rounding does so exactly.
	constantWeight = 1e3
)

// DesignKernel solves w = (C_lin + gamma C_bad)^-1 c for the weights that estimate
// the linear term at the centre of the patch. C_lin and C_bad are the covariances of
// the patch's pixels under the sideband, and under its twin, abs(S)^2, noise and
// the constant; all are closed forms in the disc's Bessel function.
func DesignKernel(d Design) (Kernel, error) {
	if d.Gamma == 0 {
		d.Gamma = defaultGamma
	}
	k := Kernel{Taps: d.Taps, Stride: d.Stride}
	switch {
	case d.Taps < 2 || d.Taps > maxTaps || d.Stride < 1:
		return k, fmt.Errorf("cannot design a kernel of %d taps every %d pixels: 2 to %d taps, one pixel or more: %w", d.Taps, d.Stride, maxTaps, ErrInput)
	case !(d.Rho > 0) || !(d.MeanElectrons > 0) || !(d.ReadNoise >= 0) || !(d.FullWell >= 0) || !(d.Gamma > 0) || math.IsInf(d.Rho+d.MeanElectrons+d.ReadNoise+d.FullWell+d.Gamma, 0):
		return k, fmt.Errorf("cannot design a kernel for rho %g, %g electrons, read noise %g, full well %g and gamma %g: they must be positive: %w",
			d.Rho, d.MeanElectrons, d.ReadNoise, d.FullWell, d.Gamma, ErrInput)
	case !(d.Band.R > 0 && d.Band.R < 0.5) || math.IsNaN(d.Band.Fu+d.Band.Fv) || math.IsInf(d.Band.Fu+d.Band.Fv, 0):
		return k, fmt.Errorf("cannot design a kernel for the band %+v: %w", d.Band, ErrInput)
	}
	weights, err := d.solve()
	if err != nil {
		return k, err
	}
	largest := 0.0
	for _, w := range weights {
		largest = max(largest, math.Abs(real(w)), math.Abs(imag(w)))
	}
	re, im := make([]float64, len(weights)), make([]float64, len(weights))
	for i, w := range weights {
		re[i], im[i] = real(w)/largest*(maxWeight-1), imag(w)/largest*(maxWeight-1)
	}
	k.Re, k.Im = roundToZeroSum(re), roundToZeroSum(im)
	return k, k.Check()
}

// solve finds the weights, in units where the speckle has power 1.
func (d Design) solve() ([]complex128, error) {
	n := d.Taps * d.Taps
	total := 1 + d.Rho // mean intensity
	electrons := d.MeanElectrons + d.ReadNoise*d.ReadNoise
	if d.FullWell > 0 && d.Bits > 0 {
		step := d.FullWell / float64(int(1)<<d.Bits-1)
		electrons += step * step / 12
	}
	noise := electrons * math.Pow(total/d.MeanElectrons, 2)

	lin := func(du, dv float64) complex128 { // covariance of conj(Rf) S at a distance
		return cmplx.Rect(d.Rho*jinc(d.Band.R*math.Hypot(du, dv)), -2*math.Pi*(d.Band.Fu*du+d.Band.Fv*dv))
	}
	// The complex system C^T w = c as a real one of twice the size.
	system, right := mat.NewDense(2*n, 2*n, nil), mat.NewVecDense(2*n, nil)
	centre := float64(d.Taps-1) / 2
	for i := range n {
		ui, vi := float64(i%d.Taps), float64(i/d.Taps)
		for j := range n {
			du, dv := float64(j%d.Taps)-ui, float64(j/d.Taps)-vi
			j0 := jinc(d.Band.R * math.Hypot(du, dv))
			l := lin(du, dv) // row i of the transpose
			bad := cmplx.Conj(l) + complex(j0*j0+constantWeight*total*total, 0)
			if i == j {
				bad += complex(noise, 0)
			}
			c := l + complex(d.Gamma, 0)*bad
			system.Set(i, j, real(c))
			system.Set(i, n+j, -imag(c))
			system.Set(n+i, j, imag(c))
			system.Set(n+i, n+j, real(c))
		}
		c := lin(centre-ui, centre-vi)
		right.SetVec(i, real(c))
		right.SetVec(n+i, imag(c))
	}
	var solution mat.VecDense
	if err := solution.SolveVec(system, right); err != nil {
		if _, poor := err.(mat.Condition); !poor { // a poor condition is the constant's weight, and harmless
			return nil, fmt.Errorf("cannot design a kernel for %+v: %w", d, err)
		}
	}
	w := make([]complex128, n)
	for i := range w {
		w[i] = complex(solution.AtVec(i), solution.AtVec(n+i))
		if cmplx.IsNaN(w[i]) || cmplx.IsInf(w[i]) || w[i] == 0 {
			return nil, fmt.Errorf("cannot design a kernel for %+v: the equations have no solution: %w", d, ErrInput)
		}
	}
	return w, nil
}

// jinc is 2 J1(2 pi x)/(2 pi x), the transform of a disc of radius 1 and area 1.
func jinc(x float64) float64 {
	x *= 2 * math.Pi
	if x < 1e-6 {
		return 1
	}
	return 2 * math.J1(x) / x
}

// roundToZeroSum rounds weights so that they sum to zero: those nearest to the
// other side of a half give way.
func roundToZeroSum(w []float64) []int8 {
	out := make([]int8, len(w))
	order := make([]int, len(w))
	sum := 0
	for i, x := range w {
		out[i] = int8(math.Round(x))
		sum += int(out[i])
		order[i] = i
	}
	step := -1 // of the weights that give way
	if sum < 0 {
		step = 1
	}
	slices.SortStableFunc(order, func(a, b int) int {
		// The error after giving way; the smallest first.
		ea, eb := math.Abs(float64(out[a])+float64(step)-w[a]), math.Abs(float64(out[b])+float64(step)-w[b])
		switch {
		case ea < eb:
			return -1
		case ea > eb:
			return 1
		}
		return 0
	})
	for i := 0; sum != 0; i = (i + 1) % len(order) {
		out[order[i]] += int8(step)
		sum += step
	}
	return out
}
