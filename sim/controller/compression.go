package controller

import "github.com/light-in-the-loop/opu/slm"

// Decompression (manual, on run-length encoding). What is cut short, crosses the end
// of a row or has no end is refused, and nothing is read beyond the data.

const (
	rowAlignment = 16 // bytes, of uncompressed rows
	lineEndAlign = 4  // bytes from the start of the data, of the first unit after a line's end
	pixelSize    = 3
)

// rawSize is the size of an uncompressed image.
func rawSize(g slm.Geometry) int { return rowSize(g) * g.Height }

func rowSize(g slm.Geometry) int {
	return (pixelSize*g.Width + rowAlignment - 1) / rowAlignment * rowAlignment
}

// raw takes rows that are padded.
func (r *rows) raw(data []byte) bool {
	size := rowSize(r.geometry)
	if len(data) < size*r.geometry.Height {
		return false
	}
	for !r.full() {
		r.literal(data[:pixelSize*r.geometry.Width])
		data = data[size:]
	}
	return true
}

// rle: n pixel = repeat; 0 n pixels = literal (n >= 2); 0 0 = end of line, after which zeros
// pad to four bytes; 0 1 = end of image.
func (r *rows) rle(data []byte) bool {
	lineEnded := true // or within a line: one end of line stands between rows, no more
	for at := 0; at+1 < len(data); {
		n, c := int(data[at]), int(data[at+1])
		switch {
		case n > 0:
			if !lineEnded || !r.room(n) || at+1+pixelSize > len(data) {
				return false
			}
			r.repeat(n, pixel(data[at+1:]))
			at += 1 + pixelSize
		case c >= 2:
			at += 2
			if !lineEnded || !r.room(c) || at+pixelSize*c > len(data) {
				return false
			}
			r.literal(data[at : at+pixelSize*c])
			at += pixelSize * c
		case c == 0:
			if lineEnded || r.full() {
				return false
			}
			at = (at + 2 + lineEndAlign - 1) / lineEndAlign * lineEndAlign
			lineEnded = true
			continue
		default:
			return r.full()
		}
		lineEnded = len(r.row) > 0
	}
	return false
}

// count is a number of enhanced run-length encoding: below 128 one byte, else its low seven bits,
// marked, and the rest. at is where the next byte stands; ok is false if data end first.
func count(data []byte, at int) (n, next int, ok bool) {
	if at >= len(data) {
		return 0, at, false
	}
	n = int(data[at])
	if n < 0x80 {
		return n, at + 1, true
	}
	if at+1 >= len(data) {
		return 0, at, false
	}
	return n&0x7f | int(data[at+1])<<7, at + 2, true
}

// enhancedRLE: n pixel = repeat; 0 n pixels = literal (n >= 2); 0 1 n = as the same columns of the
// row before; 0 0 = end of line, which may be missing; 0 1 0 = end of image.
func (r *rows) enhancedRLE(data []byte) bool {
	at := 0
	for {
		n, next, ok := count(data, at)
		at = next
		if !ok {
			return false
		}
		if n > 0 {
			if !r.room(n) || at+pixelSize > len(data) {
				return false
			}
			r.repeat(n, pixel(data[at:]))
			at += pixelSize
			continue
		}
		n, at, ok = count(data, at)
		switch {
		case !ok:
			return false
		case n == 0:
			if len(r.row) > 0 {
				return false
			}
		case n == 1:
			n, at, ok = count(data, at)
			switch {
			case ok && n == 0:
				return r.full()
			case !ok, !r.room(n), r.v == 0:
				return false
			}
			r.copy(n)
		default:
			if !r.room(n) || at+pixelSize*n > len(data) {
				return false
			}
			r.literal(data[at : at+pixelSize*n])
			at += pixelSize * n
		}
	}
}
