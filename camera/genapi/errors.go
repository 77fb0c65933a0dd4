package genapi

import (
	"context"
	"errors"
)

// The conditions that callers act on, beside the errors of the port, which are passed on.
var (
	ErrAbsent      = errors.New("the camera does not have it") // not described, or not implemented
	ErrAccess      = errors.New("not accessible")              // unavailable or locked at present, or never to be read or written
	ErrRange       = errors.New("out of range")
	ErrKind        = errors.New("a feature of another kind")
	ErrDescription = errors.New("bad feature description")
)

// Port is a device's memory. Calls end when their context does. A Map makes one call at a
// time. Lengths are those of registers, so that a driver cuts them to what its transport
// takes.
type Port interface {
	// ReadAt fills p from the address on, or fails.
	ReadAt(ctx context.Context, p []byte, address uint64) error
	// WriteAt writes all of p, or fails.
	WriteAt(ctx context.Context, p []byte, address uint64) error
}
