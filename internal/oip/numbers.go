package oip

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// ComplexSize is the bytes of a complex number on the wire: two FP32, the real part
// first.
const ComplexSize = 8

// native says whether this machine keeps numbers as the wire has them.
var native = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// ComplexBytes returns numbers as on the wire: the memory of y itself where that is
// how it is kept, else memory of its own.
func ComplexBytes(y []complex64) []byte {
	if native {
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(y))), ComplexSize*len(y))
	}
	return complexBytes(y)
}

// BytesComplex returns the memory of bytes on the wire as the numbers they are; nil where
// this machine keeps numbers otherwise, or not at such an address.
func BytesComplex(b []byte) []complex64 {
	p := unsafe.Pointer(unsafe.SliceData(b))
	if !native || uintptr(p)%unsafe.Alignof(complex64(0)) != 0 {
		return nil
	}
	return unsafe.Slice((*complex64)(p), len(b)/ComplexSize)
}

func complexBytes(y []complex64) []byte {
	dst := make([]byte, 0, ComplexSize*len(y))
	for _, z := range y {
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(real(z)))
		dst = binary.LittleEndian.AppendUint32(dst, math.Float32bits(imag(z)))
	}
	return dst
}
