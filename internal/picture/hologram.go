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

// Hologram is a frame and the spectrum of its kind.
type Hologram struct {
	Title         string
	Width, Height int
	Frame         []float64 // counts, row-major
	Power         []float64 // mean power spectrum, row-major, bin 0 first

	Fu, Fv, Radius float64 // the sideband that was found, cycles per pixel
}

var (
	sidebandColor = color.RGBA{0xff, 0x9f, 0x1c, 0xff}
	twinColor     = color.RGBA{0x2e, 0xc4, 0xb6, 0xff}
	forbidden     = color.RGBA{0xff, 0x50, 0x50, 0xff}
)

// WritePNG draws the frame on the left, and on the right the spectrum with the
// sideband, its twin and the zone of abs(S)^2 marked.
func (h Hologram) WritePNG(w io.Writer) error {
	if len(h.Frame) != h.Width*h.Height || len(h.Power) != h.Width*h.Height || len(h.Frame) == 0 {
		return fmt.Errorf("cannot draw a hologram of %dx%d pixels from %d and %d values", h.Width, h.Height, len(h.Frame), len(h.Power))
	}
	frame := plot.New()
	frame.Title.Text = h.Title + "\none frame (counts)"
	frame.X.Label.Text, frame.Y.Label.Text = "u (pixels)", "v (pixels)"
	lo, hi := stretch(h.Frame, 0.001, 0.999)
	frame.Add(plotter.NewImage(h.gray(h.Frame, lo, hi, 0, 0), 0, 0, float64(h.Width), float64(h.Height)))

	spectrum := plot.New()
	spectrum.Title.Text = fmt.Sprintf("mean spectrum (dB)\ncarrier (%.4f, %.4f), radius %.4f", h.Fu, h.Fv, h.Radius)
	spectrum.X.Label.Text, spectrum.Y.Label.Text = "fu (cycles per pixel)", "fv (cycles per pixel)"
	db := make([]float64, len(h.Power))
	floor := slices.Max(h.Power) * 1e-12
	for i, p := range h.Power {
		db[i] = 10 * math.Log10(math.Max(p, math.Max(floor, 1e-30)))
	}
	lo, hi = stretch(db, 0.02, 0.999)
	// Bin 0 belongs in the middle; v grows upwards here, as axes do.
	spectrum.Add(plotter.NewImage(h.gray(db, lo, hi, h.Width/2, h.Height/2), -0.5, -0.5, 0.5, 0.5))
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
		if err := addCircle(spectrum, c.name, c.u, c.v, c.radius, c.color); err != nil {
			return err
		}
	}
	spectrum.X.Min, spectrum.X.Max, spectrum.Y.Min, spectrum.Y.Max = -0.5, 0.5, -0.5, 0.5
	spectrum.Legend.Top, spectrum.Legend.Left = true, true
	spectrum.Legend.TextStyle.Color = color.White

	canvas := vgimg.New(26*vg.Centimeter, 13.5*vg.Centimeter)
	all := draw.New(canvas)
	middle := all.Center().X
	frame.Draw(draw.Crop(all, 0, middle-all.Max.X-5, 0, 0))
	spectrum.Draw(draw.Crop(all, middle+5, -5, 0, 0))
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

// addCircle draws a circle, wrapped round the torus of frequencies.
func addCircle(p *plot.Plot, name string, u, v, radius float64, c color.Color) error {
	const points = 180
	named := false
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
			line.Color, line.Width = c, vg.Points(1.5)
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
