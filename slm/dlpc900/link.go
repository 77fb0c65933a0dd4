package dlpc900

import "context"

// Link carries 64-byte HID reports to a controller and back. One command at a time uses
// it. Errors wrap slm.ErrUnplugged, slm.ErrTimeout, slm.ErrProtocol, slm.ErrClosed or
// the context's.
type Link interface {
	Write(ctx context.Context, reports []byte) error // len is a multiple of 64: whole reports, in order
	Read(ctx context.Context, report []byte) error   // the next 64-byte report; blocks until it comes or ctx ends
	Close() error
}
