package oip

import (
	"bytes"
	"math"
	"slices"
	"testing"
)

// The way of this machine and that of any machine write the same.
func TestComplexBytes(t *testing.T) {
	y := []complex64{1 + 0.5i, -2 - 1i, complex(float32(math.Inf(1)), 0)}
	want := []byte("\x00\x00\x80\x3f\x00\x00\x00\x3f\x00\x00\x00\xc0\x00\x00\x80\xbf\x00\x00\x80\x7f\x00\x00\x00\x00")
	for name, f := range map[string]func([]complex64) []byte{"this machine": ComplexBytes, "any": complexBytes} {
		if got := f(y); !bytes.Equal(got, want) {
			t.Errorf("%s: % x, want % x", name, got, want)
		}
		if got := f(nil); len(got) != 0 {
			t.Errorf("%s: nothing is % x", name, got)
		}
	}
}

// Bytes become the numbers that they were, where they are.
func TestBytesComplex(t *testing.T) {
	if !native {
		t.Skip("this machine keeps numbers in another order than the wire")
	}
	y := []complex64{1 + 0.5i, -2 - 1i, 3}
	b := ComplexBytes(y)
	if got := BytesComplex(b); !slices.Equal(got, y) || &got[0] != &y[0] {
		t.Errorf("%v, want %v at the same place", got, y)
	}
	if got := BytesComplex(b[1:17]); got != nil {
		t.Errorf("at an odd address: %v", got)
	}
}
