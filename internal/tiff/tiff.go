// Package tiff writes gray pictures of 8 or 16 bits, several in one file, as other
// programs read them: TIFF 6.0 (Adobe, 1992), little-endian, uncompressed, one strip a
// page.
//
//	w, err := tiff.NewWriter(out, tiff.Header{Pages: 3, Width: 640, Height: 480, Bits: 12})
//	err = w.Write(pix, stride) // three times
//	err = w.Close()
package tiff

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrInput is wrapped by the errors about pictures that cannot be written.
var ErrInput = errors.New("bad picture")

// Header says what is in a file.
type Header struct {
	Pages         int
	Width, Height int // pixels
	// Bits are the significant ones of a pixel, 8 to 16, right-justified. Up to 8 a pixel is
	// one byte, else two, little-endian.
	Bits int
}

// Writer writes a file page by page. It is not safe for concurrent use.
type Writer struct {
	w    io.Writer
	h    Header
	done int
	page []byte // directory of a page, with room for what does not fit its entries
}

// The tags of a page, in their order, as the standard numbers them.
const (
	imageWidth      = 256
	imageLength     = 257
	bitsPerSample   = 258
	compression     = 259
	photometric     = 262
	stripOffsets    = 273
	samplesPerPixel = 277
	rowsPerStrip    = 278
	stripByteCounts = 279
	maxSampleValue  = 281
	xResolution     = 282
	yResolution     = 283
	resolutionUnit  = 296
)

const (
	entries    = 13
	headerSize = 8
	pageSize   = 2 + 12*entries + 4 + 8 // the directory and one fraction
)

// NewWriter writes the head of a file; the pages follow through Write, then Close.
// Offsets of the format have 32 bits, so files of 4 GiB and more are refused.
func NewWriter(w io.Writer, h Header) (*Writer, error) {
	switch {
	case h.Pages < 1 || h.Width < 1 || h.Height < 1 || h.Width > 1<<15 || h.Height > 1<<15 || h.Bits < 8 || h.Bits > 16:
		return nil, fmt.Errorf("cannot write %d pictures of %dx%d pixels with %d bits: at least one is needed, with sides of 1 to 32768 and 8 to 16 bits: %w",
			h.Pages, h.Width, h.Height, h.Bits, ErrInput)
	case h.Pages > (math.MaxUint32-headerSize)/h.pages(1):
		return nil, fmt.Errorf("cannot write %d pictures of %dx%d pixels to one TIFF file: it ends at 4 GiB; write fewer, or another format: %w", h.Pages, h.Width, h.Height, ErrInput)
	}
	head := append([]byte("II"), 42, 0)
	head = binary.LittleEndian.AppendUint32(head, headerSize)
	if _, err := w.Write(head); err != nil {
		return nil, fmt.Errorf("cannot write the pictures: %w", err)
	}
	return &Writer{w: w, h: h}, nil
}

func (h Header) bytesPerPixel() int { return (h.Bits + 7) / 8 }

// pixels is the size of a page's pixels, padded so that directories begin at even places.
func (h Header) pixels() int { return (h.Width*h.Height*h.bytesPerPixel() + 1) / 2 * 2 }

func (h Header) pages(n int) int { return n * (pageSize + h.pixels()) }

// Write appends a page: rows of pixels, stride bytes apart.
func (w *Writer) Write(pix []byte, stride int) error {
	h := w.h
	row := h.Width * h.bytesPerPixel()
	switch {
	case w.done == h.Pages:
		return fmt.Errorf("cannot write picture %d: %d were announced: %w", w.done, h.Pages, ErrInput)
	case stride < row || stride > len(pix) && h.Height > 1 || len(pix) < (h.Height-1)*stride+row:
		return fmt.Errorf("cannot write picture %d: %d bytes in rows of %d are not %dx%d pixels: %w", w.done, len(pix), stride, h.Width, h.Height, ErrInput)
	}
	if _, err := w.w.Write(w.directory()); err != nil {
		return fmt.Errorf("cannot write the pictures: %w", err)
	}
	for v := range h.Height {
		if _, err := w.w.Write(pix[v*stride:][:row]); err != nil {
			return fmt.Errorf("cannot write the pictures: %w", err)
		}
	}
	if h.Height*row%2 != 0 {
		if _, err := w.w.Write([]byte{0}); err != nil {
			return fmt.Errorf("cannot write the pictures: %w", err)
		}
	}
	w.done++
	return nil
}

// directory is what stands before the pixels of the next page.
func (w *Writer) directory() []byte {
	h := w.h
	begin := uint32(headerSize + h.pages(w.done))
	fraction := begin + pageSize - 8
	const short, long, rational = 3, 4, 5
	b := binary.LittleEndian.AppendUint16(w.page[:0], entries)
	entry := func(tag, kind uint16, value uint32) {
		b = binary.LittleEndian.AppendUint16(b, tag)
		b = binary.LittleEndian.AppendUint16(b, kind)
		b = binary.LittleEndian.AppendUint32(b, 1)
		b = binary.LittleEndian.AppendUint32(b, value) // a short lies in its lower half
	}
	entry(imageWidth, long, uint32(h.Width))
	entry(imageLength, long, uint32(h.Height))
	entry(bitsPerSample, short, uint32(8*h.bytesPerPixel()))
	entry(compression, short, 1) // none
	entry(photometric, short, 1) // 0 is black
	entry(stripOffsets, long, begin+pageSize)
	entry(samplesPerPixel, short, 1)
	entry(rowsPerStrip, long, uint32(h.Height))
	entry(stripByteCounts, long, uint32(h.Width*h.Height*h.bytesPerPixel()))
	entry(maxSampleValue, short, 1<<h.Bits-1)
	entry(xResolution, rational, fraction)
	entry(yResolution, rational, fraction)
	entry(resolutionUnit, short, 1) // none
	next := uint32(0)
	if w.done+1 < h.Pages {
		next = uint32(headerSize + h.pages(w.done+1))
	}
	b = binary.LittleEndian.AppendUint32(b, next)
	b = binary.LittleEndian.AppendUint32(b, 1)
	w.page = binary.LittleEndian.AppendUint32(b, 1)
	return w.page
}

// Close checks that all pages were written. It does not close the underlying writer.
func (w *Writer) Close() error {
	if w.done != w.h.Pages {
		return fmt.Errorf("cannot finish the file: %d of %d pictures were written", w.done, w.h.Pages)
	}
	return nil
}
