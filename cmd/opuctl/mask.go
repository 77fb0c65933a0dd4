package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/slm"
)

// A mask file is a NumPy array of the chip's rows x columns, bool or any integers:
// what is not zero is lit.

// readMask reads a mask for a chip.
func readMask(path string, chip slm.Geometry) (*slm.Pattern, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the mask: %w", err)
	}
	defer file.Close()
	in, err := npy.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("cannot use the mask %s: %w", path, err)
	}
	if len(in.Shape) != 2 || in.Shape[0] != chip.Height || in.Shape[1] != chip.Width {
		return nil, usage("the mask %s has the shape %v; the chip of %v mirrors needs [%d %d]", path, in.Shape, chip, chip.Height, chip.Width)
	}
	lit, err := npy.ReadAll[int64](in, chip.Mirrors())
	if err != nil {
		return nil, fmt.Errorf("cannot use the mask %s: %w", path, err)
	}
	mask := slm.NewPattern(chip)
	for i, x := range lit {
		mask.Set(i%chip.Width, i/chip.Width, x != 0)
	}
	if mask.Count() == 0 {
		return nil, usage("the mask %s lights no mirror", path)
	}
	return mask, nil
}

// writeMask writes a mask, old or new.
func writeMask(path string, mask *slm.Pattern) error {
	chip := mask.Geometry()
	return atomicfile.Write(path, func(w io.Writer) error {
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
	})
}
