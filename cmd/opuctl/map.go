package main

import (
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/picture"
	"github.com/light-in-the-loop/opu/slm"
)

type mapCommand struct {
	benchFlags
	format
	out, picture string
	share        float64
	blocks       int
	features     int
}

func newMap() *cobra.Command {
	m := &mapCommand{}
	c := &cobra.Command{
		Use:   "map --out mask.npy",
		Short: "Find the mirrors that light falls on",
		Long: `Find the lit part of the DMD, before any calibration and with or without the
reference beam. The chip is cut into square blocks; random half of them are on in
each of many patterns, every pattern is followed by its complement, and from the
frames' differences each block's own light is computed. That takes two exposures for
a block, and far less light than blocks shown one at a time.

The result is a mask of the mirrors in blocks with at least --share of the power per
mirror that the brightest blocks have. It is a NumPy array, rows x columns of the
chip, bool; commands that calibrate take it with --mask, and their layouts use lit
mirrors only. A small share keeps more mirrors, and the columns of the matrix less
equal: their powers differ by up to one over the share.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return m.run(c) },
	}
	m.benchFlags.registerBench(c)
	m.format.register(c)
	f := c.Flags()
	f.StringVar(&m.out, "out", "", "`file` for the mask (.npy)")
	f.StringVar(&m.picture, "picture", "", "`file` for a picture of the map (PNG)")
	f.Float64Var(&m.share, "share", 0.25, "least power of a lit block over that of the brightest, 0 to 1")
	f.IntVar(&m.blocks, "blocks", 224, "how many blocks at most; more are finer, and take more exposures")
	f.IntVar(&m.features, "features", 10, "length of the vectors that will be projected; a simulated chip grows with it")
	return c
}

// mapResult is what map prints.
type mapResult struct {
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

func (m *mapCommand) run(c *cobra.Command) error {
	if err := m.format.check(); err != nil {
		return err
	}
	switch {
	case !(m.share > 0 && m.share <= 1):
		return usage("--share %g is not above 0 and at most 1", m.share)
	case m.features < 1:
		return usage("--features %d: at least one is needed", m.features)
	case m.blocks < 4:
		return usage("--blocks %d: at least 4 are needed", m.blocks)
	}
	for _, path := range []string{m.out, m.picture} {
		if path == "" {
			continue
		}
		if err := writableFile(path); err != nil {
			return err
		}
	}
	t, err := m.open(c.ErrOrStderr(), need{features: m.features})
	if err != nil {
		return err
	}
	defer t.rig.Close()
	p := newProgress(c.ErrOrStderr(), 100)
	light, err := calib.MapLight(c.Context(), t.rig, calib.MapOptions{
		Blocks: m.blocks, Seed: m.seed, Progress: func(done, of int) { p.to(100*done/of, "mapping") },
	})
	p.done()
	if err != nil {
		return err
	}
	mask := light.Mask(m.share)
	u, v := light.Centre()
	result := mapResult{
		Chip: [2]int{light.Chip.Width, light.Chip.Height}, Blocks: [2]int{light.Columns, light.Rows}, Side: light.Side,
		Share: m.share, Lit: mask.Count(), LitShare: float64(mask.Count()) / float64(light.Chip.Mirrors()),
		Centre: [2]float64{u, v}, Extent: extent(mask), Error: light.Error, Exposures: light.Exposures,
		Simulated: m.sim, Mask: m.out, Picture: m.picture,
	}
	if m.out != "" {
		if err := writeMask(m.out, mask); err != nil {
			return err
		}
	}
	if m.picture != "" {
		drawn := picture.LightMap{
			Title: "light on the chip", Width: light.Chip.Width, Height: light.Chip.Height,
			Columns: light.Columns, Rows: light.Rows, Side: light.Side, Power: light.Power, Share: m.share,
		}
		if err := atomicfile.Write(m.picture, drawn.WritePNG); err != nil {
			return err
		}
	}
	return m.print(c.OutOrStdout(), result, func(w io.Writer) {
		fmt.Fprintf(w, "chip        %v mirrors, mapped in %d x %d blocks of %dx%d by %d exposures\n",
			light.Chip, light.Columns, light.Rows, light.Side, light.Side, light.Exposures)
		fmt.Fprintf(w, "lit         %.0f %% of the mirrors (%d) have at least %.2g of the brightest blocks' power\n", 100*result.LitShare, result.Lit, m.share)
		fmt.Fprintf(w, "centre      of the light: mirror (%.1f, %.1f)\n", u, v)
		fmt.Fprintf(w, "extent      of the mask: columns %d to %d, rows %d to %d\n", result.Extent[0], result.Extent[1], result.Extent[2], result.Extent[3])
		fmt.Fprintf(w, "error       %.2g of the brightest blocks' power, from noise\n", light.Error)
		fmt.Fprintf(w, "power of each block, 9 is that of the brightest (- is not lit):\n")
		printMap(w, light, m.share)
		if m.sim != "" {
			fmt.Fprintf(w, "simulated bench %q\n", m.sim)
		}
		if m.out != "" {
			fmt.Fprintf(w, "mask in %s\n", m.out)
		}
		if m.picture != "" {
			fmt.Fprintf(w, "picture in %s\n", m.picture)
		}
	})
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
