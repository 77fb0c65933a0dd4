package dataset

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"testing"
)

// TestContactSheet writes a picture of drawn digits, to be looked at, to the
// file that OPU_DIGITS_SHEET names.
func TestContactSheet(t *testing.T) {
	path := os.Getenv("OPU_DIGITS_SHEET")
	if path == "" {
		t.Skip("set OPU_DIGITS_SHEET=sheet.png to see what Digits draws")
	}
	const rows, zoom = 20, 2
	data := Digits(1, rows*10, 0)
	img := image.NewGray(image.Rect(0, 0, 20*digitSize*zoom, rows/2*digitSize*zoom))
	for i := range data.Train.Y {
		// Classes are rows of the sheet.
		x0, y0 := i/10*digitSize, i%10*digitSize
		for p, v := range data.Train.X[i*digitPixels : (i+1)*digitPixels] {
			for z := range zoom * zoom {
				img.SetGray((x0+p%digitSize)*zoom+z%zoom, (y0+p/digitSize)*zoom+z/zoom, color.Gray{Y: uint8(255 * v)})
			}
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
}
