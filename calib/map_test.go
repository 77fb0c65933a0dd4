package calib_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// table is a rig on a simulated bench.
func table(t testing.TB, c sim.Config) (*rig.Rig, *sim.Bench) {
	t.Helper()
	b, err := sim.New(c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rig.New(b.DMD(), b.Camera(), rig.Config{Shutter: b})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, b
}

// gaussianPower is what a map of the chip should say of a centred Gaussian beam, by
// its definition: 1/e^2 of the intensity at the waist.
func gaussianPower(m *calib.LightMap, waist float64) []float64 {
	half := math.Hypot(float64(m.Chip.Width), float64(m.Chip.Height)) / 2
	power := make([]float64, m.Columns*m.Rows)
	for b := range power {
		n := 0.0
		for v := b / m.Columns * m.Side; v < min(m.Chip.Height, (b/m.Columns+1)*m.Side); v++ {
			for u := b % m.Columns * m.Side; u < min(m.Chip.Width, (b%m.Columns+1)*m.Side); u++ {
				r := math.Hypot(float64(u)-float64(m.Chip.Width-1)/2, float64(v)-float64(m.Chip.Height-1)/2) / half
				power[b] += math.Exp(-2 * r * r / (waist * waist))
				n++
			}
		}
		power[b] /= n
	}
	sorted := slices.Sorted(slices.Values(power))
	top := sorted[len(sorted)-len(sorted)/16:]
	bright := 0.0
	for _, x := range top {
		bright += x / float64(len(top))
	}
	for b := range power {
		power[b] /= bright
	}
	return power
}

// The map has the beam's profile, on benches of any noise, without a reference beam
// too, and with everything that glass does.
func TestMapLight(t *testing.T) {
	for _, x := range []struct {
		name        string
		waist       float64
		change      func(*sim.Config)
		noReference bool
		rms         float64 // of the error of a block
	}{
		{name: "even", rms: 0.12}, // the brightest of equal blocks are those with the luckiest speckles
		{name: "gaussian", waist: 0.5, rms: 0.05},
		{name: "noisy", waist: 0.5, change: func(c *sim.Config) { c.MeanElectrons = 120 }, rms: 0.06},
		{name: "no reference", waist: 0.5, noReference: true, rms: 0.07},
		{name: "glass", waist: 0.6, change: func(c *sim.Config) {
			g := sim.Glass(12)
			g.Chip, g.Width, g.Height, g.Readout = c.Chip, c.Width, c.Height, 0
			*c = g
		}, rms: 0.07},
		{name: "hot", waist: 0.4, change: func(c *sim.Config) { c.PhaseDrift, c.PhaseJitter = 0.3, 0.3 }, rms: 0.05},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := small(11)
			if x.change != nil {
				x.change(&c)
			}
			c.IlluminationWaist = x.waist
			r, _ := table(t, c)
			if x.noReference {
				if err := r.Block(context.Background(), true, false); err != nil {
					t.Fatal(err)
				}
			}
			m, err := calib.MapLight(context.Background(), r, calib.MapOptions{Blocks: 100, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			waist := x.waist
			if waist == 0 {
				waist = 1e6
			}
			want, sum := gaussianPower(m, waist), 0.0
			for b, p := range m.Power {
				sum += (p - want[b]) * (p - want[b])
			}
			rms := math.Sqrt(sum / float64(len(want)))
			u, v := m.Centre()
			t.Logf("%dx%d blocks of %d mirrors, %d exposures: rms error %.3f, of noise %.4f; centre (%.1f, %.1f)", m.Columns, m.Rows, m.Side, m.Exposures, rms, m.Error, u, v)
			if rms > x.rms {
				t.Errorf("the map is off by %.3f rms:\n%.2f\nwant\n%.2f", rms, m.Power, want)
			}
			if math.Hypot(u-19.5, v-14.5) > 1 {
				t.Errorf("the centre is at (%.1f, %.1f), want (19.5, 14.5)", u, v)
			}
		})
	}
}

// The mask holds the mirrors that light falls on, which layouts then use.
func TestMapMask(t *testing.T) {
	c := small(12)
	c.IlluminationWaist = 0.4
	r, _ := table(t, c)
	m, err := calib.MapLight(context.Background(), r, calib.MapOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mask := m.Mask(0.25)
	// exp(-2 r^2/w^2) = 0.25 at r = 0.83 w; half of the diagonal of 40 x 30 is 25.
	radius := math.Sqrt(math.Log(4)/2) * 0.4 * 25
	wrong := 0
	for v := range 30 {
		for u := range 40 {
			if d := math.Hypot(float64(u)-19.5, float64(v)-14.5) - radius; math.Abs(d) > float64(m.Side) && mask.On(u, v) != (d < 0) {
				wrong++
			}
		}
	}
	t.Logf("%d of %d mirrors are lit, a disc has %.0f", mask.Count(), c.Chip.Mirrors(), math.Pi*radius*radius)
	if wrong > 0 {
		t.Errorf("%d mirrors are masked wrongly", wrong)
	}
	if _, err := slm.NewLayout(slm.LayoutSpec{Kind: slm.Blocks, Features: 10, Chip: c.Chip, Mask: mask}); err != nil {
		t.Error(err)
	}
	if n := m.Mask(-1).Count(); n != c.Chip.Mirrors() {
		t.Errorf("a share of nothing leaves %d mirrors", n)
	}
}

func TestMapRefuses(t *testing.T) {
	ctx := context.Background()
	r, _ := table(t, small(13))
	for _, n := range []int{-1, 1e6} {
		if _, err := calib.MapLight(ctx, r, calib.MapOptions{Blocks: n}); err == nil {
			t.Errorf("%d blocks were taken", n)
		}
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := calib.MapLight(ended, r, calib.MapOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	if err := r.Block(ctx, false, true); err != nil {
		t.Fatal(err)
	}
	if _, err := calib.MapLight(ctx, r, calib.MapOptions{}); !errors.Is(err, rig.ErrNoContrast) {
		t.Errorf("no signal: %v", err)
	}
	dim := small(14)
	dim.MeanElectrons = 2
	r, _ = table(t, dim)
	_, err := calib.MapLight(ctx, r, calib.MapOptions{Blocks: maxBlocksHere})
	t.Log(err)
	if !errors.Is(err, calib.ErrDark) && !errors.Is(err, rig.ErrNoContrast) {
		t.Errorf("next to no light: %v", err)
	}
}

const maxBlocksHere = 1200 // one mirror each
