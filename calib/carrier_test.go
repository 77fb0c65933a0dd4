package calib

import (
	"errors"
	"fmt"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"os"
	"testing"

	"gonum.org/v1/gonum/dsp/fourier"

	"github.com/light-in-the-loop/opu/holo"
)

// optics makes speckle frames for the tests of FindCarrier, sharing no code with
// what they test. The field's grid is larger than the frame, so that frames have
// edges; its pixels may average over their own area, which tilts the sideband.
type optics struct {
	width, height int
	band          holo.Band
	rho           float64
	electrons     float64
	extended      bool // pixels of full width, instead of points
	soft          bool // pupil whose edge falls off, half of the power at R, and is elliptical
	noSignal      bool
	noReference   bool

	rnd           *rand.Rand
	gridW, gridH  int
	rows, columns *fourier.CmplxFFT
	grid, column  []complex128
	turnU, turnV  []complex128 // the reference beam
	bins          []int        // of the disc
	pupil         []float64    // of each
	pixelFilter   []float64    // of each, to the fringes
	seen          []complex128 // the field after that filter
	pix           []byte
}

func newOptics(seed uint64, o optics) *optics {
	o.rnd = rand.New(rand.NewPCG(seed, 0x6f70746963))
	o.gridW, o.gridH = o.width*5/4, o.height*5/4
	o.rows, o.columns = fourier.NewCmplxFFT(o.gridW), fourier.NewCmplxFFT(o.gridH)
	o.grid = make([]complex128, o.gridW*o.gridH)
	o.column = make([]complex128, o.gridH)
	if o.extended {
		o.seen = make([]complex128, o.gridW*o.gridH)
	}
	o.pix = make([]byte, o.width*o.height)
	o.turnU, o.turnV = make([]complex128, o.width), make([]complex128, o.height)
	for u := range o.turnU {
		o.turnU[u] = cmplx.Rect(math.Sqrt(o.rho), 2*math.Pi*o.band.Fu*float64(u))
	}
	for v := range o.turnV {
		o.turnV[v] = cmplx.Rect(1, 2*math.Pi*o.band.Fv*float64(v))
	}
	sinc := func(x float64) float64 {
		if x == 0 {
			return 1
		}
		return math.Sin(math.Pi*x) / (math.Pi * x)
	}
	for i := range o.grid {
		ku, kv := float64(i%o.gridW)/float64(o.gridW), float64(i/o.gridW)/float64(o.gridH)
		ku, kv = ku-math.Round(ku), kv-math.Round(kv)
		q := math.Hypot(ku, kv) / o.band.R
		f := 1.0
		if o.soft {
			q = math.Hypot(ku/1.05, kv/0.95) / o.band.R
			f = math.Sqrt(1 / (1 + math.Pow(q, 16)))
		}
		if q <= 1 || o.soft && q <= 1.4 {
			o.bins = append(o.bins, i)
			o.pupil = append(o.pupil, f)
			o.pixelFilter = append(o.pixelFilter, sinc(ku-o.band.Fu)*sinc(kv-o.band.Fv))
		}
	}
	return &o
}

// frame is the next exposure; its pixels are reused.
func (o *optics) frame() holo.Image {
	clear(o.grid)
	clear(o.seen)
	if !o.noSignal {
		norm := 1 / math.Sqrt(2*float64(len(o.bins)))
		for n, i := range o.bins {
			o.grid[i] = complex(o.rnd.NormFloat64(), o.rnd.NormFloat64()) * complex(norm*o.pupil[n], 0)
			if o.extended {
				o.seen[i] = o.grid[i] * complex(o.pixelFilter[n], 0)
			}
		}
		o.transform(o.grid)
		if o.extended {
			o.transform(o.seen)
		}
	}
	return o.again()
}

// transform is the inverse DFT, where it meets the frame.
func (o *optics) transform(grid []complex128) {
	for v := range o.gridH {
		row := grid[v*o.gridW : (v+1)*o.gridW]
		if fv := float64(v) / float64(o.gridH); math.Abs(fv-math.Round(fv)) <= 1.5*o.band.R {
			o.rows.Sequence(row, row)
		}
	}
	for u := range o.width {
		for v := range o.column {
			o.column[v] = grid[v*o.gridW+u]
		}
		o.columns.Sequence(o.column, o.column)
		for v := range o.height {
			grid[v*o.gridW+u] = o.column[v]
		}
	}
}

// again is another exposure of the same field.
func (o *optics) again() holo.Image {
	for v := range o.height {
		for u := range o.width {
			signal := o.grid[v*o.gridW+u]
			fringes := signal
			if o.extended {
				fringes = o.seen[v*o.gridW+u]
			}
			x := power(complex64(signal))
			if !o.noReference {
				reference := o.turnU[u] * o.turnV[v]
				x += o.rho + 2*real(cmplx.Conj(reference)*fringes)
			}
			x *= o.electrons / (1 + o.rho)
			x += o.rnd.NormFloat64() * math.Sqrt(math.Max(0, x)+100)
			o.pix[v*o.width+u] = byte(math.Round(math.Max(0, math.Min(255, x/20000*255))))
		}
	}
	return holo.Image{Pix: o.pix, Width: o.width, Height: o.height, Stride: o.width, BitDepth: 8}
}

// spectrum is the mean of n frames'.
func (o *optics) spectrum(t testing.TB, n int) []float64 {
	t.Helper()
	s, err := holo.NewSpectrum(o.width, o.height)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if err := s.Add(o.frame()); err != nil {
			t.Fatal(err)
		}
	}
	return s.Power()
}

// error is the distance of a found carrier from the true one in bins, on the torus.
func (o *optics) error(got holo.Band) float64 {
	return math.Hypot(float64(o.width)*wrap(got.Fu-o.band.Fu), float64(o.height)*wrap(got.Fv-o.band.Fv))
}

// randomBand is a separated band, anywhere; discs may wrap around the edge.
func randomBand(rnd *rand.Rand) holo.Band {
	for {
		b := holo.Band{Fu: rnd.Float64() - 0.5, Fv: rnd.Float64() / 2, R: 0.05 + 0.14*rnd.Float64()}
		if b.Check() == nil {
			return b
		}
	}
}

// Section 14: 64 frames of independent speckle put the carrier within 0.3 bins. Set
// OPU_LONG for twelve geometries.
func TestFindCarrier(t *testing.T) {
	const seed = 21
	rnd := rand.New(rand.NewPCG(seed, 0))
	bands := []holo.Band{
		{Fu: 0.33, Fv: 0.325, R: 0.15},
		{Fu: 0.375, Fv: 0.012, R: 0.12},  // nearly touches its twin
		{Fu: 0.497, Fv: 0.304, R: 0.19},  // wraps around in u
		{Fu: -0.27, Fv: 0.485, R: 0.165}, // and in v
	}
	geometries := 5
	if os.Getenv("OPU_LONG") != "" {
		geometries = 12
	}
	for len(bands) < geometries {
		bands = append(bands, randomBand(rnd))
	}
	for i, b := range bands {
		rho := []float64{1, 4, 16}[i%3]
		t.Run(fmt.Sprintf("%d", i), func(t *testing.T) {
			t.Parallel()
			o := newOptics(seed+uint64(i), optics{width: 256, height: 256, band: b, rho: rho, electrons: 3000})
			got, quality, err := FindCarrier(o.spectrum(t, 64), o.width, o.height)
			if err != nil {
				t.Fatalf("%v, rho %g: %v", b, rho, err)
			}
			t.Logf("seed %d, %v, rho %g: off by %.3f bins, radius by %.4f, %.1f dB", seed+i, b, rho, o.error(got), got.R-b.R, quality.PowerDB)
			if e := o.error(got); e > 0.3 {
				t.Errorf("%v, rho %g: off by %.3f bins", b, rho, e)
			}
			if math.Abs(got.R-b.R) > 0.003 {
				t.Errorf("%v, rho %g: found the radius %.4f", b, rho, got.R)
			}
		})
	}
}

// Pixels that average over their area make the disc brighter on one side; the
// centroid would be off by several bins.
func TestFindCarrierWithExtendedPixels(t *testing.T) {
	for i, b := range []holo.Band{{Fu: 0.33, Fv: 0.325, R: 0.15}, {Fu: -0.2, Fv: 0.41, R: 0.13}} {
		o := newOptics(uint64(i), optics{width: 256, height: 256, band: b, rho: 4, electrons: 3000, extended: true})
		got, _, err := FindCarrier(o.spectrum(t, 24), o.width, o.height)
		if err != nil {
			t.Fatalf("%v: %v", b, err)
		}
		t.Logf("%v: off by %.3f bins, radius by %.4f", b, o.error(got), got.R-b.R)
		if e := o.error(got); e > 0.4 || math.Abs(got.R-b.R) > 0.003 {
			t.Errorf("%v: off by %.3f bins, radius %.4f", b, e, got.R)
		}
	}
}

// Apertures are not perfect discs.
func TestFindCarrierWithSoftPupil(t *testing.T) {
	for i, b := range []holo.Band{{Fu: 0.33, Fv: 0.33, R: 0.14}, {Fu: -0.14, Fv: 0.4, R: 0.1}} {
		o := newOptics(uint64(50+i), optics{width: 256, height: 256, band: b, rho: 4, electrons: 3000, soft: true})
		got, _, err := FindCarrier(o.spectrum(t, 24), o.width, o.height)
		if err != nil {
			t.Fatalf("%v: %v", b, err)
		}
		t.Logf("%v: off by %.3f bins, radius by %.4f", b, o.error(got), got.R-b.R)
		if e := o.error(got); e > 0.5 || math.Abs(got.R-b.R) > 0.006 {
			t.Errorf("%v: off by %.3f bins, radius %.4f", b, e, got.R)
		}
	}
}

// Sides may differ, and few photons only make the floor higher.
func TestFindCarrierOblongAndDim(t *testing.T) {
	for i, size := range [][2]int{{320, 120}, {96, 200}} {
		for _, electrons := range []float64{3000, 80} {
			b := holo.Band{Fu: 0.2, Fv: 0.37, R: 0.13}
			o := newOptics(uint64(30+i), optics{width: size[0], height: size[1], band: b, rho: 4, electrons: electrons})
			got, quality, err := FindCarrier(o.spectrum(t, 48), o.width, o.height)
			if err != nil {
				t.Fatalf("%v, %g electrons: %v", size, electrons, err)
			}
			t.Logf("%v, %g electrons: off by %.3f bins, %.1f dB", size, electrons, o.error(got), quality.PowerDB)
			if e := o.error(got); e > 0.4 {
				t.Errorf("%v, %g electrons: off by %.3f bins", size, electrons, e)
			}
		}
	}
}

func TestFindCarrierRefuses(t *testing.T) {
	good := holo.Band{Fu: 0.33, Fv: 0.325, R: 0.15}
	for _, row := range []struct {
		name   string
		optics optics
		want   error
	}{
		{"no signal", optics{band: good, noSignal: true}, ErrNoCarrier},
		{"no reference", optics{band: good, noReference: true}, ErrNoCarrier},
		{"neither", optics{band: good, noReference: true, noSignal: true}, ErrNoCarrier},
		{"too close to the centre", optics{band: holo.Band{Fu: 0.23, Fv: 0.23, R: 0.15}}, holo.ErrOverlap},
		{"far too close", optics{band: holo.Band{Fu: 0.15, Fv: 0.15, R: 0.15}}, ErrNoCarrier},
		{"on its twin", optics{band: holo.Band{Fu: 0.02, Fv: 0.46, R: 0.1}}, ErrNoCarrier},
		{"near its twin", optics{band: holo.Band{Fu: 0.43, Fv: 0, R: 0.1}}, ErrNoCarrier},
	} {
		t.Run(row.name, func(t *testing.T) {
			o := row.optics
			o.width, o.height, o.rho, o.electrons = 192, 192, 4, 3000
			band, quality, err := FindCarrier(newOptics(40, o).spectrum(t, 16), o.width, o.height)
			if !errors.Is(err, row.want) || !errors.Is(err, ErrNoCarrier) {
				t.Errorf("found %v at %.1f dB: %v", band, quality.PowerDB, err)
			}
			t.Log(err)
		})
	}
	for _, power := range [][]float64{nil, make([]float64, 64*64-1)} {
		if _, _, err := FindCarrier(power, 64, 64); err == nil {
			t.Errorf("a spectrum of %d bins for 64x64 was accepted", len(power))
		}
	}
	nan := make([]float64, 64*64)
	for i := range nan {
		nan[i] = math.NaN()
	}
	if _, _, err := FindCarrier(nan, 64, 64); !errors.Is(err, ErrNoCarrier) {
		t.Errorf("a spectrum of NaN: %v", err)
	}
}

func BenchmarkFindCarrier(b *testing.B) {
	for _, n := range []int{256, 1280} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			o := newOptics(1, optics{width: n, height: n, band: holo.Band{Fu: 0.33, Fv: 0.325, R: 0.15}, rho: 4, electrons: 3000})
			power := o.spectrum(b, 3)
			for b.Loop() {
				_, _, _ = FindCarrier(power, n, n)
			}
		})
	}
}
