package dlpc900

import (
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// DMD is what a driver must know of a mirror array and its controllers.
type DMD struct {
	Name     string
	Geometry slm.Geometry

	// Controllers is 1, or 2 where each drives half of the columns: the left half is the
	// primary's.
	Controllers int

	// MinExposures are the shortest exposures of patterns of 1, 2, ... 8 bits. At least the
	// first must be there; it also bounds the period.
	MinExposures []time.Duration

	// BlockExposures are the shortest exposures of one-bit patterns with 1, 2, ... blocks
	// of rows active; nil if the blocks are not known.
	BlockExposures []time.Duration

	// Capacity is the number of one-bit patterns held at once; at most maxEntries are used.
	Capacity int
}

func micros(us ...int) []time.Duration {
	d := make([]time.Duration, len(us))
	for i, n := range us {
		d[i] = time.Duration(n) * time.Microsecond
	}
	return d
}

// The DMDs by the type byte that 0x0206 reads (DLPU018F). Sizes and exposures are those of
// DLPU018F, minimum exposures and block load; DLPS037F agrees but for the DLP670S, to which it
// gives 105 us for one bit (the board itself is asked, see Open). Capacities: DLPS037H, pattern
// mode, says 400, 480, 400 and 800; older text and TI's program say 400 for all.
var dmds = map[byte]DMD{
	1: {
		Name: "DLP6500", Geometry: slm.Geometry{Width: 1920, Height: 1080}, Controllers: 1, Capacity: 400,
		MinExposures:   micros(105, 304, 394, 823, 1215, 1487, 1998, 4046),
		BlockExposures: micros(24, 45, 45, 45, 48, 54, 60, 66, 72, 78, 84, 90, 96, 101, 105),
	},
	2: {
		Name: "DLP9000", Geometry: slm.Geometry{Width: 2560, Height: 1600}, Controllers: 2, Capacity: 400,
		MinExposures:   micros(105, 304, 380, 733, 1215, 1487, 1998, 4046),
		BlockExposures: micros(24, 42, 42, 42, 45, 51, 56, 61, 67, 72, 77, 83, 88, 93, 99, 105),
	},
	3: {
		Name: "DLP670S", Geometry: slm.Geometry{Width: 2716, Height: 1600}, Controllers: 2, Capacity: 400,
		MinExposures:   micros(100, 343, 438, 768, 1299, 1488, 2000, 4046),
		BlockExposures: micros(27, 27, 27, 33, 38, 38, 49, 55, 61, 66, 72, 77, 83, 89, 94, 100),
	},
	4: {
		Name: "DLP500YX", Geometry: slm.Geometry{Width: 2048, Height: 1200}, Controllers: 2, Capacity: 400,
		MinExposures:   micros(62, 184, 269, 458, 682, 807, 1083, 2263),
		BlockExposures: micros(30, 30, 30, 30, 34, 38, 42, 46, 50, 54, 58, 62),
	},
}

// MinExposure is the shortest exposure of a pattern of the given depth, in bits, with all
// blocks active.
func (d DMD) MinExposure(depth int) (time.Duration, error) {
	if depth < 1 || depth > len(d.MinExposures) {
		return 0, fmt.Errorf("cannot show patterns of %d bits on a %s: 1 to %d are known: %w", depth, d.Name, len(d.MinExposures), slm.ErrInput)
	}
	return d.MinExposures[depth-1], nil
}

// MinBlockExposure is the shortest exposure of a one-bit pattern with so many blocks active.
func (d DMD) MinBlockExposure(blocks int) (time.Duration, error) {
	if blocks < 1 || blocks > len(d.BlockExposures) {
		return 0, fmt.Errorf("cannot show %d blocks on a %s: 1 to %d are known: %w", blocks, d.Name, len(d.BlockExposures), slm.ErrInput)
	}
	return d.BlockExposures[blocks-1], nil
}

// check says whether a caller's descriptor can be used.
func (d DMD) check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot use the DMD %q: %s: %w", d.Name, fmt.Sprintf(format, args...), slm.ErrInput)
	}
	switch {
	case d.Name == "":
		return fail("it has no name")
	case d.Geometry.Check() != nil:
		return fail("its geometry is %v; each side must be 1 to %d", d.Geometry, slm.MaxSide)
	case d.Controllers != 1 && d.Controllers != 2:
		return fail("%d controllers; 1 or 2 are possible", d.Controllers)
	case d.Geometry.Width%d.Controllers != 0:
		return fail("%d columns are not two equal halves", d.Geometry.Width)
	case len(d.MinExposures) == 0 || d.MinExposures[0] <= 0 || d.MinExposures[0] > maxTime:
		return fail("its shortest exposure is missing, or not up to %v", maxTime)
	case d.Capacity < 1 || d.Capacity > maxEntries:
		return fail("%d patterns; 1 to %d are possible", d.Capacity, maxEntries)
	}
	return nil
}

// half is how many columns one controller drives.
func (d DMD) half() int { return d.Geometry.Width / d.Controllers }
