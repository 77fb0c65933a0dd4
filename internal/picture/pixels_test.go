package picture

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"testing"
)

func decode(t *testing.T, b *bytes.Buffer) image.Image {
	t.Helper()
	img, err := png.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// Each pixel is the mean of its square, as bright as the root of its counts; one pixel at
// the end of the range makes its square red. Squares at the edges are smaller.
func TestFramePixels(t *testing.T) {
	h := Hologram{Width: 5, Height: 3, Full: 100, Frame: []float64{
		0, 0, 25, 25, 49,
		0, 0, 25, 25, 49,
		100, 0, 0, 50, 1,
	}}
	var b bytes.Buffer
	if err := h.WriteFramePixels(&b, 3); err != nil {
		t.Fatal(err)
	}
	img := decode(t, &b)
	red := color.RGBAModel.Convert(fullColor).(color.RGBA)
	want := [][]color.RGBA{
		{{0, 0, 0, 255}, {128, 128, 128, 255}, {179, 179, 179, 255}},
		{red, {128, 128, 128, 255}, {25, 25, 25, 255}},
	}
	if img.Bounds() != image.Rect(0, 0, 3, 2) {
		t.Fatalf("the picture has the bounds %v", img.Bounds())
	}
	for v, row := range want {
		for u, c := range row {
			if got := color.RGBAModel.Convert(img.At(u, v)); got != c {
				t.Errorf("pixel (%d, %d) is %v, want %v", u, v, got, c)
			}
		}
	}
	if err := (Hologram{Width: 2, Height: 2, Frame: []float64{1}}).WriteFramePixels(&b, 3); err == nil {
		t.Error("a frame of too few values is drawn")
	}
}

// The brightest pixel lies where its frequency does: fu to the right, fv upwards.
func TestSpectrumPixels(t *testing.T) {
	for _, c := range []struct{ width, height, i, j, u, v int }{
		{16, 16, 0, 0, 8, 7},   // in the middle; row 7 is the one above it
		{16, 16, 4, 2, 12, 5},  // (0.25, 0.125)
		{16, 16, 12, 14, 4, 9}, // its twin
		{15, 9, 0, 0, 7, 4},
		{15, 9, 14, 1, 6, 3},
	} {
		h := Hologram{Width: c.width, Height: c.height, Power: make([]float64, c.width*c.height)}
		for i := range h.Power {
			h.Power[i] = 1
		}
		h.Power[c.j*c.width+c.i] = 1e6
		var b bytes.Buffer
		if err := h.WriteSpectrumPixels(&b, 512); err != nil {
			t.Fatal(err)
		}
		img := decode(t, &b)
		for v := range c.height {
			for u := range c.width {
				r, _, _, _ := img.At(u, v).RGBA()
				if bright := r > 0x8000; bright != (u == c.u && v == c.v) {
					t.Errorf("bin (%d, %d) of %dx%d: pixel (%d, %d) is %#x; the bright one belongs to (%d, %d)", c.i, c.j, c.width, c.height, u, v, r, c.u, c.v)
				}
			}
		}
	}
}
