package dataset

import (
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"reflect"
	"runtime"
	"testing"
)

func TestGlyphsAreWellFormed(t *testing.T) {
	for class, ways := range glyphs {
		if len(ways) < 3 {
			t.Errorf("%d has %d ways to be written", class, len(ways))
		}
		for i, g := range ways {
			for _, s := range g {
				for _, a := range s {
					if len(a) < 2 || len(a) > maxArc {
						t.Errorf("%d, way %d: an arc of %d points", class, i, len(a))
					}
					for _, p := range a {
						if !(p.x >= 0 && p.x <= 1 && p.y >= 0 && p.y <= 1) { // NaN too
							t.Errorf("%d, way %d: a point at %v", class, i, p)
						}
					}
				}
			}
		}
	}
}

func TestDigits(t *testing.T) {
	data := Digits(1, 1000, 500)
	if data.Name != "drawn-digits" || data.Classes != 10 || data.Width != 28 || data.Height != 28 {
		t.Errorf("%q with %d classes of %d x %d", data.Name, data.Classes, data.Width, data.Height)
	}
	for name, s := range map[string]Split{"train": data.Train, "test": data.Test} {
		if s.Features != 784 || len(s.X) != len(s.Y)*784 {
			t.Fatalf("%s: %d values for %d samples of %d features", name, len(s.X), len(s.Y), s.Features)
		}
		var classes [10]int
		for i, y := range s.Y {
			classes[y]++
			ink, edge := 0.0, 0.0
			for p, v := range s.X[i*784 : (i+1)*784] {
				if b := math.Round(float64(v) * 255); v < 0 || v > 1 || float32(b)/255 != v {
					t.Fatalf("%s sample %d: the value %v is no byte", name, i, v)
				}
				ink += float64(v)
				if x, y := p%28, p/28; x == 0 || y == 0 || x == 27 || y == 27 {
					edge += float64(v)
				}
			}
			if ink < 20 || ink > 350 {
				t.Errorf("%s sample %d, a %d, has ink for %.0f pixels", name, i, y, ink)
			}
			if edge > ink/4 {
				t.Errorf("%s sample %d, a %d, has %.0f of its ink %.0f at the edge", name, i, y, edge, ink)
			}
		}
		for class, n := range classes {
			if n != len(s.Y)/10 {
				t.Errorf("%s: %d samples of class %d, want %d", name, n, class, len(s.Y)/10)
			}
		}
	}
	if data.Mean < 0.1 || data.Mean > 0.2 || data.Std < 0.25 || data.Std > 0.4 {
		t.Errorf("mean %.3f, standard deviation %.3f; MNIST has 0.131 and 0.308", data.Mean, data.Std)
	}
}

func TestDigitsRepeat(t *testing.T) {
	want := Digits(7, 600, 300)
	procs := runtime.GOMAXPROCS(1)
	again := Digits(7, 600, 300)
	runtime.GOMAXPROCS(procs)
	if !reflect.DeepEqual(again, want) {
		t.Error("another set with one core")
	}
	longer := Digits(7, 601, 300)
	if !reflect.DeepEqual(longer.Train.X[:len(want.Train.X)], want.Train.X) || !reflect.DeepEqual(longer.Test, want.Test) {
		t.Error("a longer set does not begin with the shorter one")
	}
	if other := Digits(8, 600, 300); reflect.DeepEqual(other.Train, want.Train) || reflect.DeepEqual(other.Test, want.Test) {
		t.Error("the same set with another seed")
	}
	if reflect.DeepEqual(want.Train.X[:len(want.Test.X)], want.Test.X) {
		t.Error("the test samples are training samples")
	}
	if none := Digits(7, -1, 0); len(none.Train.X)+len(none.Test.Y) != 0 || none.Mean != 0 || none.Std != 0 {
		t.Errorf("no samples: %+v", none)
	}
}

// The set must be neither trivial nor hopeless. The yardstick is the simplest of
// classifiers, the nearest class mean, which gets 82 % on MNIST.
func TestDigitsAreAsHardAsHandwriting(t *testing.T) {
	data := Digits(1, 4000, 2000)
	var means [10][digitPixels]float64
	for i, y := range data.Train.Y {
		for p, v := range data.Train.X[i*digitPixels : (i+1)*digitPixels] {
			means[y][p] += float64(v) / 400
		}
	}
	right := 0
	for i, y := range data.Test.Y {
		best, nearest := 0, math.Inf(1)
		for class := range means {
			distance := 0.0
			for p, v := range data.Test.X[i*digitPixels : (i+1)*digitPixels] {
				d := float64(v) - means[class][p]
				distance += d * d
			}
			if distance < nearest {
				best, nearest = class, distance
			}
		}
		if best == y {
			right++
		}
	}
	accuracy := 100 * float64(right) / float64(len(data.Test.Y))
	t.Logf("nearest class mean: %.1f %%", accuracy)
	if accuracy < 70 || accuracy > 90 {
		t.Errorf("the nearest class mean is right for %.1f %%, want 70 to 90", accuracy)
	}
}

// TestContactSheet writes a picture of drawn digits, to be looked at, to the
// file that OPU_DIGITS_SHEET names.
func TestContactSheet(t *testing.T) {
	path := os.Getenv("OPU_DIGITS_SHEET")
	if path == "" {
		t.Skip("set OPU_DIGITS_SHEET=sheet.png to see what Digits draws")
	}
	const columns, zoom = 20, 2
	data := Digits(1, 10*columns, 0)
	sheet := image.NewGray(image.Rect(0, 0, columns*digitSize*zoom, 10*digitSize*zoom))
	for i, v := range data.Train.X {
		sample, p := i/digitPixels, i%digitPixels
		x, y := sample/10*digitSize+p%digitSize, sample%10*digitSize+p/digitSize // a row per class
		for z := range zoom * zoom {
			sheet.SetGray(x*zoom+z%zoom, y*zoom+z/zoom, color.Gray{Y: uint8(255 * v)})
		}
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := png.Encode(f, sheet); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkDigits(b *testing.B) {
	for b.Loop() {
		Digits(1, 1000, 0)
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "digits/s")
}
