package tiff

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"testing"

	"golang.org/x/image/tiff"
)

// Another program's decoder reads every page, to the last pixel. It knows the first page
// alone, so the head of the file is turned to each.
func TestDecodedByOthers(t *testing.T) {
	for _, h := range []Header{{1, 1, 1, 8}, {3, 5, 3, 8}, {2, 7, 4, 12}, {4, 16, 9, 16}} {
		var b bytes.Buffer
		w, err := NewWriter(&b, h)
		if err != nil {
			t.Fatal(err)
		}
		value := func(page, u, v int) int { return (page*7919 + v*131 + u*17) % (1 << h.Bits) }
		stride := (h.Width + 3) * h.bytesPerPixel()
		for page := range h.Pages {
			pix := make([]byte, h.Height*stride)
			for v := range h.Height {
				for u := range h.Width {
					x := value(page, u, v)
					at := v*stride + u*h.bytesPerPixel()
					if pix[at] = byte(x); h.Bits > 8 {
						binary.LittleEndian.PutUint16(pix[at:], uint16(x))
					}
				}
			}
			if err := w.Write(pix, stride); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		file := b.Bytes()
		for page, at := 0, binary.LittleEndian.Uint32(file[4:]); at != 0; page++ {
			binary.LittleEndian.PutUint32(file[4:], at)
			img, err := tiff.Decode(bytes.NewReader(file))
			if err != nil {
				t.Fatalf("%+v, page %d: %v", h, page, err)
			}
			if img.Bounds() != image.Rect(0, 0, h.Width, h.Height) {
				t.Errorf("%+v, page %d is of %v", h, page, img.Bounds())
			}
			for v := range h.Height {
				for u := range h.Width {
					var got int
					switch c := img.At(u, v).(type) {
					case color.Gray:
						got = int(c.Y)
					case color.Gray16:
						got = int(c.Y)
					}
					if want := value(page, u, v); got != want {
						t.Fatalf("%+v, page %d, pixel (%d, %d) is %d, want %d", h, page, u, v, got, want)
					}
				}
			}
			at = binary.LittleEndian.Uint32(file[at+2+12*entries:])
			if last := page == h.Pages-1; last != (at == 0) {
				t.Fatalf("%+v: behind page %d comes %d", h, page, at)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, h := range []Header{{}, {1, 0, 1, 8}, {1, 1, 1, 7}, {1, 1, 1, 17}, {-1, 1, 1, 8}, {1, 1 << 16, 1, 8}, {4, 1 << 15, 1 << 15, 16}} {
		if _, err := NewWriter(new(bytes.Buffer), h); !errors.Is(err, ErrInput) {
			t.Errorf("%+v: %v", h, err)
		}
	}
	w, err := NewWriter(new(bytes.Buffer), Header{1, 4, 2, 8})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(make([]byte, 7), 4); !errors.Is(err, ErrInput) {
		t.Errorf("a picture that is too short: %v", err)
	}
	if err := w.Write(make([]byte, 8), 3); !errors.Is(err, ErrInput) {
		t.Errorf("rows that are too short: %v", err)
	}
	if w.Close() == nil {
		t.Error("a file without its pages is closed")
	}
	if err := w.Write(make([]byte, 8), 4); err != nil {
		t.Error(err)
	}
	if err := w.Write(make([]byte, 8), 4); !errors.Is(err, ErrInput) {
		t.Errorf("a picture too many: %v", err)
	}
}
