package holo

import (
	"errors"
	"fmt"
)

// Image is a view of one frame's pixels. Nothing is copied; the pixels stay the
// caller's.
type Image struct {
	Pix           []byte // row v starts at v*Stride
	Width, Height int    // pixels
	Stride        int    // bytes from one row to the next

	// BitDepth is the number of significant bits, right-justified. At 8 a pixel
	// is one byte, from 9 to 16 it is two bytes, little-endian.
	BitDepth int
}

// ErrImage is wrapped by errors about an Image: its parts do not fit together, or
// it is not of the size that it was promised to be.
var ErrImage = errors.New("bad image")

// ErrOutputs is wrapped by errors about a number of outputs that does not fit.
var ErrOutputs = errors.New("bad number of outputs")

// bytesPerPixel is 1 up to 8 bits and 2 above.
func (m Image) bytesPerPixel() int {
	if m.BitDepth <= 8 {
		return 1
	}
	return 2
}

// Check says whether geometry, depth and buffer fit together. It is cheap enough
// for every frame, and safe for any values.
func (m Image) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot use an image of %dx%d pixels: %s: %w", m.Width, m.Height, fmt.Sprintf(format, args...), ErrImage)
	}
	if m.BitDepth < 8 || m.BitDepth > 16 {
		return fail("bit depth %d is not 8 to 16", m.BitDepth)
	}
	bpp := m.bytesPerPixel()
	switch {
	case m.Width < 1 || m.Height < 1:
		return fail("both sides must be positive")
	// By division, since the products of hostile numbers overflow.
	case m.Width > len(m.Pix)/bpp || (m.Height > 1 && m.Stride > 0 && (len(m.Pix)-m.Width*bpp)/m.Stride < m.Height-1):
		return fail("%d bytes are too few for rows %d bytes apart", len(m.Pix), m.Stride)
	case m.Stride < m.Width*bpp:
		return fail("rows are %d bytes apart and %d long", m.Stride, m.Width*bpp)
	}
	return nil
}

// fits says whether the image is sound and of the given size, and dst of the given
// length.
func (m Image) fits(width, height, dst, outputs int) error {
	if dst != outputs {
		return fmt.Errorf("cannot demodulate %d outputs into %d values; the two must be equal: %w", outputs, dst, ErrOutputs)
	}
	if m.Width != width || m.Height != height {
		return fmt.Errorf("cannot use an image of %dx%d pixels: the demodulator was made for %dx%d: %w",
			m.Width, m.Height, width, height, ErrImage)
	}
	return m.Check()
}

// row writes the counts of row v into dst, which has Width elements.
func (m Image) row(dst []float64, v int) {
	line := m.Pix[v*m.Stride:]
	if m.bytesPerPixel() == 1 {
		for u := range dst {
			dst[u] = float64(line[u])
		}
		return
	}
	for u := range dst {
		dst[u] = float64(int(line[2*u]) | int(line[2*u+1])<<8)
	}
}
