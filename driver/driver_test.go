package driver_test

import (
	"context"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// setup is a calibrated OPU on a simulated bench.
type setup struct {
	bench *sim.Bench
	rig   *rig.Rig
	cal   *calib.Calibration
	opu   *driver.OPU
}

func newSetup(t testing.TB, c sim.Config, features, outputs int, o driver.Options) *setup {
	t.Helper()
	return newSetupWith(t, c, calib.Options{
		Layout: slm.LayoutSpec{Kind: slm.Blocks, Features: features}, Outputs: outputs, Seed: c.Seed,
	}, o)
}

// newSetupWith calibrates as it is told.
func newSetupWith(t testing.TB, c sim.Config, options calib.Options, o driver.Options) *setup {
	t.Helper()
	bench, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(bench.DMD(), bench.Camera(), rig.Config{Shutter: bench})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	cal, err := calib.Learn(t.Context(), r, options)
	if err != nil {
		t.Fatal(err)
	}
	opu, err := driver.New(t.Context(), r, cal, o)
	if err != nil {
		t.Fatal(err)
	}
	return &setup{bench, r, cal, opu}
}

func (s *setup) project(t testing.TB, x []int8) []complex64 {
	t.Helper()
	m, n := s.opu.Shape()
	y := make([]complex64, len(x)/n*m)
	if err := s.opu.Project(context.Background(), y, x); err != nil {
		t.Fatal(err)
	}
	return y
}

// randomTernary is rows of n entries, none of the rows all zero.
func randomTernary(seed uint64, rows, n int) []int8 {
	random := rand.New(rand.NewPCG(seed, 1))
	x := make([]int8, rows*n)
	for i := range x {
		x[i] = int8(random.IntN(3) - 1)
	}
	for r := range rows {
		x[r*n] = 1 - 2*int8(r%2)
	}
	return x
}

// truth is what the kernel makes of the linear term of the hologram, from the
// bench's own field: B x up to one complex factor.
func (s *setup) truth(t testing.TB, x []int8) []complex128 {
	t.Helper()
	spec, err := s.cal.LayoutSpec()
	if err != nil {
		t.Fatal(err)
	}
	layout, err := slm.NewLayout(spec)
	if err != nil {
		t.Fatal(err)
	}
	c := s.bench.Config()
	field := make([]complex128, c.Width*c.Height)
	p := slm.NewPattern(c.Chip)
	for _, sign := range []int8{1, -1} {
		layout.Encode(p, x, sign)
		for i, z := range s.bench.Field(p) {
			field[i] += complex(float64(sign), 0) * complex128(z)
		}
	}
	f := s.bench.Truth().Carrier
	d, err := s.cal.Demodulator(s.cal.Outputs)
	if err != nil {
		t.Fatal(err)
	}
	y := make([]complex128, s.cal.Outputs)
	k := s.cal.Kernel
	for i := range y {
		cu, cv := d.Position(i)
		u0, v0 := int(cu-float64(k.Taps-1)/2), int(cv-float64(k.Taps-1)/2)
		for tap := range k.Re {
			u, v := u0+tap%k.Taps, v0+tap/k.Taps
			wave := cmplx.Rect(1, -2*math.Pi*(f[0]*float64(u)+f[1]*float64(v)))
			y[i] += complex(float64(k.Re[tap]), float64(k.Im[tap])) * wave * field[v*c.Width+u]
		}
	}
	return y
}

// snr is the power of a against that of what remains of it after the best complex
// multiple of b, in dB.
func snr(a []complex64, b []complex128) float64 {
	var ab, bb complex128
	var aa float64
	for i, z := range a {
		ab += complex128(z) * cmplx.Conj(b[i])
		bb += b[i] * cmplx.Conj(b[i])
		aa += real(complex128(z) * cmplx.Conj(complex128(z)))
	}
	explained := cmplx.Abs(ab) * cmplx.Abs(ab) / real(bb)
	return 10 * math.Log10(explained/(aa-explained))
}

func TestProjectAgainstTruth(t *testing.T) {
	for _, x := range []struct {
		config sim.Config
		least  float64 // dB
	}{{sim.Ideal(3), 35}, {sim.Good(3), 20}, {sim.Noisy(3), 5}} {
		t.Run(x.config.Name, func(t *testing.T) {
			quickOnly(t)
			s := newSetup(t, x.config, 10, 1024, driver.Options{})
			t.Logf("calibration: carrier %+v, scale %.1f, levels %+v, quality %+v, epoch %s, exposure %v",
				s.cal.Carrier, s.cal.Scale, s.cal.Levels, s.cal.Quality, s.opu.Epoch(), s.cal.Settings.Exposure)
			rows := randomTernary(1, 20, 10)
			y := s.project(t, rows)
			worst, power := math.Inf(1), 0.0
			for r := range 20 {
				worst = min(worst, snr(y[r*1024:(r+1)*1024], s.truth(t, rows[r*10:(r+1)*10])))
			}
			norm := 0.0
			for _, v := range rows {
				norm += float64(v) * float64(v)
			}
			for _, z := range y {
				power += real(complex128(z) * cmplx.Conj(complex128(z)))
			}
			t.Logf("worst row agrees with the truth to %.1f dB; mean |B|^2 = %.3f", worst, power/1024/norm)
			if worst < x.least {
				t.Errorf("the worst row agrees with the truth to %.1f dB, want %.0f", worst, x.least)
			}
			if got := power / 1024 / norm; x.config.Name != "noisy" && math.Abs(got-1) > 0.1 {
				t.Errorf("mean |B|^2 is %.3f, want 1", got)
			}
			t.Logf("%+v", s.opu.Stats())
		})
	}
}

// quickOnly skips a test that measures figures on a large bench when time is short,
// as it is under the race detector.
func quickOnly(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("measures figures on a large bench; not with -short")
	}
}
