//go:build !linux

package dlpc900

import (
	"context"
	"errors"
	"fmt"
)

// Boards needs Linux.
func Boards() ([]BoardInfo, error) {
	return nil, fmt.Errorf("cannot list DLPC900 boards on this system: %w", errors.ErrUnsupported)
}

// openHIDRawPort needs Linux.
func openHIDRawPort(context.Context, string, Options) (*Device, error) {
	return nil, fmt.Errorf("cannot open DLPC900 boards on this system: %w", errors.ErrUnsupported)
}
