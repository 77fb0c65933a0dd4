package dlpc900

import (
	"context"
	"fmt"

	"github.com/light-in-the-loop/opu/slm"
)

// Blocks are the neighbouring blocks of rows that move, the first being that of row 0; the
// zero value is all. Fewer blocks take shorter exposures (DMD.BlockExposures); the rows of the
// others are off (0x1A40; DLPU018F, DMD block load). Patterns keep the size of the chip.
type Blocks struct{ First, Count int }

// resolve turns the zero value into all blocks of a DMD, and says whether there are such.
func (b Blocks) resolve(d DMD) (Blocks, error) {
	n := len(d.BlockExposures)
	switch {
	case b == Blocks{}:
		return Blocks{0, n}, nil
	case b.First < 0 || b.Count < 1 || b.Count > n || b.First > n-b.Count:
		return b, fmt.Errorf("blocks %d to %d of a %s cannot be chosen; it has %d, from 0: %w", b.First, b.First+b.Count-1, d.Name, n, slm.ErrInput)
	}
	return b, nil
}

// Band implements slm.Banded.
func (d *Device) Band() (first, rows int) {
	all, height := len(d.dmd.BlockExposures), d.dmd.Geometry.Height
	if all == 0 {
		return 0, height
	}
	return d.blocks.First * height / all, d.blocks.Count * height / all
}

// Invert implements slm.Inverter (0x1A30; DLPU018F, pattern invert). The board forgets its LUT
// for it: the next run writes all entries again, some milliseconds each.
func (d *Device) Invert(ctx context.Context, on bool) error {
	return d.while(ctx, "invert patterns", func(ctx context.Context) error {
		if on == d.inverted {
			return nil
		}
		if err := d.quieten(ctx); err != nil {
			return err
		}
		d.known.defined, d.known.configured = nil, 0
		if err := d.line.invert(ctx, on); err != nil {
			return err
		}
		d.inverted = on
		return nil
	})
}

func (l *line) invert(ctx context.Context, on bool) error {
	if on {
		return l.set(ctx, cmdInvert, []byte{1})
	}
	return l.set(ctx, cmdInvert, []byte{0})
}

// shape sets which blocks move and whether patterns are inverted, also to what a board does
// when it was just switched on: the program before may have left something else. A board that
// knows no such command does what is usual.
func (d *Device) shape(ctx context.Context) error {
	if all := len(d.dmd.BlockExposures); all > 0 {
		err := d.line.set(ctx, cmdBlocks, []byte{byte(d.blocks.First), byte(d.blocks.Count)})
		if d.blocks.Count == all {
			err = ignoreRefusal(err)
		}
		if err != nil {
			return err
		}
	}
	err := d.line.invert(ctx, d.inverted)
	if !d.inverted {
		err = ignoreRefusal(err)
	}
	return err
}
