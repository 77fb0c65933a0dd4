//go:build !libusb

package dlpc900

import (
	"context"
	"errors"
	"fmt"
)

// openLibUSBPort needs -tags libusb.
func openLibUSBPort(_ context.Context, port string, _ Options) (*Device, error) {
	return nil, fmt.Errorf("cannot open %s%s: this program was built without libusb; build it with -tags libusb, or leave %q out: %w", throughLibUSB, port, throughLibUSB, errors.ErrUnsupported)
}
