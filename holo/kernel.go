package holo

import (
	"errors"
	"fmt"
	"math"
	"math/cmplx"
)

// Kernel is a table of complex integer weights over a patch of Taps x Taps pixels,
// and the distance Stride in pixels from one output's patch to the next one's:
//
//	z = sum over the patch of (Re + i Im)(r) I(r)
//
// Re and Im hold Taps*Taps weights each, index v*Taps + u, none above 64 in size:
// seven bits and a sign are as good as real numbers (performance, section 4), and
// sums of two products with 8-bit pixels then fit 16 bits, which SIMD code needs.
type Kernel struct {
	Taps, Stride int
	Re, Im       []int8
}

// Limits of a kernel. MaxTaps keeps the sum over a patch of 16-bit pixels below 2^31.
const (
	MaxTaps   = 16
	MaxWeight = 64
	maxStride = 1 << 10
)

// ErrKernel is wrapped by errors about a Kernel or Design that cannot be used.
var ErrKernel = errors.New("bad kernel")

// Check says whether the kernel can be used.
func (k Kernel) Check() error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot use a kernel of %dx%d taps every %d pixels: %s: %w",
			k.Taps, k.Taps, k.Stride, fmt.Sprintf(format, args...), ErrKernel)
	}
	switch {
	case k.Taps < 1 || k.Taps > MaxTaps:
		return fail("taps must be 1 to %d", MaxTaps)
	case k.Stride < 1 || k.Stride > maxStride:
		return fail("the stride must be 1 to %d", maxStride)
	case len(k.Re) != k.Taps*k.Taps || len(k.Im) != k.Taps*k.Taps:
		return fail("it has %d real and %d imaginary weights", len(k.Re), len(k.Im))
	}
	for i := range k.Re {
		if max(k.Re[i], k.Im[i]) > MaxWeight || min(k.Re[i], k.Im[i]) < -MaxWeight {
			return fail("weight %d is %d%+di, and each part must be -%d to %d", i, k.Re[i], k.Im[i], MaxWeight, MaxWeight)
		}
	}
	return nil
}

// MaxOutputs is the number of outputs that a kernel of these Taps and Stride has on
// a frame of the given size; 0 if there is no room, or no such kernel.
func MaxOutputs(k Kernel, width, height int) int {
	columns, rows := k.grid(width, height)
	return columns * rows
}

// grid is the number of patches per row and per column of the frame.
func (k Kernel) grid(width, height int) (columns, rows int) {
	if k.Taps < 1 || k.Stride < 1 || width < k.Taps || height < k.Taps {
		return 0, 0
	}
	return (width-k.Taps)/k.Stride + 1, (height-k.Taps)/k.Stride + 1
}

// centre is the middle of the patch, in pixels from its first one. Phases are counted
// from there.
func (k Kernel) centre() float64 { return float64(k.Taps-1) / 2 }

// Response is the output for a plane wave exp(i 2 pi k.r) of unit amplitude, r from
// the centre of the patch. On a frame that holds the wave, output i is Response times
// exp(i 2 pi k.p), p its position: with this, the exact linear part of any frame's
// output can be had from the frame's spectrum.
func (k Kernel) Response(fu, fv float64) complex128 {
	var alongU [MaxTaps]complex128
	for u := range k.Taps {
		alongU[u] = cmplx.Rect(1, 2*math.Pi*fu*(float64(u)-k.centre()))
	}
	var sum complex128
	for v := range k.Taps {
		var row complex128
		for u := range k.Taps {
			i := v*k.Taps + u
			row += complex(float64(k.Re[i]), float64(k.Im[i])) * alongU[u]
		}
		sum += row * cmplx.Rect(1, 2*math.Pi*fv*(float64(v)-k.centre()))
	}
	return sum
}
