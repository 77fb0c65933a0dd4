//go:build !linux

package gentl

import (
	"context"
	"errors"
	"fmt"

	"github.com/light-in-the-loop/opu/camera"
)

// List fails: the helper that loads producers is for Linux.
func List(context.Context) ([]Found, error) {
	return nil, fmt.Errorf("cannot look for GenTL cameras: producers are loaded on Linux only: %w", errors.ErrUnsupported)
}

// Device is a camera behind a producer. There is none on this system.
type Device struct{ camera.Device }

// Open fails, as List does.
func Open(context.Context, Ref, Options) (*Device, error) {
	return nil, fmt.Errorf("cannot open a GenTL camera: producers are loaded on Linux only: %w", errors.ErrUnsupported)
}
