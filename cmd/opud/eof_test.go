package main

import (
	"context"
	"io"
	"testing"
)

// A context that ends with a stream does so when the other end is closed, whatever was
// written before, and not earlier.
func TestUntilEnd(t *testing.T) {
	r, w := io.Pipe()
	ctx := untilEnd(t.Context(), r)
	if _, err := w.Write([]byte("anything")); err != nil || ctx.Err() != nil {
		t.Errorf("with an open stream: %v, %v", err, ctx.Err())
	}
	w.Close()
	<-ctx.Done()
	if context.Cause(ctx) != context.Canceled {
		t.Errorf("the cause is %v", context.Cause(ctx))
	}
}
