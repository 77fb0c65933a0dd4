package picture

import (
	"fmt"
	"image/color"
	"io"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// SelfTest is what an examination of a rig found.
type SelfTest struct {
	Title  string
	Sample []complex64 // outputs, each over its own root mean square
	Norms  []float64   // of the columns over their mean; none: they are not known

	// The probe, by time in seconds.
	Time, Phase, Power, Health []float64
}

var (
	plainColor = color.RGBA{0x1b, 0x5e, 0xa8, 0xff}
	otherColor = color.RGBA{0xe0, 0x8a, 0x1e, 0xff}
	modelColor = color.RGBA{0x30, 0x30, 0x30, 0xff}
)

// WritePNG draws four plots: the outputs' distribution against a Gaussian, the norms
// of the columns, and phase and health of the probe over time.
func (s SelfTest) WritePNG(w io.Writer) error {
	plots := [][]*plot.Plot{{plot.New(), plot.New()}, {plot.New(), plot.New()}}
	for i, draw := range []func(*plot.Plot) error{s.distribution, s.columns, s.phase, s.health} {
		if err := draw(plots[i/2][i%2]); err != nil {
			return err
		}
	}
	canvas := vgimg.New(26*vg.Centimeter, 18*vg.Centimeter)
	tiles := draw.Tiles{Rows: 2, Cols: 2, PadX: 5 * vg.Millimeter, PadY: 5 * vg.Millimeter, PadRight: 3 * vg.Millimeter, PadTop: vg.Millimeter}
	for i, places := range plot.Align(plots, tiles, draw.New(canvas)) {
		for j, place := range places {
			plots[i][j].Draw(place)
		}
	}
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

// distribution draws the histograms of real and imaginary parts beside the density
// that fully developed speckle has.
func (s SelfTest) distribution(p *plot.Plot) error {
	p.Title.Text = s.Title + "\noutputs over random patterns"
	p.X.Label.Text, p.Y.Label.Text = "part of an output (standard deviations)", "density"
	const bins, reach = 60, 4.0
	step := 2 * reach / bins
	parts := []struct {
		name  string
		of    func(complex64) float32
		color color.Color
	}{
		{"real", func(z complex64) float32 { return real(z) }, plainColor},
		{"imaginary", func(z complex64) float32 { return imag(z) }, otherColor},
	}
	for _, part := range parts {
		density := make(plotter.XYs, bins)
		for i := range density {
			density[i].X = -reach + (float64(i)+0.5)*step
		}
		for _, z := range s.Sample {
			x := math.Sqrt2 * float64(part.of(z)) // half of the power is in each part
			if i := int(math.Floor((x + reach) / step)); i >= 0 && i < bins {
				density[i].Y += 1 / step / float64(len(s.Sample))
			}
		}
		if err := addLine(p, part.name, density, part.color); err != nil {
			return err
		}
	}
	normal := plotter.NewFunction(func(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) })
	normal.XMin, normal.XMax, normal.Samples = -reach, reach, 200
	normal.Color, normal.Dashes = modelColor, []vg.Length{vg.Points(4), vg.Points(3)}
	p.Add(normal)
	p.Legend.Add("Gaussian", normal)
	p.Legend.Top = true
	p.X.Min, p.X.Max, p.Y.Min = -reach, reach, 0
	return nil
}

func (s SelfTest) columns(p *plot.Plot) error {
	p.X.Label.Text, p.Y.Label.Text = "feature", "norm of its column (mean = 1)"
	if len(s.Norms) == 0 {
		p.Title.Text = "\nnorms of columns: not known by heart"
		p.X.Max, p.Y.Max = 1, 1
		return nil
	}
	p.Title.Text = fmt.Sprintf("\nnorms of %d columns", len(s.Norms))
	bars, err := plotter.NewBarChart(plotter.Values(s.Norms), vg.Points(math.Max(2, 160/float64(len(s.Norms)))))
	if err != nil {
		return fmt.Errorf("cannot draw the columns: %w", err)
	}
	bars.Color, bars.LineStyle.Width = plainColor, 0
	p.Add(plotter.NewGrid(), bars)
	p.Y.Min = 0
	return nil
}

func (s SelfTest) phase(p *plot.Plot) error {
	p.Title.Text = "probe: phase since the calibration"
	p.X.Label.Text, p.Y.Label.Text = "time (ms)", "phase (rad)"
	p.Add(plotter.NewGrid())
	if err := addLine(p, "", s.overTime(s.Phase), plainColor); err != nil {
		return err
	}
	atLeast(&p.Y.Min, &p.Y.Max, 0.1)
	return nil
}

func (s SelfTest) health(p *plot.Plot) error {
	p.Title.Text = "probe: health and power (calibration = 1)"
	p.X.Label.Text, p.Y.Label.Text = "time (ms)", "share"
	p.Add(plotter.NewGrid())
	if err := addLine(p, "health", s.overTime(s.Health), plainColor); err != nil {
		return err
	}
	if err := addLine(p, "power", s.overTime(s.Power), otherColor); err != nil {
		return err
	}
	p.Y.Min, p.Y.Max = math.Min(p.Y.Min, 0), math.Max(p.Y.Max, 1.1)
	return nil
}

func (s SelfTest) overTime(y []float64) plotter.XYs {
	xys := make(plotter.XYs, min(len(y), len(s.Time)))
	for i := range xys {
		xys[i] = plotter.XY{X: 1e3 * s.Time[i], Y: y[i]}
	}
	return xys
}

// addLine draws a line, with a name in the legend if it has one.
func addLine(p *plot.Plot, name string, xys plotter.XYs, c color.Color) error {
	if len(xys) == 0 {
		return nil
	}
	line, err := plotter.NewLine(xys)
	if err != nil {
		return fmt.Errorf("cannot draw a line: %w", err)
	}
	line.Color, line.Width = c, vg.Points(1.5)
	p.Add(line)
	if name != "" {
		p.Legend.Add(name, line)
	}
	return nil
}

// atLeast widens a range to a width, so that noise does not look like a mountain.
func atLeast(lo, hi *float64, width float64) {
	if missing := width - (*hi - *lo); missing > 0 {
		*lo, *hi = *lo-missing/2, *hi+missing/2
	}
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
