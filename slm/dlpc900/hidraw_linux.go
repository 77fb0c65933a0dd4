package dlpc900

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/internal/usb"
	"github.com/light-in-the-loop/opu/slm"
)

// hidraw is a link through Linux's raw HID node, in pure Go. Reads go through the poller of
// the runtime. A write blocks in the kernel until the board has taken the report, for up to
// five seconds, whatever the context says; so writes have a goroutine of their own, which
// Write leaves behind when its context ends and which the next one waits for.
type hidraw struct {
	file    *os.File
	closing atomic.Bool
	writes  chan []byte   // to the writer
	wrote   chan error    // from it
	gone    chan struct{} // closed by Close
	idle    chan struct{} // holds a token while the writer has nothing to do
}

// OpenHIDRaw opens a board by its node, such as /dev/hidraw3. Nobody else who locks it
// as this package does can have it open.
func OpenHIDRaw(node string) (Link, error) {
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, openError(node, err)
	}
	if err := claim(node, fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return newHIDRaw(os.NewFile(uintptr(fd), node)), nil
}

// openError says what to do about a node that cannot be opened.
func openError(node string, err error) error {
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("cannot open %s: permission denied; install udev/70-opu.rules and join the group opu: %w", node, os.ErrPermission)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("cannot open %s: %w; plug the board in and switch it on", node, slm.ErrUnplugged)
	}
	return fmt.Errorf("cannot open %s: %w", node, err)
}

// claim sees that a node is a board's, and locks it.
func claim(node string, fd int) error {
	const busUSB = 3
	info, err := unix.IoctlHIDGetRawInfo(fd)
	if err != nil {
		return fmt.Errorf("cannot use %s: it is no HID node: %w: %w", node, slm.ErrInput, err)
	}
	if info.Bustype != busUSB || uint16(info.Vendor) != VendorID || uint16(info.Product) != ProductID {
		return fmt.Errorf("cannot use %s: it is the device %04x:%04x, not a DLPC900 (%04x:%04x): %w", node, uint16(info.Vendor), uint16(info.Product), VendorID, ProductID, slm.ErrInput)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("cannot use %s: another program has it; close that: %w", node, slm.ErrBusy)
	} else if err != nil {
		return fmt.Errorf("cannot lock %s: %w", node, err)
	}
	return nil
}

func newHIDRaw(file *os.File) *hidraw {
	h := &hidraw{
		file: file, writes: make(chan []byte), wrote: make(chan error, 1),
		gone: make(chan struct{}), idle: make(chan struct{}, 1),
	}
	h.idle <- struct{}{}
	go h.writer()
	return h
}

// writer writes reports, each behind the byte of a report number that is not sent.
func (h *hidraw) writer() {
	var numbered [1 + ReportSize]byte
	for {
		select {
		case reports := <-h.writes:
			var err error
			for ; len(reports) > 0 && err == nil; reports = reports[ReportSize:] {
				copy(numbered[1:], reports)
				var n int
				if n, err = h.file.Write(numbered[:]); err == nil && n != len(numbered) {
					err = fmt.Errorf("%d of %d bytes were written: %w", n, len(numbered), slm.ErrProtocol)
				}
			}
			h.wrote <- err
			h.idle <- struct{}{}
		case <-h.gone:
			return
		}
	}
}

// Write implements Link.
func (h *hidraw) Write(ctx context.Context, reports []byte) error {
	if len(reports)%ReportSize != 0 {
		return fmt.Errorf("cannot write %d bytes: they are no whole reports: %w", len(reports), slm.ErrInput)
	}
	select {
	case <-h.idle:
	case <-ctx.Done():
		return h.fail(context.Cause(ctx))
	case <-h.gone:
		return h.fail(os.ErrClosed)
	}
	select {
	case <-h.wrote: // of a write that was left behind
	default:
	}
	select {
	case h.writes <- append([]byte(nil), reports...): // the caller may go before they are written
	case <-h.gone:
		return h.fail(os.ErrClosed)
	}
	select {
	case err := <-h.wrote:
		return h.fail(err)
	case <-ctx.Done():
		return h.fail(context.Cause(ctx))
	}
}

// Read implements Link.
func (h *hidraw) Read(ctx context.Context, report []byte) error {
	h.file.SetReadDeadline(time.Time{})
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		h.file.SetReadDeadline(time.Unix(1, 0))
		close(fired)
	})
	n, err := h.file.Read(report)
	if !stop() {
		<-fired // else it would end the next call
		if err != nil {
			err = context.Cause(ctx)
		}
	}
	if err == nil && n != ReportSize {
		err = fmt.Errorf("a report of %d bytes: %w", n, slm.ErrProtocol)
	}
	return h.fail(err)
}

// describe implements describer.
func (h *hidraw) describe() (descriptors, error) {
	i, err := usb.InterfaceOf(usb.Sys, h.file.Name())
	if err != nil {
		return descriptors{}, err
	}
	raw, err := h.file.SyscallConn()
	if err != nil {
		return descriptors{}, err
	}
	var report unix.HIDRawReportDescriptor
	var failure error
	err = raw.Control(func(fd uintptr) {
		var size int
		if size, failure = unix.IoctlGetInt(int(fd), unix.HIDIOCGRDESCSIZE); failure == nil {
			report.Size = uint32(size)
			failure = unix.IoctlHIDGetDesc(int(fd), &report)
		}
	})
	if err := errors.Join(err, failure); err != nil {
		return descriptors{}, h.fail(err)
	}
	return descriptors{Interface: i, Report: report.Value[:min(int(report.Size), len(report.Value))]}, nil
}

// Close implements Link.
func (h *hidraw) Close() error {
	if h.closing.Swap(true) {
		return nil
	}
	close(h.gone)
	return h.file.Close()
}

// fail turns what the kernel says into the conditions of package slm.
func (h *hidraw) fail(err error) error {
	var condition error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrClosed):
		condition = slm.ErrClosed
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.EIO), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ESHUTDOWN), errors.Is(err, io.EOF):
		condition = slm.ErrUnplugged
	case errors.Is(err, unix.ETIMEDOUT):
		condition = slm.ErrTimeout
	case errors.Is(err, unix.EPIPE), errors.Is(err, unix.EPROTO), errors.Is(err, unix.EILSEQ), errors.Is(err, unix.EOVERFLOW):
		condition = slm.ErrProtocol // a stall, or noise on the line
	default:
		return fmt.Errorf("%s: %w", h.file.Name(), err)
	}
	return fmt.Errorf("%s: %w: %w", h.file.Name(), err, condition)
}
