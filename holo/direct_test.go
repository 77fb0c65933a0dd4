package holo

import (
	"errors"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// randomKernel has weights over the whole range, extremes included.
func randomKernel(rnd *rand.Rand, taps, stride int) Kernel {
	k := Kernel{Taps: taps, Stride: stride, Re: make([]int8, taps*taps), Im: make([]int8, taps*taps)}
	for i := range k.Re {
		k.Re[i], k.Im[i] = int8(rnd.IntN(129)-64), int8(rnd.IntN(129)-64)
	}
	return k
}

// plain is the definition of Direct, as slow as it is obvious.
func plain(k Kernel, img Image, outputs int) []complex64 {
	z := make([]complex64, outputs)
	columns := (img.Width-k.Taps)/k.Stride + 1
	for o := range z {
		re, im := 0, 0
		for v := range k.Taps {
			for u := range k.Taps {
				x, y := o%columns*k.Stride+u, o/columns*k.Stride+v
				var count int
				if img.BitDepth == 8 {
					count = int(img.Pix[y*img.Stride+x])
				} else {
					count = int(img.Pix[y*img.Stride+2*x]) + 256*int(img.Pix[y*img.Stride+2*x+1])
				}
				re += int(k.Re[v*k.Taps+u]) * count
				im += int(k.Im[v*k.Taps+u]) * count
			}
		}
		z[o] = complex(float32(re), float32(im))
	}
	return z
}

func TestDirectIsExact(t *testing.T) {
	rnd := newRand(t, 6)
	for n := range 400 {
		taps := 8
		if n%2 == 1 {
			taps = 1 + rnd.IntN(MaxTaps)
		}
		k := randomKernel(rnd, taps, 1+rnd.IntN(6))
		img := Image{Width: taps + rnd.IntN(40), Height: taps + rnd.IntN(30), BitDepth: 8 + rnd.IntN(9)}
		img.Stride = img.Width*img.bytesPerPixel() + rnd.IntN(9)
		img.Pix = make([]byte, (img.Height-1)*img.Stride+img.Width*img.bytesPerPixel()) // nothing after the last pixel
		for i := range img.Pix {
			img.Pix[i] = byte(rnd.Uint32())
			if n%5 == 0 {
				img.Pix[i] = 255 // the largest sums
			}
		}
		if n%10 == 0 {
			for i := range k.Re {
				k.Re[i], k.Im[i] = -MaxWeight, MaxWeight
			}
		}
		outputs := 1 + rnd.IntN(MaxOutputs(k, img.Width, img.Height))
		d, err := NewDirect(k, img.Width, img.Height, outputs)
		if err != nil {
			t.Fatal(err)
		}
		got, want := demodulate(t, d, img), plain(k, img, outputs)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("%d taps, stride %d, %dx%d at %d bits: output %d is %v, want %v",
					taps, k.Stride, img.Width, img.Height, img.BitDepth, i, got[i], want[i])
			}
		}
		first := rnd.IntN(outputs + 1)
		window := make([]complex64, rnd.IntN(outputs-first+1))
		if err := d.DemodulateWindow(window, first, img); err != nil || !slices.Equal(window, want[first:first+len(window)]) {
			t.Fatalf("outputs %d to %d of %d are not those of the whole (%v)", first, first+len(window), outputs, err)
		}
	}
}

// A frame that holds one plane wave comes out as Response says, at every position.
func TestResponse(t *testing.T) {
	rnd := newRand(t, 7)
	k := randomKernel(rnd, 8, 3)
	const w, h, fu, fv, amplitude = 61, 47, 0.21, -0.13, 20000
	img := Image{Width: w, Height: h, Stride: 2 * w, BitDepth: 16, Pix: make([]byte, 2*w*h)}
	for i := range w * h {
		count := uint16(math.Round(32768 + amplitude*math.Cos(2*math.Pi*(fu*float64(i%w)+fv*float64(i/w)))))
		img.Pix[2*i], img.Pix[2*i+1] = byte(count), byte(count>>8)
	}
	d, err := NewDirect(k, w, h, MaxOutputs(k, w, h))
	if err != nil {
		t.Fatal(err)
	}
	for i, z := range demodulate(t, d, img) {
		u, v := d.Position(i)
		wave := cmplx.Rect(amplitude/2, 2*math.Pi*(fu*u+fv*v))
		want := 32768*k.Response(0, 0) + wave*k.Response(fu, fv) + cmplx.Conj(wave)*k.Response(-fu, -fv)
		if cmplx.Abs(complex128(z)-want) > 3000 { // rounding of 64 pixels by up to 1/2, times 64
			t.Fatalf("output %d is %v, want %v", i, z, want)
		}
	}
}

// The direct path gives the true field at its positions as well as plan A promises:
// about 26 dB for the design of most fidelity, about 21 dB for the usual one.
func TestDirectAgainstTruth(t *testing.T) {
	const w, h, seed = 256, 192, 8
	for _, b := range []Band{{0.33, 0.325, 0.15}, {-0.2, 0.42, 0.14}} {
		// Pixels weaken the fringes, more so the finer they are. Positions lie half way
		// between pixels.
		s := filteredSpeckle(newRand(t, seed), w, h, b.R, false, func(ku, kv float64) complex128 {
			return complex(sinc(ku-b.Fu)*sinc(kv-b.Fv), 0)
		})
		between := filteredSpeckle(newRand(t, seed), w, h, b.R, false, func(ku, kv float64) complex128 {
			return cmplx.Rect(1, math.Pi*(ku+kv))
		})
		img := camera{width: w, height: h, band: b, rho: 4, electrons: 0.15, fullWell: 1, bits: 16}.expose(s)
		for _, row := range []struct{ gamma, floor float64 }{{1, 25}, {64, 19}} {
			k, err := DesignKernel(Design{Band: b, Rho: 4, MeanElectrons: 5000, Gamma: row.gamma})
			if err != nil {
				t.Fatal(err)
			}
			d, err := NewDirect(k, w, h, MaxOutputs(k, w, h))
			if err != nil {
				t.Fatal(err)
			}
			z, turn := demodulate(t, d, img), make([]complex64, d.Outputs())
			if err := d.Phases(turn, b); err != nil {
				t.Fatal(err)
			}
			truth, conj := make([]complex128, len(z)), make([]complex128, len(z))
			for i := range z {
				u, v := d.Position(i)
				z[i] *= turn[i]
				truth[i] = between[int(v)*w+int(u)]
				conj[i] = cmplx.Conj(truth[i])
			}
			t.Logf("%v, gamma %g: %.1f dB", b, row.gamma, snr(z, truth))
			if got := snr(z, truth); got < row.floor {
				t.Errorf("%v, gamma %g: %.1f dB against the true field, want %.1f", b, row.gamma, got, row.floor)
			}
			if got := snr(z, conj); got > -10 {
				t.Errorf("%v, gamma %g: the field is conj(S): %.1f dB", b, row.gamma, got)
			}
		}
	}
}

// Both demodulators see the same field: the FFT's, through the kernel's response, is
// what the direct path gives.
func TestDirectAgainstFFT(t *testing.T) {
	const w, h = 192, 128
	rnd := newRand(t, 16)
	for _, b := range []Band{{64. / w, 42. / h, 0.15}, {-40. / w, 52. / h, 0.14}, {80. / w, 16. / h, 0.14}} {
		k, err := DesignKernel(Design{Band: b, Rho: 4, MeanElectrons: 5000})
		if err != nil {
			t.Fatal(err)
		}
		d, err := NewDirect(k, w, h, MaxOutputs(k, w, h))
		if err != nil {
			t.Fatal(err)
		}
		fft, err := NewFFT(w, h, b, FFTOptions{Full: true})
		if err != nil {
			t.Fatal(err)
		}
		c := camera{width: w, height: h, band: b, rho: 4, electrons: 0.15, fullWell: 1, bits: 16}
		img := c.expose(speckle(rnd, w, h, b.R, true))
		z, turn := demodulate(t, d, img), make([]complex64, d.Outputs())
		if err := d.Phases(turn, b); err != nil {
			t.Fatal(err)
		}
		// Forward by way of the inverse: conj in, conj out.
		field := make([]complex128, w*h)
		for i, x := range demodulate(t, fft, img) {
			field[i] = cmplx.Conj(complex128(x))
		}
		inverse2D(field, w, h)
		for i := range field {
			ku, kv := centred(i%w, w), centred(i/w, h)
			field[i] = cmplx.Conj(field[i]) / (w * h) * k.Response(ku-b.Fu, kv-b.Fv) * cmplx.Rect(1, math.Pi*(ku+kv))
		}
		inverse2D(field, w, h)
		var wrong, power float64
		for i := range z {
			u, v := d.Position(i)
			want := field[int(v)*w+int(u)]
			wrong += sq(complex128(z[i]*turn[i]) - want)
			power += sq(want)
		}
		// What is left is the twin and |S|^2, which the kernel's short patch lets through.
		got := 10 * math.Log10(power/wrong)
		t.Logf("%v: %.1f dB", b, got)
		if got < 30 {
			t.Errorf("%v: the demodulators agree to %.1f dB, want 30", b, got)
		}
	}
}

func TestDirectLinearity(t *testing.T) {
	const n = 256
	rnd := newRand(t, 9)
	for _, b := range []Band{{0.33, 0.325, 0.15}, {0.32, 0.32, 0.14}, {0.45, 0.2, 0.15}, {-0.3, 0.33, 0.14}} {
		for _, electrons := range []float64{5000, math.Inf(1)} {
			k, err := DesignKernel(Design{Band: b, Rho: 4, MeanElectrons: electrons})
			if err != nil {
				t.Fatal(err)
			}
			d, err := NewDirect(k, n, n, MaxOutputs(k, n, n))
			if err != nil {
				t.Fatal(err)
			}
			x, y := speckle(rnd, n, n, b.R, false), speckle(rnd, n, n, b.R, false)
			c := camera{width: n, height: n, band: b, rho: 4, electrons: 0.15, fullWell: 1, bits: 16}
			got := linearity(t, d, c, x, y)
			t.Logf("%v, designed for %g electrons: %.1f dB", b, electrons, got)
			if got < 39 {
				t.Errorf("%v, designed for %g electrons: linearity %.1f dB, want 39", b, electrons, got)
			}
		}
	}
}

// Outputs over random patterns are circular complex Gaussians, and neighbours are as
// independent as the design predicts.
func TestDirectStatistics(t *testing.T) {
	const n, frames = 128, 24
	rnd := newRand(t, 10)
	b := Band{0.33, 0.325, 0.15}
	design := Design{Band: b, Rho: 4, MeanElectrons: 5000, FullWell: 20000}
	k, err := DesignKernel(design)
	if err != nil {
		t.Fatal(err)
	}
	d, err := NewDirect(k, n, n, MaxOutputs(k, n, n))
	if err != nil {
		t.Fatal(err)
	}
	c := camera{width: n, height: n, band: b, rho: 4, electrons: 5000, fullWell: 20000, bits: 8, noise: rnd}
	columns, _ := d.Grid()
	var re2, re4, im2, im4, count float64
	var neighbour complex128
	for range frames {
		z := demodulate(t, d, c.expose(speckle(rnd, n, n, b.R, false)))
		for i, x := range z {
			r, m := float64(real(x)), float64(imag(x))
			re2, re4, im2, im4 = re2+r*r, re4+r*r*r*r, im2+m*m, im4+m*m*m*m
			count++
			if i%columns > 0 {
				neighbour += complex128(x) * cmplx.Conj(complex128(z[i-1]))
			}
		}
	}
	kre, kim := re4*count/re2/re2, im4*count/im2/im2
	corr := cmplx.Abs(neighbour) / (re2 + im2) * float64(columns) / float64(columns-1)
	p, err := design.Predict(k)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kurtosis %.3f and %.3f, variance ratio %.3f, neighbours %.3f (predicted at most %.3f)", kre, kim, re2/im2, corr, p.Neighbour)
	if math.Abs(kre-3) > 0.1 || math.Abs(kim-3) > 0.1 || math.Abs(re2/im2-1) > 0.05 {
		t.Errorf("kurtosis %.3f and %.3f, ratio of variances %.3f", kre, kim, re2/im2)
	}
	if corr > p.Neighbour+0.05 || p.Neighbour > 0.25 {
		t.Errorf("neighbours correlate by %.3f, predicted at most %.3f", corr, p.Neighbour)
	}
}

// Predict is right about how much of an output is linear, shot noise included. The
// fields S and -S tell the parts apart: what is odd is linear, what is even is not.
func TestPredictAgainstFrames(t *testing.T) {
	const n = 256
	rnd := newRand(t, 17)
	b := Band{0.33, 0.325, 0.15}
	for _, electrons := range []float64{100, 1000, 4000} {
		design := Design{Band: b, Rho: 4, MeanElectrons: electrons, ReadNoise: 10, FullWell: 20000}
		k, err := DesignKernel(design)
		if err != nil {
			t.Fatal(err)
		}
		d, err := NewDirect(k, n, n, MaxOutputs(k, n, n))
		if err != nil {
			t.Fatal(err)
		}
		s := filteredSpeckle(rnd, n, n, b.R, false, func(ku, kv float64) complex128 {
			return complex(sinc(ku-b.Fu)*sinc(kv-b.Fv), 0)
		})
		minus := make([]complex128, len(s))
		for i := range s {
			minus[i] = -s[i]
		}
		// The filter weakens |S|^2 as well, which the prediction does not; hence 1.2 dB.
		c := camera{width: n, height: n, band: b, rho: 4, electrons: electrons, fullWell: 20000, bits: 8, noise: rnd, readNoise: 10}
		z, again, opposite := demodulate(t, d, c.expose(s)), demodulate(t, d, c.expose(s)), demodulate(t, d, c.expose(minus))
		c.noise, c.bits = nil, 16 // 256 times as many counts
		off := demodulate(t, d, c.expose(nil))
		var odd, even, noise float64
		for i := range z {
			odd += sq(complex128(z[i]-opposite[i]) / 2)
			even += sq(complex128(z[i]+opposite[i])/2 - complex128(off[i])*255/65535)
			noise += sq(complex128(z[i]-again[i])) / 2
		}
		got := 10 * math.Log10((odd-noise/2)/(even+noise/2))
		p, err := design.Predict(k)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%g electrons: %.2f dB, predicted %.2f dB", electrons, got, p.LinearDB)
		if math.Abs(got-p.LinearDB) > 1.2 {
			t.Errorf("%g electrons: %.2f dB, predicted %.2f dB", electrons, got, p.LinearDB)
		}
	}
}

// One Direct serves many goroutines.
func TestDirectConcurrently(t *testing.T) {
	rnd := newRand(t, 18)
	k := randomKernel(rnd, 8, 4)
	d, err := NewDirect(k, 64, 64, 225)
	if err != nil {
		t.Fatal(err)
	}
	img := Image{Pix: make([]byte, 4096), Width: 64, Height: 64, Stride: 64, BitDepth: 8}
	for i := range img.Pix {
		img.Pix[i] = byte(rnd.Uint32())
	}
	want := plain(k, img, 225)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			z := make([]complex64, 225)
			for range 20 {
				if err := d.Demodulate(z, img); err != nil || !slices.Equal(z, want) {
					t.Errorf("a concurrent result differs (error %v)", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDirectRefuses(t *testing.T) {
	k := randomKernel(newRand(t, 11), 8, 4)
	broken := k
	broken.Re = k.Re[:63]
	heavy := randomKernel(newRand(t, 11), 8, 4)
	heavy.Im[5] = 65
	for _, row := range []struct {
		name          string
		kernel        Kernel
		width, height int
		outputs       int
		want          error
	}{
		{"no outputs", k, 64, 64, 0, ErrOutputs},
		{"one too many", k, 64, 64, 226, ErrOutputs},
		{"small frame", k, 7, 64, 1, ErrOutputs},
		{"missing weight", broken, 64, 64, 1, ErrKernel},
		{"heavy weight", heavy, 64, 64, 1, ErrKernel},
		{"no kernel", Kernel{}, 64, 64, 1, ErrKernel},
		{"huge frame", k, 1 << 40, 1 << 40, 1, ErrImage},
	} {
		if _, err := NewDirect(row.kernel, row.width, row.height, row.outputs); !errors.Is(err, row.want) {
			t.Errorf("%s: %v, want %v", row.name, err, row.want)
		}
	}
	d, err := NewDirect(k, 64, 64, 225)
	if err != nil {
		t.Fatal(err)
	}
	img := Image{Pix: make([]byte, 4096), Width: 64, Height: 64, Stride: 64, BitDepth: 8}
	if err := d.Demodulate(make([]complex64, 224), img); !errors.Is(err, ErrOutputs) {
		t.Errorf("short dst: %v", err)
	}
	for _, w := range []struct{ first, count int }{{-1, 1}, {0, 226}, {225, 1}, {226, 0}, {math.MaxInt, 1}} {
		if err := d.DemodulateWindow(make([]complex64, w.count), w.first, img); !errors.Is(err, ErrOutputs) {
			t.Errorf("%d outputs from %d on: %v", w.count, w.first, err)
		}
	}
	img.Width = 63
	if err := d.Demodulate(make([]complex64, 225), img); !errors.Is(err, ErrImage) {
		t.Errorf("other size: %v", err)
	}
}

func TestDirectDoesNotAllocate(t *testing.T) {
	k := randomKernel(newRand(t, 12), 8, 4)
	d, err := NewDirect(k, 64, 64, 225)
	if err != nil {
		t.Fatal(err)
	}
	z := make([]complex64, 225)
	img := Image{Pix: make([]byte, 4096), Width: 64, Height: 64, Stride: 64, BitDepth: 8}
	if n := testing.AllocsPerRun(10, func() { _ = d.Demodulate(z, img) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// FuzzDemodulate: no geometry makes a demodulator panic, and what Check accepts is
// demodulated.
func FuzzDemodulate(f *testing.F) {
	f.Add(16, 12, 16, 8, []byte("pixels"), uint8(8), uint8(4))
	f.Add(16, 12, 33, 12, make([]byte, 33*12), uint8(5), uint8(3))
	f.Add(math.MaxInt, math.MaxInt, math.MaxInt, 16, []byte{1}, uint8(1), uint8(1))
	f.Add(-1, 3, -9, 8, []byte{1}, uint8(0), uint8(0))
	f.Add(2, 2, 0, 9, []byte{1, 2, 3, 4}, uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, width, height, stride, depth int, pix []byte, taps, step uint8) {
		img := Image{Pix: pix, Width: width, Height: height, Stride: stride, BitDepth: depth}
		sound := img.Check() == nil
		if sound && (stride*(height-1)+width*img.bytesPerPixel() > len(pix) || stride < width*img.bytesPerPixel()) {
			t.Fatalf("accepted an image that is larger than its buffer")
		}
		n := int(taps) * int(taps)
		k := Kernel{Taps: int(taps), Stride: int(step), Re: make([]int8, n), Im: make([]int8, n)}
		for i := range n {
			k.Re[i], k.Im[i] = int8(i%129-64), int8(64-i%129)
		}
		if most := MaxOutputs(k, width, height); most > 0 && most < 1<<16 {
			if d, err := NewDirect(k, width, height, most); err == nil {
				z := make([]complex64, most)
				if err := d.Demodulate(z, img); (err == nil) != sound {
					t.Fatalf("Check and Demodulate disagree: %v", err)
				}
				if sound {
					for i, want := range plain(k, img, most) {
						if z[i] != want {
							t.Fatalf("output %d is %v, want %v", i, z[i], want)
						}
					}
				}
			}
		}
		if width < 64 && height < 64 {
			if d, err := NewFFT(width, height, Band{0.3, 0.3, 0.2}, FFTOptions{}); err == nil {
				if err := d.Demodulate(make([]complex64, d.Outputs()), img); (err == nil) != sound {
					t.Fatalf("Check and Demodulate disagree: %v", err)
				}
			}
		}
	})
}

// Frames a second at two sizes, and how many times the FFT's in the same run.
func BenchmarkDirect(b *testing.B) {
	for _, size := range []struct {
		name string
		side int
		band Band
		bits int
	}{
		{"256/8bit", 256, Band{0.33, 0.325, 0.15}, 8},
		{"256/12bit", 256, Band{0.33, 0.325, 0.15}, 12},
		{"planA/8bit", 1280, Band{0.3235, 0.3235, 0.1525}, 8}, // 319 x 319 outputs
		{"planA/12bit", 1280, Band{0.3235, 0.3235, 0.1525}, 12},
	} {
		b.Run(size.name, func(b *testing.B) {
			k, err := DesignKernel(Design{Band: size.band, Rho: 4, MeanElectrons: 5000})
			if err != nil {
				b.Fatal(err)
			}
			d, err := NewDirect(k, size.side, size.side, MaxOutputs(k, size.side, size.side))
			if err != nil {
				b.Fatal(err)
			}
			img := Image{Width: size.side, Height: size.side, BitDepth: size.bits}
			img.Stride = size.side * img.bytesPerPixel()
			img.Pix = make([]byte, size.side*img.Stride)
			rnd := newRand(b, 13)
			for i := range img.Pix {
				img.Pix[i] = byte(rnd.IntN(16)) // within every depth
			}
			fft, err := NewFFT(size.side, size.side, size.band, FFTOptions{})
			if err != nil {
				b.Fatal(err)
			}
			zf := make([]complex64, fft.Outputs())
			const rounds = 3
			start := time.Now()
			for range rounds {
				_ = fft.Demodulate(zf, img)
			}
			fftRate := rounds / time.Since(start).Seconds()

			z := make([]complex64, d.Outputs())
			b.SetBytes(int64(len(img.Pix)))
			for b.Loop() {
				_ = d.Demodulate(z, img)
			}
			rate := float64(b.N) / b.Elapsed().Seconds()
			b.ReportMetric(rate, "frames/s")
			b.ReportMetric(rate*float64(len(z)), "outputs/s")
			b.ReportMetric(rate/fftRate, "x-FFT")
		})
	}
}
