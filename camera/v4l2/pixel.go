package v4l2

import "encoding/binary"

// pixelFormat is a way in which a driver lays out grey pixels.
type pixelFormat struct {
	code  uint32
	depth int
	bayer bool // of a colour filter, whose counts are taken as they are

	// What the driver's rows must be turned into for camera.Frame; nil: nothing, the frame's
	// pixels are the driver's own buffer. src has at least size(len(dst)/2) bytes.
	unpack func(dst, src []byte)
	size   func(pixels int) int // bytes of a row
}

// code is a format by its four letters.
func code(s string) uint32 {
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}

const bigEndian = 1 << 31 // of a code

// name is how people know a code: trailing spaces are part of it, and not shown.
func name(code uint32) string {
	b := binary.LittleEndian.AppendUint32(nil, code&^bigEndian)
	for len(b) > 0 && b[len(b)-1] == ' ' {
		b = b[:len(b)-1]
	}
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	if code&bigEndian != 0 {
		return string(b) + "-BE"
	}
	return string(b)
}

// pixelFormats are those that are understood (kernel documentation, "Luma-only formats" and
// "Raw Bayer formats"), of each depth the one that is preferred first: those that need no
// copy.
var pixelFormats = []pixelFormat{
	{code: code("GREY"), depth: 8, size: bytes1},
	{code: code("Y10 "), depth: 10, size: bytes2},
	{code: code("Y10P"), depth: 10, size: bytes10P, unpack: unpack10P},
	{code: code("Y10B"), depth: 10, size: bytes10B, unpack: unpack10B},
	{code: code("ip3y"), depth: 10, size: bytesIPU3, unpack: unpackIPU3},
	{code: code("Y12 "), depth: 12, size: bytes2},
	{code: code("Y12P"), depth: 12, size: bytes12P, unpack: unpack12P},
	{code: code("Y14 "), depth: 14, size: bytes2},
	{code: code("Y16 "), depth: 16, size: bytes2},
	{code: code("Y16 ") | bigEndian, depth: 16, size: bytes2, unpack: swap16},

	{code: code("BA81"), depth: 8, size: bytes1, bayer: true},
	{code: code("GBRG"), depth: 8, size: bytes1, bayer: true},
	{code: code("GRBG"), depth: 8, size: bytes1, bayer: true},
	{code: code("RGGB"), depth: 8, size: bytes1, bayer: true},
	{code: code("BG10"), depth: 10, size: bytes2, bayer: true},
	{code: code("GB10"), depth: 10, size: bytes2, bayer: true},
	{code: code("BA10"), depth: 10, size: bytes2, bayer: true},
	{code: code("RG10"), depth: 10, size: bytes2, bayer: true},
	{code: code("BG12"), depth: 12, size: bytes2, bayer: true},
	{code: code("GB12"), depth: 12, size: bytes2, bayer: true},
	{code: code("BA12"), depth: 12, size: bytes2, bayer: true},
	{code: code("RG12"), depth: 12, size: bytes2, bayer: true},
}

func bytes1(pixels int) int { return pixels }
func bytes2(pixels int) int { return 2 * pixels }

// Rows end with a whole group of pixels.
func bytes10P(pixels int) int  { return (pixels + 3) / 4 * 5 }
func bytes10B(pixels int) int  { return (10*pixels + 7) / 8 }
func bytes12P(pixels int) int  { return (pixels + 1) / 2 * 3 }
func bytesIPU3(pixels int) int { return (pixels + 24) / 25 * 32 }

func put(dst []byte, i int, x uint16) { binary.LittleEndian.PutUint16(dst[2*i:], x) }

// four puts pixels i to i+3 at once, each in its lane of a word.
func four(dst []byte, i int, a, b, c, d uint64) {
	binary.LittleEndian.PutUint64(dst[2*i:], a|b<<16|c<<32|d<<48)
}

// unpack10P: four bytes with the upper bits of four pixels, then one with the lower two of each,
// the first pixel's lowest.
func unpack10P(dst, src []byte) {
	n := len(dst) / 2
	i := 0
	for ; i+4 <= n; i += 4 {
		g := src[i/4*5:][:5]
		low := uint64(g[4])
		four(dst, i, uint64(g[0])<<2|low&3, uint64(g[1])<<2|low>>2&3, uint64(g[2])<<2|low>>4&3, uint64(g[3])<<2|low>>6)
	}
	for ; i < n; i++ {
		g := src[i/4*5:][:5]
		put(dst, i, uint16(g[i%4])<<2|uint16(g[4])>>(2*(i%4))&3)
	}
}

// unpack10B: a stream of bits, the highest of each pixel first.
func unpack10B(dst, src []byte) {
	n := len(dst) / 2
	i := 0
	for ; i+4 <= n; i += 4 {
		g := src[i/4*5:][:5]
		x := uint64(binary.BigEndian.Uint32(g))<<8 | uint64(g[4])
		four(dst, i, x>>30, x>>20&0x3ff, x>>10&0x3ff, x&0x3ff)
	}
	for ; i < n; i++ {
		at := 10 * i // bits
		two := uint16(src[at/8])<<8 | uint16(src[at/8+1])
		put(dst, i, two>>(6-at%8)&0x3ff)
	}
}

// unpack12P: two bytes with the upper bits of two pixels, then one with the lower four of each,
// the first pixel's lowest.
func unpack12P(dst, src []byte) {
	n := len(dst) / 2
	i := 0
	for ; i+4 <= n; i += 4 {
		g := src[i/2*3:][:6]
		low, high := uint64(g[2]), uint64(g[5])
		four(dst, i, uint64(g[0])<<4|low&0xf, uint64(g[1])<<4|low>>4, uint64(g[3])<<4|high&0xf, uint64(g[4])<<4|high>>4)
	}
	for ; i < n; i++ {
		g := src[i/2*3:][:3]
		put(dst, i, uint16(g[i%2])<<4|uint16(g[2])>>(4*(i%2))&0xf)
	}
}

// unpackIPU3: 25 pixels in 32 bytes, a stream of bits, the lowest of each pixel first. Four
// pixels are five bytes, but for the last of a group.
func unpackIPU3(dst, src []byte) {
	n := len(dst) / 2
	for i := 0; i < n; {
		if at := i % 25; at%4 == 0 && at < 24 && i+4 <= n {
			g := src[i/25*32+at/4*5:][:5]
			x := uint64(binary.LittleEndian.Uint32(g)) | uint64(g[4])<<32
			four(dst, i, x&0x3ff, x>>10&0x3ff, x>>20&0x3ff, x>>30)
			i += 4
			continue
		}
		at := i/25*32*8 + i%25*10 // bits
		two := uint16(src[at/8]) | uint16(src[at/8+1])<<8
		put(dst, i, two>>(at%8)&0x3ff)
		i++
	}
}

func swap16(dst, src []byte) {
	const low = 0x00ff00ff00ff00ff
	i := 0
	for ; i+8 <= len(dst); i += 8 {
		x := binary.LittleEndian.Uint64(src[i:])
		binary.LittleEndian.PutUint64(dst[i:], x&low<<8|x>>8&low)
	}
	for ; i < len(dst); i += 2 {
		put(dst, i/2, binary.BigEndian.Uint16(src[i:]))
	}
}
