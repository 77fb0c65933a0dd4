//go:build !libusb

package u3v

import (
	"context"
	"errors"
	"fmt"
)

// List finds nothing: cameras are reached through libusb.
func List() ([]Found, error) {
	return nil, fmt.Errorf("cannot look for USB3 Vision cameras: this program was built without libusb; build it with -tags libusb: %w", errors.ErrUnsupported)
}

// OpenUSB fails, as List does.
func OpenUSB(context.Context, string, Options) (*Device, error) {
	return nil, fmt.Errorf("cannot open a USB3 Vision camera: this program was built without libusb; build it with -tags libusb: %w", errors.ErrUnsupported)
}
