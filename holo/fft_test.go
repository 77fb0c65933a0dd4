package holo

import (
	"fmt"
	"math"
	"math/cmplx"
	"testing"
)

// Section 2c of the reference: SNR against the true field for a sideband that
// overlaps |S|^2 less and less. A better figure than the table's means that the test
// cheats.
func TestFFTAgainstTruth(t *testing.T) {
	const n, radius = 256, 0.12
	rnd := newRand(t, 1)
	for _, row := range []struct {
		f         float64 // both components, before rounding to a bin
		electrons float64 // of a full well of 1
		want      [3]float64
		within    float64 // 0: want is a floor
	}{
		{f: 0.12, electrons: 0.25, want: [3]float64{7.2, 13.1, 19.1}, within: 1},
		{f: 0.18, electrons: 0.25, want: [3]float64{14.3, 20.4, 26.4}, within: 1},
		// The table's 28 dB at rho 1 come from saturation, which less light avoids.
		{f: 0.24, electrons: 0.12, want: [3]float64{33, 39.5, 45.7}, within: 1},
		{f: 0.30, electrons: 0.06, want: [3]float64{80, 80, 80}}, // nothing overlaps: rounding to 16 bits is left
	} {
		f := math.Round(row.f*n) / n // periodic as the speckle is
		for i, rho := range []float64{1, 4, 16} {
			b := Band{f, f, radius}
			c := camera{width: n, height: n, band: b, rho: rho, electrons: row.electrons, fullWell: 1, bits: 16}
			d, err := NewFFT(n, n, b, FFTOptions{Full: true})
			if err != nil {
				t.Fatal(err)
			}
			s := speckle(rnd, n, n, radius, true)
			got := snr(demodulate(t, d, c.expose(s)), s)
			t.Logf("|f|/R = %.2f, rho %g: %.1f dB", b.FromZero()/radius, rho, got)
			if got < row.want[i]-row.within || (row.within > 0 && got > row.want[i]+row.within) {
				t.Errorf("|f|/R = %.2f, rho %g: %.1f dB, want %.1f within %.1f", b.FromZero()/radius, rho, got, row.want[i], row.within)
			}
		}
	}
}

// The disc at -f is S. The other one would be conj(S), and mixed-up axes neither.
func TestFFTSignAndAxes(t *testing.T) {
	const w, h = 192, 128
	rnd := newRand(t, 2)
	for _, b := range []Band{
		{Fu: 60. / w, Fv: 20. / h, R: 0.09},
		{Fu: -60. / w, Fv: 20. / h, R: 0.09},
		{Fu: 10. / w, Fv: 48. / h, R: 0.09},
		{Fu: 64. / w, Fv: 0, R: 0.09},
	} {
		s := speckle(rnd, w, h, b.R, true)
		c := camera{width: w, height: h, band: b, rho: 4, electrons: 0.1, fullWell: 1, bits: 16}
		d, err := NewFFT(w, h, b, FFTOptions{Full: true})
		if err != nil {
			t.Fatal(err)
		}
		z := demodulate(t, d, c.expose(s))
		conj := make([]complex128, len(s))
		var phase complex128
		for i := range s {
			conj[i] = cmplx.Conj(s[i])
			phase += complex128(z[i]) * cmplx.Conj(s[i])
		}
		if got := snr(z, s); got < 60 {
			t.Errorf("%v: the field differs from S: %.1f dB", b, got)
		}
		if got := snr(z, conj); got > -10 {
			t.Errorf("%v: the field is conj(S): %.1f dB", b, got)
		}
		// z = A exp(-i phi) S, in counts.
		want := cmplx.Rect(math.Sqrt(c.rho)*c.electrons/(1+c.rho)*65535, -0.7)
		got := phase / complex(float64(w*h), 0)
		if cmplx.Abs(got/want-1) > 0.15 { // one speckle's mean power is not 1
			t.Errorf("%v: z = %.4g S, want %.4g", b, got, want)
		}
	}
}

// The small grid samples the same field as the full one.
func TestFFTGrids(t *testing.T) {
	const w, h = 120, 90
	b := Band{Fu: 0.21, Fv: 0.33, R: 0.1} // off every bin
	c := camera{width: w, height: h, band: b, rho: 4, electrons: 0.2, fullWell: 1, bits: 12}
	img := c.expose(speckle(newRand(t, 3), w, h, b.R, false))
	small, err := NewFFT(w, h, b, FFTOptions{Taper: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	full, err := NewFFT(w, h, b, FFTOptions{Taper: 0.1, Full: true})
	if err != nil {
		t.Fatal(err)
	}
	zs, zf := demodulate(t, small, img), demodulate(t, full, img)
	var a, e float64
	for i := range zs {
		u, v := small.Position(i)
		// The disc has few enough bins to interpolate the field by its own series.
		want := interpolate(zf, w, h, b.R, u, v)
		a += sq(want)
		e += sq(complex128(zs[i]) - want)
	}
	if e > 1e-8*a {
		t.Errorf("the grids differ by %.2g of the power", e/a)
	}
}

// interpolate evaluates the band-limited field z at one point.
func interpolate(z []complex64, w, h int, radius, u, v float64) complex128 {
	kernel := func(x float64, n int) float64 { // of all bins -m..m
		m := math.Floor(radius * float64(n))
		s := math.Sin(math.Pi * x / float64(n))
		if math.Abs(s) < 1e-12 {
			return (2*m + 1) / float64(n)
		}
		return math.Sin(math.Pi*x*(2*m+1)/float64(n)) / s / float64(n)
	}
	along := make([]float64, w)
	for i := range along {
		along[i] = kernel(u-float64(i), w)
	}
	var sum complex128
	for j := range h {
		var row complex128
		for i, x := range along {
			row += complex128(z[j*w+i]) * complex(x, 0)
		}
		sum += row * complex(kernel(v-float64(j), h), 0)
	}
	return sum
}

// Section 14: without noise, beyond 3R, the frame's edges are what limits, unless
// a window fades them out.
func TestFFTLinearity(t *testing.T) {
	const n = 256
	rnd := newRand(t, 4)
	for _, b := range []Band{{0.32, 0.32, 0.14}, {0.2, 0.4, 0.14}, {0.4, 0.15, 0.14}} {
		x, y := speckle(rnd, n, n, b.R, false), speckle(rnd, n, n, b.R, false)
		c := camera{width: n, height: n, band: b, rho: 4, electrons: 0.15, fullWell: 1, bits: 16}
		var got [2]float64
		for i, taper := range []float64{0, 0.1} {
			d, err := NewFFT(n, n, b, FFTOptions{Taper: taper})
			if err != nil {
				t.Fatal(err)
			}
			got[i] = linearity(t, d, c, x, y)
		}
		t.Logf("%v: %.1f dB without window, %.1f dB with", b, got[0], got[1])
		if got[0] < 42 || got[0] > 58 || got[1] < 60 {
			t.Errorf("%v: linearity %.1f dB without window (want about 50) and %.1f dB with (want 60)", b, got[0], got[1])
		}
	}
}

// Section 4: noise, against the formula with full contrast.
func TestFFTNoise(t *testing.T) {
	const n = 256
	rnd := newRand(t, 5)
	for _, row := range []struct {
		electrons, rho float64
		bits           int
	}{
		{200, 4, 8}, {1000, 4, 8}, {1000, 4, 12}, {1000, 16, 8}, {500, 2, 12},
	} {
		b := Band{82. / n, 84. / n, 0.15}
		c := camera{width: n, height: n, band: b, rho: row.rho, electrons: row.electrons, fullWell: 20000,
			bits: row.bits, noise: rnd, readNoise: 10}
		d, err := NewFFT(n, n, b, FFTOptions{Full: true})
		if err != nil {
			t.Fatal(err)
		}
		s := speckle(rnd, n, n, b.R, true)
		got := snr(demodulate(t, d, c.expose(s)), s)
		step := 20000 / float64(int(1)<<row.bits-1)
		want := 10 * math.Log10(row.electrons*row.electrons*row.rho/(1+row.rho)/(1+row.rho)/
			(math.Pi*b.R*b.R*(row.electrons+100+step*step/12)))
		t.Logf("%g electrons, rho %g, %d bits: %.2f dB, formula %.2f dB", row.electrons, row.rho, row.bits, got, want)
		if math.Abs(got-want) > 0.5 {
			t.Errorf("%g electrons, rho %g, %d bits: %.2f dB, the formula gives %.2f dB", row.electrons, row.rho, row.bits, got, want)
		}
	}
}

func TestFFTDoesNotAllocate(t *testing.T) {
	b := Band{0.32, 0.33, 0.1}
	d, err := NewFFT(64, 64, b, FFTOptions{Taper: 0.1})
	if err != nil {
		t.Fatal(err)
	}
	img := Image{Pix: make([]byte, 64*64), Width: 64, Height: 64, Stride: 64, BitDepth: 8}
	z := make([]complex64, d.Outputs())
	if n := testing.AllocsPerRun(3, func() { _ = d.Demodulate(z, img) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func ExampleNewFFT() {
	// A frame without signal: the reference beam alone, tilted.
	const n = 64
	band := Band{Fu: 21. / n, Fv: 20. / n, R: 0.15}
	img := camera{width: n, height: n, band: band, rho: 1, electrons: 0.5, fullWell: 1, bits: 8}.expose(nil)
	d, err := NewFFT(n, n, band, FFTOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	z := make([]complex64, d.Outputs())
	fmt.Println(d.Demodulate(z, img), d.Outputs(), cmplx.Abs(complex128(z[0])) < 1e-6)
	// Output: <nil> 361 true
}
