package holo

import (
	"fmt"
	"math"
	"math/cmplx"

	"gonum.org/v1/gonum/mat"
)

// Design says what a kernel is to be made for. Band, Rho and MeanElectrons are
// required; the zero value of the rest means the usual.
type Design struct {
	Band Band
	Rho  float64 // power of the reference over the mean power of the speckle

	// Noise of a pixel. MeanElectrons is the mean level and gives the shot noise;
	// +Inf stands for none.
	MeanElectrons float64
	ReadNoise     float64 // electrons
	FullWell      float64 // electrons at the largest count; 0 means that rounding does not matter
	Bits          int     // of the camera, with FullWell; 0 means 8

	Taps   int // of the kernel, 0 means 8
	Stride int // 0 means 4

	// Gamma weighs what is not linear in S against being the field at one point.
	// 1 is the Wiener estimate of the field at the patch's centre, the most faithful;
	// larger values give more linear and less faithful outputs, and +Inf has
	// neighbours that are correlated by some 0.3. 0 means 64, which is linear enough
	// for a random projection and keeps neighbours apart.
	Gamma float64
}

// withDefaults fills in the zeros and checks the rest.
func (d Design) withDefaults() (Design, error) {
	def := func(p *int, value int) {
		if *p == 0 {
			*p = value
		}
	}
	def(&d.Taps, 8)
	def(&d.Stride, 4)
	def(&d.Bits, 8)
	if d.Gamma == 0 {
		d.Gamma = 64
	}
	fail := func(format string, args ...any) (Design, error) {
		return d, fmt.Errorf("cannot design a kernel: %s: %w", fmt.Sprintf(format, args...), ErrKernel)
	}
	finite := func(x, lo, hi float64) bool { return x >= lo && x <= hi } // false for NaN
	if err := d.Band.check(); err != nil {
		return d, err
	}
	switch {
	case d.Taps < 2 || d.Taps > MaxTaps || d.Stride < 1 || d.Stride > maxStride:
		return fail("%d taps every %d pixels; taps must be 2 to %d and the stride 1 to %d", d.Taps, d.Stride, MaxTaps, maxStride)
	case !finite(d.Rho, 1e-6, 1e9):
		return fail("the reference's power is %g of the speckle's, it must be 1e-6 to 1e9", d.Rho)
	case !(d.MeanElectrons > 0):
		return fail("a mean level of %g electrons; it must be positive", d.MeanElectrons)
	case !finite(d.ReadNoise, 0, 1e9) || !finite(d.FullWell, 0, 1e12):
		return fail("read noise %g and full well %g electrons must not be negative", d.ReadNoise, d.FullWell)
	case d.Bits < 1 || d.Bits > 16:
		return fail("%d bits are not 1 to 16", d.Bits)
	case !(d.Gamma > 0):
		return fail("gamma %g is not positive", d.Gamma)
	}
	return d, nil
}

// DesignKernel makes the kernel
//
//	w = (C_lin + gamma C_bad)^-1 c
//
// from the covariances of a patch's pixels: C_lin of the sideband, C_bad of the twin,
// |S|^2, noise and a strong constant, and c the covariance of the pixels with the
// field at the patch's centre (performance, section 4). Weights are rounded to
// integers of at most MaxWeight, and both their sums made exactly zero, so that the
// reference beam's own level never reaches an output. It takes milliseconds.
//
// The band need not be separated (Band.Check): where it overlaps |S|^2 the kernel
// makes the best of it.
func DesignKernel(d Design) (Kernel, error) {
	d, err := d.withDefaults()
	if err != nil {
		return Kernel{}, err
	}
	lin := d.sideband()
	linear := newCovariance(lin, d.Taps)
	speckle := newCovariance(d.speckle(), d.Taps)
	linWeight, badWeight := 1.0, d.Gamma
	if math.IsInf(d.Gamma, 1) {
		linWeight, badWeight = 0, 1
	}
	noise := d.noise()
	constant := 1e4 * (1 + d.Rho) * (1 + d.Rho)

	// gonum solves real systems; (A + iB)(x + iy) = c is one of twice the size.
	n := d.Taps * d.Taps
	m := mat.NewSymDense(2*n, nil)
	for i := range n {
		for j := range n {
			du, dv := i%d.Taps-j%d.Taps, i/d.Taps-j/d.Taps
			g := linear.at(du, dv)
			e := complex(linWeight, 0)*g + complex(badWeight, 0)*(cmplx.Conj(g)+speckle.at(du, dv)+complex(constant, 0))
			if i == j {
				e += complex(badWeight*noise, 0)
			}
			if i <= j {
				m.SetSym(i, j, real(e))
				m.SetSym(n+i, n+j, real(e))
			}
			m.SetSym(i, n+j, -imag(e))
		}
	}
	c := mat.NewVecDense(2*n, nil)
	for i := range n {
		u, v := float64(i%d.Taps)-float64(d.Taps-1)/2, float64(i/d.Taps)-float64(d.Taps-1)/2
		var sum complex128
		for _, s := range lin {
			// Power carries the pixel's response squared, an amplitude only once.
			sum += cmplx.Rect(s.power/s.response, 2*math.Pi*(s.fu*u+s.fv*v))
		}
		c.SetVec(i, real(sum))
		c.SetVec(n+i, imag(sum))
	}
	var chol mat.Cholesky
	var w mat.VecDense
	if !chol.Factorize(m) || chol.SolveVecTo(&w, c) != nil {
		return Kernel{}, fmt.Errorf("cannot design a kernel for %v: the covariances are singular; give a level of noise: %w", d.Band, ErrKernel)
	}
	// z is the scalar product with w, so the conjugate is what multiplies pixels.
	re, im := make([]float64, n), make([]float64, n)
	for i := range n {
		re[i], im[i] = w.AtVec(i), -w.AtVec(n+i)
	}
	largest := math.Max(mat.Norm(mat.NewVecDense(n, re), math.Inf(1)), mat.Norm(mat.NewVecDense(n, im), math.Inf(1)))
	return Kernel{
		Taps: d.Taps, Stride: d.Stride,
		Re: quantise(re, MaxWeight/largest), Im: quantise(im, MaxWeight/largest),
	}, nil
}

// quantise rounds scaled weights to integers whose sum is zero. The weights that
// rounding has moved furthest the wrong way are moved back by one.
func quantise(w []float64, scale float64) []int8 {
	q := make([]int8, len(w))
	sum := 0
	for i, x := range w {
		q[i] = int8(math.Round(x * scale))
		sum += int(q[i])
	}
	for sum != 0 {
		step := int8(1)
		if sum > 0 {
			step = -1
		}
		best, most := -1, math.Inf(-1)
		for i, x := range w {
			gain := (x*scale - float64(q[i])) * float64(step)
			if gain > most && q[i]+step <= MaxWeight && q[i]+step >= -MaxWeight {
				best, most = i, gain
			}
		}
		q[best] += step
		sum += int(step)
	}
	return q
}

// Prediction is what a kernel should do on the light that a Design describes.
type Prediction struct {
	// LinearDB is the power of the part that is linear in the pattern over that of
	// the rest (|S|^2, shot noise, read noise, rounding), in one frame.
	LinearDB float64

	// Neighbour is the largest correlation (0 to 1, of complex values) between
	// outputs one stride apart along an axis or a diagonal.
	Neighbour float64
}

// Predict computes what to expect of a kernel. The design's Taps, Stride and Gamma
// do not matter here.
func (d Design) Predict(k Kernel) (Prediction, error) {
	if err := k.Check(); err != nil {
		return Prediction{}, err
	}
	d, err := d.withDefaults()
	if err != nil {
		return Prediction{}, err
	}
	// The twin is linear in a real pattern too.
	var linear, bad float64
	var neighbours [4]complex128
	lags := [4][2]float64{{1, 0}, {0, 1}, {1, 1}, {1, -1}}
	for _, s := range d.sideband() {
		for _, sign := range [2]float64{1, -1} {
			fu, fv := sign*s.fu, sign*s.fv
			w := k.Response(fu, fv)
			p := s.power * (real(w)*real(w) + imag(w)*imag(w))
			linear += p
			for i, lag := range lags {
				neighbours[i] += cmplx.Rect(p, 2*math.Pi*float64(k.Stride)*(fu*lag[0]+fv*lag[1]))
			}
		}
	}
	for _, s := range d.speckle() {
		w := k.Response(s.fu, s.fv)
		bad += s.power * (real(w)*real(w) + imag(w)*imag(w))
	}
	for i := range k.Re {
		bad += d.noise() * (float64(k.Re[i])*float64(k.Re[i]) + float64(k.Im[i])*float64(k.Im[i]))
	}
	p := Prediction{LinearDB: 10 * math.Log10(linear/bad)}
	for _, c := range neighbours {
		p.Neighbour = math.Max(p.Neighbour, cmplx.Abs(c)/linear)
	}
	return p, nil
}

// noise is the variance of a pixel's noise, white, when the mean power of the
// speckle is 1. A floor of 70 dB below the speckle keeps the design solvable.
func (d Design) noise() float64 {
	if math.IsInf(d.MeanElectrons, 1) {
		return 1e-7
	}
	step := d.FullWell / float64(int(1)<<d.Bits-1)
	variance := d.MeanElectrons + d.ReadNoise*d.ReadNoise + step*step/12
	perElectron := (1 + d.Rho) / d.MeanElectrons
	return math.Max(variance*perElectron*perElectron, 1e-7)
}

// spot is one point of a spectrum: power at a frequency, as pixels see it.
type spot struct {
	fu, fv   float64
	power    float64
	response float64 // of a pixel, to amplitude
}

// across is the number of points across a disc. Patches are at most some 20 pixels
// with their neighbours, and discs 0.8 wide, so that phases turn by less than two
// radians from point to point.
const across = 64

// sideband is the spectrum of conj(Rf) S.
func (d Design) sideband() []spot {
	return spots(-d.Band.Fu, -d.Band.Fv, d.Band.R, d.Rho, func(float64) float64 { return 1 })
}

// speckle is the spectrum of |S|^2 without its mean: the autocorrelation of the disc.
func (d Design) speckle() []spot {
	return spots(0, 0, 2*d.Band.R, 1, func(q float64) float64 { return math.Acos(q) - q*math.Sqrt(1-q*q) })
}

// spots fills a disc with a density that depends on the distance from its centre
// (0 to 1), of the given total power before the pixels' response.
func spots(fu, fv, radius, total float64, density func(q float64) float64) []spot {
	var out []spot
	var sum float64
	for j := range across {
		for i := range across {
			du, dv := (float64(2*i+1)-across)/across, (float64(2*j+1)-across)/across
			q := math.Hypot(du, dv)
			if q > 1 {
				continue
			}
			s := spot{fu: fu + radius*du, fv: fv + radius*dv}
			s.response = sinc(s.fu) * sinc(s.fv)
			if s.response == 0 {
				continue
			}
			p := density(q)
			sum += p
			s.power = p * s.response * s.response
			out = append(out, s)
		}
	}
	for i := range out {
		out[i].power *= total / sum
	}
	return out
}

// sinc is the response of a pixel of full width to a frequency.
func sinc(f float64) float64 {
	if f == 0 {
		return 1
	}
	return math.Sin(math.Pi*f) / (math.Pi * f)
}

// covariance is E[x(r) conj(x(r'))] by r - r', for the pixels of one patch.
type covariance struct {
	taps int
	g    []complex128
}

func newCovariance(spectrum []spot, taps int) covariance {
	side := 2*taps - 1
	c := covariance{taps: taps, g: make([]complex128, side*side)}
	alongU := make([]complex128, side)
	for _, s := range spectrum {
		for i := range alongU {
			alongU[i] = cmplx.Rect(s.power, 2*math.Pi*s.fu*float64(i-taps+1))
		}
		for j := range side {
			alongV := cmplx.Rect(1, 2*math.Pi*s.fv*float64(j-taps+1))
			row := c.g[j*side : (j+1)*side]
			for i, x := range alongU {
				row[i] += x * alongV
			}
		}
	}
	return c
}

func (c covariance) at(du, dv int) complex128 {
	return c.g[(dv+c.taps-1)*(2*c.taps-1)+du+c.taps-1]
}
