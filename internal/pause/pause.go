// Package pause waits, unless there is a reason not to wait any longer.
package pause

import (
	"context"
	"time"
)

// For waits for d. It ends early, with what ended it, when ctx does.
func For(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
