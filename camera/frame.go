package camera

import (
	"errors"
	"fmt"
	"time"
)

// Status says whether a frame's pixels may be used.
type Status uint8

const (
	OK         Status = iota
	Incomplete        // pixels are missing
	Damaged           // the transport or the camera reported an error
	Overrun           // the camera or the grabber overwrote it
)

func (s Status) String() string {
	switch s {
	case OK:
		return "ok"
	case Incomplete:
		return "incomplete"
	case Damaged:
		return "damaged"
	case Overrun:
		return "overrun"
	}
	return fmt.Sprintf("Status(%d)", uint8(s))
}

// Frame is one exposure. Pix belongs to the driver and is valid until the frame
// is given back with Requeue.
type Frame struct {
	Pix           []byte // row v starts at v*Stride
	Width, Height int    // pixels
	Stride        int    // bytes from one row to the next

	// BitDepth is the number of significant bits, right-justified. At 8 a pixel
	// is one byte, from 9 to 16 it is two bytes, little-endian.
	BitDepth int

	// Seq counts the frames of a run from 0, those lost on the way included: a
	// gap in it is a frame that the camera took and we did not get.
	Seq uint64

	// Trigger counts the triggers of a run from 0 as the camera saw them, where
	// it can (Info.CountsTriggers), else it equals Seq.
	Trigger uint64

	DeviceTime time.Duration // start of exposure on the camera's clock; 0 for all frames if it has none
	HostTime   time.Time     // arrival at the host
	Status     Status

	Buffer int // the driver's own number of the buffer; callers leave it alone
}

// ErrFrame is wrapped by the errors of Frame.Check.
var ErrFrame = errors.New("bad frame")

// BytesPerPixel is 1 up to 8 bits and 2 above.
func BytesPerPixel(bitDepth int) int {
	if bitDepth <= 8 {
		return 1
	}
	return 2
}

// Check says whether geometry, depth and buffer of the frame fit together. It
// does not look at the status.
func (f *Frame) Check() error {
	bpp := BytesPerPixel(f.BitDepth)
	switch {
	case f.BitDepth < 8 || f.BitDepth > 16:
		return fmt.Errorf("cannot use frame %d: bit depth %d is not 8 to 16: %w", f.Seq, f.BitDepth, ErrFrame)
	case f.Width < 1 || f.Height < 1 || f.Width > MaxSide || f.Height > MaxSide:
		return fmt.Errorf("cannot use frame %d: %dx%d pixels, each side must be 1 to %d: %w", f.Seq, f.Width, f.Height, MaxSide, ErrFrame)
	case f.Stride < f.Width*bpp:
		return fmt.Errorf("cannot use frame %d: a row of %d bytes cannot hold %d pixels of %d bytes: %w", f.Seq, f.Stride, f.Width, bpp, ErrFrame)
	case f.Height > 1 && f.Stride > len(f.Pix), len(f.Pix) < (f.Height-1)*f.Stride+f.Width*bpp: // the first, lest the second overflows
		return fmt.Errorf("cannot use frame %d: %d bytes are too few for %d rows of %d: %w", f.Seq, len(f.Pix), f.Height, f.Stride, ErrFrame)
	}
	return nil
}

// At is the value of the pixel in column u and row v, in counts. It is for the few
// pixels that somebody looks at; whoever reads all of them reads rows.
func (f *Frame) At(u, v int) int {
	i := v*f.Stride + u*BytesPerPixel(f.BitDepth)
	if f.BitDepth <= 8 {
		return int(f.Pix[i])
	}
	return int(f.Pix[i]) | int(f.Pix[i+1])<<8
}
