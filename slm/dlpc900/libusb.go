//go:build libusb

package dlpc900

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/google/gousb"

	"github.com/light-in-the-loop/opu/internal/pause"
	"github.com/light-in-the-loop/opu/internal/usb"
	"github.com/light-in-the-loop/opu/slm"
)

// The control interface and its two interrupt endpoints, 0x01 and 0x81 (field reports).
const (
	usbConfiguration = 1
	usbInterface     = 0
	usbEndpoint      = 1
)

// libusb is a link through libusb. The kernel's HID driver is detached while it is open.
type libusb struct {
	device    *gousb.Device
	release   []func() error
	in        *gousb.InEndpoint
	out       *gousb.OutEndpoint
	abandoned atomic.Bool // a transfer never ended
	closed    atomic.Bool
}

// OpenLibUSB opens the board at a USB port, "usb-1-2.4", through libusb; "" is the only board.
func OpenLibUSB(port string) (Link, error) {
	c, err := usb.Library()
	if err != nil {
		return nil, err
	}
	var found []BoardInfo
	devices, err := c.OpenDevices(func(d *gousb.DeviceDesc) bool {
		if d.Vendor != VendorID || d.Product != ProductID {
			return false
		}
		found = append(found, BoardInfo{Port: portName(d), Node: fmt.Sprintf("/dev/bus/usb/%03d/%03d", d.Bus, d.Address)})
		return port == "" || portName(d) == port
	})
	closeAll := func(keep *gousb.Device) {
		for _, d := range devices {
			if d != keep {
				d.Close()
			}
		}
	}
	b, wrong := choose(found, port)
	if wrong != nil {
		closeAll(nil)
		return nil, wrong
	}
	i := slices.IndexFunc(devices, func(d *gousb.Device) bool { return portName(d.Desc) == b.Port })
	if i < 0 {
		closeAll(nil)
		return nil, openUSBError(b, err)
	}
	if err := notInUse(b.Port); err != nil {
		closeAll(nil)
		return nil, err
	}
	closeAll(devices[i])
	l := &libusb{device: devices[i]}
	if err := l.claim(); err != nil {
		return nil, errors.Join(openUSBError(b, err), l.Close())
	}
	return l, nil
}

// openLibUSBPort is OpenPort through libusb.
func openLibUSBPort(ctx context.Context, port string, o Options) (*Device, error) {
	link, err := OpenLibUSB(port)
	if err != nil {
		return nil, err
	}
	port = portName(link.(*libusb).device.Desc)
	o.Port = port
	if o.Reopen == nil {
		o.Reopen = func(ctx context.Context) (Link, error) { return awaitLibUSB(ctx, port) }
		o.Reset = func(context.Context) error { return resetLibUSB(port) }
	}
	return Open(ctx, link, o)
}

// awaitLibUSB opens the board at a port when it is there, within returnTime.
func awaitLibUSB(ctx context.Context, port string) (Link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, returnTime, slm.ErrUnplugged)
	defer cancel()
	for {
		link, err := OpenLibUSB(port)
		if err == nil || !errors.Is(err, slm.ErrUnplugged) && !errors.Is(err, os.ErrPermission) {
			return link, err
		}
		if pause.For(ctx, lookAgain) != nil {
			return nil, err
		}
	}
}

// resetLibUSB resets a port. The library waits without limit for what it was asked, and so
// does this; the kernel gives up after some seconds.
func resetLibUSB(port string) error {
	link, err := OpenLibUSB(port)
	if err != nil {
		return err
	}
	l := link.(*libusb)
	err = l.device.Reset()
	if errors.Is(err, gousb.ErrorNotFound) {
		err = nil // it is there anew
	}
	return errors.Join(err, l.Close())
}

// portName is a port as the raw HID link has it.
func portName(d *gousb.DeviceDesc) string {
	var path []string
	for _, p := range d.Path {
		path = append(path, strconv.Itoa(p))
	}
	return fmt.Sprintf("usb-%d-%s", d.Bus, strings.Join(path, "."))
}

func openUSBError(b BoardInfo, err error) error {
	switch {
	case errors.Is(err, gousb.ErrorAccess):
		return fmt.Errorf("cannot open %s (%s): permission denied; install udev/70-opu.rules and join the group opu: %w", b.Port, b.Node, os.ErrPermission)
	case errors.Is(err, gousb.ErrorBusy), strings.Contains(err.Error(), gousb.ErrorBusy.Error()): // of a claim the library gives the text alone
		return fmt.Errorf("cannot open %s: another program has it; close that: %w", b.Port, slm.ErrBusy)
	}
	return fmt.Errorf("cannot open %s: %w", b.Port, usbError(err))
}

// claim takes the control interface from the kernel.
func (l *libusb) claim() error {
	if err := l.device.SetAutoDetach(true); err != nil {
		return err
	}
	config, err := l.device.Config(usbConfiguration)
	if err != nil {
		return err
	}
	l.release = append(l.release, config.Close)
	control, err := config.Interface(usbInterface, 0)
	if err != nil {
		return err
	}
	l.release = append(l.release, func() error {
		control.Close()
		return nil
	})
	if l.in, err = control.InEndpoint(usbEndpoint); err != nil {
		return err
	}
	l.out, err = control.OutEndpoint(usbEndpoint)
	return err
}

// Write implements Link.
func (l *libusb) Write(ctx context.Context, reports []byte) error {
	if len(reports)%ReportSize != 0 {
		return fmt.Errorf("cannot write %d bytes: they are no whole reports: %w", len(reports), slm.ErrInput)
	}
	for reports = slices.Clone(reports); len(reports) > 0; reports = reports[ReportSize:] {
		if err := l.transfer(ctx, l.out.WriteContext, reports[:ReportSize]); err != nil {
			return err
		}
	}
	return nil
}

// Read implements Link.
func (l *libusb) Read(ctx context.Context, report []byte) error {
	buffer := make([]byte, ReportSize) // the library may keep it when the caller has gone
	err := l.transfer(ctx, l.in.ReadContext, buffer)
	copy(report, buffer)
	return err
}

// transfer moves one report. When ctx ends the transfer is cancelled; if it does not end then
// either, the link is of no more use.
func (l *libusb) transfer(ctx context.Context, move func(context.Context, []byte) (int, error), report []byte) error {
	switch {
	case l.closed.Load():
		return fmt.Errorf("libusb: %w", slm.ErrClosed)
	case l.abandoned.Load():
		return fmt.Errorf("libusb: an earlier transfer never ended: %w", slm.ErrUnplugged)
	}
	n, err := usb.Transfer(ctx, move, report)
	switch {
	case errors.Is(err, usb.ErrAbandoned):
		l.abandoned.Store(true)
		return context.Cause(ctx)
	case err != nil && ctx.Err() != nil:
		return err
	case err != nil && l.closed.Load():
		return fmt.Errorf("libusb: %w", slm.ErrClosed)
	case err != nil:
		return usbError(err)
	case n != ReportSize:
		return fmt.Errorf("libusb: a report of %d bytes: %w", n, slm.ErrProtocol)
	}
	return nil
}

// Close implements Link: the kernel has the board again. After a transfer that never ended
// it leaves the board open, because the library would wait for it.
func (l *libusb) Close() error {
	if l.closed.Swap(true) || l.abandoned.Load() {
		return nil
	}
	var failures []error
	for _, release := range slices.Backward(l.release) {
		failures = append(failures, release())
	}
	return errors.Join(append(failures, l.device.Close())...)
}

// usbError turns what the library says into the conditions of package slm.
func usbError(err error) error {
	condition := slm.ErrProtocol
	for _, gone := range []error{gousb.ErrorNoDevice, gousb.ErrorNotFound, gousb.ErrorIO, gousb.TransferNoDevice} {
		if errors.Is(err, gone) {
			condition = slm.ErrUnplugged
		}
	}
	for _, late := range []error{gousb.ErrorTimeout, gousb.TransferTimedOut} {
		if errors.Is(err, late) {
			condition = slm.ErrTimeout
		}
	}
	return fmt.Errorf("libusb: %w: %w", err, condition)
}
