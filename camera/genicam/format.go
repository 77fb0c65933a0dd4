package genicam

import (
	"encoding/binary"
	"fmt"
)

// Format is a pixel format, by its code of 32 bits in the PFNC.
type Format uint32

// The monochrome formats. Those without p or Packed have two bytes for a pixel, the lesser
// one first; p are streams of bits, those of least significance first; Packed, of GigE
// Vision alone, have two pixels in three bytes, with the lesser bits of both in the middle
// one.
const (
	Mono8        Format = 0x01080001
	Mono10       Format = 0x01100003
	Mono10Packed Format = 0x010C0004
	Mono12       Format = 0x01100005
	Mono12Packed Format = 0x010C0006
	Mono16       Format = 0x01100007
	Mono14       Format = 0x01100025
	Mono10p      Format = 0x010A0046
	Mono12p      Format = 0x010C0047
	Mono14p      Format = 0x010E0104
)

// formats has what is known of each.
var formats = map[Format]struct {
	name  string
	depth int
}{
	Mono8: {"Mono8", 8}, Mono10: {"Mono10", 10}, Mono12: {"Mono12", 12}, Mono14: {"Mono14", 14}, Mono16: {"Mono16", 16},
	Mono10Packed: {"Mono10Packed", 10}, Mono12Packed: {"Mono12Packed", 12},
	Mono10p: {"Mono10p", 10}, Mono12p: {"Mono12p", 12}, Mono14p: {"Mono14p", 14},
}

func (f Format) String() string {
	if x, ok := formats[f]; ok {
		return x.name
	}
	return fmt.Sprintf("pixel format %#08x", uint32(f))
}

// BitDepth is the number of significant bits; 0 for a format that is not known here.
func (f Format) BitDepth() int { return formats[f].depth }

// bits is how many a pixel takes.
func (f Format) bits() int { return int(f >> 16 & 0xff) }

// Packed says whether pixels share bytes, so that frames must be unpacked.
func (f Format) Packed() bool { return f.bits()%8 != 0 || f == Mono10Packed || f == Mono12Packed }

// Size is how many bytes so many pixels take, each a camera.MaxSide squared at most.
func (f Format) Size(pixels int) int { return (pixels*f.bits() + 7) / 8 }

// Unpack writes the pixels of a packed format to dst, two bytes for each, the lesser one
// first. It writes as many as dst has room for; src must have them (Size). It allocates
// nothing. It panics for a format that is not packed.
func (f Format) Unpack(dst, src []byte) {
	n := len(dst) / 2
	src = src[:f.Size(n)]
	switch f {
	case Mono12p:
		for ; n >= 2; n -= 2 {
			x := uint32(src[0]) | uint32(src[1])<<8 | uint32(src[2])<<16
			binary.LittleEndian.PutUint32(dst, x&0xfff|x>>12<<16)
			src, dst = src[3:], dst[4:]
		}
		unpackStream(dst, src, n, 12)
	case Mono10p:
		for ; n >= 4; n -= 4 {
			x := uint64(binary.LittleEndian.Uint32(src)) | uint64(src[4])<<32
			binary.LittleEndian.PutUint64(dst, x&0x3ff|x>>10&0x3ff<<16|x>>20&0x3ff<<32|x>>30<<48)
			src, dst = src[5:], dst[8:]
		}
		unpackStream(dst, src, n, 10)
	case Mono14p:
		unpackStream(dst, src, n, 14)
	case Mono12Packed:
		unpackPairs(dst, src, n, 4)
	case Mono10Packed:
		unpackPairs(dst, src, n, 2)
	default:
		panic(fmt.Sprintf("genicam: %v is not packed", f))
	}
}

// unpackStream takes n pixels from a stream of bits.
func unpackStream(dst, src []byte, n int, bits uint) {
	var x uint32 // what is left of the bytes read
	var have uint
	for i := range n {
		for have < bits {
			x |= uint32(src[0]) << have
			src = src[1:]
			have += 8
		}
		binary.LittleEndian.PutUint16(dst[2*i:], uint16(x&(1<<bits-1)))
		x >>= bits
		have -= bits
	}
}

// unpackPairs takes n pixels, of which each byte between two has so many lesser bits of
// both: the first one's from bit 0, the second one's from bit 4.
func unpackPairs(dst, src []byte, n int, lesser uint) {
	mask := uint16(1)<<lesser - 1
	for ; n >= 2; n -= 2 {
		shared := uint16(src[1])
		binary.LittleEndian.PutUint16(dst, uint16(src[0])<<lesser|shared&mask)
		binary.LittleEndian.PutUint16(dst[2:], uint16(src[2])<<lesser|shared>>4&mask)
		src, dst = src[3:], dst[4:]
	}
	if n == 1 {
		binary.LittleEndian.PutUint16(dst, uint16(src[0])<<lesser|uint16(src[1])&mask)
	}
}
