package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/slm"
)

// readMask reads a mask file for a chip.
func readMask(path string, chip slm.Geometry) (*slm.Pattern, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the mask: %w", err)
	}
	defer file.Close()
	mask, err := bench.ReadMask(bufio.NewReader(file), chip)
	if err != nil {
		return nil, fmt.Errorf("cannot use the mask %s: %w", path, err)
	}
	return mask, nil
}
