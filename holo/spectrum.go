package holo

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/dsp/fourier"
)

// Spectrum is the mean power spectrum of a set of frames under a Hann window, less
// the spectrum of their mean frame: the reference beam, its dirt and static stray
// light vanish, and what remains is what the patterns change. It takes frames one
// by one and keeps none. It must not be used concurrently.
type Spectrum struct {
	width, height int
	frames        int
	rows          *fourier.FFT
	columns       *fourier.CmplxFFT
	windowU       []float64
	windowV       []float64

	counts []float64    // one row
	half   []complex128 // columns 0 to width/2 of one frame's transform, one after the other
	line   []complex128
	sum    []complex128 // over the frames, of half
	power  []float64    // over the frames, of |half|^2
}

// NewSpectrum returns an empty spectrum for frames of the given size.
func NewSpectrum(width, height int) (*Spectrum, error) {
	const most = 1 << 15
	if width < 2 || height < 2 || width > most || height > most {
		return nil, fmt.Errorf("cannot take the spectrum of frames of %dx%d pixels: each side must be 2 to %d: %w", width, height, most, ErrImage)
	}
	s := &Spectrum{
		width: width, height: height,
		rows: fourier.NewFFT(width), columns: fourier.NewCmplxFFT(height),
		windowU: make([]float64, width), windowV: make([]float64, height),
		counts: make([]float64, width), line: make([]complex128, width/2+1),
	}
	// Scaled so that white noise of variance x has the level x in every bin.
	for _, w := range [][]float64{s.windowU, s.windowV} {
		sum := 0.0
		for n := range w {
			w[n] = tukey(n, len(w), 0.5)
			sum += w[n] * w[n]
		}
		for n := range w {
			w[n] /= math.Sqrt(sum)
		}
	}
	n := len(s.line) * height
	s.half, s.sum, s.power = make([]complex128, n), make([]complex128, n), make([]float64, n)
	return s, nil
}

// Add takes one more frame. It allocates nothing.
func (s *Spectrum) Add(img Image) error {
	if img.Width != s.width || img.Height != s.height {
		return fmt.Errorf("cannot add an image of %dx%d pixels to a spectrum of %dx%d: %w", img.Width, img.Height, s.width, s.height, ErrImage)
	}
	if err := img.Check(); err != nil {
		return err
	}
	for v := range s.height {
		img.row(s.counts, v)
		for u := range s.counts {
			s.counts[u] *= s.windowU[u] * s.windowV[v]
		}
		s.rows.Coefficients(s.line, s.counts)
		for i, z := range s.line {
			s.half[i*s.height+v] = z
		}
	}
	for i := range s.line {
		column := s.half[i*s.height : (i+1)*s.height]
		s.columns.Coefficients(column, column)
	}
	for i, z := range s.half {
		s.sum[i] += z
		s.power[i] += real(z)*real(z) + imag(z)*imag(z)
	}
	s.frames++
	return nil
}

// Frames is the number of frames added.
func (s *Spectrum) Frames() int { return s.frames }

// Power returns the spectrum in counts squared: width*height values in the order of
// the DFT, row-major, so that the value at index j*width + i belongs to the frequency
// (i/width, j/height), from 0.5 on less 1. White noise of variance x has the level
// x. Fewer than two frames differ in nothing, and all is zero.
func (s *Spectrum) Power() []float64 {
	out := make([]float64, s.width*s.height)
	if s.frames < 2 {
		return out
	}
	n := float64(s.frames)
	for j := range s.height {
		for i := range s.width {
			// The transform of real numbers at -k is the conjugate of that at k.
			a, b := i, j
			if i > s.width/2 {
				a, b = s.width-i, (s.height-j)%s.height
			}
			at := a*s.height + b
			z := s.sum[at]
			out[j*s.width+i] = math.Max(0, (s.power[at]-(real(z)*real(z)+imag(z)*imag(z))/n)/(n-1))
		}
	}
	return out
}
