package sim

import (
	"context"
	"math"
	"math/cmplx"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/slm"
)

// checkerboard turns on about half of the chip in blocks of side mirrors, from a
// seed.
func randomBlocks(chip slm.Geometry, side int, seed uint64) *slm.Pattern {
	p := slm.NewPattern(chip)
	for v := range chip.Height {
		for u := range chip.Width {
			block := uint64(v/side*chip.Width + u/side)
			p.Set(u, v, mix(mix(seed)+block*golden)&1 != 0)
		}
	}
	return p
}

const shootPeriod = 667 * time.Microsecond

// shoot plays patterns and hands each frame to use.
func shoot(t testing.TB, b *Bench, patterns []*slm.Pattern, use func(k int, f *camera.Frame)) {
	t.Helper()
	ctx := context.Background()
	order := make([]int, len(patterns))
	for k := range order {
		order[k] = k
	}
	if err := b.DMD().Load(ctx, order, patterns); err != nil {
		t.Fatal(err)
	}
	if err := b.Camera().Arm(ctx, camera.Run{Frames: len(patterns)}); err != nil {
		t.Fatal(err)
	}
	if err := b.DMD().Play(ctx, slm.Run{Order: order, Period: shootPeriod}); err != nil {
		t.Fatal(err)
	}
	frames := make([]camera.Frame, 8)
	for k := 0; k < len(patterns); {
		n, err := b.Camera().Wait(ctx, frames)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			use(k, &frames[i])
			k++
		}
		b.Camera().Requeue(frames[:n]...)
	}
	if _, err := b.Camera().Stop(ctx); err != nil {
		t.Fatal(err)
	}
}

func newBench(t testing.TB, c Config) *Bench {
	t.Helper()
	b, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pixel reads one pixel of a frame, in counts.
func pixel(f *camera.Frame, u, v int) float64 {
	i := v*f.Stride + u*camera.BytesPerPixel(f.BitDepth)
	if f.BitDepth <= 8 {
		return float64(f.Pix[i])
	}
	return float64(f.Pix[i]) + 256*float64(f.Pix[i+1])
}

// The field must be the plain sum over the mirrors that are on, whatever was
// shown before: the partition only saves work.
func TestFieldIsSumOfMirrors(t *testing.T) {
	c := Ideal(7)
	c.Width, c.Height = 32, 48 // not square: an exchange of the axes would show
	c.Chip = slm.Geometry{Width: 10, Height: 7}
	b := newBench(t, c)
	one := func(i int) *slm.Pattern {
		p := slm.NewPattern(c.Chip)
		p.Set(i%c.Chip.Width, i/c.Chip.Width, true)
		return p
	}
	for seed := range uint64(5) {
		p := randomBlocks(c.Chip, 1, seed)
		want := make([]complex128, c.Width*c.Height)
		for i := range c.Chip.Mirrors() {
			if p.On(i%c.Chip.Width, i/c.Chip.Width) {
				for r, s := range newMedium(c, c.Seed).field(one(i)) {
					want[r] += complex128(s)
				}
			}
		}
		got := b.Field(p)
		for r := range want {
			if cmplx.Abs(complex128(got[r])-want[r]) > 1e-5 {
				t.Fatalf("pattern %d, pixel %d: field %v, sum of the mirrors %v", seed, r, got[r], want[r])
			}
		}
		fresh := newMedium(c, c.Seed).field(p)
		for r := range fresh {
			if fresh[r] != got[r] {
				t.Fatalf("pattern %d, pixel %d: field %v depends on what was shown before (fresh bench: %v)", seed, r, got[r], fresh[r])
			}
		}
	}
}

// A partition that is too small for the patterns starts afresh and stays right.
func TestPartitionOverflow(t *testing.T) {
	chip := slm.Geometry{Width: 12, Height: 12}
	small := newPartition(chip, 500, 3, nil)
	small.limit = 6
	for seed := range uint64(20) {
		p := randomBlocks(chip, 2, seed)
		got, want := small.modes(p), newPartition(chip, 500, 3, nil).modes(p)
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("pattern %d, mode %d: %x with six classes, %x without history", seed, i, got[i], want[i])
			}
		}
		if len(small.members) > 2*small.limit {
			t.Fatalf("%d classes, the limit is %d", len(small.members), small.limit)
		}
	}
}

// Speckle: unit power for a half-on chip, circular Gaussian, and a spectrum that
// ends at the pupil's radius.
func TestSpeckleStatistics(t *testing.T) {
	c := Ideal(11)
	b := newBench(t, c)
	var n, power, quad, cross float64
	var square complex128
	for seed := range uint64(4) {
		for _, s := range b.Field(randomBlocks(c.Chip, 4, seed)) {
			re, im := float64(real(s)), float64(imag(s))
			p := re*re + im*im
			power, quad, n = power+p, quad+p*p, n+1
			cross += re * im
			square += complex128(s) * complex128(s)
		}
	}
	mean := power / n
	if math.Abs(mean-1) > 0.05 {
		t.Errorf("a half-on chip has mean power %.3f, want 1", mean)
	}
	if k := quad / n / (mean * mean); math.Abs(k-2) > 0.05 {
		t.Errorf("the intensity's second moment is %.3f of the mean squared, want 2 (circular Gaussian)", k)
	}
	if a := cmplx.Abs(square) / n; a > 0.03 {
		t.Errorf("mean of S^2 is %.3f, want 0 (circular)", a)
	}
}

// Photon and read noise, full well and ADC by their moments.
func TestPixelNoise(t *testing.T) {
	for _, mean := range []float64{0.5, 5, 15, 40, 300, 4000} {
		c := Good(5)
		c.BitDepth, c.FullWell, c.ReadNoise, c.BlackLevel = 16, 65535, 3, 100
		noise := newStream(5, forPixels, uint64(mean*10))
		level := make([]float32, 1<<18)
		for i := range level {
			level[i] = float32(mean)
		}
		c.expose(level, 0, &noise)
		var m1, m2, m3 float64
		for _, e := range level {
			m1 += math.Floor(float64(e)) - c.BlackLevel
		}
		m1 /= float64(len(level))
		for _, e := range level {
			d := math.Floor(float64(e)) - c.BlackLevel - m1
			m2 += d * d
			m3 += d * d * d
		}
		m2 /= float64(len(level))
		m3 /= float64(len(level))
		variance := mean + 9 + 1.0/12
		if math.Abs(m1-mean) > 5*math.Sqrt(variance/float64(len(level))) {
			t.Errorf("mean of %g electrons reads as %.3f", mean, m1)
		}
		if math.Abs(m2/variance-1) > 0.02 {
			t.Errorf("%g electrons: variance %.3f, want %.3f", mean, m2, variance)
		}
		// The third moment of a Poisson distribution is its mean; read noise has none.
		if tolerance := 0.05*mean + 8*math.Pow(variance, 1.5)/math.Sqrt(float64(len(level))); math.Abs(m3-mean) > tolerance {
			t.Errorf("%g electrons: third moment %.3f, want it within %.3f", mean, m3, tolerance)
		}
	}
	c := Good(5)
	level := []float32{1e9, 0}
	noise := newStream(1, forPixels, 0)
	c.expose(level, 0, &noise)
	if level[0] != 255 {
		t.Errorf("a flooded pixel reads %g, want 255", level[0])
	}
	if level[1] < 0 || level[1] > 10 {
		t.Errorf("a dark pixel reads %g, want about the black level 4", level[1])
	}
}

// The mean of a frame follows light: dark, reference alone, signal alone, both.
func TestFrameLevels(t *testing.T) {
	c := Good(2)
	b := newBench(t, c)
	half, off := randomBlocks(c.Chip, 2, 1), slm.NewPattern(c.Chip)
	gain := 255 / c.FullWell
	unit := c.MeanElectrons / (1 + c.Rho) * gain
	for _, x := range []struct {
		name              string
		pattern           *slm.Pattern
		reference, signal bool // blocked
		want              float64
	}{
		{"all", half, false, false, (1 + c.Rho) * unit},
		{"mirrors off", off, false, false, c.Rho * unit},
		{"reference blocked", half, true, false, unit},
		{"signal blocked", half, false, true, c.Rho * unit},
		{"dark", half, true, true, 0},
	} {
		if err := b.Block(context.Background(), x.reference, x.signal); err != nil {
			t.Fatal(err)
		}
		shoot(t, b, []*slm.Pattern{x.pattern}, func(_ int, f *camera.Frame) {
			sum := 0.0
			for v := range f.Height {
				for u := range f.Width {
					sum += pixel(f, u, v)
				}
			}
			if got := sum/float64(f.Width*f.Height) - c.BlackLevel; math.Abs(got-x.want) > 0.03*x.want+0.05 {
				t.Errorf("%s: mean level %.2f counts, want %.2f", x.name, got, x.want)
			}
		})
	}
}

// The same seed gives the same frames, another seed others, and a pattern shown
// twice is two different exposures.
func TestReproducible(t *testing.T) {
	sum := func(seed uint64) (h [2]uint64) {
		b := newBench(t, Good(seed))
		p := randomBlocks(b.Config().Chip, 4, 1)
		shoot(t, b, []*slm.Pattern{p, p}, func(k int, f *camera.Frame) {
			for _, x := range f.Pix {
				h[k] = mix(h[k] + uint64(x) + 1)
			}
		})
		return h
	}
	a, again, other := sum(1), sum(1), sum(2)
	if a != again {
		t.Errorf("seed 1 gave %x and then %x", a, again)
	}
	if a == other {
		t.Error("seeds 1 and 2 gave the same frames")
	}
	if a[0] == a[1] {
		t.Error("two exposures of one pattern are identical: their noise is not their own")
	}
}

func BenchmarkFrame(b *testing.B) {
	bench := newBench(b, Good(1))
	patterns := make([]*slm.Pattern, 32)
	for i := range patterns {
		patterns[i] = randomBlocks(bench.Config().Chip, 16, uint64(i))
	}
	shoot(b, bench, patterns, func(int, *camera.Frame) {})
	frames := 0
	for b.Loop() {
		shoot(b, bench, patterns, func(int, *camera.Frame) { frames++ })
	}
	rate := float64(frames) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "simulated-frames/s")
	b.ReportMetric(rate/fftRate(b, bench), "x-gonum-FFT")
}

// fftRate is how many frames a second the FFT chain demodulates on one core, in the
// same run: the yardstick that moves with the machine.
func fftRate(b *testing.B, bench *Bench) float64 {
	b.Helper()
	c := bench.Config()
	fft, err := holo.NewFFT(c.Width, c.Height, holo.Band{Fu: c.Carrier[0], Fv: c.Carrier[1], R: c.Radius}, holo.FFTOptions{})
	if err != nil {
		b.Fatal(err)
	}
	const n = 50
	dst := make([]complex64, fft.Outputs())
	img := holo.Image{Pix: make([]byte, c.Width*c.Height), Width: c.Width, Height: c.Height, Stride: c.Width, BitDepth: 8}
	start := time.Now()
	for range n {
		if err := fft.Demodulate(dst, img); err != nil {
			b.Fatal(err)
		}
	}
	return n / time.Since(start).Seconds()
}

func BenchmarkNewPattern(b *testing.B) {
	bench := newBench(b, Good(1))
	n := uint64(0)
	for b.Loop() {
		n++
		bench.Field(randomBlocks(bench.Config().Chip, 16, n))
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "fields/s")
}
