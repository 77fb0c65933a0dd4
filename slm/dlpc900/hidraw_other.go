//go:build !linux

package dlpc900

import (
	"errors"
	"fmt"
)

// OpenHIDRaw needs Linux.
func OpenHIDRaw(node string) (Link, error) {
	return nil, fmt.Errorf("cannot open %s: raw HID nodes exist on Linux only: %w", node, errors.ErrUnsupported)
}
