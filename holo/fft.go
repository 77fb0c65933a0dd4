package holo

import (
	"fmt"
	"math"
	"math/cmplx"

	"gonum.org/v1/gonum/dsp/fourier"
)

// FFT demodulates by Fourier transform in double precision: the frame less its
// mean is turned by exp(+i 2 pi f.r), so that the sideband comes to 0, transformed,
// cut to the disc and transformed back (reference, section 2a). It is what the fast
// path is judged by.
//
// Outputs are A exp(-i phi) S in counts, on a regular grid of points over the frame,
// row-major. An FFT holds working memory and must not be used concurrently.
type FFT struct {
	width, height int
	halfU, halfV  int // the disc's bounding box is -half to +half, in bins
	gridU, gridV  int // points of the output grid
	outputs       int

	turnU, turnV []complex128 // window and carrier, by column and by row
	inDisc       []bool       // by row and column of the box

	rows, columns   *fourier.CmplxFFT // of the frame
	gridRow, gridCo *fourier.CmplxFFT // of the output grid

	counts []float64    // one row
	line   []complex128 // one row, of the frame or of the grid
	box    []complex128 // the box's columns, one after the other, height values each
	half   []complex128 // the same after the way back, gridV values each
	column []complex128
}

// FFTOptions are the choices that an FFT leaves.
type FFTOptions struct {
	// Taper is the share of each side over which a Tukey window fades the frame
	// in and out; 0 means no window, 0.1 is usual, at most 0.5 (a Hann window).
	// Without it the cut edges of the frame spread |S|^2 over all frequencies,
	// which limits linearity to about 50 dB; with it the edge of the field fades.
	Taper float64

	// Full asks for one output per pixel, instead of one per critical sample. It
	// adds no information; it is for comparing with a field that is known.
	Full bool
}

// NewFFT returns the demodulator for frames of the given size. The band need not be
// separated from |S|^2 (Band.Check); what overlaps comes out mixed.
func NewFFT(width, height int, band Band, o FFTOptions) (*FFT, error) {
	const most = 1 << 15
	if width < 1 || height < 1 || width > most || height > most {
		return nil, fmt.Errorf("cannot demodulate frames of %dx%d pixels: each side must be 1 to %d: %w", width, height, most, ErrImage)
	}
	if err := band.check(); err != nil {
		return nil, err
	}
	if !(o.Taper >= 0 && o.Taper <= 0.5) {
		return nil, fmt.Errorf("cannot taper a share of %g at each edge of the frame; it must be 0 to 0.5", o.Taper)
	}
	f := &FFT{
		width: width, height: height,
		halfU: int(band.R * float64(width)), halfV: int(band.R * float64(height)),
		rows: fourier.NewCmplxFFT(width), columns: fourier.NewCmplxFFT(height),
	}
	boxU, boxV := 2*f.halfU+1, 2*f.halfV+1
	f.gridU, f.gridV = boxU, boxV
	if o.Full {
		f.gridU, f.gridV = width, height
	}
	f.outputs = f.gridU * f.gridV
	f.gridRow, f.gridCo = fourier.NewCmplxFFT(f.gridU), fourier.NewCmplxFFT(f.gridV)
	f.turnU, f.turnV = turn(width, band.Fu, o.Taper), turn(height, band.Fv, o.Taper)
	f.inDisc = make([]bool, boxU*boxV)
	for j := range boxV {
		for i := range boxU {
			ku, kv := float64(i-f.halfU)/float64(width), float64(j-f.halfV)/float64(height)
			f.inDisc[j*boxU+i] = ku*ku+kv*kv <= band.R*band.R
		}
	}
	f.counts = make([]float64, width)
	f.line = make([]complex128, width)
	f.box = make([]complex128, boxU*height)
	f.half = make([]complex128, boxU*f.gridV)
	f.column = make([]complex128, f.gridV)
	return f, nil
}

// turn is exp(+i 2 pi f n) under a Tukey window.
func turn(size int, f, taper float64) []complex128 {
	t := make([]complex128, size)
	for n := range t {
		t[n] = cmplx.Rect(tukey(n, size, taper), 2*math.Pi*f*float64(n))
	}
	return t
}

// tukey is the window's value at the centre of pixel n.
func tukey(n, size int, taper float64) float64 {
	edge := math.Min(float64(n), float64(size-1-n)) + 0.5
	if edge >= taper*float64(size) {
		return 1
	}
	return 0.5 - 0.5*math.Cos(math.Pi*edge/(taper*float64(size)))
}

// Outputs is the number of points of the output grid.
func (f *FFT) Outputs() int { return f.outputs }

// Grid is the number of columns and rows of the output grid.
func (f *FFT) Grid() (columns, rows int) { return f.gridU, f.gridV }

// Position is where output i samples the field, in pixels.
func (f *FFT) Position(i int) (u, v float64) {
	return float64(i%f.gridU) * float64(f.width) / float64(f.gridU), float64(i/f.gridU) * float64(f.height) / float64(f.gridV)
}

// Demodulate implements Demodulator.
func (f *FFT) Demodulate(dst []complex64, img Image) error {
	if err := img.fits(f.width, f.height, len(dst), f.outputs); err != nil {
		return err
	}
	mean := 0.0
	for v := range f.height {
		img.row(f.counts, v)
		for _, x := range f.counts {
			mean += x
		}
	}
	mean /= float64(f.width) * float64(f.height)

	// Rows of the frame, of which only the disc's columns are kept ...
	boxU, boxV := 2*f.halfU+1, 2*f.halfV+1
	line := f.line[:f.width]
	for v := range f.height {
		img.row(f.counts, v)
		for u, x := range f.counts {
			line[u] = complex(x-mean, 0) * f.turnU[u]
		}
		f.rows.Coefficients(line, line)
		for i := range boxU {
			f.box[i*f.height+v] = line[modulo(i-f.halfU, f.width)] * f.turnV[v]
		}
	}
	// ... then those columns, there and back ...
	scale := complex(1/(float64(f.width)*float64(f.height)), 0)
	for i := range boxU {
		column := f.box[i*f.height : (i+1)*f.height]
		f.columns.Coefficients(column, column)
		clear(f.column)
		for j := range boxV {
			if f.inDisc[j*boxU+i] {
				f.column[modulo(j-f.halfV, f.gridV)] = column[modulo(j-f.halfV, f.height)] * scale
			}
		}
		f.gridCo.Sequence(f.half[i*f.gridV:(i+1)*f.gridV], f.column)
	}
	// ... and the rows of the grid.
	line = f.line[:f.gridU]
	for j := range f.gridV {
		clear(line)
		for i := range boxU {
			line[modulo(i-f.halfU, f.gridU)] = f.half[i*f.gridV+j]
		}
		f.gridRow.Sequence(line, line)
		for i, z := range line {
			dst[j*f.gridU+i] = complex64(z)
		}
	}
	return nil
}

// modulo is the place of frequency k in a transform of the given size, k >= -size.
func modulo(k, size int) int {
	if k < 0 {
		return k + size
	}
	return k
}
