package driver_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// small is an ideal bench that is quick to simulate.
func small(seed uint64) sim.Config {
	c := sim.Ideal(seed)
	c.Width, c.Height = 96, 96
	c.Chip = slm.Geometry{Width: 40, Height: 30}
	return c
}

// Faults at known places: the result is exactly that of the undisturbed run.
func TestFaultsLeaveResultsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, small(5), 10, 128, driver.Options{})
		x := randomTernary(2, 60, 10)
		want := s.project(t, x)
		for kind := sim.DropFrame; kind <= sim.ExtraTrigger; kind++ {
			for _, every := range []int{7, 50} {
				n := 0
				before := s.opu.Stats()
				s.bench.SetFaults(func(e sim.Exposure) sim.Fault {
					n++
					if n%every != 0 || n > 150 { // it ends, or whole runs would fail for ever
						return sim.Fault{}
					}
					return sim.Fault{Kind: kind, Delay: 1}
				})
				got := s.project(t, x)
				s.bench.SetFaults(nil)
				if !slices.Equal(got, want) {
					t.Errorf("%v at every %d-th exposure changed the result", kind, every)
				}
				after := s.opu.Stats()
				counted := after.Lost + after.Damaged + after.Duplicates + after.Unproven
				if kind != sim.DelayFrame && counted == before.Lost+before.Damaged+before.Duplicates+before.Unproven {
					t.Errorf("%v at every %d-th exposure was counted nowhere", kind, every)
				}
			}
		}
	})
}

// A fault that does not end is an error with its count, and nothing is returned as
// a result.
func TestEndlessFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSetup(t, small(6), 10, 64, driver.Options{})
		x := randomTernary(2, 10, 10)
		for _, kind := range []sim.FaultKind{sim.DropFrame, sim.DamageFrame, sim.LoseTrigger, sim.ExtraTrigger, sim.StalePattern} {
			s.bench.SetFaults(func(sim.Exposure) sim.Fault { return sim.Fault{Kind: kind} })
			y := make([]complex64, 10*64)
			err := s.opu.Project(context.Background(), y, x)
			if !errors.Is(err, rig.ErrUnproven) {
				t.Errorf("%v for ever: %v, want ErrUnproven", kind, err)
			}
			for _, z := range y {
				if z != 0 {
					t.Fatalf("%v for ever: something unproven was written to the caller's slice", kind)
				}
			}
		}
		s.bench.SetFaults(nil)
		s.project(t, x) // and it works again
	})
}

func TestZeroRows(t *testing.T) {
	s := newSetup(t, small(7), 10, 64, driver.Options{})
	before := s.opu.Stats()
	y := make([]complex64, 500*64)
	for i := range y {
		y[i] = complex(float32(math.NaN()), 1)
	}
	if err := s.opu.Project(context.Background(), y, make([]int8, 500*10)); err != nil {
		t.Fatal(err)
	}
	for i, z := range y {
		if z != 0 {
			t.Fatalf("entry %d of zero rows is %v", i, z)
		}
	}
	after := s.opu.Stats()
	if after.Frames != before.Frames || after.ZeroRows-before.ZeroRows != 500 || after.Projections-before.Projections != 500 {
		t.Errorf("zero rows cost frames or were not counted: before %+v, after %+v", before, after)
	}
	// Among others they stay exact.
	x := randomTernary(1, 9, 10)
	clear(x[30:40])
	got := s.project(t, x)
	for i, z := range got[3*64 : 4*64] {
		if z != 0 {
			t.Fatalf("output %d of the zero row is %v", i, z)
		}
	}
}

// B x is linear and odd, whatever the signs and however a batch is cut.
func TestLinear(t *testing.T) {
	s := newSetup(t, small(8), 10, 128, driver.Options{})
	x := []int8{
		1, 0, 0, 1, 0, 0, 0, 0, 0, 1, // a, one-sided
		0, -1, 0, 0, 1, 0, 0, 0, -1, 0, // b
		1, -1, 0, 1, 1, 0, 0, 0, -1, 1, // a + b
		-1, 0, 0, -1, 0, 0, 0, 0, 0, -1, // -a, one-sided
	}
	y := s.project(t, x)
	a, b, ab, minus := y[:128], y[128:256], y[256:384], y[384:]
	var sum, broken, odd, power float64
	for i := range a {
		sum += sq(ab[i])
		broken += sq(ab[i] - a[i] - b[i])
		odd += sq(a[i] + minus[i])
		power += sq(a[i])
	}
	if db := 10 * math.Log10(sum/broken); db < 35 {
		t.Errorf("y(a) + y(b) agrees with y(a+b) to %.1f dB, want 35", db)
	}
	if db := 10 * math.Log10(power/odd); db < 60 {
		t.Errorf("y(-a) agrees with -y(a) to %.1f dB, want 60", db)
	}
}

func sq(z complex64) float64 {
	return float64(real(z))*float64(real(z)) + float64(imag(z))*float64(imag(z))
}

// A drifting reference turns every output; the probe turns it back.
func TestDrift(t *testing.T) {
	for _, correction := range []driver.Correction{driver.PerFrame, driver.ByProbe, driver.Uncorrected} {
		keep := correction == driver.Uncorrected
		c := small(9)
		c.PhaseDrift = 3 // rad/s: about one radian in the 500 exposures between the two projections
		s := newSetup(t, c, 10, 128, driver.Options{Drift: correction})
		x := randomTernary(3, 4, 10)
		first := s.project(t, x)
		for range 10 {
			s.project(t, randomTernary(4, 25, 10))
		}
		later := s.project(t, x)
		var change, power float64
		for i := range first {
			change += sq(later[i] - first[i])
			power += sq(first[i])
		}
		db := 10 * math.Log10(power/change)
		t.Logf("correction %v: phase %.2f rad, later results agree to %.1f dB", correction, s.opu.Stats().Phase, db)
		if !keep && db < 35 {
			t.Errorf("corrected results agree to %.1f dB, want 35", db)
		}
		if keep && db > 10 {
			t.Errorf("uncorrected results agree to %.1f dB: the bench does not drift", db)
		}
	}
}

// Each exposure is a new frame: equal rows have different noise, unless the caller
// lets them share it.
func TestEqualRows(t *testing.T) {
	c := sim.Good(10)
	c.Width, c.Height = 64, 64
	row := randomTernary(1, 2, 10)
	x := append(append([]int8{}, row...), row...)
	for _, share := range []bool{false, true} {
		s := newSetup(t, c, 10, 64, driver.Options{ShareEqualRows: share})
		before := s.opu.Stats()
		y := s.project(t, x)
		after := s.opu.Stats()
		if equal := slices.Equal(y[:128], y[128:]); equal != share {
			t.Errorf("share %v: equal rows have equal results: %v", share, equal)
		}
		if got := after.Shared - before.Shared; share && got != 4 || !share && got != 0 {
			t.Errorf("share %v: %d exposures counted as shared", share, got)
		}
		if again := s.project(t, x); slices.Equal(again, y) {
			t.Errorf("share %v: a result survived its batch", share)
		}
	}
}

// Another medium, the calibration's file otherwise intact: the matrix is lost, and
// the driver says so.
func TestMatrixLost(t *testing.T) {
	s := newSetup(t, small(11), 10, 64, driver.Options{})
	other, err := sim.New(small(12))
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(other.DMD(), other.Camera(), rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := driver.New(context.Background(), r, s.cal, driver.Options{}); !errors.Is(err, driver.ErrInput) {
		t.Errorf("a calibration of another device: %v, want ErrInput", err)
	}
	moved := *s.cal // the same devices, but light takes another way
	moved.SLM.Serial, moved.Camera.Serial = r.SLM().Serial, r.Camera().Serial
	opu, err := driver.New(context.Background(), r, &moved, driver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := opu.Project(context.Background(), make([]complex64, 64), randomTernary(1, 1, 10)); !errors.Is(err, driver.ErrMatrixLost) {
		t.Errorf("another medium: %v, want ErrMatrixLost", err)
	}
}

func TestBadInput(t *testing.T) {
	s := newSetup(t, small(13), 10, 64, driver.Options{})
	before := s.opu.Stats()
	for _, x := range []struct {
		name    string
		outputs int
		in      []int8
		says    string
	}{
		{"half a row", 64, make([]int8, 5), "rows have 10"},
		{"too few outputs", 63, make([]int8, 10), "1 x 64 are needed"},
		{"too many outputs", 128, make([]int8, 10), "1 x 64 are needed"},
		{"an entry of 2", 64, []int8{0, 0, 0, 2, 0, 0, 0, 0, 0, 0}, "3"},
	} {
		err := s.opu.Project(context.Background(), make([]complex64, x.outputs), x.in)
		if !errors.Is(err, driver.ErrInput) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: %v, want ErrInput with %q", x.name, err, x.says)
		}
	}
	if err := s.opu.Intensity(context.Background(), make([]float32, 64), []int8{-1, 0, 0, 0, 0, 0, 0, 0, 0, 0}); !errors.Is(err, driver.ErrNotBinary) {
		t.Errorf("the intensity of -1: %v, want ErrNotBinary", err)
	}
	if after := s.opu.Stats(); after.Frames != before.Frames {
		t.Error("bad input was shown")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.opu.Project(ctx, make([]complex64, 64), randomTernary(1, 1, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
}

// Intensities: abs(Tx)^2 has mean norm(x)^2, and those of two vectors are
// correlated as complex Gaussians are (reference, section 14).
func TestIntensity(t *testing.T) {
	quickOnly(t)
	c := sim.Ideal(14)
	s := newSetup(t, c, 10, 0, driver.Options{})
	m, _ := s.opu.Shape()
	x := []int8{1, 1, 1, 1, 0, 0, 0, 0, 0, 0}
	y := []int8{0, 0, 1, 1, 1, 0, 0, 0, 0, 0}
	out := make([]float32, 2*m)
	if err := s.opu.Intensity(context.Background(), out, append(append([]int8{}, x...), y...)); err != nil {
		t.Fatal(err)
	}
	var mx, my, both float64
	for i := range m {
		mx, my = mx+float64(out[i])/float64(m), my+float64(out[m+i])/float64(m)
		both += float64(out[i]) * float64(out[m+i]) / float64(m)
	}
	t.Logf("%d outputs: means %.3f and %.3f (4 and 3), mean of the product %.3f (16)", m, mx, my, both)
	if math.Abs(mx/4-1) > 0.1 || math.Abs(my/3-1) > 0.1 {
		t.Errorf("mean intensities are %.3f and %.3f, want 4 and 3", mx, my)
	}
	// norm(x)^2 norm(y)^2 + (x.y)^2 = 4*3 + 4; about 1500 independent grains
	if math.Abs(both/16-1) > 0.2 {
		t.Errorf("mean of the product is %.3f, want 16", both)
	}
	// The reference beam is back.
	s.project(t, x)
}

// Memory is that of one run: a batch a hundred times as large allocates nothing
// more per row.
func TestMemoryDoesNotGrow(t *testing.T) {
	quickOnly(t)
	s := newSetup(t, small(15), 10, 64, driver.Options{})
	rows := func(n int) float64 {
		var x []int8 // few different rows: making new light allocates in the simulator
		for len(x) < n*10 {
			x = append(x, randomTernary(1, 30, 10)...)
		}
		y := make([]complex64, n*64)
		return testing.AllocsPerRun(2, func() {
			if err := s.opu.Project(context.Background(), y, x); err != nil {
				t.Fatal(err)
			}
		})
	}
	one, many := rows(150), rows(600)
	t.Logf("allocations: %.0f for 150 rows, %.0f for 600", one, many)
	if many > 6*one {
		t.Errorf("600 rows allocate %.0f times, 150 rows %.0f", many, one)
	}
}

func TestEpoch(t *testing.T) {
	quickOnly(t)
	epoch := func(c sim.Config, features int) string {
		return newSetup(t, c, features, 64, driver.Options{}).opu.Epoch()
	}
	a := epoch(small(16), 10)
	if again := epoch(small(16), 10); again != a {
		t.Errorf("the same bench has the epochs %s and %s", a, again)
	}
	if other := epoch(small(17), 10); other == a {
		t.Error("two media have one epoch")
	}
	if other := epoch(small(16), 9); other == a {
		t.Error("two layouts have one epoch")
	}
}
