//go:build libusb

package dlpc900

import (
	"errors"

	"github.com/light-in-the-loop/opu/slm"
)

// notInUse sees that no other program has the board at a port through the kernel's driver:
// libusb would take it away in the middle of a run.
func notInUse(port string) error {
	link, err := openAt(port)
	switch {
	case err == nil:
		return link.Close()
	case errors.Is(err, slm.ErrBusy):
		return err
	}
	return nil // no HID node, or no rights to it
}
