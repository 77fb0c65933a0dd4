package sim

import (
	"math"
	"math/cmplx"
	"testing"
	"time"

	"gonum.org/v1/gonum/stat"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// quiet is a small noiseless bench on which one effect can be seen at a time.
func quiet(change func(*Config)) Config {
	c := Ideal(7)
	c.Width, c.Height, c.Chip = 64, 64, slm.Geometry{Width: 24, Height: 16}
	change(&c)
	return c
}

// photos returns the frames of patterns in counts above the black level.
func photos(t *testing.T, b *Bench, patterns ...*slm.Pattern) [][]float64 {
	t.Helper()
	out := make([][]float64, len(patterns))
	shoot(t, b, patterns, func(k int, f *camera.Frame) {
		for v := range f.Height {
			for u := range f.Width {
				out[k] = append(out[k], pixel(f, u, v)-b.config.BlackLevel)
			}
		}
	})
	return out
}

func meanPower(f []complex64) float64 {
	sum := 0.0
	for _, s := range f {
		sum += real(complex128(s) * cmplx.Conj(complex128(s)))
	}
	return sum / float64(len(f))
}

// correlation of two fields, 0 to 1.
func correlation(a, b []complex64) float64 {
	var cross complex128
	for i := range a {
		cross += complex128(a[i]) * cmplx.Conj(complex128(b[i]))
	}
	return cmplx.Abs(cross) / float64(len(a)) / math.Sqrt(meanPower(a)*meanPower(b))
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance) {
		t.Errorf("%s is %.4g, want %.4g within %.2g", what, got, want, tolerance)
	}
}

func filled(g slm.Geometry) *slm.Pattern {
	p := slm.NewPattern(g)
	p.Fill()
	return p
}

func TestUnevenIllumination(t *testing.T) {
	c := quiet(func(c *Config) { c.IlluminationWaist = 0.8 })
	b := newBench(t, c)
	one := func(u, v int) float64 {
		p := slm.NewPattern(c.Chip)
		p.Set(u, v, true)
		return meanPower(b.Field(p))
	}
	half := math.Hypot(24, 16) / 2
	want := math.Exp(-2 * (11.5*11.5 + 7.5*7.5 - 0.5) / (half * half * 0.8 * 0.8))
	near(t, "power of a corner mirror over that of a middle one", one(0, 0)/one(12, 8), want, 0.1*want)
	near(t, "power of the whole chip", meanPower(b.Field(filled(c.Chip))), 2, 0.3)
}

func TestOffMirrorsLeak(t *testing.T) {
	c := quiet(func(c *Config) { c.OffLight = 0.01 })
	b := newBench(t, c)
	clean := newBench(t, quiet(func(*Config) {}))
	all := filled(c.Chip)
	off := b.Field(slm.NewPattern(c.Chip))
	near(t, "power of the off chip", meanPower(off)/meanPower(b.Field(all)), 0.01, 1e-4)
	near(t, "its correlation with the on chip", correlation(off, b.Field(all)), 1, 1e-4)
	p := randomBlocks(c.Chip, 2, 1)
	x, y, o := b.Field(p), clean.Field(p), clean.Field(all)
	for i := range x {
		if want := 0.9*y[i] + 0.1*o[i]; cmplx.Abs(complex128(x[i]-want)) > 1e-5 {
			t.Fatalf("pixel %d: %v, want %v: off mirrors leak a tenth of the amplitude", i, x[i], want)
		}
	}
}

// The spectrum of S is the pupil, whatever its shape; its centroid is 0 and half of
// its greatest power is reached on an area of pi R^2.
func TestPupils(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"disc":    func(*Config) {},
		"soft":    func(c *Config) { c.Softness = 0.3 },
		"ellipse": func(c *Config) { c.Aspect = 1.4 },
		"square":  func(c *Config) { c.Pupil = Square },
		"all":     func(c *Config) { c.Pupil, c.Aspect, c.Softness = Square, 0.8, 0.2 },
	} {
		c := quiet(change)
		const n = 512
		var area, power, momentU, momentV float64
		widest, highest := 0.0, 0.0
		for j := range n {
			for i := range n {
				fu, fv := (float64(i)+0.5)/n-0.5, (float64(j)+0.5)/n-0.5
				p := c.transmission(fu, fv)
				if p >= 0.5 {
					area += 1.0 / (n * n)
					widest, highest = math.Max(widest, fu), math.Max(highest, fv)
				}
				power, momentU, momentV = power+p, momentU+p*fu, momentV+p*fv
			}
		}
		near(t, name+": radius", math.Sqrt(area/math.Pi), c.Radius, 0.001)
		near(t, name+": width over height", widest/highest, c.aspect(), 0.03)
		near(t, name+": centroid", math.Hypot(momentU, momentV)/power, 0, 1e-9)
		near(t, name+": power of a half-on chip", meanPower(newBench(t, c).Field(randomBlocks(c.Chip, 1, 3))), 1, 0.25)
	}
}

// With PixelArea the power of a mode follows the response of a pixel at the mode's
// place in the fringes.
func TestPixelAreaTiltsTheSideband(t *testing.T) {
	c := quiet(func(c *Config) { c.PixelArea = true })
	near(t, "at the carrier", c.pixelTilt(0, 0), 1, 1e-12)
	toZero, away := c.pixelTilt(0.1, 0.1), c.pixelTilt(-0.1, -0.1)
	near(t, "towards 0", toZero, sinc(0.1-0.33)*sinc(0.1-0.325)/(sinc(0.33)*sinc(0.325)), 1e-12)
	if !(toZero > 1 && away < 1) {
		t.Errorf("towards 0 pixels see %.3g, away from it %.3g of what they see at the carrier", toZero, away)
	}
	p := newPupil(c, 128, 128)
	plain := newPupil(quiet(func(*Config) {}), 128, 128)
	if p.count != plain.count || p.power != plain.power || len(p.amplitudes) != p.count || plain.amplitudes != nil {
		t.Errorf("%d modes of power %g and %d amplitudes, without tilt %d of %g", p.count, p.power, len(p.amplitudes), plain.count, plain.power)
	}
}

func TestMediumAges(t *testing.T) {
	c := quiet(func(c *Config) { c.Decorrelation = time.Second })
	b := newBench(t, c)
	if err := b.Block(t.Context(), true, false); err != nil { // what is left is abs(S)^2
		t.Fatal(err)
	}
	p := randomBlocks(c.Chip, 2, 1)
	before := photos(t, b, p)[0]
	b.Wait(time.Second) // all off: half as fast
	near(t, "correlation after a second in the dark", b.Correlation(), math.Exp(-0.5), 0.002)
	after := photos(t, b, p)[0]
	// Intensities of circular Gaussian fields correlate by the square.
	near(t, "correlation of the intensities", stat.Correlation(before, after, nil), math.Exp(-1), 0.06)
	near(t, "power", stat.Mean(after, nil)/stat.Mean(before, nil), 1, 0.1)

	duty := func(p *slm.Pattern) float64 {
		b := newBench(t, c)
		photos(t, b, p, p, p, p, p, p, p, p)
		return -math.Log(b.Correlation())
	}
	near(t, "ageing all on over all off", duty(filled(c.Chip))/duty(slm.NewPattern(c.Chip)), 3, 1e-6)
}

func TestReferenceBeam(t *testing.T) {
	c := quiet(func(c *Config) { c.ReferenceWaist, c.ReferenceCurvature = 0.9, 2 })
	beam := referenceBeam(c)
	near(t, "mean power", meanPower(beam), c.Rho, 1e-3)
	power := func(i int) float64 { return meanPower(beam[i : i+1]) }
	corner, middle := 0, 32*64+32
	r := 2 * 31.5 * 31.5 / (2 * 32 * 32) // squared, in half diagonals
	near(t, "corner over middle", power(corner)/power(middle), math.Exp(-2*r/0.81), 0.01)
	// The phase beyond the plane wave's, from corner to corner along the edge: the
	// corners agree, the middle of the edge is behind.
	flat := referenceBeam(quiet(func(*Config) {}))
	extra := func(i int) float64 {
		return cmplx.Phase(complex128(beam[i]) * cmplx.Conj(complex128(flat[i])))
	}
	near(t, "phase of the corner over the middle", extra(corner)-extra(middle), 2*r, 0.01)

	cut := referenceBeam(quiet(func(c *Config) { c.ReferenceCut = 0.5 }))
	if cut[31] != 0 || cut[32] == 0 {
		t.Errorf("a half cut beam has %v at pixel 31 and %v at 32", cut[31], cut[32])
	}
}

// Phase at the fan's frequency, as the fringes show it.
func TestFanJitter(t *testing.T) {
	c := quiet(func(c *Config) { c.FanJitter, c.FanFrequency = 0.4, 100 })
	b := newBench(t, c)
	p := randomBlocks(c.Chip, 2, 1)
	s := b.Field(p)
	var frames []*slm.Pattern
	for range 16 {
		frames = append(frames, p)
	}
	unit := c.MeanElectrons / (1 + c.Rho) * 65535 / c.FullWell
	for k, counts := range photos(t, b, frames...) {
		// The best phase of the reference, from I = A^2 + S^2 + 2 C Re(conj(R) S e^-i phi).
		var sum complex128
		for i, x := range counts {
			r, s := complex128(b.reference[i]), complex128(s[i])
			rest := x/unit - real(r*cmplx.Conj(r)) - real(s*cmplx.Conj(s))
			sum += complex(rest, 0) * r * cmplx.Conj(s)
		}
		want := 0.4 * math.Sin(2*math.Pi*100*(time.Duration(k)*shootPeriod).Seconds())
		near(t, "phase", -cmplx.Phase(sum), want, 0.02)
	}
}

func TestRepulseDips(t *testing.T) {
	c := quiet(func(c *Config) { c.RepulseDip, c.NominalExposure = 10*time.Microsecond, 200*time.Microsecond })
	b, steady := newBench(t, c), newBench(t, quiet(func(c *Config) { c.NominalExposure = 200 * time.Microsecond }))
	for _, x := range []*Bench{b, steady} {
		if err := x.Block(t.Context(), true, false); err != nil {
			t.Fatal(err)
		}
	}
	p := randomBlocks(c.Chip, 2, 1)
	var frames []*slm.Pattern
	for range 20 {
		frames = append(frames, p)
	}
	full := stat.Mean(photos(t, steady, p)[0], nil)
	seen := map[int]int{}
	for _, counts := range photos(t, b, frames...) {
		lost := (1 - stat.Mean(counts, nil)/full) * 20 // dips of 10 in 200 us
		near(t, "dips in an exposure", lost, math.Round(lost), 0.02)
		seen[int(math.Round(lost))]++
	}
	if seen[1] == 0 || seen[2] == 0 || seen[1]+seen[2] != len(frames) {
		t.Errorf("dips in an exposure of 200 us: %v, want one or two, and both to happen", seen)
	}
}

func TestSensorFlaws(t *testing.T) {
	c := quiet(func(c *Config) { c.Width, c.Height, c.GainSpread, c.Etalon, c.HotPixels = 128, 128, 0.02, 0.05, 0.01 })
	s := newSensor(c)
	response, dark := make([]float64, len(s.response)), []float64{}
	for i, r := range s.response {
		response[i] = float64(r)
		if s.dark[i] > 0 {
			dark = append(dark, float64(s.dark[i])/c.FullWell)
		}
	}
	near(t, "mean response", stat.Mean(response, nil), 1, 0.005)
	near(t, "its deviation", stat.StdDev(response, nil), math.Hypot(0.02, 0.05/math.Sqrt2), 0.002)
	near(t, "share of hot pixels", float64(len(dark))/float64(len(response)), 0.01, 0.003)
	near(t, "their mean charge", stat.Mean(dark, nil), hotCharge/2, 0.04)

	level := []float32{100, 200}
	s.see(level, 5)
	near(t, "a pixel", float64(level[0]), 100*response[5]+float64(s.dark[5]), 1e-3)
	near(t, "its neighbour", float64(level[1]), 200*response[6]+float64(s.dark[6]), 1e-3)
}

func TestRowNoise(t *testing.T) {
	c := quiet(func(c *Config) { c.RowNoise, c.FullWell = 20, 65535 })
	b := newBench(t, c)
	off := slm.NewPattern(c.Chip)
	two := photos(t, b, off, off)
	var rows []float64
	for v := range c.Height {
		d := make([]float64, c.Width)
		for u := range d {
			d[u] = two[0][v*c.Width+u] - two[1][v*c.Width+u]
		}
		if s := stat.StdDev(d, nil); s > 1 {
			t.Fatalf("row %d differs by %.3g from pixel to pixel, want the same everywhere", v, s)
		}
		rows = append(rows, stat.Mean(d, nil)/math.Sqrt2)
	}
	near(t, "deviation of the rows", stat.StdDev(rows, nil), 20, 5)
}

// A trigger during read-out makes no frame and no count.
func TestReadout(t *testing.T) {
	for _, x := range []struct {
		readout time.Duration
		frames  uint64
	}{{0, 8}, {50 * time.Microsecond, 8}, {100 * time.Microsecond, 4}, {800 * time.Microsecond, 3}} {
		c := quiet(func(c *Config) { c.Readout = x.readout })
		b := newBench(t, c)
		if _, err := b.Camera().Configure(t.Context(), camera.Config{Exposure: 600 * time.Microsecond}); err != nil {
			t.Fatal(err)
		}
		p := slm.NewPattern(c.Chip)
		if err := b.DMD().Load(t.Context(), []int{0}, []*slm.Pattern{p}); err != nil {
			t.Fatal(err)
		}
		if err := b.Camera().Arm(t.Context(), camera.Run{Frames: 8}); err != nil {
			t.Fatal(err)
		}
		if err := b.DMD().Play(t.Context(), slm.Run{Order: make([]int, 8), Period: 666 * time.Microsecond}); err != nil {
			t.Fatal(err)
		}
		counts, err := b.Camera().Stop(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if counts.Frames != x.frames || counts.Triggers != x.frames {
			t.Errorf("read-out %v: %d frames and %d triggers of 8, want %d", x.readout, counts.Frames, counts.Triggers, x.frames)
		}
	}
}

// The light of a frame is that of another pattern: delay, stale, swapped, stray.
func TestWrongLight(t *testing.T) {
	c := quiet(func(*Config) {})
	var patterns []*slm.Pattern
	for k := range 5 {
		patterns = append(patterns, randomBlocks(c.Chip, 2, uint64(k)))
	}
	stray := randomBlocks(c.Chip, 2, 99)
	at := func(kind FaultKind) func(Exposure) Fault {
		return func(x Exposure) Fault {
			if x.Position == 2 {
				return Fault{Kind: kind, Pattern: stray}
			}
			return Fault{}
		}
	}
	for _, x := range []struct {
		name   string
		delay  int
		faults func(Exposure) Fault
		want   []int // -1: stray
	}{
		{"in order", 0, nil, []int{0, 1, 2, 3, 4}},
		{"two late", 2, nil, []int{0, 0, 0, 1, 2}},
		{"stale", 0, at(StalePattern), []int{0, 1, 1, 3, 4}},
		{"swapped", 0, at(SwapPatterns), []int{0, 1, 3, 2, 4}},
		{"stray", 0, at(StrayPattern), []int{0, 1, -1, 3, 4}},
	} {
		c.FrameDelay, c.Stamp = x.delay, true
		b := newBench(t, c)
		b.SetFaults(x.faults)
		shoot(t, b, patterns, func(k int, f *camera.Frame) {
			want := stray.Hash()
			if i := x.want[k]; i >= 0 {
				want = patterns[i].Hash()
			}
			if _, got := ReadStamp(f); got != want {
				t.Errorf("%s: frame %d has another pattern's light than that of %d", x.name, k, x.want[k])
			}
		})
	}
}

// Random benches satisfy the conditions of the reference, section 3, and their
// seeds are all different.
func TestRandomBenches(t *testing.T) {
	wrapped := 0
	radii := map[float64]bool{}
	for seed := range uint64(500) {
		for _, c := range []Config{Random(seed), RandomGlass(seed)} {
			if err := c.Check(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			f, r := c.Carrier, c.Radius
			if math.Hypot(f[0], f[1]) < 3*r || math.Hypot(math.Remainder(2*f[0], 1), math.Remainder(2*f[1], 1)) < 2*r {
				t.Errorf("seed %d: carrier %v cannot be separated with radius %g", seed, f, r)
			}
			if r < 0.08 || r > 0.19 || c.Rho < 1 || c.Rho > 16 || f[1] < 0 {
				t.Errorf("seed %d: radius %g, rho %g, carrier %v", seed, r, c.Rho, f)
			}
			if math.Abs(f[0])+r > 0.5 || f[1]+r > 0.5 {
				wrapped++
			}
			radii[r] = true
		}
	}
	if wrapped == 0 || len(radii) != 500 {
		t.Errorf("%d benches wrap round, %d radii", wrapped, len(radii))
	}
}

func TestPresets(t *testing.T) {
	for _, name := range Presets() {
		c, err := Preset(name, 3)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Check(); err != nil || c.Name != name || c.Seed != 3 {
			t.Errorf("preset %s: %v, named %q, seed %d", name, err, c.Name, c.Seed)
		}
	}
	// Broken at its nominal exposure: a tenth of the pixels at the end of the range.
	b := newBench(t, Broken(1))
	p := randomBlocks(b.config.Chip, 4, 1)
	full, n := 0, 0
	shoot(t, b, []*slm.Pattern{p}, func(_ int, f *camera.Frame) {
		for _, x := range f.Pix {
			if n++; x == 255 {
				full++
			}
		}
	})
	near(t, "saturated share of the broken bench", float64(full)/float64(n), 0.1, 0.03)
}
