package usb

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"
)

// The kernel's socket opens without privileges, waits, and ends with its context or with Close.
func TestMonitorEnds(t *testing.T) {
	m, err := Listen()
	if err != nil {
		t.Skip(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for err == nil { // events of this machine may come
		_, err = m.Next(ctx)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	time.AfterFunc(20*time.Millisecond, func() { m.Close() })
	for err = nil; err == nil; {
		_, err = m.Next(t.Context())
	}
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
