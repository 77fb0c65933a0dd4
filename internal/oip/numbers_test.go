package oip

import (
	"bytes"
	"math"
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
