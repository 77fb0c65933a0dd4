// Package picture draws what people would rather see than read: frames, spectra
// and what was found in them.
package picture

import (
	"fmt"
	"image"
	"image/color"
	"io"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Hologram is a frame and the spectrum of its kind. WritePNG draws both, WriteFrame
// and WriteSpectrum one of them.
type Hologram struct {
	Title         string
	Width, Height int
	Frame         []float64 // counts, row-major
	Full          float64   // the largest count that the camera gives; 0: not known
	Power         []float64 // mean power spectrum, row-major, bin 0 first

	Fu, Fv, Radius float64 // the sideband that was found, cycles per pixel; radius 0: none was

	Zone bool       // WritePNG draws where the sideband's centre may not lie, too
	Turn [2]float64 // where the sideband should go from there; zeros: nowhere
}

var (
	sidebandColor = color.RGBA{0xff, 0x9f, 0x1c, 0xff}
	twinColor     = color.RGBA{0x2e, 0xc4, 0xb6, 0xff}
	turnColor     = color.RGBA{0xd0, 0x20, 0xd0, 0xff} // seen on white discs and on a black ground
	forbidden     = color.RGBA{0xff, 0x50, 0x50, 0xff}
)

// WritePNG draws the frame on the left, and on the right the spectrum with the
// sideband, its twin and the zone of abs(S)^2 marked.
func (h Hologram) WritePNG(w io.Writer) error {
	if err := h.check(h.Frame, h.Power); err != nil {
		return err
	}
	frame, spectrum := h.frame(), plot.New()
	if err := h.drawSpectrum(spectrum); err != nil {
		return err
	}
	if h.Zone {
		if err := h.drawZone(spectrum); err != nil {
			return err
		}
	}
	return writePair(w, frame, spectrum)
}

// WriteFrame draws the frame, and the histogram of its counts.
func (h Hologram) WriteFrame(w io.Writer) error {
	if err := h.check(h.Frame); err != nil {
		return err
	}
	histogram, err := h.histogram()
	if err != nil {
		return err
	}
	return writePair(w, h.frame(), histogram)
}

// WriteSpectrum draws the spectrum as WritePNG does, and where the sideband's centre
// may not lie: within 3 R of zero, or R of a frequency that is its own twin's.
func (h Hologram) WriteSpectrum(w io.Writer) error {
	if err := h.check(h.Power); err != nil {
		return err
	}
	p := plot.New()
	if err := h.drawSpectrum(p); err != nil {
		return err
	}
	if err := h.drawZone(p); err != nil {
		return err
	}
	canvas := vgimg.New(17*vg.Centimeter, 17.5*vg.Centimeter)
	p.Draw(draw.Crop(draw.New(canvas), 0, -5, 0, 0))
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

// drawZone draws where the sideband's centre may not lie, and the way out.
func (h Hologram) drawZone(p *plot.Plot) error {
	if h.Radius == 0 {
		return nil
	}
	for _, c := range []struct {
		name         string
		u, v, radius float64
	}{
		{"no centre within: 3 R of zero", 0, 0, 3 * h.Radius},
		{"no centre within: twin nearer than 2 R", 0.5, 0, h.Radius},
		{"", 0, 0.5, h.Radius}, {"", 0.5, 0.5, h.Radius},
	} {
		if err := addCircle(p, c.name, c.u, c.v, c.radius, forbidden, vg.Points(4), vg.Points(3)); err != nil {
			return err
		}
	}
	if h.Turn != [2]float64{} {
		if err := addArrow(p, "turn the sideband so far", -h.Fu, -h.Fv, h.Turn[0], h.Turn[1], turnColor); err != nil {
			return err
		}
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.5, 0.5, -0.5, 0.5 // whatever reaches beyond
	return nil
}

// addArrow draws an arrow from a point.
func addArrow(p *plot.Plot, name string, u, v, du, dv float64, c color.Color) error {
	const head = 0.02 // cycles per pixel
	length := math.Hypot(du, dv)
	eu, ev := du/length, dv/length // along it
	tip := plotter.XY{X: u + du, Y: v + dv}
	wing := func(side float64) plotter.XY {
		return plotter.XY{X: tip.X - head*(eu-0.5*side*ev), Y: tip.Y - head*(ev+0.5*side*eu)}
	}
	line, err := plotter.NewLine(plotter.XYs{{X: u, Y: v}, tip, wing(1), tip, wing(-1)})
	if err != nil {
		return fmt.Errorf("cannot draw an arrow: %w", err)
	}
	line.Color, line.Width = c, vg.Points(2)
	p.Add(line)
	p.Legend.Add(name, line)
	return nil
}

func (h Hologram) check(values ...[]float64) error {
	for _, v := range values {
		if len(v) != h.Width*h.Height || len(v) == 0 {
			return fmt.Errorf("cannot draw a hologram of %dx%d pixels from %d values", h.Width, h.Height, len(v))
		}
	}
	return nil
}

// writePair draws two plots side by side.
func writePair(w io.Writer, left, right *plot.Plot) error {
	canvas := vgimg.New(26*vg.Centimeter, 13.5*vg.Centimeter)
	all := draw.New(canvas)
	middle := all.Center().X
	left.Draw(draw.Crop(all, 0, middle-all.Max.X-5, 0, 0))
	right.Draw(draw.Crop(all, middle+5-all.Min.X, -5, 0, 0))
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

func (h Hologram) frame() *plot.Plot {
	p := plot.New()
	p.Title.Text = h.Title + "\none frame (counts)"
	p.X.Label.Text, p.Y.Label.Text = "u (pixels)", "v (pixels)"
	lo, hi := stretch(h.Frame, 0.001, 0.999)
	p.Add(plotter.NewImage(h.gray(h.Frame, lo, hi, 0, 0), 0, 0, float64(h.Width), float64(h.Height)))
	return p
}

// histogram of the frame's counts, over the camera's whole range if it is known.
func (h Hologram) histogram() (*plot.Plot, error) {
	p := plot.New()
	most := math.Max(h.Full, slices.Max(h.Frame))
	p.Title.Text = fmt.Sprintf("its histogram\nmean %.0f of %.0f counts", mean(h.Frame), most)
	p.X.Label.Text, p.Y.Label.Text = "counts", "pixels (%)"
	const mostBins = 128
	bins := min(mostBins, int(most)+1)
	width := (most + 1) / float64(bins)
	bars := make(plotter.XYs, 0, 2*bins+2)
	count := make([]float64, bins)
	for _, x := range h.Frame {
		count[max(0, min(bins-1, int(x/width)))] += 100 / float64(len(h.Frame))
	}
	bars = append(bars, plotter.XY{})
	for i, n := range count {
		bars = append(bars, plotter.XY{X: float64(i) * width, Y: n}, plotter.XY{X: float64(i+1) * width, Y: n})
	}
	bars = append(bars, plotter.XY{X: float64(bins) * width})
	area, err := plotter.NewPolygon(bars)
	if err != nil {
		return nil, fmt.Errorf("cannot draw a histogram: %w", err)
	}
	area.Color, area.LineStyle.Width = plainColor, 0
	p.Add(plotter.NewGrid(), area)
	if h.Full > 0 {
		if err := addLine(p, "end of the range", plotter.XYs{{X: h.Full}, {X: h.Full, Y: slices.Max(count)}}, forbidden); err != nil {
			return nil, err
		}
	}
	p.X.Min, p.X.Max, p.Y.Min = 0, (most+1)*1.03, 0
	p.Legend.Top, p.Legend.XOffs = true, -vg.Points(12)
	return p, nil
}

// drawSpectrum draws the spectrum in dB, with what was found in it.
func (h Hologram) drawSpectrum(p *plot.Plot) error {
	found := "no sideband was found"
	if h.Radius > 0 {
		found = fmt.Sprintf("carrier (%.4f, %.4f), radius %.4f", h.Fu, h.Fv, h.Radius)
	}
	p.Title.Text = "mean spectrum (dB)\n" + found
	p.X.Label.Text, p.Y.Label.Text = "fu (cycles per pixel)", "fv (cycles per pixel)"
	db := h.decibels()
	lo, hi := stretch(db, 0.02, 0.999)
	// Bin 0 belongs in the middle; v grows upwards here, as axes do.
	p.Add(plotter.NewImage(h.gray(db, lo, hi, h.Width/2, h.Height/2), -0.5, -0.5, 0.5, 0.5))
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.5, 0.5, -0.5, 0.5
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Color = color.White
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(4), -vg.Points(4)
	if h.Radius == 0 {
		return nil
	}
	for _, c := range []struct {
		name   string
		u, v   float64
		radius float64
		color  color.Color
	}{
		{"sideband, at -f", -h.Fu, -h.Fv, h.Radius, sidebandColor},
		{"its twin", h.Fu, h.Fv, h.Radius, twinColor},
		{"|S|^2", 0, 0, 2 * h.Radius, forbidden},
	} {
		if err := addCircle(p, c.name, c.u, c.v, c.radius, c.color); err != nil {
			return err
		}
	}
	p.X.Min, p.X.Max, p.Y.Min, p.Y.Max = -0.5, 0.5, -0.5, 0.5
	return nil
}

// decibels is the spectrum in dB; what is nothing beside its peak is not.
func (h Hologram) decibels() []float64 {
	db := make([]float64, len(h.Power))
	floor := math.Max(slices.Max(h.Power)*1e-12, 1e-30)
	for i, p := range h.Power {
		db[i] = 10 * math.Log10(math.Max(p, floor))
	}
	return db
}

// addCircle draws a circle, wrapped round the torus of frequencies. Without a name it
// is not in the legend.
func addCircle(p *plot.Plot, name string, u, v, radius float64, c color.Color, dashes ...vg.Length) error {
	const points = 180
	named := name == ""
	for du := -1.0; du <= 1; du++ {
		for dv := -1.0; dv <= 1; dv++ {
			if math.Abs(u+du) > 0.5+radius || math.Abs(v+dv) > 0.5+radius {
				continue
			}
			xys := make(plotter.XYs, points+1)
			for i := range xys {
				sin, cos := math.Sincos(2 * math.Pi * float64(i) / points)
				xys[i] = plotter.XY{X: u + du + radius*cos, Y: v + dv + radius*sin}
			}
			line, err := plotter.NewLine(xys)
			if err != nil {
				return fmt.Errorf("cannot draw a circle: %w", err)
			}
			line.Color, line.Width, line.Dashes = c, vg.Points(1.5), dashes
			p.Add(line)
			if !named {
				p.Legend.Add(name, line)
				named = true
			}
		}
	}
	return nil
}

// gray maps lo..hi to black..white; the picture is shifted cyclically by (su, sv),
// and row 0 lies at the bottom, where plots have their zero.
func (h Hologram) gray(values []float64, lo, hi float64, su, sv int) image.Image {
	img := image.NewGray(image.Rect(0, 0, h.Width, h.Height))
	for v := range h.Height {
		for u := range h.Width {
			x := (values[v*h.Width+u] - lo) / math.Max(hi-lo, 1e-9)
			img.SetGray((u+su)%h.Width, h.Height-1-(v+sv)%h.Height, color.Gray{uint8(255 * max(0, min(1, x)))})
		}
	}
	return img
}

// stretch is the range between two quantiles.
func stretch(values []float64, low, high float64) (lo, hi float64) {
	sorted := slices.Sorted(slices.Values(values))
	at := func(q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }
	return at(low), at(high)
}
