package camera

import (
	"errors"
	"math"
	"testing"
)

func TestFrameCheck(t *testing.T) {
	good := Frame{Pix: make([]byte, 2*10+6), Width: 3, Height: 3, Stride: 10, BitDepth: 12} // the last row needs no padding
	for name, c := range map[string]struct {
		change func(*Frame)
		good   bool
	}{
		"12 bits, padded rows":  {func(*Frame) {}, true},
		"8 bits, ten pixels":    {func(f *Frame) { f.BitDepth, f.Width, f.Height = 8, 10, 2 }, true},
		"16 bits":               {func(f *Frame) { f.BitDepth = 16 }, true},
		"one row":               {func(f *Frame) { f.Height, f.Stride = 1, 1000 }, true},
		"bad status":            {func(f *Frame) { f.Status = Damaged }, true},
		"7 bits":                {func(f *Frame) { f.BitDepth = 7 }, false},
		"17 bits":               {func(f *Frame) { f.BitDepth = 17 }, false},
		"no width":              {func(f *Frame) { f.Width = 0 }, false},
		"negative height":       {func(f *Frame) { f.Height = -1 }, false},
		"too wide":              {func(f *Frame) { f.Width = MaxSide + 1 }, false},
		"too high":              {func(f *Frame) { f.Height = MaxSide + 1 }, false},
		"one byte short":        {func(f *Frame) { f.Pix = f.Pix[1:] }, false},
		"no pixels":             {func(f *Frame) { f.Pix = nil }, false},
		"rows overlap":          {func(f *Frame) { f.Stride = 5 }, false},
		"stride overflows":      {func(f *Frame) { f.Stride = math.MaxInt }, false},
		"stride overflows to 0": {func(f *Frame) { f.Stride = math.MaxInt/2 + 1 }, false},
	} {
		f := good
		c.change(&f)
		if err := f.Check(); (err == nil) != c.good || !c.good && !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// All pixels of a frame that passes its check can be read.
func FuzzFrame(f *testing.F) {
	f.Add(26, 3, 3, 10, 12)
	f.Add(20, 10, 2, 10, 8)
	f.Add(4, 1, 5, math.MaxInt/2+1, 16)
	f.Fuzz(func(t *testing.T, size, width, height, stride, depth int) {
		if size < 0 || size > 1<<20 {
			return
		}
		frame := Frame{Pix: make([]byte, size), Width: width, Height: height, Stride: stride, BitDepth: depth}
		if frame.Check() != nil {
			return
		}
		for _, u := range []int{0, width - 1} {
			for _, v := range []int{0, height - 1} {
				frame.At(u, v)
			}
		}
	})
}

func TestAt(t *testing.T) {
	pix := []byte{1, 2, 3, 4, 0, 0, 5, 6, 7, 8}
	for _, c := range []struct{ depth, u, v, want int }{
		{8, 0, 0, 1}, {8, 1, 0, 2}, {8, 1, 1, 6},
		{12, 0, 0, 0x0201}, {12, 1, 0, 0x0403}, {12, 0, 1, 0x0605}, {16, 1, 1, 0x0807},
	} {
		f := Frame{Pix: pix, Width: 2, Height: 2, Stride: 6, BitDepth: c.depth}
		if got := f.At(c.u, c.v); got != c.want {
			t.Errorf("pixel (%d, %d) with %d bits is %#x, want %#x", c.u, c.v, c.depth, got, c.want)
		}
	}
}

func TestStatusText(t *testing.T) {
	for s, want := range map[Status]string{OK: "ok", Incomplete: "incomplete", Damaged: "damaged", Overrun: "overrun", 9: "Status(9)"} {
		if got := s.String(); got != want {
			t.Errorf("status %d prints %q, want %q", uint8(s), got, want)
		}
	}
}
