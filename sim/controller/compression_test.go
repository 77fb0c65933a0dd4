package controller

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/slm"
)

// encoded is an image with a header, its data typed in hexadecimal.
func encoded(t testing.TB, g slm.Geometry, compression byte, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "", "+", "", "\n", "", "\t", "").Replace(text))
	if err != nil {
		t.Fatal(err)
	}
	return append(imageHeader(g, compression), data...)
}

// imageHeader is typed from the reference.
func imageHeader(g slm.Geometry, compression byte) []byte {
	header := make([]byte, 48)
	copy(header, []byte{0x53, 0x70, 0x6c, 0x64, byte(g.Width), byte(g.Width >> 8), byte(g.Height), byte(g.Height >> 8)})
	copy(header[12:], bytes.Repeat([]byte{0xff}, 8))
	header[24], header[25], header[26], header[29] = 1, compression, 1, 1
	return header
}

// words are the pixel words of decoded planes, row by row.
func words(p *planes) [][]uint32 {
	g := p[0].Geometry()
	rows := make([][]uint32, g.Height)
	for v := range rows {
		rows[v] = make([]uint32, g.Width)
		for u := range rows[v] {
			for k, plane := range p {
				if plane.On(u, v) {
					rows[v][u] |= 1 << k
				}
			}
		}
	}
	return rows
}

// The reference's example of 8x3 pixels.
var (
	exampleSize = slm.Geometry{Width: 8, Height: 3}
	example     = [][]uint32{
		{1, 1, 1, 0x100, 0x200, 0x400, 0x030201, 0x030201},
		{1, 1, 1, 0x100, 0x200, 0, 0, 0},
		{0x800000, 0x800000, 0x800000, 0x800000, 0x800000, 0x800000, 0x800000, 0x800000},
	}
	exampleData = map[byte]string{
		0: "000001 000001 000001 000100 000200 000400 030201 030201" + strings.Repeat("00", 8) +
			"000001 000001 000001 000100 000200 000000 000000 000000" + strings.Repeat("00", 8) +
			strings.Repeat("800000", 8) + strings.Repeat("00", 8),
		1: "03 000001 | 00 03 000100 000200 000400 | 02 030201 | 00 00 + 000000 | 03 000001 | 00 02 000100 000200 | 03 000000 | 00 00 + 0000 |" +
			"08 800000 | 00 01" + strings.Repeat("00", 14),
		2: "03 000001 | 00 03 000100 000200 000400 | 02 030201 | 00 01 05 | 03 000000 | 08 800000 | 00 01 00",
	}
)

func TestExampleImages(t *testing.T) {
	for compression, size := range map[byte]int{0: 96, 1: 64, 2: 33} {
		data := encoded(t, exampleSize, compression, exampleData[compression])
		if len(data) != 48+size {
			t.Fatalf("compression %d has %d bytes, the reference %d", compression, len(data)-48, size)
		}
		got, refused := decodeImage(data, exampleSize)
		if refused != noError {
			t.Fatalf("compression %d is refused with %d", compression, refused)
		}
		for v, row := range words(got) {
			for u, x := range row {
				if x != example[v][u] {
					t.Errorf("compression %d: pixel (%d, %d) is %#x, want %#x", compression, u, v, x, example[v][u])
				}
			}
		}
		for n := range len(data) {
			// Padding may be missing, and the raw rows' is part of them.
			if compression == 1 && n >= 48+50 {
				break
			}
			if _, refused := decodeImage(data[:n], exampleSize); refused == noError {
				t.Errorf("compression %d: %d of %d bytes pass for an image", compression, n, len(data))
			}
		}
	}
}

// The reference's example of long runs, and the guide's optional ends of lines.
func TestLongRuns(t *testing.T) {
	g := slm.Geometry{Width: 600, Height: 2}
	literal := strings.Repeat("000010 000020", 65)
	for _, text := range []string{
		"AC 02 000001 | 00 82 01" + literal + "AA 01 000000 | 00 01 D8 04 | 00 01 00",
		"AC 02 000001 | 00 82 01" + literal + "AA 01 000000 | 00 00 | 00 01 D8 04 | 00 00 | 00 01 00",
	} {
		data := encoded(t, g, 2, text)
		got, refused := decodeImage(data, g)
		if refused != noError {
			t.Fatalf("refused with %d", refused)
		}
		for v, row := range words(got) {
			for u, x := range row {
				want := uint32(0)
				switch {
				case u < 300:
					want = 1
				case u < 430:
					want = []uint32{0x10, 0x20}[u%2]
				}
				if x != want {
					t.Fatalf("pixel (%d, %d) is %#x, want %#x", u, v, x, want)
				}
			}
		}
	}
	if n, _, ok := count([]byte{0xB4, 0x24}, 0); n != 0x1234 || !ok {
		t.Errorf("B4 24 is %#x", n)
	}
	if g := (slm.Geometry{Width: 300, Height: 1}); true { // a run beyond 255 is split
		if _, refused := decodeImage(encoded(t, g, 1, "FF 000001 2D 000001 00 01"), g); refused != noError {
			t.Errorf("a split run is refused with %d", refused)
		}
	}
}

func TestBadImages(t *testing.T) {
	g := exampleSize
	for name, c := range map[string]struct {
		compression byte
		text        string
	}{
		"a run across the end of a row":     {2, "09 000001"},
		"a literal across the end":          {2, "07 000001 | 00 02 000001 000001"},
		"a copy in the first row":           {2, "00 01 08"},
		"an end within a row":               {2, "03 000001 00 00"},
		"an end of image too early":         {2, "08 000001 08 000001 00 01 00"},
		"a row too many":                    {2, "08 000001 08 000001 08 000001 08 000001 00 01 00"},
		"no end of image":                   {2, "08 000001 08 000001 08 000001"},
		"no end of line":                    {1, "08 000001 08 000001 08 000001 00 01"},
		"two ends of line":                  {1, "08 000001 0000 0000 0000 0000 08 000001 0000 0000 08 000001 00 01"},
		"an end of line after the last":     {1, "08 000001 0000 0000 08 000001 0000 0000 08 000001 0000 0000 00 01"},
		"a run of plain RLE across":         {1, "09 000001"},
		"a compression that does not exist": {3, "00 01 00"},
	} {
		if _, refused := decodeImage(encoded(t, g, c.compression, c.text), g); refused != badCompression {
			t.Errorf("%s: %d, want %d", name, refused, badCompression)
		}
	}
	good := encoded(t, g, 2, exampleData[2])
	for _, at := range []int{0, 4, 6, 12, 24, 26} {
		bad := bytes.Clone(good)
		bad[at] += 2
		if _, refused := decodeImage(bad, g); refused != invalidParameter {
			t.Errorf("byte %d of the header changed: %d, want %d", at, refused, invalidParameter)
		}
	}
	binary.LittleEndian.PutUint32(good[8:], 1) // programs fill in their own idea of the size
	if _, refused := decodeImage(good, g); refused != noError {
		t.Errorf("another byte count in the header: %d", refused)
	}
}

// plainEncode is a simple encoder, as an oracle: units of random lengths.
func plainEncode(random *rand.Rand, image [][]uint32, compression byte) []byte {
	var out []byte
	put := func(x uint32) { out = append(out, byte(x>>16), byte(x>>8), byte(x)) }
	number := func(n int) {
		if compression == 2 && n >= 128 {
			out = append(out, byte(n)|0x80, byte(n>>7))
		} else {
			out = append(out, byte(n))
		}
	}
	for v, row := range image {
		for u := 0; u < len(row); {
			run := 1
			for u+run < len(row) && row[u+run] == row[u] && run < 255 {
				run++
			}
			same := 0
			for compression == 2 && v > 0 && u+same < len(row) && row[u+same] == image[v-1][u+same] {
				same++
			}
			n := 1 + random.IntN(min(200, len(row)-u))
			switch choice := random.IntN(3); {
			case choice == 0 && same > 0:
				out = append(out, 0, 1)
				number(same)
				u += same
			case choice == 1 && n >= 2:
				out = append(out, 0)
				number(n)
				for ; n > 0; n-- {
					put(row[u])
					u++
				}
			default:
				number(run)
				put(row[u])
				u += run
			}
		}
		switch {
		case compression == 1 && v < len(image)-1:
			out = append(out, 0, 0)
			for len(out)%4 != 0 {
				out = append(out, 0)
			}
		case compression == 2 && random.IntN(2) == 0:
			out = append(out, 0, 0)
		}
	}
	if compression == 2 {
		return append(out, 0, 1, 0)
	}
	return append(out, 0, 1)
}

func TestDecodersAgainstPlainEncoder(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	for range 300 {
		g := slm.Geometry{Width: 1 + random.IntN(300), Height: 1 + random.IntN(6)}
		image := make([][]uint32, g.Height)
		variety := 1 + random.IntN(40)
		for v := range image {
			image[v] = make([]uint32, g.Width)
			for u := range image[v] {
				switch {
				case random.IntN(variety) > 0 && u > 0:
					image[v][u] = image[v][u-1]
				case random.IntN(2) == 0 && v > 0:
					image[v][u] = image[v-1][u]
				default:
					image[v][u] = random.Uint32N(1 << 24)
				}
			}
		}
		for compression := byte(1); compression <= 2; compression++ {
			data := append(imageHeader(g, compression), plainEncode(random, image, compression)...)
			got, refused := decodeImage(data, g)
			if refused != noError {
				t.Fatalf("%v, compression %d: refused with %d: % x", g, compression, refused, data[48:])
			}
			for v, row := range words(got) {
				for u, x := range row {
					if x != image[v][u] {
						t.Fatalf("%v, compression %d: pixel (%d, %d) is %#x, want %#x", g, compression, u, v, x, image[v][u])
					}
				}
			}
		}
	}
}

// FuzzDecodeImage looks for bytes on which a decoder panics, never ends, or keeps more
// or fewer rows than there are.
func FuzzDecodeImage(f *testing.F) {
	for compression, text := range exampleData {
		f.Add(encoded(f, exampleSize, compression, text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 25 {
			data[25] %= 3
		}
		p, refused := decodeImage(data, exampleSize)
		if (p == nil) == (refused == noError) {
			t.Fatalf("code %d with an image: %t", refused, p != nil)
		}
	})
}
