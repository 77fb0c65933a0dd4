package usb

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// resetRequest is USBDEVFS_RESET of <linux/usbdevice_fs.h>.
const resetRequest = 'U'<<8 | 20

// Reset resets the device at a port, "1-2.4", as if it had been plugged in anew, through its
// node in /dev/bus/usb, which the user must be allowed to write to. sys is the root of sysfs.
func Reset(sys, port string) error {
	node, err := nodeOf(sys, port)
	if err == nil {
		err = reset(node)
	}
	if err != nil {
		return fmt.Errorf("cannot reset the USB device at %s: %w", port, err)
	}
	return nil
}

// nodeOf is the node of the device at a port.
func nodeOf(sys, port string) (string, error) {
	device := filepath.Join(sys, "bus", "usb", "devices", port)
	bus, err := strconv.Atoi(read(device, "busnum"))
	if err != nil {
		return "", fmt.Errorf("nothing is plugged in there: %w", err)
	}
	number, err := strconv.Atoi(read(device, "devnum"))
	return fmt.Sprintf("/dev/bus/usb/%03d/%03d", bus, number), err
}

func reset(node string) error {
	f, err := os.OpenFile(node, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = raw.Control(func(fd uintptr) { failure = unix.IoctlSetInt(int(fd), resetRequest, 0) })
	if err == nil {
		err = failure
	}
	return err
}
