package slm_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// draw prints a small pattern.
func draw(p *slm.Pattern) {
	g := p.Geometry()
	for v := range g.Height {
		var row strings.Builder
		for u := range g.Width {
			if p.On(u, v) {
				row.WriteByte('#')
			} else {
				row.WriteByte('.')
			}
		}
		fmt.Println(row.String())
	}
}

// The two patterns of a vector with three features.
func ExampleLayout_Encode() {
	chip := slm.Geometry{Width: 14, Height: 5}
	layout, err := slm.NewLayout(slm.LayoutSpec{Kind: slm.Blocks, Features: 3, Chip: chip})
	if err != nil {
		fmt.Println(err)
		return
	}
	x := []int8{+1, -1, +1}
	plus, minus := slm.NewPattern(chip), slm.NewPattern(chip)
	layout.Encode(plus, x, +1)
	layout.Encode(minus, x, -1)
	fmt.Println(layout.Area(), "mirrors per feature")
	draw(plus)
	fmt.Println()
	draw(minus)
	// Output:
	// 16 mirrors per feature
	// .####....####.
	// .####....####.
	// .####....####.
	// .####....####.
	// ..............
	//
	// .....####.....
	// .....####.....
	// .....####.....
	// .....####.....
	// ..............
}

// Mirrors that the beam does not reach are left out.
func ExampleNewLayout_mask() {
	chip := slm.Geometry{Width: 12, Height: 4}
	mask := slm.NewPattern(chip)
	for v := range chip.Height {
		for u := 3; u < 9; u++ {
			mask.Set(u, v, true)
		}
	}
	_, err := slm.NewLayout(slm.LayoutSpec{Kind: slm.Lines, Features: 30, Chip: chip, Mask: mask})
	fmt.Println(err)
	layout, err := slm.NewLayout(slm.LayoutSpec{Kind: slm.Lines, Features: 4, Chip: chip, Mask: mask})
	if err != nil {
		fmt.Println(err)
		return
	}
	p := slm.NewPattern(chip)
	layout.Encode(p, []int8{0, 1, 0, 1}, +1)
	draw(p)
	// Output:
	// cannot lay out 30 features as lines: the 24 lit mirrors are fewer than 1 for each; use fewer features or smaller ones: bad input
	// ............
	// ...######...
	// ............
	// ...######...
}

// Patterns are loaded once and shown as often as needed.
func Example() {
	show := func(ctx context.Context, dev slm.Device, plus, minus *slm.Pattern) error {
		if err := dev.Load(ctx, []int{0, 1}, []*slm.Pattern{plus, minus}); err != nil {
			return err
		}
		if err := dev.Play(ctx, slm.Run{Order: []int{0, 1, 0, 1}, Period: 667 * time.Microsecond}); err != nil {
			return err
		}
		shown, err := dev.Wait(ctx)
		if err == nil && shown < 4 {
			err = fmt.Errorf("stopped after %d of 4 patterns", shown)
		}
		return err
	}
	_ = show
}
