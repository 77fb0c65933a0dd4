//go:build linux && libusb

package board_test

import (
	"errors"
	"testing"

	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

func init() { ways = append(ways, way{"libusb", dlpc900.OpenLibUSB}) }

// libusb could take a board away from the kernel's driver, and from the program that uses it
// there.
func TestLibUSBLeavesABoardInUse(t *testing.T) {
	needLab(t)
	b := newBoard(t)
	p := plug(t, b)
	d := open(t, way{"hidraw", openHIDRaw}, portOf(p), chipOptions())
	if link, err := dlpc900.OpenLibUSB(portOf(p)); !errors.Is(err, slm.ErrBusy) {
		t.Errorf("a board in use was opened: %v", err)
		link.Close()
	}
	play(t, d, b, 9, 3)
	d.Close()
	d = open(t, way{"libusb", dlpc900.OpenLibUSB}, portOf(p), chipOptions())
	play(t, d, b, 10, 3)
}
