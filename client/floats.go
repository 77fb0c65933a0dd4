package client

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// Results are read from the connection straight into the caller's memory, which on
// little-endian machines is all that there is to do. The memory of floats is seen as
// bytes for that, and nothing else in the package is unsafe.

// asBytes is the memory of numbers.
func asBytes(f []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}

// parts are complex numbers as pairs of their real and imaginary parts, in the same
// memory.
func parts(z []complex64) []float32 {
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(z))), 2*len(z))
}

// littleEndian tells what this machine is.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// fromLittleEndian makes numbers of what was read into their memory.
func fromLittleEndian(f []float32) {
	if littleEndian {
		return
	}
	raw := asBytes(f)
	for i := range f {
		f[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
}
