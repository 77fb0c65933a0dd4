package u3v

import (
	"context"
	"errors"
)

// ErrHalted is wrapped by errors of links whose camera refused a transfer (a stall).
var ErrHalted = errors.New("the pipe is halted")

// Link is a camera on its bus. Its errors wrap camera.ErrUnplugged, camera.ErrClosed,
// ErrHalted, or the context's. Methods may be called from any goroutine.
type Link interface {
	// Send sends a packet to the control interface, in one transfer.
	Send(ctx context.Context, packet []byte) error

	// Receive fills p with a packet of the control interface, one transfer, and says how long it
	// is. The length of p is a multiple of PacketSize.
	Receive(ctx context.Context, p []byte) (int, error)

	// Recover brings the control interface back in step after ErrHalted.
	Recover(ctx context.Context) error

	// Stream begins to take what the streaming interface sends, in transfers of size bytes, a
	// multiple of PacketSize, count of them asked for at a time. It ends with ctx, and is the
	// only one at that time.
	Stream(ctx context.Context, size, count int) (Pipe, error)

	// PacketSize is the largest packet of the bus: 1024 at SuperSpeed, 512 below.
	PacketSize() int

	// Close ends everything. It may be called more than once.
	Close() error
}

// Pipe is a stream of transfers.
type Pipe interface {
	// Read gives what one transfer brought, in parts if p is too short. It returns an error that
	// wraps the context's when that of Stream ends, and is for one goroutine.
	Read(p []byte) (int, error)

	// Close waits until no transfer is asked for any more. It is called after the context has
	// ended, or Read has failed.
	Close() error
}
