package dlpc900

import (
	"encoding/binary"
	"math/bits"

	"github.com/light-in-the-loop/opu/slm"
)

// imageHeader is the length of the header before an image's data, in bytes (DLPU018F and J,
// pattern image header; TI's program sets the bytes 24 and 29 to 1 where the guide says 0,
// and field reports say that boards take either).
const imageHeader = 48

// compression is how an image's data are encoded.
type compression byte

const (
	raw         compression = 0
	runs        compression = 1 // RLE
	enhancedRLE compression = 2
)

// appendHeader appends an image's header: its size, background and encoding.
func appendHeader(dst []byte, width, height, data int, c compression) []byte {
	dst = append(dst, "Spld"...)
	dst = binary.LittleEndian.AppendUint16(dst, uint16(width))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(height))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(data)) // without the header
	dst = append(dst, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)
	dst = append(dst, 0, 0, 0, 0) // background
	dst = append(dst, 1, byte(c), 1, 0, 0, 1)
	return append(dst, make([]byte, imageHeader-30)...)
}

// image is up to 24 patterns in one 24-bit picture: pattern k is bit k of a pixel's word.
// The planes that are nil are off. All patterns have one geometry.
type image [planes]*slm.Pattern

// encoder encodes images for one controller; it keeps its buffers. The columns from left on
// are the controller's.
type encoder struct {
	left, width, height int

	words      int      // 64-bit words of a row
	last       uint64   // the bits of the last word that exist
	rows       []uint64 // this row and the one above, planes*words each, plane by plane
	here, over []uint64 // into rows; over is the row above
	present    []int    // the planes that are not nil
	changes    []uint64 // bit u: column u differs from column u-1
	differs    []uint64 // bit u: column u differs from the row above
	pixels     []uint32 // of this row, where known says so
	known      []bool   // by word

	best, other []byte
}

func newEncoder(left, width, height int) *encoder {
	words := (width + 63) / 64
	return &encoder{
		left: left, width: width, height: height,
		words: words, last: ^uint64(0) >> (uint(-width) % 64),
		rows:    make([]uint64, 2*planes*words),
		changes: make([]uint64, words), differs: make([]uint64, words),
		pixels: make([]uint32, 64*words), known: make([]bool, words),
	}
}

// encode returns the image with its header, in the encoding that is smallest. The bytes are
// valid until the next call.
//
// Rows are compared and cut into runs as packed bits, 64 columns at a time; pixels are put
// together only where the output needs them.
func (e *encoder) encode(im *image) []byte {
	e.present = e.present[:0]
	for k, p := range im {
		if p != nil {
			e.present = append(e.present, k)
		}
	}
	kind, limit := raw, rawSize(e.width, e.height)
	var smaller bool
	if e.best, smaller = e.compress(e.best, im, enhancedRLE, limit); smaller {
		kind, limit = enhancedRLE, len(e.best)-imageHeader
	}
	if e.other, smaller = e.compress(e.other, im, runs, limit); smaller {
		kind, e.best, e.other = runs, e.other, e.best
	}
	if kind == raw {
		e.best = e.raw(e.best, im)
	}
	appendHeader(e.best[:0], e.width, e.height, len(e.best)-imageHeader, kind)
	return e.best
}

// compress writes the data of an image behind room for the header. It gives up when they are
// not smaller than limit.
func (e *encoder) compress(dst []byte, im *image, c compression, limit int) (data []byte, smaller bool) {
	dst = append(dst[:0], make([]byte, imageHeader)...)
	e.here, e.over = e.rows[:len(e.rows)/2], e.rows[len(e.rows)/2:]
	clear(e.rows)
	for v := range e.height {
		e.next(im, v)
		if c == enhancedRLE {
			dst = e.enhancedRow(dst, v > 0)
		} else {
			dst = e.runsRow(dst)
			if v < e.height-1 {
				dst = pad(append(dst, 0, 0), 4)
			}
		}
		if len(dst) >= imageHeader+limit {
			return dst, false
		}
	}
	if c == enhancedRLE {
		dst = append(dst, 0, 1, 0)
	} else {
		dst = pad(append(dst, 0, 1), 16)
	}
	return dst, len(dst) < imageHeader+limit
}

// pad appends zeros until the data are a multiple of n long.
func pad(dst []byte, n int) []byte {
	for (len(dst)-imageHeader)%n != 0 {
		dst = append(dst, 0)
	}
	return dst
}

// rawSize is the length of data without compression: rows are padded to 16 bytes.
func rawSize(width, height int) int { return (3*width + 15) / 16 * 16 * height }

func (e *encoder) raw(dst []byte, im *image) []byte {
	dst = append(dst[:0], make([]byte, imageHeader)...)
	e.here, e.over = e.rows[:len(e.rows)/2], e.rows[len(e.rows)/2:]
	for v := range e.height {
		e.next(im, v)
		for u := range e.width {
			dst = appendPixel(dst, e.pixel(u))
		}
		dst = pad(dst, 16)
	}
	return dst
}

// appendPixel appends a pixel: its highest planes first.
func appendPixel(dst []byte, p uint32) []byte { return append(dst, byte(p>>16), byte(p>>8), byte(p)) }

// next goes to row v: it fetches the controller's columns of all planes, and marks where the
// row changes and where it differs from the one above.
func (e *encoder) next(im *image, v int) {
	e.here, e.over = e.over, e.here
	clear(e.changes)
	clear(e.differs)
	clear(e.known)
	word, shift := e.left/64, uint(e.left%64)
	for _, k := range e.present {
		from := im[k].Row(v)[word:]
		row := e.here[k*e.words : (k+1)*e.words]
		over := e.over[k*e.words : (k+1)*e.words]
		carry := uint64(0)
		for i := range row {
			w := from[i] >> shift
			if shift != 0 && i+1 < len(from) {
				w |= from[i+1] << (64 - shift)
			}
			if i == e.words-1 {
				w &= e.last
			}
			row[i] = w
			e.changes[i] |= w ^ (w<<1 | carry)
			e.differs[i] |= w ^ over[i]
			carry = w >> 63
		}
	}
}

// sameUntil is the first column behind u where marks has a bit, or the end of the row.
func (e *encoder) sameUntil(marks []uint64, u int) int {
	i := u / 64
	for w := marks[i] >> (u % 64) << (u % 64); ; w = marks[i] {
		if w != 0 {
			return min(64*i+bits.TrailingZeros64(w), e.width)
		}
		if i++; i == e.words {
			return e.width
		}
	}
}

// repeat is how many columns from u on are like column u.
func (e *encoder) repeat(u int) int {
	if u+1 >= e.width {
		return e.width - u
	}
	return e.sameUntil(e.changes, u+1) - u
}

// copies is how many columns from u on are like those of the row above.
func (e *encoder) copies(u int) int { return e.sameUntil(e.differs, u) - u }

// pixel is the word of column u.
func (e *encoder) pixel(u int) uint32 {
	if i := u / 64; !e.known[i] {
		e.known[i] = true
		e.transpose(i)
	}
	return e.pixels[u]
}

// transpose puts the pixels of word i together: in blocks of 8 planes by 8 columns, as bits
// of a 64-bit word.
func (e *encoder) transpose(i int) {
	out := e.pixels[64*i : 64*i+64]
	clear(out)
	for group := 0; group < planes; group += 8 {
		var w [8]uint64
		any := uint64(0)
		for k := range w {
			w[k] = e.here[(group+k)*e.words+i]
			any |= w[k]
		}
		if any == 0 {
			continue
		}
		for column := 0; column < 64; column += 8 {
			block := uint64(0)
			for k := range w {
				block |= w[k] >> column & 0xFF << (8 * k)
			}
			block = transpose8(block)
			for u := range 8 {
				out[column+u] |= uint32(block>>(8*u)&0xFF) << group
			}
		}
	}
}

// transpose8 swaps rows and columns of a matrix of 8x8 bits: bit 8i+j becomes bit 8j+i. It
// swaps the off-diagonal bits of all 2x2 blocks, then of 4x4 blocks in units of 2, then of
// the whole in units of 4.
func transpose8(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00AA00AA00AA00AA
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000CCCC0000CCCC
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000F0F0F0F0
	return x ^ t ^ t<<28
}
