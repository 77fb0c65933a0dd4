package bench

import (
	"fmt"
	"io"

	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/slm"
)

// A mask file is a NumPy array of the chip's rows x columns, bool or any integers:
// what is not zero is lit.

// ReadMask reads a mask for a chip. Errors: npy's, and ErrInput.
func ReadMask(r io.Reader, chip slm.Geometry) (*slm.Pattern, error) {
	in, err := npy.NewReader(r)
	if err != nil {
		return nil, err
	}
	if len(in.Shape) != 2 || in.Shape[0] != chip.Height || in.Shape[1] != chip.Width {
		return nil, fmt.Errorf("it has the shape %v; the chip of %v mirrors needs [%d %d]: %w", in.Shape, chip, chip.Height, chip.Width, ErrInput)
	}
	lit, err := npy.ReadAll[int64](in, chip.Mirrors())
	if err != nil {
		return nil, err
	}
	mask := slm.NewPattern(chip)
	for i, x := range lit {
		mask.Set(i%chip.Width, i/chip.Width, x != 0)
	}
	if mask.Count() == 0 {
		return nil, fmt.Errorf("it lights no mirror: %w", ErrInput)
	}
	return mask, nil
}

// WriteMask writes a mask.
func WriteMask(w io.Writer, mask *slm.Pattern) error {
	chip := mask.Geometry()
	out, err := npy.NewWriter[bool](w, chip.Height, chip.Width)
	if err != nil {
		return err
	}
	row := make([]bool, chip.Width)
	for v := range chip.Height {
		for u := range row {
			row[u] = mask.On(u, v)
		}
		if err := out.Write(row); err != nil {
			return err
		}
	}
	return out.Close()
}
