package controller

import (
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// DMD is what a board needs to know of the mirrors that it drives.
type DMD struct {
	Name        string
	Type        byte // as command 0x0206 tells it; 0: unknown
	Geometry    slm.Geometry
	Controllers int // 1, or 2: each then has one half of the width
	Capacity    int // bit planes that the pattern memory holds
	Entries     int // of the table of patterns

	// MinExposure is the shortest exposure of patterns of depth 1 to 16; 0: the chip
	// cannot show that depth.
	MinExposure [17]time.Duration
	// Blocks holds the shortest 1-bit exposures with 1, 2, ... blocks of mirrors in
	// use; its length is the number of blocks.
	Blocks []time.Duration
}

// The chips: exposures and blocks are those of the manual, capacities those of the data sheet of
// 2024.

func DLP6500() DMD {
	return DMD{
		Name: "DLP6500", Type: 1, Geometry: slm.Geometry{Width: 1920, Height: 1080}, Controllers: 1, Capacity: 400, Entries: 400,
		MinExposure: exposures(105, 304, 394, 823, 1215, 1487, 1998, 4046),
		Blocks:      microseconds(24, 45, 45, 45, 48, 54, 60, 66, 72, 78, 84, 90, 96, 101, 105),
	}
}

func DLP9000() DMD {
	return DMD{
		Name: "DLP9000", Type: 2, Geometry: slm.Geometry{Width: 2560, Height: 1600}, Controllers: 2, Capacity: 480, Entries: 400,
		MinExposure: exposures(105, 304, 380, 733, 1215, 1487, 1998, 4046),
		Blocks:      microseconds(24, 42, 42, 42, 45, 51, 56, 61, 67, 72, 77, 83, 88, 93, 99, 105),
	}
}

func DLP670S() DMD {
	return DMD{
		Name: "DLP670S", Type: 3, Geometry: slm.Geometry{Width: 2716, Height: 1600}, Controllers: 2, Capacity: 400, Entries: 400,
		MinExposure: exposures(100, 343, 438, 768, 1299, 1488, 2000, 4046),
		Blocks:      microseconds(27, 27, 27, 33, 38, 38, 49, 55, 61, 66, 72, 77, 83, 89, 94, 100),
	}
}

func DLP500YX() DMD {
	return DMD{
		Name: "DLP500YX", Type: 4, Geometry: slm.Geometry{Width: 2048, Height: 1200}, Controllers: 2, Capacity: 800, Entries: 400,
		MinExposure: exposures(62, 184, 269, 458, 682, 807, 1083, 2263),
		Blocks:      microseconds(30, 30, 30, 30, 34, 38, 42, 46, 50, 54, 58, 62),
	}
}

// Custom is a chip that no board has, of any size, for simulated benches: one
// controller of unknown type, 1-bit patterns only, otherwise as a DLP6500.
func Custom(g slm.Geometry) DMD {
	return DMD{
		Name: fmt.Sprintf("%v mirrors", g), Geometry: g, Controllers: 1, Capacity: 400, Entries: 400,
		MinExposure: exposures(105), Blocks: microseconds(105),
	}
}

// exposures are those of depths 1, 2, ..., in microseconds.
func exposures(us ...int) (table [17]time.Duration) {
	copy(table[1:], microseconds(us...))
	return table
}

func microseconds(us ...int) []time.Duration {
	table := make([]time.Duration, len(us))
	for i, n := range us {
		table[i] = time.Duration(n) * time.Microsecond
	}
	return table
}

// check says whether a board can drive the chip.
func (d DMD) check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot drive %s: %s: %w", d.Name, fmt.Sprintf(format, args...), slm.ErrInput)
	}
	if err := d.Geometry.Check(); err != nil {
		return fail("%v", err)
	}
	switch {
	case d.Controllers != 1 && d.Controllers != 2:
		return fail("it has %d controllers; 1 or 2 are possible", d.Controllers)
	case d.Geometry.Width%d.Controllers != 0:
		return fail("its %d columns cannot be halved", d.Geometry.Width)
	case d.Capacity < 1 || d.Capacity > maxImages*planesPerImage:
		return fail("it keeps %d bit planes; 1 to %d are possible", d.Capacity, maxImages*planesPerImage)
	case d.Entries < 1 || d.Entries > maxEntries:
		return fail("its table has %d entries; 1 to %d are possible", d.Entries, maxEntries)
	case d.MinExposure[1] <= 0:
		return fail("its shortest 1-bit exposure is %v", d.MinExposure[1])
	case len(d.Blocks) < 1 || len(d.Blocks) > d.Geometry.Height:
		return fail("it has %d blocks in %d rows", len(d.Blocks), d.Geometry.Height)
	}
	return nil
}

// half is what one controller drives.
func (d DMD) half() slm.Geometry {
	return slm.Geometry{Width: d.Geometry.Width / d.Controllers, Height: d.Geometry.Height}
}

// images is how many images fit the pattern memory: indices 0 to 17 are documented
// for every chip, larger memories must have more.
func (d DMD) images() int {
	return max(documentedImages, (d.Capacity+planesPerImage-1)/planesPerImage)
}
