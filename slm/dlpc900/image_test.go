package dlpc900

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/light-in-the-loop/opu/slm"
)

// decode is the oracle: it reads an image as DLPU018F and J describe it, pixel by pixel, and
// knows nothing of how images are encoded here.
func decode(b []byte) (pixels []uint32, width, height int, err error) {
	if len(b) < 48 || string(b[:4]) != "Spld" {
		return nil, 0, 0, fmt.Errorf("no header")
	}
	width, height = int(binary.LittleEndian.Uint16(b[4:])), int(binary.LittleEndian.Uint16(b[6:]))
	data := b[48:]
	if n := binary.LittleEndian.Uint32(b[8:]); int(n) != len(data) {
		return nil, 0, 0, fmt.Errorf("header counts %d bytes, there are %d", n, len(data))
	}
	at := 0
	next := func() int {
		if at >= len(data) {
			panic("the data end too early")
		}
		at++
		return int(data[at-1])
	}
	pixel := func() uint32 { return uint32(next())<<16 | uint32(next())<<8 | uint32(next()) }
	count := func() int {
		n := next()
		if n >= 128 {
			n = n&0x7F | next()<<7
		}
		return n
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	emit := func(n int, p uint32) {
		for range n {
			pixels = append(pixels, p)
		}
		if len(pixels) > width*height {
			panic("too many pixels")
		}
	}
	inRow := func(n int) {
		if len(pixels)%width+n > width {
			panic("a unit crosses the end of its row")
		}
	}
	switch b[25] {
	case 0:
		for range height {
			for range width {
				emit(1, pixel())
			}
			for at%16 != 0 {
				next()
			}
		}
	case 1:
		for {
			n := next()
			if n > 0 {
				inRow(n)
				emit(n, pixel())
				continue
			}
			c := next()
			switch c {
			case 0:
				if len(pixels)%width != 0 {
					panic("a row ends too early")
				}
				for at%4 != 0 {
					next()
				}
				continue
			case 1:
				for at%16 != 0 {
					next()
				}
			default:
				inRow(c)
				for range c {
					emit(1, pixel())
				}
				continue
			}
			break
		}
	case 2:
		for {
			if n := count(); n > 0 {
				inRow(n)
				emit(n, pixel())
				continue
			}
			n := count()
			switch n {
			case 0:
				panic("an end of a row")
			case 1:
				n = count()
				if n > 0 {
					inRow(n)
					for range n {
						emit(1, pixels[len(pixels)-width])
					}
					continue
				}
			default:
				inRow(n)
				for range n {
					emit(1, pixel())
				}
				continue
			}
			break
		}
	default:
		return nil, 0, 0, fmt.Errorf("compression %d", b[25])
	}
	if at != len(data) || len(pixels) != width*height {
		return nil, 0, 0, fmt.Errorf("%d of %d bytes give %d pixels of %dx%d", at, len(data), len(pixels), width, height)
	}
	return pixels, width, height, nil
}

// words are the pixels that a controller should get, one mirror at a time.
func words(im *image, left, width, height int) []uint32 {
	out := make([]uint32, 0, width*height)
	for v := range height {
		for u := range width {
			w := uint32(0)
			for k, p := range im {
				if p != nil && p.On(left+u, v) {
					w |= 1 << k
				}
			}
			out = append(out, w)
		}
	}
	return out
}

// picture makes the planes of rows of pixel words.
func picture(width, height int, pixels ...uint32) *image {
	im := new(image)
	for k := range im {
		im[k] = slm.NewPattern(slm.Geometry{Width: width, Height: height})
		for i, p := range pixels {
			im[k].Set(i%width, i/width, p>>k&1 != 0)
		}
	}
	return im
}

func times(n int, p uint32) []uint32 {
	out := make([]uint32, n)
	for i := range out {
		out[i] = p
	}
	return out
}

func join[T any](parts ...[]T) []T {
	var out []T
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// worked is the example of the guide's tables, 8x3.
func worked() *image {
	return picture(8, 3, join(
		times(3, 0x000001), []uint32{0x000100, 0x000200, 0x000400}, times(2, 0x030201),
		times(3, 0x000001), []uint32{0x000100, 0x000200}, times(3, 0),
		times(8, 0x800000))...)
}

func TestEnhancedRLEOfTheWorkedExample(t *testing.T) {
	want := []byte{
		3, 0, 0, 1, 0, 3, 0, 1, 0, 0, 2, 0, 0, 4, 0, 2, 3, 2, 1,
		0, 1, 5, 3, 0, 0, 0,
		8, 0x80, 0, 0, 0, 1, 0,
	}
	e := newEncoder(0, 8, 3)
	got := e.encode(worked())
	if !bytes.Equal(got[48:], want) || len(want) != 33 {
		t.Errorf("got  % X\nwant % X", got[48:], want)
	}
	header := join([]byte("Spld"), []byte{8, 0, 3, 0, 0x21, 0, 0, 0}, bytes.Repeat([]byte{0xFF}, 8), []byte{0, 0, 0, 0, 1, 2, 1, 0, 0, 1}, make([]byte, 18))
	if !bytes.Equal(got[:48], header) {
		t.Errorf("header got  % X\nwant % X", got[:48], header)
	}
}

func TestRLEOfTheWorkedExample(t *testing.T) {
	want := join(
		[]byte{3, 0, 0, 1, 0, 3, 0, 1, 0, 0, 2, 0, 0, 4, 0, 2, 3, 2, 1, 0, 0, 0, 0, 0},
		[]byte{3, 0, 0, 1, 0, 2, 0, 1, 0, 0, 2, 0, 3, 0, 0, 0, 0, 0, 0, 0},
		[]byte{8, 0x80, 0, 0, 0, 1}, make([]byte, 14))
	e := newEncoder(0, 8, 3)
	e.encode(worked()) // finds the planes
	got, _ := e.compress(nil, worked(), runs, 1<<20)
	if !bytes.Equal(got[48:], want) || len(want) != 64 {
		t.Errorf("got  % X\nwant % X", got[48:], want)
	}
}

func TestRawOfTheWorkedExample(t *testing.T) {
	e := newEncoder(0, 8, 3)
	e.encode(worked())
	got := e.raw(nil, worked())[48:]
	want := []byte{0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 2, 0, 0, 4, 0, 3, 2, 1, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0}
	if len(got) != 96 || !bytes.Equal(got[:32], want) {
		t.Errorf("%d bytes, got % X\nwant % X", len(got), got[:32], want)
	}
}

// Long runs, a long literal and a long copy need counts of two bytes.
func TestEnhancedRLEOfLongRuns(t *testing.T) {
	var middle []uint32
	for i := range 130 {
		middle = append(middle, uint32(2+i%2))
	}
	row := join(times(300, 1), middle, times(170, 0))
	got := newEncoder(0, 600, 2).encode(picture(600, 2, join(row, row)...))[48:]
	if len(got) != 410 {
		t.Errorf("%d bytes, want 410", len(got))
	}
	for _, part := range []struct {
		at   int
		want []byte
	}{
		{0, []byte{0xAC, 0x02, 0, 0, 1, 0x00, 0x82, 0x01}},
		{398, []byte{0xAA, 0x01, 0, 0, 0, 0x00, 0x01, 0xD8, 0x04, 0x00, 0x01, 0x00}},
	} {
		if !bytes.Equal(got[part.at:part.at+len(part.want)], part.want) {
			t.Errorf("at %d got % X, want % X", part.at, got[part.at:part.at+len(part.want)], part.want)
		}
	}
	if dst := appendUnits(nil, 0x1234); !bytes.Equal(dst, []byte{0xB4, 0x24}) {
		t.Errorf("0x1234 is % X, want B4 24", dst)
	}
}

// The header that TI's own program sent for a full-HD image (field report).
func TestHeaderAsCaptured(t *testing.T) {
	want := join([]byte{0x53, 0x70, 0x6C, 0x64, 0x80, 0x07, 0x38, 0x04, 0xF0, 0x10, 0, 0}, bytes.Repeat([]byte{0xFF}, 8),
		[]byte{0, 0, 0, 0, 1, 2, 1, 0, 0, 1}, make([]byte, 18))
	if got := appendHeader(nil, 1920, 1080, 0x10F0, enhancedRLE); !bytes.Equal(got, want) {
		t.Errorf("got  % X\nwant % X", got, want)
	}
}

// macropixels draws a random pattern of squares, half of them on.
func macropixels(g slm.Geometry, side int, random *rand.Rand) *slm.Pattern {
	p := slm.NewPattern(g)
	for v := 0; v < g.Height; v += side {
		row := p.Row(v)
		for u := 0; u < g.Width; u += side {
			if random.Uint32()&1 == 0 {
				continue
			}
			for x := u; x < min(u+side, g.Width); x++ {
				row[x/64] |= 1 << (x % 64)
			}
		}
		for y := v + 1; y < min(v+side, g.Height); y++ {
			copy(p.Row(y), row)
		}
	}
	return p
}

// Data are as small as those of TI's own encoder, measured on random macropixels of full HD
// with 24 planes and with one.
func TestSizes(t *testing.T) {
	if testing.Short() {
		t.Skip("large images")
	}
	g := slm.Geometry{Width: 1920, Height: 1080}
	for _, c := range []struct{ side, all, one int }{
		{4, 521691, 220001}, {8, 133431, 58004}, {16, 36739, 17776}, {32, 12395, 7767},
	} {
		random := rand.New(rand.NewPCG(uint64(c.side), 1))
		for _, part := range []struct{ planes, want int }{{planes, c.all}, {1, c.one}} {
			im := new(image)
			for k := range part.planes {
				im[k] = macropixels(g, c.side, random)
			}
			got := len(newEncoder(0, g.Width, g.Height).encode(im))
			if ratio := float64(got) / float64(part.want); ratio < 0.95 || ratio > 1.03 {
				t.Errorf("macropixels of %d, %d planes: %d bytes, TI's encoder makes %d", c.side, part.planes, got, part.want)
			}
		}
	}
}

// TestEncode: what the oracle reads is what was given, on whole and halved chips of any width,
// for every kind of content.
func TestEncode(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 9))
	kinds := map[byte]int{}
	for n := range 300 {
		g := slm.Geometry{Width: 2 * (1 + random.IntN(150)), Height: 1 + random.IntN(12)}
		im := new(image)
		for k := range im {
			if random.IntN(3) > 0 {
				im[k] = macropixels(g, 1+random.IntN(70)>>random.IntN(7), random)
			}
			if k > 0 && random.IntN(3) == 0 {
				im[k] = im[k-1]
			}
		}
		left, width := 0, g.Width
		if n%3 > 0 {
			width = g.Width / 2
			left = n % 3 / 2 * width
		}
		e := newEncoder(left, width, g.Height)
		for range 2 { // the second time with used buffers
			b := e.encode(im)
			kinds[b[25]]++
			checkImage(t, b, im, left, width, g.Height)
			for _, c := range []compression{runs, enhancedRLE} {
				data, _ := e.compress(nil, im, c, 1<<30)
				appendHeader(data[:0], width, g.Height, len(data)-imageHeader, c)
				checkImage(t, data, im, left, width, g.Height)
				if len(data) < len(b) {
					t.Errorf("compression %d makes %d bytes; %d, of compression %d, were chosen", c, len(data), len(b), b[25])
				}
			}
		}
	}
	if kinds[byte(raw)] == 0 || kinds[byte(enhancedRLE)] == 0 {
		t.Errorf("not both encodings were chosen: %v", kinds)
	}
}

// Runs of 128 to 255 take one byte less in plain RLE, which wins if no row is like another.
func TestRunsAreChosen(t *testing.T) {
	var pixels []uint32
	for v := range 8 {
		for k := range 10 {
			pixels = join(pixels, times(192, uint32(100*v+k)))
		}
	}
	im := picture(1920, 8, pixels...)
	b := newEncoder(0, 1920, 8).encode(im)
	if compression(b[25]) != runs {
		t.Errorf("compression %d was chosen", b[25])
	}
	checkImage(t, b, im, 0, 1920, 8)
}

func checkImage(t *testing.T, b []byte, im *image, left, width, height int) {
	t.Helper()
	pixels, w, h, err := decode(b)
	if err != nil || w != width || h != height {
		t.Fatalf("%dx%d from column %d: decoded as %dx%d: %v", width, height, left, w, h, err)
	}
	for i, want := range words(im, left, width, height) {
		if pixels[i] != want {
			t.Fatalf("%dx%d from column %d: pixel %d of row %d is %06X, want %06X", width, height, left, i%width, i/width, pixels[i], want)
		}
	}
}

func FuzzEncode(f *testing.F) {
	f.Add(uint16(8), false, []byte{1, 1, 1, 2, 3, 4, 5, 5, 1, 1, 1, 2, 3, 0, 0, 0})
	f.Add(uint16(200), true, bytes.Repeat([]byte{7}, 900))
	f.Fuzz(func(t *testing.T, width uint16, halved bool, content []byte) {
		w := 2 * (int(width)%300 + 1)
		h := min(len(content)/w+1, 40)
		pixels := make([]uint32, w*h)
		for i := range min(len(content), len(pixels)) {
			pixels[i] = uint32(content[i]) * 0x010101 & 0x0F11F3
		}
		im := picture(w, h, pixels...)
		for k := range im {
			if im[k].Count() == 0 {
				im[k] = nil
			}
		}
		if !halved {
			checkImage(t, newEncoder(0, w, h).encode(im), im, 0, w, h)
			return
		}
		for _, left := range []int{0, w / 2} {
			checkImage(t, newEncoder(left, w/2, h).encode(im), im, left, w/2, h)
		}
	})
}

func TestTranspose8(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 8))
	for range 100 {
		x := random.Uint64()
		y := transpose8(x)
		for i := range 8 {
			for j := range 8 {
				if x>>(8*i+j)&1 != y>>(8*j+i)&1 {
					t.Fatalf("bit (%d, %d) of %#x", i, j, x)
				}
			}
		}
	}
}

// BenchmarkEncode prints how the packed path compares with the link that it feeds: its time
// for an image over the time that the image's bytes take on USB 1.1 (63 kB/s).
func BenchmarkEncode(b *testing.B) {
	g := slm.Geometry{Width: 1920, Height: 1080}
	for _, side := range []int{1, 4, 16} {
		b.Run(fmt.Sprintf("macropixels-of-%d", side), func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 2))
			im := new(image)
			for k := range im {
				im[k] = macropixels(g, side, random)
			}
			e := newEncoder(0, g.Width, g.Height)
			bytes := 0
			for b.Loop() {
				bytes = len(e.encode(im))
			}
			perImage := b.Elapsed().Seconds() / float64(b.N)
			b.ReportMetric(perImage*1e3, "ms/image")
			b.ReportMetric(float64(bytes), "bytes/image")
			b.ReportMetric(perImage/(float64(bytes)/63e3)*100, "%of-link-time")
		})
	}
}
