package picture

import (
	"bytes"
	"image/color"
	"image/png"
	"io"
	"math"
	"testing"
)

// The picture is bright where the light is, and the right way up.
func TestLightMap(t *testing.T) {
	m := LightMap{Title: "test", Width: 96, Height: 64, Columns: 16, Rows: 11, Side: 6, Power: make([]float64, 16*11), Share: 0.25}
	for b := range m.Power { // light in the upper left
		m.Power[b] = math.Exp(-math.Pow(math.Hypot(float64(b%16)-4, float64(b/16)-3)/3, 2))
	}
	var buf bytes.Buffer
	if err := m.WritePNG(&buf); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(buf.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	// Mean brightness of the quarters of the picture, axes and title aside.
	b := img.Bounds()
	quarter := func(right, low int) (sum float64) {
		for y := b.Dy() * (3 + 3*low) / 10; y < b.Dy()*(4+3*low)/10; y++ {
			for x := b.Dx() * (2 + 5*right) / 10; x < b.Dx()*(4+5*right)/10; x++ {
				sum += float64(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y)
			}
		}
		return sum
	}
	if bright := quarter(0, 0); bright < 2*quarter(1, 0) || bright < 2*quarter(0, 1) || bright < 2*quarter(1, 1) {
		t.Errorf("brightness %.3g %.3g above %.3g %.3g", quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1))
	}
	for _, bad := range []LightMap{{}, {Columns: 2, Rows: 2, Side: 1, Power: make([]float64, 3)}} {
		if err := bad.WritePNG(io.Discard); err == nil {
			t.Errorf("%+v was drawn", bad)
		}
	}
	one := LightMap{Width: 1, Height: 1, Columns: 1, Rows: 1, Side: 1, Power: []float64{1}}
	if err := one.WritePNG(io.Discard); err != nil {
		t.Error(err)
	}
}
