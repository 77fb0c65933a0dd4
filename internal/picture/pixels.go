package picture

import (
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"slices"
)

// fullColor marks pixels at the end of the camera's range.
var fullColor = color.RGBA{0xff, 0x3b, 0x30, 0xff}

// WriteFramePixels writes the frame without axes, black at 0 and white at Full, and
// red where the range has ended. Grays are roots of the counts, about as the eye and
// screens have it, so that dim speckle is seen. One that is larger than most pixels a side is shrunk:
// each pixel is then the mean of a square of them, or red if any of them is.
func (h Hologram) WriteFramePixels(w io.Writer, most int) error {
	if err := h.check(h.Frame); err != nil {
		return err
	}
	full := h.Full
	if full <= 0 {
		full = math.Max(slices.Max(h.Frame), 1)
	}
	return h.writePixels(w, most, func(u, v, side int) uint8 {
		sum, n, ended := 0.0, 0, false
		for dv := range min(side, h.Height-v) {
			for _, x := range h.Frame[(v+dv)*h.Width+u:][:min(side, h.Width-u)] {
				sum, ended = sum+x, ended || h.Full > 0 && x >= h.Full
				n++
			}
		}
		if ended {
			return 255
		}
		return uint8(math.Round(254 * math.Sqrt(math.Max(0, math.Min(1, sum/float64(n)/full)))))
	})
}

// WriteSpectrumPixels writes the spectrum in dB without axes, bin 0 in the middle and
// fv upwards: fu and fv go from -0.5 at the left and the lower edge to 0.5. It is shrunk
// like a frame, by means of the power.
func (h Hologram) WriteSpectrumPixels(w io.Writer, most int) error {
	if err := h.check(h.Power); err != nil {
		return err
	}
	db := h.decibels()
	lo, hi := stretch(db, 0.02, 0.999)
	return h.writePixels(w, most, func(u, v, side int) uint8 {
		sum, n := 0.0, 0
		for dv := range min(side, h.Height-v) {
			row := (2*h.Height - 1 - (v + dv) - h.Height/2) % h.Height
			for du := range min(side, h.Width-u) {
				sum += h.Power[row*h.Width+(u+du+(h.Width+1)/2)%h.Width]
				n++
			}
		}
		x := (10*math.Log10(math.Max(sum/float64(n), 1e-30)) - lo) / math.Max(hi-lo, 1e-9)
		return uint8(254 * math.Max(0, math.Min(1, x)))
	})
}

// writePixels writes a picture in grays 0 to 254, and the mark of 255. at gives the
// value of the square whose first pixel is (u, v).
func (h Hologram) writePixels(w io.Writer, most int, at func(u, v, side int) uint8) error {
	side := max(1, (max(h.Width, h.Height)+most-1)/most)
	palette := make(color.Palette, 256)
	for i := range palette {
		palette[i] = color.Gray{uint8(math.Round(float64(i) * 255 / 254))}
	}
	palette[255] = fullColor
	img := image.NewPaletted(image.Rect(0, 0, (h.Width+side-1)/side, (h.Height+side-1)/side), palette)
	for v := range img.Rect.Dy() {
		for u := range img.Rect.Dx() {
			img.Pix[v*img.Stride+u] = at(u*side, v*side, side)
		}
	}
	e := png.Encoder{CompressionLevel: png.BestSpeed} // speckle hardly compresses
	return e.Encode(w, img)
}
