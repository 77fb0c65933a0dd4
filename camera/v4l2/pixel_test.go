package v4l2

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// bits reads or writes single bits of a row, as slowly and plainly as can be. at gives the place
// of bit b of pixel i: the byte, and the bit in it.
type bits func(i, b int) (int, int)

// Where the kernel's documentation puts each bit of a pixel, b = 0 the lowest.
var places = map[string]bits{
	"GREY":   func(i, b int) (int, int) { return i, b },
	"Y10":    func(i, b int) (int, int) { return 2*i + b/8, b % 8 },
	"Y12":    func(i, b int) (int, int) { return 2*i + b/8, b % 8 },
	"Y14":    func(i, b int) (int, int) { return 2*i + b/8, b % 8 },
	"Y16":    func(i, b int) (int, int) { return 2*i + b/8, b % 8 },
	"Y16-BE": func(i, b int) (int, int) { return 2*i + 1 - b/8, b % 8 },
	"Y10P": func(i, b int) (int, int) {
		if b >= 2 {
			return i/4*5 + i%4, b - 2
		}
		return i/4*5 + 4, 2*(i%4) + b
	},
	"Y12P": func(i, b int) (int, int) {
		if b >= 4 {
			return i/2*3 + i%2, b - 4
		}
		return i/2*3 + 2, 4*(i%2) + b
	},
	"Y10B": func(i, b int) (int, int) {
		at := 10*i + 9 - b // from the first, the highest of the row
		return at / 8, 7 - at%8
	},
	"ip3y": func(i, b int) (int, int) {
		at := i/25*256 + i%25*10 + b
		return at / 8, at % 8
	},
}

// pack lays a row out.
func pack(p pixelFormat, row []byte, values []uint16) {
	place, ok := places[name(p.code)]
	if !ok {
		place = places["Y16"]
		if p.depth == 8 {
			place = places["GREY"]
		}
	}
	for i, x := range values {
		for b := range p.depth {
			at, bit := place(i, b)
			row[at] = row[at]&^(1<<bit) | byte(x>>b&1)<<bit
		}
	}
}

// unpackPlainly is the oracle: bit by bit.
func unpackPlainly(p pixelFormat, row []byte, n int) []byte {
	out := make([]byte, 2*n)
	for i := range n {
		x := uint16(0)
		for b := range p.depth {
			at, bit := places[name(p.code)](i, b)
			x |= uint16(row[at]>>bit&1) << b
		}
		binary.LittleEndian.PutUint16(out[2*i:], x)
	}
	return out
}

// Examples of the kernel's documentation, by hand.
func TestUnpackByHand(t *testing.T) {
	for code, c := range map[string]struct {
		row  []byte
		want []uint16
	}{
		"Y10P":   {[]byte{0xff, 0x00, 0x80, 0x01, 0b11_10_01_00}, []uint16{0x3fc, 0x001, 0x202, 0x007}},
		"Y12P":   {[]byte{0xab, 0xcd, 0xfe}, []uint16{0xabe, 0xcdf}},
		"Y10B":   {[]byte{0xff, 0xc0, 0x00, 0x04, 0x01}, []uint16{0x3ff, 0x000, 0x001, 0x001}},
		"ip3y":   {append([]byte{0xff, 0x03, 0x04}, make([]byte, 29)...), []uint16{0x3ff, 0x100}},
		"Y16-BE": {[]byte{0x12, 0x34}, []uint16{0x1234}},
	} {
		p := formatOf(t, code)
		got := make([]byte, 2*len(c.want))
		p.unpack(got, c.row)
		for i, want := range c.want {
			if x := binary.LittleEndian.Uint16(got[2*i:]); x != want {
				t.Errorf("%s: pixel %d is %#x, want %#x", code, i, x, want)
			}
		}
	}
}

func formatOf(t testing.TB, code string) pixelFormat {
	t.Helper()
	i := slices.IndexFunc(pixelFormats, func(p pixelFormat) bool { return name(p.code) == code })
	if i < 0 {
		t.Fatalf("there is no format %s", code)
	}
	return pixelFormats[i]
}

func packed() (all []pixelFormat) {
	for _, p := range pixelFormats {
		if p.unpack != nil {
			all = append(all, p)
		}
	}
	return all
}

// Rows of all lengths are what the oracle says, and need no byte beyond their own.
func TestUnpack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, p := range packed() {
		for n := 1; n < 120; n++ {
			row := make([]byte, p.size(n))
			for i := range row {
				row[i] = byte(random.Uint32())
			}
			got := make([]byte, 2*n)
			p.unpack(got, slices.Clip(row))
			if !bytes.Equal(got, unpackPlainly(p, row, n)) {
				t.Fatalf("%s: %d pixels differ from the oracle", name(p.code), n)
			}
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(uint8(0), []byte{1, 2, 3, 4, 5})
	f.Add(uint8(3), bytes.Repeat([]byte{0xa5}, 64))
	f.Fuzz(func(t *testing.T, which uint8, row []byte) {
		all := packed()
		p := all[int(which)%len(all)]
		n := 0
		for n < 1<<12 && p.size(n+1) <= len(row) {
			n++
		}
		got := make([]byte, 2*n)
		p.unpack(got, row)
		if !bytes.Equal(got, unpackPlainly(p, row, n)) {
			t.Errorf("%s: %d pixels differ from the oracle", name(p.code), n)
		}
	})
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		code uint32
		want string
	}{{0x59455247, "GREY"}, {0x20303159, "Y10"}, {0xa0363159, "Y16-BE"}, {0x42303159, "Y10B"}, {0x50303159, "Y10P"}, {0x79337069, "ip3y"}, {0x31384142, "BA81"}, {1, "????"}} {
		if got := name(c.code); got != c.want {
			t.Errorf("%#x is called %q, want %q", c.code, got, c.want)
		}
	}
	seen := map[uint32]bool{}
	for _, p := range pixelFormats {
		if seen[p.code] || p.depth < 8 || p.depth > 16 {
			t.Errorf("%s is listed twice, or has %d bits", name(p.code), p.depth)
		}
		seen[p.code] = true
	}
}

func BenchmarkUnpack(b *testing.B) {
	const width, height = 1280, 1024
	for _, p := range packed() {
		b.Run(name(p.code), func(b *testing.B) {
			src, dst := make([]byte, height*p.size(width)), make([]byte, height*2*width)
			for b.Loop() {
				for v := range height {
					p.unpack(dst[v*2*width:][:2*width], src[v*p.size(width):][:p.size(width)])
				}
			}
			perFrame := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(1/perFrame, "frames/s")
			b.ReportMetric(width*height/perFrame/1e6, "Mpx/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}
