package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"

	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/internal/npy"
)

// recordedFrames reads the frames of a NumPy file one by one.
type recordedFrames struct {
	file                 *os.File
	in                   *npy.Reader
	count, width, height int
	depth                int // 8 for one byte a pixel, 16 for two

	left int
	pix  []byte   // of the present frame
	wide []uint16 // the same, as read
}

// maxFrameSide is what holo takes.
const maxFrameSide = 1 << 15

// openFrames opens a file of K x H x W pixels, uint8 or uint16, and refuses others
// before any frame is read.
func openFrames(path string) (_ *recordedFrames, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read frames: %w", err)
	}
	defer func() {
		if err != nil {
			file.Close()
			err = fmt.Errorf("cannot use the frames in %s: %w", path, err)
		}
	}()
	in, err := npy.NewReader(file)
	if err != nil {
		return nil, err
	}
	if len(in.Shape) != 3 {
		return nil, usage("its shape is %v, frames x height x width is needed; one frame alone is a[None]", in.Shape)
	}
	f := &recordedFrames{file: file, in: in, count: in.Shape[0], height: in.Shape[1], width: in.Shape[2], left: in.Shape[0]}
	if f.count < 1 || f.width < 1 || f.height < 1 || f.width > maxFrameSide || f.height > maxFrameSide {
		return nil, usage("its shape is %v; at least one frame is needed, of 1 to %d pixels on each side", in.Shape, maxFrameSide)
	}
	switch in.DType {
	case npy.Uint8:
		f.depth = 8
	case npy.Uint16:
		f.depth = 16
	default:
		return nil, usage("its pixels are %v, counts of a camera are needed: uint8 or uint16", in.DType)
	}
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
		at, err := file.Seek(0, io.SeekCurrent)
		if want := int64(in.Len()) * int64(in.DType.Size()); err == nil && info.Size()-at != want {
			return nil, fmt.Errorf("%w: %d bytes of pixels are announced, it has %d", npy.ErrFormat, want, info.Size()-at)
		}
	}
	pixels := f.width * f.height
	f.pix = make([]byte, pixels*in.DType.Size())
	if f.depth > 8 {
		f.wide = make([]uint16, pixels)
	}
	return f, nil
}

// next is the next frame, valid until the one after; io.EOF ends them.
func (f *recordedFrames) next() (holo.Image, error) {
	if f.left == 0 {
		_, err := npy.Read(f.in, make([]uint16, 1)) // finds what should not be there
		return holo.Image{}, err
	}
	f.left--
	var err error
	if f.depth == 8 {
		_, err = npy.Read(f.in, f.pix)
	} else if _, err = npy.Read(f.in, f.wide); err == nil {
		for i, x := range f.wide {
			binary.LittleEndian.PutUint16(f.pix[2*i:], x)
		}
	}
	if err != nil {
		return holo.Image{}, fmt.Errorf("cannot use the frames in %s: %w", f.file.Name(), err)
	}
	return holo.Image{Pix: f.pix, Width: f.width, Height: f.height, Stride: len(f.pix) / f.height, BitDepth: f.depth}, nil
}

// close closes the file, which was only read.
func (f *recordedFrames) close() { f.file.Close() }
