package dfa

import (
	"bytes"
	"image/color"
	"image/png"
	"os"
	"testing"
)

func exampleCurve(epochs int) Curve {
	r := &Result{Dataset: "drawn-digits", Config: Default(), EpochOfB: "digital-seed-1-1024x10"}
	for e := range epochs {
		r.History = append(r.History, Epoch{
			Epoch: e + 1, TrainLoss: 1.1 / float64(e+1), TrainAccuracy: 1 - 0.2/float64(e+1), TestAccuracy: 0.97 - 0.15/float64(e+1),
		})
		r.TestAccuracy = r.History[e].TestAccuracy
	}
	frozen := 0.9277
	return Curve{Result: r, Frozen: &frozen, Simulated: true}
}

// The picture can be decoded and shows all curves, those of training in both halves,
// and the control. With OPU_CURVE_PNG, it is left there to be looked at.
func TestWritePNG(t *testing.T) {
	var buf bytes.Buffer
	if err := exampleCurve(10).WritePNG(&buf); err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("OPU_CURVE_PNG"); path != "" {
		if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	picture, err := png.Decode(&buf)
	if err != nil {
		t.Fatal(err)
	}
	size := picture.Bounds()
	half := size.Dy() / 2
	for _, part := range []struct {
		what     string
		want     color.RGBA
		from, to int
	}{
		{"the loss", trainColor, 0, half}, {"training", trainColor, half, size.Dy()},
		{"test", testColor, half, size.Dy()}, {"frozen", frozenColor, half, size.Dy()},
	} {
		pixels, want := 0, part.want
		for y := part.from; y < part.to; y++ {
			for x := range size.Dx() {
				got := color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)
				if near(got.R, want.R) && near(got.G, want.G) && near(got.B, want.B) {
					pixels++
				}
			}
		}
		if pixels < 100 {
			t.Errorf("%d pixels have the colour of %s", pixels, part.what)
		}
	}
}

// near allows for the smoothing of edges.
func near(a, b uint8) bool { return max(a, b)-min(a, b) < 30 }

func TestWritePNGOddRuns(t *testing.T) {
	for name, c := range map[string]Curve{
		"one epoch": exampleCurve(1), "500 epochs": exampleCurve(500), "none": exampleCurve(0),
		"none, no control": {Result: &Result{}},
	} {
		var buf bytes.Buffer
		if err := c.WritePNG(&buf); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, err := png.Decode(&buf); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (Curve{}).WritePNG(&bytes.Buffer{}); err == nil {
		t.Error("drew a curve without a result")
	}
}
