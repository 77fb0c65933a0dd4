package picture

import (
	"fmt"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/palette/moreland"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// LightMap is how much light each block of a chip sends.
type LightMap struct {
	Title         string
	Width, Height int       // of the chip, mirrors
	Columns, Rows int       // of blocks
	Side          int       // of a block, mirrors
	Power         []float64 // of each block, row-major; the brightest have 1
	Share         float64   // blocks from here on are lit
}

// blockGrid is the map as a plotter.GridXYZ: its row 0 is the lowest.
type blockGrid struct{ LightMap }

func (g blockGrid) Dims() (columns, rows int) { return g.Columns, g.Rows }
func (g blockGrid) X(c int) float64           { return (float64(c) + 0.5) * float64(g.Side) }
func (g blockGrid) Y(r int) float64           { return (float64(r) + 0.5 - float64(g.Rows)) * float64(g.Side) }
func (g blockGrid) Z(c, r int) float64 {
	return math.Max(0, math.Min(1, g.Power[(g.Rows-1-r)*g.Columns+c]))
}

// WritePNG draws the map, with the outline of the blocks that are lit.
func (m LightMap) WritePNG(w io.Writer) error {
	if m.Columns < 1 || m.Rows < 1 || m.Side < 1 || len(m.Power) != m.Columns*m.Rows {
		return fmt.Errorf("cannot draw a map of %dx%d blocks from %d values", m.Columns, m.Rows, len(m.Power))
	}
	p := plot.New()
	p.Title.Text = m.Title + "\npower per mirror, black 0 to white 1; the line holds the lit blocks"
	p.X.Label.Text, p.Y.Label.Text = "u (mirrors)", "v (mirrors)"
	// v grows downwards, as rows of a chip do.
	p.Y.Tick.Marker = plot.TickerFunc(func(lo, hi float64) []plot.Tick {
		ticks := plot.DefaultTicks{}.Ticks(lo, hi)
		for i, t := range ticks {
			if t.Label != "" {
				ticks[i].Label = fmt.Sprintf("%g", math.Abs(t.Value))
			}
		}
		return ticks
	})
	if m.Columns > 1 && m.Rows > 1 {
		colors := moreland.BlackBody()
		colors.SetMin(0)
		colors.SetMax(1)
		heat := plotter.NewHeatMap(blockGrid{m}, colors.Palette(64))
		heat.Min, heat.Max = 0, 1
		p.Add(heat)
	}
	if err := m.addOutline(p); err != nil {
		return err
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = 0, float64(m.Width), -float64(m.Height), 0

	height := 18 * vg.Centimeter * vg.Length(math.Max(0.3, math.Min(2, float64(m.Height)/float64(m.Width))))
	canvas := vgimg.New(20*vg.Centimeter, height+2*vg.Centimeter)
	p.Draw(draw.New(canvas))
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

// addOutline draws the edges between blocks that are lit and others.
func (m LightMap) addOutline(p *plot.Plot) error {
	lit := func(c, r int) bool {
		return c >= 0 && r >= 0 && c < m.Columns && r < m.Rows && m.Power[r*m.Columns+c] >= m.Share
	}
	edge := func(u0, v0, u1, v1 int) error {
		at := func(u, v int) plotter.XY {
			return plotter.XY{X: float64(min(u*m.Side, m.Width)), Y: -float64(min(v*m.Side, m.Height))}
		}
		line, err := plotter.NewLine(plotter.XYs{at(u0, v0), at(u1, v1)})
		if err != nil {
			return fmt.Errorf("cannot draw the outline: %w", err)
		}
		line.Color, line.Width = twinColor, vg.Points(2)
		p.Add(line)
		return nil
	}
	for r := range m.Rows + 1 {
		for c := range m.Columns + 1 {
			if lit(c, r) != lit(c-1, r) {
				if err := edge(c, r, c, r+1); err != nil {
					return err
				}
			}
			if lit(c, r) != lit(c, r-1) {
				if err := edge(c, r, c+1, r); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
