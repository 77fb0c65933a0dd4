package sim_test

import (
	"context"
	"math"
	"math/cmplx"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// The bench against the table of the reference, section 14: what it must obey, and
// must not be better than.

// optics is a bench with its rig and the oracle demodulator at the true carrier.
type optics struct {
	*sim.Bench
	rig *rig.Rig
	fft *holo.FFT
}

func newOptics(t *testing.T, c sim.Config, taper, margin float64) *optics {
	t.Helper()
	if testing.Short() {
		t.Skip("measures figures on a large bench; not with -short")
	}
	b, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(b.DMD(), b.Camera(), rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Configure(context.Background(), camera.Config{Exposure: c.NominalExposure}); err != nil {
		t.Fatal(err)
	}
	f := b.Truth().Carrier
	d, err := holo.NewFFT(c.Width, c.Height, holo.Band{Fu: f[0], Fv: f[1], R: c.Radius + margin}, holo.FFTOptions{Taper: taper})
	if err != nil {
		t.Fatal(err)
	}
	return &optics{b, r, d}
}

// fields demodulates an exposure of each pattern.
func (o *optics) fields(t *testing.T, patterns ...*slm.Pattern) [][]complex64 {
	t.Helper()
	frames := make([]holo.Image, len(patterns))
	err := o.rig.Show(context.Background(), patterns, func(k int, f *camera.Frame) error {
		frames[k] = calib.Image(f)
		frames[k].Pix = append([]byte(nil), f.Pix...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	fields := make([][]complex64, len(patterns))
	for k, img := range frames {
		fields[k] = make([]complex64, o.fft.Outputs())
		if err := o.fft.Demodulate(fields[k], img); err != nil {
			t.Fatal(err)
		}
	}
	return fields
}

func sq(z complex64) float64 {
	return float64(real(z))*float64(real(z)) + float64(imag(z))*float64(imag(z))
}

// SNR(z) = M^2 rho/(1+rho)^2 C^2 / (w (M + s^2 + q^2)), section 4, within 0.5 dB.
func TestSNRFormula(t *testing.T) {
	for _, electrons := range []float64{200, 500, 2000} {
		for _, rho := range []float64{2, 8} {
			c := sim.Good(1)
			c.MeanElectrons, c.Rho = electrons, rho
			o := newOptics(t, c, 0, 0)
			p := calib.FinePattern(c.Chip, 3)
			const n = 24
			shown := make([]*slm.Pattern, n)
			for k := range shown {
				shown[k] = p
			}
			fields := o.fields(t, shown...)
			var signal, noise float64
			for i := range fields[0] {
				var mean complex128
				for _, f := range fields {
					mean += complex128(f[i]) / n
				}
				for _, f := range fields {
					noise += sq(f[i]-complex64(mean)) / (n - 1)
				}
				signal += real(mean * cmplx.Conj(mean))
			}
			signal -= noise / n
			got := 10 * math.Log10(signal/noise)

			// The pattern's own power, since a formula speaks of the mean one.
			power := 0.0
			for _, s := range o.Field(p) {
				power += sq(s) / float64(c.Width*c.Height)
			}
			step := c.FullWell / 255
			w := math.Pi * c.Radius * c.Radius
			C := o.Truth().Contrast
			want := 10 * math.Log10(electrons*electrons*rho/math.Pow(1+rho, 2)*C*C*power/(w*(electrons+c.ReadNoise*c.ReadNoise+step*step/12)))
			t.Logf("%4.0f electrons, rho %g: %.2f dB, formula %.2f", electrons, rho, got, want)
			if math.Abs(got-want) > 0.5 {
				t.Errorf("%g electrons, rho %g: SNR %.2f dB, the formula says %.2f", electrons, rho, got, want)
			}
		}
	}
}

// With the carrier at 2.12 R, abs(S)^2 overlaps the sideband: 14.3, 20.4 and 26.4 dB
// against the true field at rho 1, 4 and 16 (section 2c). A better figure would mean
// that the test cheats.
func TestOverlap(t *testing.T) {
	for _, x := range []struct{ rho, want float64 }{{1, 14.3}, {4, 20.4}, {16, 26.4}} {
		c := sim.Ideal(4)
		c.Radius, c.Carrier, c.Rho = 0.12, [2]float64{0.18, 0.18}, x.rho
		// Speckle that is not periodic smears the disc's edge by a bin or two: a disc of
		// its very radius would cut that off, and 20 dB would be the most to see.
		const margin = 2.0 / 256
		o := newOptics(t, c, 0.1, margin)
		p := calib.FinePattern(c.Chip, 5)
		field, truth := o.fields(t, p)[0], o.Field(p)
		// Positions are rarely whole pixels: compare with the band-limited truth by its
		// own transform, away from the edges, where the taper and the cut speckle spoil
		// both.
		var ab, bb complex128
		var aa float64
		for i, z := range field {
			u, v := o.fft.Position(i)
			if math.Min(math.Min(u, v), math.Min(float64(c.Width)-u, float64(c.Height)-v)) < 60 {
				continue
			}
			s := interpolate(truth, c.Width, c.Height, u, v)
			ab += complex128(z) * cmplx.Conj(s)
			bb += s * cmplx.Conj(s)
			aa += sq(z)
		}
		explained := real(ab*cmplx.Conj(ab)) / real(bb)
		got := 10 * math.Log10(explained/(aa-explained))
		// The pixels take from the fringes what they leave of abs(S)^2, and a larger disc
		// lets more of that in.
		want := x.want + 20*math.Log10(o.Truth().Contrast) - 20*math.Log10(1+margin/c.Radius)
		t.Logf("rho %2.0f: %.1f dB, want %.1f", x.rho, got, want)
		if math.Abs(got-want) > 1 {
			t.Errorf("rho %g: %.1f dB against the true field, want %.1f +- 1", x.rho, got, want)
		}
	}
}

// interpolate is the field between pixels, by a windowed sinc: it is sampled eight
// times as finely as its band needs.
func interpolate(field []complex64, width, height int, u, v float64) complex128 {
	const reach = 12
	weight := func(x float64) float64 {
		if math.Abs(x) >= reach {
			return 0
		}
		if x == 0 {
			return 1
		}
		return math.Sin(math.Pi*x) / (math.Pi * x) * (0.5 + 0.5*math.Cos(math.Pi*x/reach))
	}
	var sum complex128
	for y := int(v) - reach; y <= int(v)+reach; y++ {
		for x := int(u) - reach; x <= int(u)+reach; x++ {
			if x >= 0 && y >= 0 && x < width && y < height {
				sum += complex(weight(u-float64(x))*weight(v-float64(y)), 0) * complex128(field[y*width+x])
			}
		}
	}
	return sum
}

// Linearity on the ideal bench: 60 dB with a Tukey window, and about 49 without, which
// is what the frame's cut edges leave (section 5).
func TestLinearity(t *testing.T) {
	for _, x := range []struct{ taper, least, most float64 }{{0.1, 60, math.Inf(1)}, {0, 44, 58}} {
		c := sim.Ideal(6)
		o := newOptics(t, c, x.taper, 0)
		a, b, off := slm.NewPattern(c.Chip), slm.NewPattern(c.Chip), slm.NewPattern(c.Chip)
		both := calib.FinePattern(c.Chip, 7)
		for v := range c.Chip.Height {
			for u := range c.Chip.Width {
				if both.On(u, v) {
					if (u/4+v/4)%3 == 0 {
						a.Set(u, v, true)
					} else {
						b.Set(u, v, true)
					}
				}
			}
		}
		f := o.fields(t, a, b, both, off)
		var sum, broken float64
		for i := range f[0] {
			sum += sq(f[2][i] - f[3][i])
			broken += sq(f[2][i] + f[3][i] - f[0][i] - f[1][i])
		}
		got := 10 * math.Log10(sum/broken)
		t.Logf("taper %g: %.1f dB", x.taper, got)
		if got < x.least || got > x.most {
			t.Errorf("taper %g: linear to %.1f dB, want %g to %g", x.taper, got, x.least, x.most)
		}
	}
}

// Outputs over random patterns are circular Gaussian: kurtosis 3 of real and
// imaginary parts, equal variances.
func TestOutputsAreGaussian(t *testing.T) {
	c := sim.Ideal(8)
	o := newOptics(t, c, 0, 0)
	patterns := make([]*slm.Pattern, 40)
	for k := range patterns {
		patterns[k] = calib.FinePattern(c.Chip, uint64(k))
	}
	fields := o.fields(t, patterns...)
	var n, re2, im2, re4, im4 float64
	for k := 0; k < len(fields); k += 2 { // differences, so that the constant part is gone
		for i := range fields[k] {
			z := complex128(fields[k][i] - fields[k+1][i])
			n++
			re2, im2 = re2+real(z)*real(z), im2+imag(z)*imag(z)
			re4, im4 = re4+math.Pow(real(z), 4), im4+math.Pow(imag(z), 4)
		}
	}
	kr, ki := n*re4/(re2*re2), n*im4/(im2*im2)
	t.Logf("kurtosis %.3f and %.3f, variance ratio %.3f", kr, ki, re2/im2)
	if math.Abs(kr-3) > 0.1 || math.Abs(ki-3) > 0.1 {
		t.Errorf("kurtosis %.3f and %.3f, want 3.0 +- 0.1", kr, ki)
	}
	if math.Abs(re2/im2-1) > 0.05 {
		t.Errorf("real parts have %.3f times the variance of imaginary ones", re2/im2)
	}
}

// Drift is on the bench's clock: a plane turn of all outputs with time.
func TestPhaseDrift(t *testing.T) {
	c := sim.Ideal(9)
	c.PhaseDrift = 100
	o := newOptics(t, c, 0, 0)
	p := calib.FinePattern(c.Chip, 1)
	f := o.fields(t, p, p, p)
	turn := func(a, b []complex64) float64 {
		var sum complex128
		for i := range a {
			sum += complex128(b[i]) * cmplx.Conj(complex128(a[i]))
		}
		return cmplx.Phase(sum)
	}
	want := -c.PhaseDrift * o.rig.Period().Seconds() // z turns against the reference
	if got := turn(f[0], f[1]); math.Abs(got-want) > 1e-3 {
		t.Errorf("the field turned by %.5f rad in a period, want %.5f", got, want)
	}
	if got := turn(f[0], f[2]); math.Abs(got-2*want) > 1e-3 {
		t.Errorf("the field turned by %.5f rad in two periods, want %.5f", got, 2*want)
	}
	if o.rig.Period() != time.Second/1500 {
		t.Errorf("the period is %v", o.rig.Period())
	}
}
