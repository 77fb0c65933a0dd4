// Package usbip plugs USB devices that are written in Go into the kernel of this machine.
//
// The kernel's module vhci-hcd is a USB host controller whose ports are sockets: a device is
// whatever answers at the other end, by the protocol of USB/IP. Plug gives the kernel one end
// of a pair of sockets and answers at the other. So there is no network and no second process,
// and everything between a program and the Device is real: libusb, usbfs, the HID driver, the
// USB core with its enumeration and its errors.
//
//	port, err := usbip.Plug(device) // returns when the kernel has configured it
//	...                             // /dev/hidraw*, /dev/bus/usb/*, whatever the device is
//	err = port.Pull()               // at any time, in the middle of a transfer too
//
// It needs root and the module, and plugs devices into the machine it runs on: that is for the
// virtual lab (lab/README.md).
//
// Sources: the kernel's documentation of the USB/IP protocol, and "USB 2.0 Specification",
// chapter 9, for descriptors and requests. Isochronous transfers are not done.
package usbip
