package holo

import (
	"fmt"

	"gonum.org/v1/gonum/dsp/fourier"

	"github.com/light-in-the-loop/opu/internal/parallel"
)

// Spectrum averages the power spectra of frames, less that of their mean: what
// all frames share (the reference, its dirt, stray light) vanishes, and terms that
// depend on the pattern remain (reference, section 6a). One goroutine at a time.
type Spectrum struct {
	width, height    int
	frames           int
	windowU, windowV []float64
	plane            []complex128 // transform of the present frame, height x width
	sum              []complex128
	power            []float64
}

// NewSpectrum is for frames of width x height pixels.
func NewSpectrum(width, height int) (*Spectrum, error) {
	if width < 2 || height < 2 || width > maxSide || height > maxSide {
		return nil, fmt.Errorf("cannot take the spectrum of %dx%d pixels: each side must be 2 to %d: %w", width, height, maxSide, ErrInput)
	}
	n := width * height
	return &Spectrum{
		width: width, height: height,
		windowU: tukey(width, 0.5), windowV: tukey(height, 0.5),
		plane: make([]complex128, n), sum: make([]complex128, n), power: make([]float64, n),
	}, nil
}

// Add takes one frame.
func (s *Spectrum) Add(img Image) error {
	if err := img.fits(s.width, s.height); err != nil {
		return err
	}
	const block = 16 // lines that one call transforms
	parallel.Do((s.height+block-1)/block, func(b int) {
		fft, pixels := fourier.NewCmplxFFT(s.width), make([]float64, s.width)
		for v := b * block; v < min(s.height, (b+1)*block); v++ {
			img.row(pixels, v)
			line := s.plane[v*s.width : (v+1)*s.width]
			for u, x := range pixels {
				line[u] = complex(x*s.windowU[u]*s.windowV[v], 0)
			}
			fft.Coefficients(line, line)
		}
	})
	parallel.Do((s.width+block-1)/block, func(b int) {
		fft, line := fourier.NewCmplxFFT(s.height), make([]complex128, s.height)
		for u := b * block; u < min(s.width, (b+1)*block); u++ {
			for v := range line {
				line[v] = s.plane[v*s.width+u]
			}
			fft.Coefficients(line, line)
			for v, z := range line {
				i := v*s.width + u
				s.sum[i] += z
				s.power[i] += real(z)*real(z) + imag(z)*imag(z)
			}
		}
	})
	s.frames++
	return nil
}

// Frames is how many frames were added.
func (s *Spectrum) Frames() int { return s.frames }

// Power is the mean power spectrum of the frames' deviations from their mean, in
// counts squared, height x width, row-major, bin 0 first (see Frequency). With
// fewer than two frames it is that of the frame itself.
func (s *Spectrum) Power() []float64 {
	out := make([]float64, len(s.power))
	n := float64(max(1, s.frames))
	for i, p := range s.power {
		out[i] = p / n
		if s.frames > 1 {
			re, im := real(s.sum[i])/n, imag(s.sum[i])/n
			out[i] = max(0, out[i]-re*re-im*im)
		}
	}
	return out
}
