//go:build libusb

package usb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/gousb"
)

// Library is libusb. It is made once: it has one event loop, and panics where it cannot begin.
var Library = sync.OnceValues(func() (c *gousb.Context, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot use libusb: %v", r)
		}
	}()
	return gousb.NewContext(), nil
})

// AbandonTime is how long a transfer that was cancelled may take to end. The library waits
// for that without limit.
const AbandonTime = time.Second

// ErrAbandoned is what Transfer wraps, beside the context's error, if the transfer never ended.
var ErrAbandoned = errors.New("the transfer never ended")

// Transfer makes a transfer, such as InEndpoint.ReadContext, and returns when it has ended, or
// AbandonTime after ctx: the library may then still write to p. When ctx has ended the error
// wraps its cause, for the library says "cancelled" and not why.
func Transfer(ctx context.Context, move func(context.Context, []byte) (int, error), p []byte) (int, error) {
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := move(ctx, p)
		done <- result{n, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		grace := time.NewTimer(AbandonTime)
		defer grace.Stop()
		select {
		case r = <-done:
		case <-grace.C:
			return 0, fmt.Errorf("%w: %w", ErrAbandoned, context.Cause(ctx))
		}
	}
	if r.err != nil && ctx.Err() != nil {
		r.err = context.Cause(ctx)
	}
	return r.n, r.err
}
