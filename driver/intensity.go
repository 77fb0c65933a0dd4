package driver

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// ErrNotBinary: an intensity of light can be taken of x in {0, 1} only.
var ErrNotBinary = errors.New("intensities are those of one pattern")

// Intensity measures dst = abs(B x)^2 directly: the reference beam is blocked and
// the pixel at each output's place is read. It needs a shutter (rig.ErrNoShutter)
// and rows of 0 and 1 (ErrNotBinary): light has no negative side. The matrix has
// the same law as that of Project and not the same entries, since a pixel sees
// the field at a point and the demodulator that over a patch.
//
// dst has rows x outputs entries, in the units of Project squared. The reference
// beam is back when Intensity returns.
func (o *OPU) Intensity(ctx context.Context, dst []float32, x []int8) (err error) {
	m, n := o.Shape()
	rows := len(x) / n
	if len(x)%n != 0 || len(dst) != rows*m {
		return fmt.Errorf("cannot measure %d entries into %d intensities: rows have %d entries and %d outputs: %w", len(x), len(dst), n, m, ErrInput)
	}
	for i, v := range x {
		if v != 0 && v != 1 {
			return fmt.Errorf("cannot measure the intensity of entry %d of row %d, which is %d: %w: %w", i%n, i/n, v, ErrNotBinary, ErrInput)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.rig.Block(ctx, true, false); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, o.rig.Block(context.WithoutCancel(ctx), false, false))
	}()

	// Counts of unit intensity: a feature's share of what half a chip sends.
	half := float64(o.cal.Layout.Chip.Mirrors()) / 2
	unit := (o.cal.Levels.Half - o.cal.Levels.Off) * float64(o.layout.Area()) / half
	black, scale := float32(o.cal.Levels.Black), float32(1/unit)
	perRun := len(o.plan.patterns)
	for first := 0; first < rows; first += perRun {
		var shown []*slm.Pattern
		var of []int // row of each
		for i := first; i < min(rows, first+perRun); i++ {
			p := slm.NewPattern(o.layout.Chip())
			o.layout.Encode(p, x[i*n:(i+1)*n], 1)
			if p.Count() == 0 {
				clear(dst[i*m : (i+1)*m])
				continue
			}
			shown, of = append(shown, p), append(of, i)
		}
		err := o.rig.Show(ctx, shown, func(k int, f *camera.Frame) error {
			y := dst[of[k]*m : (of[k]+1)*m]
			for j := range y {
				u, v := o.demodulator.Position(j)
				y[j] = (float32(f.At(int(math.Round(u)), int(math.Round(v)))) - black) * scale
			}
			return nil
		})
		if err != nil {
			return err
		}
		o.count(func(s *Stats) { s.Projections += uint64(len(of)) })
	}
	return nil
}
