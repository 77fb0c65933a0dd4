package dlpc900

// Both encodings cut a row into units that never cross its end (DLPU018F, pattern image
// compression; where its tables and its examples differ the examples are right, as boards show).
//
// RLE: n (1 to 255) and a pixel repeat it; 0, c (2 to 255) and c pixels are these; 0 0 ends a
// row, padded to 4 bytes; 0 1 ends the image, padded to 16.
//
// Enhanced RLE: n and a pixel repeat it; 0, n (above 1) and n pixels are these; 0 1 n repeats n
// columns of the row above; 0 1 0 ends the image. Counts from 128 on take two bytes. The end of
// a row is not marked.

// longestUnit bounds the units of RLE; those of enhanced RLE end with the row.
const longestUnit = 255

// appendUnits appends a count of enhanced RLE, up to 32767: 7 bits, then the rest.
func appendUnits(dst []byte, n int) []byte {
	if n < 128 {
		return append(dst, byte(n))
	}
	return append(dst, byte(n)|0x80, byte(n>>7))
}

// enhancedRow encodes the row: a copy of the row above where it reaches at least as far as a
// repetition, else a repetition, else pixels as they are until one of the two pays.
func (e *encoder) enhancedRow(dst []byte, above bool) []byte {
	for u := 0; u < e.width; {
		same, copied := e.repeat(u), 0
		if above {
			copied = e.copies(u)
		}
		switch {
		case copied >= same:
			dst = appendUnits(append(dst, 0, 1), copied)
			u += copied
			continue
		case same > 1:
			dst = appendPixel(appendUnits(dst, same), e.pixel(u))
			u += same
			continue
		}
		end := u + 1
		for end < e.width && e.repeat(end) == 1 && (!above || e.copies(end) < 2) {
			end++
		}
		dst = e.literal(dst, u, end, true)
		u = end
	}
	return dst
}

// runsRow encodes the row without the one above.
func (e *encoder) runsRow(dst []byte) []byte {
	for u := 0; u < e.width; {
		if same := e.repeat(u); same > 1 {
			n := min(same, longestUnit)
			dst = appendPixel(append(dst, byte(n)), e.pixel(u))
			u += n
			continue
		}
		end := u + 1
		for end < e.width && end-u < longestUnit && e.repeat(end) == 1 {
			end++
		}
		dst = e.literal(dst, u, end, false)
		u = end
	}
	return dst
}

// literal appends the pixels from u to end as they are; a single one is a repetition of 1.
func (e *encoder) literal(dst []byte, u, end int, enhanced bool) []byte {
	switch {
	case end-u == 1:
		dst = append(dst, 1)
	case enhanced:
		dst = appendUnits(append(dst, 0), end-u)
	default:
		dst = append(dst, 0, byte(end-u))
	}
	for ; u < end; u++ {
		dst = appendPixel(dst, e.pixel(u))
	}
	return dst
}
