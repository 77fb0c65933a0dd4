//go:build libusb

package u3v

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/gousb"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/usb"
)

// What the interfaces of a camera say of themselves (USB3 Vision: miscellaneous, 5).
const (
	classMiscellaneous = 0xEF
	subclassVision     = 0x05
	protocolControl    = 0x00
	protocolStream     = 0x02
)

// usbLink is a camera through libusb.
type usbLink struct {
	device *gousb.Device
	config *gousb.Config

	send       *gousb.OutEndpoint
	in, stream *gousb.InEndpoint
	release    []func() error // in this order backwards

	halted    atomic.Bool // the streaming pipe is
	abandoned atomic.Bool // a transfer never ended
	closed    atomic.Bool
	life      context.Context // ends with Close
	end       context.CancelCauseFunc
	once      sync.Once
}

// interfaces finds those of a camera: control, and frames. Numbers are as the configuration
// has them.
func interfaces(d *gousb.DeviceDesc) (config int, control, stream gousb.InterfaceSetting, ok bool) {
	for _, c := range d.Configs {
		found := 0
		for _, i := range c.Interfaces {
			for _, s := range i.AltSettings {
				if s.Class != classMiscellaneous || s.SubClass != subclassVision || s.Alternate != 0 {
					continue
				}
				switch s.Protocol {
				case protocolControl:
					control = s
					found |= 1
				case protocolStream:
					stream = s
					found |= 2
				}
			}
		}
		if found == 3 {
			return c.Number, control, stream, true
		}
	}
	return 0, control, stream, false
}

// List finds the cameras that are plugged in. One that may not be opened is told with why.
func List() ([]Found, error) {
	devices, failures, err := openAll()
	if err != nil {
		return nil, err
	}
	found := failures
	for _, d := range devices {
		found = append(found, describe(d))
		d.Close()
	}
	slices.SortFunc(found, func(a, b Found) int { return strings.Compare(a.Port, b.Port) })
	return found, nil
}

// openAll opens every camera there is; those that cannot be opened are told.
func openAll() (devices []*gousb.Device, failures []Found, err error) {
	c, err := usb.Library()
	if err != nil {
		return nil, nil, err
	}
	all := map[string]*gousb.DeviceDesc{}
	devices, err = c.OpenDevices(func(d *gousb.DeviceDesc) bool {
		_, _, _, ok := interfaces(d)
		if ok {
			all[portName(d)] = d
		}
		return ok
	})
	for _, d := range devices {
		delete(all, portName(d.Desc))
	}
	for port, d := range all {
		failures = append(failures, Found{Port: port, Err: openError(port, fmt.Sprintf("/dev/bus/usb/%03d/%03d", d.Bus, d.Address), err)})
	}
	return devices, failures, nil
}

// describe reads what a camera says of itself on the bus.
func describe(d *gousb.Device) Found {
	f := Found{Port: portName(d.Desc)}
	f.Vendor, _ = d.Manufacturer()
	f.Model, _ = d.Product()
	f.Serial, _ = d.SerialNumber()
	return f
}

// portName is a port as sysfs has it.
func portName(d *gousb.DeviceDesc) string {
	name := fmt.Sprintf("%d-", d.Bus)
	for i, p := range d.Path {
		if i > 0 {
			name += "."
		}
		name += fmt.Sprint(p)
	}
	return name
}

func openError(port, node string, err error) error {
	switch {
	case err == nil:
		return fmt.Errorf("cannot open the camera at USB port %s: %w", port, camera.ErrUnplugged)
	case errors.Is(err, gousb.ErrorAccess):
		return fmt.Errorf("cannot open the camera at USB port %s (%s): permission denied; install udev/70-opu.rules and join the group opu: %w", port, node, os.ErrPermission)
	case errors.Is(err, gousb.ErrorBusy), strings.Contains(err.Error(), gousb.ErrorBusy.Error()): // of a claim the library gives the text alone
		return fmt.Errorf("cannot open the camera at USB port %s: another program has it; close that: %w", port, camera.ErrRefused)
	}
	return fmt.Errorf("cannot open the camera at USB port %s: %w", port, linkError(err))
}

// OpenUSB opens the camera with a serial number, or the only one if that is empty.
func OpenUSB(ctx context.Context, serial string, o Options) (*Device, error) {
	link, err := openLink(serial)
	if err != nil {
		return nil, err
	}
	return Open(ctx, link, o)
}

// openLink chooses among the cameras that are there.
func openLink(serial string) (*usbLink, error) {
	devices, failures, err := openAll()
	if err != nil {
		return nil, err
	}
	var fit []*gousb.Device
	var seen []string
	for _, d := range devices {
		f := describe(d)
		seen = append(seen, f.Ref())
		if serial == "" || serial == f.Serial || serial == f.Port {
			fit = append(fit, d)
		}
	}
	for _, d := range devices {
		if len(fit) != 1 || d != fit[0] {
			d.Close()
		}
	}
	switch {
	case len(fit) > 1:
		return nil, fmt.Errorf("cannot choose between the cameras %s: name one: %w", strings.Join(seen, ", "), camera.ErrInput)
	case len(fit) == 0 && len(failures) > 0:
		return nil, failures[0].Err
	case len(fit) == 0 && len(seen) == 0:
		return nil, fmt.Errorf("cannot find a USB3 Vision camera: none is plugged in: %w", camera.ErrUnplugged)
	case len(fit) == 0:
		return nil, fmt.Errorf("cannot find the USB3 Vision camera %q; there are %s: %w", serial, strings.Join(seen, ", "), camera.ErrUnplugged)
	}
	l := &usbLink{device: fit[0]}
	l.life, l.end = context.WithCancelCause(context.Background())
	if err := l.claim(); err != nil {
		return nil, errors.Join(openError(portName(l.device.Desc), "", err), l.Close())
	}
	return l, nil
}

// claim takes both interfaces.
func (l *usbLink) claim() (err error) {
	number, control, stream, ok := interfaces(l.device.Desc)
	if !ok {
		return errors.New("its interfaces are gone")
	}
	l.device.ControlTimeout = usb.AbandonTime // of clear; the library would wait for ever
	if err := l.device.SetAutoDetach(true); err != nil {
		return err
	}
	if l.config, err = l.device.Config(number); err != nil {
		return err
	}
	l.release = append(l.release, l.config.Close)
	take := func(s gousb.InterfaceSetting) (*gousb.Interface, error) {
		i, err := l.config.Interface(s.Number, 0)
		if err == nil {
			l.release = append(l.release, func() error {
				i.Close()
				return nil
			})
		}
		return i, err
	}
	c, err := take(control)
	if err != nil {
		return err
	}
	s, err := take(stream)
	if err != nil {
		return err
	}
	for _, e := range control.Endpoints {
		switch {
		case e.TransferType != gousb.TransferTypeBulk:
		case e.Direction == gousb.EndpointDirectionIn:
			l.in, err = c.InEndpoint(e.Number)
		default:
			l.send, err = c.OutEndpoint(e.Number)
		}
		if err != nil {
			return err
		}
	}
	for _, e := range stream.Endpoints {
		if e.TransferType == gousb.TransferTypeBulk && e.Direction == gousb.EndpointDirectionIn {
			if l.stream, err = s.InEndpoint(e.Number); err != nil {
				return err
			}
		}
	}
	if l.in == nil || l.send == nil || l.stream == nil {
		return fmt.Errorf("it has not the pipes of a camera: %w", camera.ErrProtocol)
	}
	return nil
}

// transfer makes a transfer of the control interface.
func (l *usbLink) transfer(ctx context.Context, move func(context.Context, []byte) (int, error), p []byte) (int, error) {
	switch {
	case l.closed.Load():
		return 0, fmt.Errorf("libusb: %w", camera.ErrClosed)
	case l.abandoned.Load():
		return 0, fmt.Errorf("libusb: an earlier transfer never ended: %w", camera.ErrUnplugged)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(l.life, func() { cancel(context.Cause(l.life)) })()
	n, err := usb.Transfer(ctx, move, p)
	switch {
	case errors.Is(err, usb.ErrAbandoned):
		l.abandoned.Store(true)
		return 0, context.Cause(ctx)
	case err != nil && ctx.Err() != nil:
		return 0, err
	case err != nil:
		return 0, linkError(err)
	}
	return n, nil
}

// Send implements Link.
func (l *usbLink) Send(ctx context.Context, packet []byte) error {
	n, err := l.transfer(ctx, l.send.WriteContext, slices.Clone(packet))
	if err == nil && n != len(packet) {
		err = fmt.Errorf("libusb: %d of %d bytes were sent: %w", n, len(packet), camera.ErrProtocol)
	}
	return err
}

// Receive implements Link.
func (l *usbLink) Receive(ctx context.Context, p []byte) (int, error) {
	buffer := make([]byte, len(p)) // the library may keep it when the caller has gone
	n, err := l.transfer(ctx, l.in.ReadContext, buffer)
	return copy(p, buffer[:n]), err
}

// Requests of endpoints (USB 2.0, 9.4): the library has no call for this one.
const (
	toEndpoint   = 0x02
	clearFeature = 1
	endpointHalt = 0
)

// clear ends the halt of an endpoint. The kernel has put its own side in step when the
// transfer stalled.
func (l *usbLink) clear(address gousb.EndpointAddress) error {
	_, err := l.device.Control(toEndpoint, clearFeature, endpointHalt, uint16(address), nil)
	if err != nil {
		return linkError(err)
	}
	return nil
}

// Recover implements Link.
func (l *usbLink) Recover(context.Context) error {
	return errors.Join(l.clear(l.send.Desc.Address), l.clear(l.in.Desc.Address))
}

// PacketSize implements Link.
func (l *usbLink) PacketSize() int { return l.stream.Desc.MaxPacketSize }

// Close implements Link. After a transfer that never ended the camera stays open, because the
// library would wait for it.
func (l *usbLink) Close() error {
	var failures []error
	l.once.Do(func() {
		l.closed.Store(true)
		l.end(camera.ErrClosed)
		if l.abandoned.Load() {
			return
		}
		for _, release := range slices.Backward(l.release) {
			failures = append(failures, release())
		}
		failures = append(failures, l.device.Close())
	})
	return errors.Join(failures...)
}

// Stream implements Link.
func (l *usbLink) Stream(ctx context.Context, size, count int) (Pipe, error) {
	if l.halted.Swap(false) {
		if err := l.clear(l.stream.Desc.Address); err != nil {
			return nil, err
		}
	}
	s, err := l.stream.NewStream(size, count)
	if err != nil {
		return nil, linkError(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.life, func() { cancel(context.Cause(l.life)) })
	return &usbPipe{link: l, s: s, ctx: ctx, stop: func() {
		stop()
		cancel(nil)
	}}, nil
}

// usbPipe is the library's own queue of transfers. It copies what they bring.
type usbPipe struct {
	link *usbLink
	s    *gousb.ReadStream
	ctx  context.Context
	stop func()
}

// Read implements Pipe.
func (p *usbPipe) Read(b []byte) (int, error) {
	n, err := p.s.ReadContext(p.ctx, b)
	switch {
	case err == nil:
		return n, nil
	case p.ctx.Err() != nil:
		return 0, context.Cause(p.ctx)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrClosedPipe):
		// Transfers could not be asked for: the kernel has no memory for so many, or the camera has gone.
		return 0, fmt.Errorf("libusb takes no more transfers; ask for less at a time (inflight), or raise usbcore.usbfs_memory_mb: %w", camera.ErrUnplugged)
	}
	err = linkError(err)
	if errors.Is(err, ErrHalted) {
		p.link.halted.Store(true)
	}
	return 0, err
}

// Close implements Pipe. Read has failed, and with that all transfers have ended.
func (p *usbPipe) Close() error {
	p.stop()
	return nil
}

// linkError turns what the library says into the conditions of links.
func linkError(err error) error {
	condition := camera.ErrProtocol
	for _, gone := range []error{gousb.ErrorNoDevice, gousb.ErrorNotFound, gousb.ErrorIO, gousb.TransferNoDevice} {
		if errors.Is(err, gone) {
			condition = camera.ErrUnplugged
		}
	}
	for _, halted := range []error{gousb.ErrorPipe, gousb.TransferStall} {
		if errors.Is(err, halted) {
			condition = ErrHalted
		}
	}
	return fmt.Errorf("libusb: %w: %w", err, condition)
}
