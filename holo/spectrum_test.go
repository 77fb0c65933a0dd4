package holo

import (
	"errors"
	"math"
	"math/cmplx"
	"testing"
)

// The definition, slowly: Hann window, mean frame subtracted, DFT bin by bin.
func TestSpectrumAgainstDefinition(t *testing.T) {
	rnd := newRand(t, 15)
	for _, size := range [][2]int{{12, 10}, {9, 14}, {7, 5}} {
		w, h := size[0], size[1]
		const frames = 3
		s, err := NewSpectrum(w, h)
		if err != nil {
			t.Fatal(err)
		}
		images := make([]Image, frames)
		mean := make([]float64, w*h)
		for k := range images {
			images[k] = Image{Width: w, Height: h, Stride: w + 1, BitDepth: 8, Pix: make([]byte, (w+1)*h)}
			for i := range images[k].Pix {
				images[k].Pix[i] = byte(rnd.Uint32())
			}
			if err := s.Add(images[k]); err != nil {
				t.Fatal(err)
			}
			for i := range mean {
				mean[i] += float64(images[k].Pix[i/w*(w+1)+i%w]) / frames
			}
		}
		got := s.Power()
		for j := range h {
			for i := range w {
				want, norm := 0.0, 0.0
				for k := range images {
					var sum complex128
					norm = 0
					for v := range h {
						for u := range w {
							x := float64(images[k].Pix[v*(w+1)+u]) - mean[v*w+u]
							window := math.Sin(math.Pi*(float64(u)+0.5)/float64(w)) * math.Sin(math.Pi*(float64(v)+0.5)/float64(h))
							window *= window
							norm += window * window
							sum += cmplx.Rect(x*window, -2*math.Pi*(float64(i*u)/float64(w)+float64(j*v)/float64(h)))
						}
					}
					want += sq(sum) / (frames - 1)
				}
				want /= norm
				if math.Abs(got[j*w+i]-want) > 1e-6*(1+want) {
					t.Fatalf("%dx%d: bin (%d, %d) is %g, want %g", w, h, i, j, got[j*w+i], want)
				}
			}
		}
	}
}

func TestSpectrumOfEqualFrames(t *testing.T) {
	s, err := NewSpectrum(32, 16)
	if err != nil {
		t.Fatal(err)
	}
	img := camera{width: 32, height: 16, band: Band{0.3, 0.3, 0.1}, rho: 4, electrons: 0.5, fullWell: 1, bits: 8}.expose(nil)
	for range 4 {
		if err := s.Add(img); err != nil {
			t.Fatal(err)
		}
		for i, p := range s.Power() {
			if !(p < 1e-9) {
				t.Fatalf("after %d equal frames bin %d holds %g", s.Frames(), i, p)
			}
		}
	}
	img.Width--
	if err := s.Add(img); !errors.Is(err, ErrImage) || s.Frames() != 4 {
		t.Errorf("an image of another size: %v, %d frames", err, s.Frames())
	}
	if _, err := NewSpectrum(1, 5); !errors.Is(err, ErrImage) {
		t.Errorf("a spectrum of one column: %v", err)
	}
}
