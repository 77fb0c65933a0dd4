package gigecam

import (
	"github.com/light-in-the-loop/opu/camera"
)

// pack writes the pixels of a frame as a pixel format has them, bit after bit: slow, and
// plainly what the formats are defined to be.
func pack(f *camera.Frame, format pixelFormat) []byte {
	pixels := f.Width * f.Height
	bits := int(format.code >> 16 & 0xff)
	out := make([]byte, (pixels*bits+7)/8)
	if bits%8 == 0 {
		row := f.Width * bits / 8
		for v := range f.Height {
			copy(out[v*row:(v+1)*row], f.Pix[v*f.Stride:])
		}
		return out
	}
	pairs := format.name == "Mono10Packed" || format.name == "Mono12Packed"
	for i := range pixels {
		value := f.At(i%f.Width, i/f.Width)
		for b := range f.BitDepth {
			if value>>b&1 == 0 {
				continue
			}
			at := i*bits + b
			if pairs { // the eight upper bits in a byte of their own, the lower ones of two pixels share one
				low := f.BitDepth - 8
				at = i / 2 * 24
				if b < low {
					at += 8 + i%2*4 + b
				} else {
					at += i%2*16 + b - low
				}
			}
			out[at/8] |= 1 << (at % 8)
		}
	}
	return out
}
