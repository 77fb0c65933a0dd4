package bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/picture"
	"github.com/light-in-the-loop/opu/slm"
)

// MapOptions say how to map the light. The zero value means the usual.
type MapOptions struct {
	Blocks int     // at most; 0: calib.MapOptions' usual
	Share  float64 // least power of a lit block over that of the brightest, 0 to 1; 0: UsualShare
	Seed   uint64
}

// UsualShare is that of MapOptions.
const UsualShare = 0.25

// Check says whether the options make sense.
func (o MapOptions) Check() error {
	switch {
	case !(o.Share >= 0 && o.Share <= 1):
		return fmt.Errorf("cannot map the light with a share of %g: it must be above 0 and at most 1: %w", o.Share, ErrInput)
	case o.Blocks != 0 && o.Blocks < 4:
		return fmt.Errorf("cannot map the light in %d blocks: 4 are the least: %w", o.Blocks, ErrInput)
	}
	return nil
}

// LightMap is what came of mapping the light.
type LightMap struct {
	Mask   *slm.Pattern
	Result MapResult
	light  *calib.LightMap
}

// MapResult is a map as programs read it.
type MapResult struct {
	Chip      [2]int     `json:"chip"` // width, height
	Blocks    [2]int     `json:"blocks"`
	Side      int        `json:"mirrors_per_side"`
	Share     float64    `json:"share"`
	Lit       int        `json:"lit_mirrors"`
	LitShare  float64    `json:"lit_share"`
	Centre    [2]float64 `json:"centre"` // of the light: u, v
	Extent    [4]int     `json:"extent"` // of the mask: first and last column, first and last row
	Error     float64    `json:"error"`  // of a block's power, brightest = 1
	Exposures int        `json:"exposures"`
	Simulated string     `json:"simulated,omitempty"`
	Mask      string     `json:"mask,omitempty"`
	Picture   string     `json:"picture,omitempty"`
}

// MapLight finds the mirrors that light falls on. It leaves the camera set up otherwise
// than it was.
func (b *Bench) MapLight(ctx context.Context, o MapOptions, progress func(stage string, share float64)) (*LightMap, error) {
	if o.Share == 0 {
		o.Share = UsualShare
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	light, err := calib.MapLight(ctx, b.Rig, calib.MapOptions{
		Blocks: o.Blocks, Seed: o.Seed, Progress: func(done, of int) { progress("mapping", float64(done)/float64(of)) },
	})
	if err != nil {
		return nil, err
	}
	mask := light.Mask(o.Share)
	u, v := light.Centre()
	return &LightMap{mask, MapResult{
		Chip: [2]int{light.Chip.Width, light.Chip.Height}, Blocks: [2]int{light.Columns, light.Rows}, Side: light.Side,
		Share: o.Share, Lit: mask.Count(), LitShare: float64(mask.Count()) / float64(light.Chip.Mirrors()),
		Centre: [2]float64{u, v}, Extent: extent(mask), Error: light.Error, Exposures: light.Exposures,
		Simulated: b.Preset,
	}, light}, nil
}

// WritePicture draws the map (PNG).
func (m *LightMap) WritePicture(w io.Writer) error {
	l := m.light
	drawn := picture.LightMap{
		Title: "light on the chip", Width: l.Chip.Width, Height: l.Chip.Height,
		Columns: l.Columns, Rows: l.Rows, Side: l.Side, Power: l.Power, Share: m.Result.Share,
	}
	return drawn.WritePNG(w)
}

// Print writes it for people.
func (m *LightMap) Print(w io.Writer) {
	r, l := m.Result, m.light
	fmt.Fprintf(w, "chip        %v mirrors, mapped in %d x %d blocks of %dx%d by %d exposures\n",
		l.Chip, l.Columns, l.Rows, l.Side, l.Side, l.Exposures)
	fmt.Fprintf(w, "lit         %.0f %% of the mirrors (%d) have at least %.2g of the brightest blocks' power\n", 100*r.LitShare, r.Lit, r.Share)
	fmt.Fprintf(w, "centre      of the light: mirror (%.1f, %.1f)\n", r.Centre[0], r.Centre[1])
	fmt.Fprintf(w, "extent      of the mask: columns %d to %d, rows %d to %d\n", r.Extent[0], r.Extent[1], r.Extent[2], r.Extent[3])
	fmt.Fprintf(w, "error       %.2g of the brightest blocks' power, from noise\n", l.Error)
	fmt.Fprintf(w, "power of each block, 9 is that of the brightest (- is not lit):\n")
	printMap(w, l, r.Share)
	if r.Simulated != "" {
		fmt.Fprintf(w, "simulated bench %q\n", r.Simulated)
	}
}

// extent is the first and last column and the first and last row with a lit mirror.
func extent(mask *slm.Pattern) [4]int {
	g := mask.Geometry()
	e := [4]int{g.Width, -1, g.Height, -1}
	for v := range g.Height {
		for i, w := range mask.Row(v) {
			if w != 0 {
				e[0], e[1] = min(e[0], 64*i+bits.TrailingZeros64(w)), max(e[1], 64*i+bits.Len64(w)-1)
				e[2], e[3] = min(e[2], v), v
			}
		}
	}
	return e
}

// printMap draws the map with a digit for each block.
func printMap(w io.Writer, m *calib.LightMap, share float64) {
	for r := range m.Rows {
		line := make([]byte, m.Columns)
		for c := range line {
			line[c] = '-'
			if x := m.Power[r*m.Columns+c]; x >= share {
				line[c] = '0' + byte(math.Round(9*min(1, x)))
			}
		}
		fmt.Fprintf(w, "  %s\n", line)
	}
}
