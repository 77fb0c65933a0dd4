package genicam

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

var packed = []Format{Mono10p, Mono12p, Mono14p, Mono10Packed, Mono12Packed}

// unpackSlowly is Unpack, a bit at a time, from the definition of each format: it says where
// in the stream bit b of pixel i is.
func unpackSlowly(f Format, src []byte, n int) []byte {
	dst := make([]byte, 2*n)
	for i := range n {
		value := uint16(0)
		for b := range f.BitDepth() {
			at := i*f.BitDepth() + b // of p formats
			if f == Mono10Packed || f == Mono12Packed {
				lesser := f.BitDepth() - 8
				pair := i / 2 * 24
				switch {
				case b < lesser: // in the middle byte
					at = pair + 8 + i%2*4 + b
				default: // in the first or the last
					at = pair + i%2*16 + b - lesser
				}
			}
			value |= uint16(src[at/8]>>(at%8)&1) << b
		}
		binary.LittleEndian.PutUint16(dst[2*i:], value)
	}
	return dst
}

func TestUnpack(t *testing.T) {
	// Two pixels, 0xABC and 0x123.
	for f, src := range map[Format][]byte{Mono12p: {0xBC, 0x3A, 0x12}, Mono12Packed: {0xAB, 0x3C, 0x12}} {
		var dst [4]byte
		f.Unpack(dst[:], src)
		if dst != [4]byte{0xBC, 0x0A, 0x23, 0x01} {
			t.Errorf("%v: % x became % x", f, src, dst)
		}
	}
	random := rand.New(rand.NewPCG(2, 7))
	for _, f := range packed {
		for n := range 50 {
			src := make([]byte, f.Size(n))
			for i := range src {
				src[i] = byte(random.Uint32())
			}
			dst := make([]byte, 2*n)
			f.Unpack(dst, src)
			if want := unpackSlowly(f, src, n); !bytes.Equal(dst, want) {
				t.Fatalf("%v, %d pixels: % x became % x, want % x", f, n, src, dst, want)
			}
		}
	}
}

func TestFormats(t *testing.T) {
	for f, x := range formats {
		if f.BitDepth() < 8 || f.bits() < f.BitDepth() || fmt.Sprint(f) != x.name {
			t.Errorf("%v has %d bits of %d", f, f.BitDepth(), f.bits())
		}
		if f.Packed() != (f.bits() != 8 && f.bits() != 16) {
			t.Errorf("%v is packed: %t", f, f.Packed())
		}
	}
	for f, want := range map[Format]int{Mono8: 5, Mono12: 10, Mono10p: 7, Mono12p: 8, Mono12Packed: 8, Mono14p: 9} {
		if got := f.Size(5); got != want {
			t.Errorf("5 pixels of %v take %d bytes, want %d", f, got, want)
		}
	}
	if f := Format(0x02180014); f.BitDepth() != 0 || f.String() != "pixel format 0x02180014" {
		t.Errorf("an unknown format is %v with %d bits", f, f.BitDepth())
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(uint8(0), []byte{1, 2, 3, 4, 5, 6, 7})
	f.Fuzz(func(t *testing.T, which uint8, src []byte) {
		f := packed[int(which)%len(packed)]
		n := len(src) * 8 / f.bits()
		dst := make([]byte, 2*n)
		f.Unpack(dst, src)
		if want := unpackSlowly(f, src, n); !bytes.Equal(dst, want) {
			t.Errorf("%v: % x became % x, want % x", f, src, dst, want)
		}
	})
}

// How fast frames are unpacked, over copying what they become.
func BenchmarkUnpack(b *testing.B) {
	const pixels = 1 << 20
	dst, other := make([]byte, 2*pixels), make([]byte, 2*pixels)
	for _, f := range packed {
		src := make([]byte, f.Size(pixels))
		b.Run(f.String(), func(b *testing.B) {
			for b.Loop() {
				f.Unpack(dst, src)
			}
			unpacking := b.Elapsed().Seconds() / float64(b.N)
			began := time.Now()
			for range b.N {
				copy(other, dst)
			}
			copying := time.Since(began).Seconds() / float64(b.N)
			b.ReportMetric(pixels/unpacking/1e6, "Mpx/s")
			b.ReportMetric(unpacking/copying, "of-copying")
		})
	}
}
