//go:build linux

// Package board makes a USB device of the model of a DLPC900 board, to be plugged into the
// kernel of the virtual lab with package usbip.
//
// What it says of itself is what is known of boards: 0451:c900 at full speed, one HID
// interface with unnumbered reports of 64 bytes each way on endpoints 0x01 and 0x81, and the
// serial number C900, whichever board it is. The type and the interval of the endpoints have
// not been seen on hardware: interrupt, one millisecond, as HID of USB 1.1 has them.
package board

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/lab/usbip"
	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
)

const reportSize = 64

// reports says: vendor page, 64 bytes in, 64 bytes out, without numbers (HID 1.11, 6.2.2).
var reports = []byte{
	0x06, 0x00, 0xff, // usage page: vendor
	0x09, 0x01, // usage
	0xa1, 0x01, // collection: application
	0x15, 0x00, 0x26, 0xff, 0x00, // bytes from 0 to 255
	0x75, 8, 0x95, reportSize,
	0x09, 0x01, 0x81, 0x02, // input
	0x09, 0x01, 0x91, 0x02, // output
	0xc0,
}

var descriptors = usbip.Descriptors{
	Device: []byte{
		18, 1, 0x10, 0x01, // USB 1.1
		0, 0, 0, 64, // the class is the interface's; endpoint 0 takes 64 bytes
		0x51, 0x04, 0x00, 0xc9, // 0451:c900
		0x00, 0x01, 1, 2, 3, 1, // strings, and one configuration
	},
	Configuration: []byte{
		9, 2, 0, 0, 1, 1, 0, 0xc0, 50, // one interface, self-powered
		9, 4, 0, 0, 2, 3, 0, 0, 0, // HID, two endpoints
		9, 0x21, 0x11, 0x01, 0, 1, 0x22, byte(len(reports)), 0,
		7, 5, 0x81, 3, reportSize, 0, 1, // in: interrupt, every millisecond
		7, 5, 0x01, 3, reportSize, 0, 1, // out
	},
	Strings: []string{"Texas Instruments", "DLPC900", "C900"},
	Class:   map[uint16][]byte{0x2200: reports},
}

// Board is a model on a USB cable.
type Board struct {
	*controller.Board
	mirrors mirrors
}

var _ usbip.Device = (*Board)(nil)

// New makes a board; c.Show is its own.
func New(c controller.Config) (*Board, error) {
	b := new(Board)
	c.Show = b.mirrors.show
	var err error
	b.Board, err = controller.New(c)
	return b, err
}

// Shown returns what the mirrors showed in the last run, in order, as far as the camera was
// triggered.
func (b *Board) Shown() []*slm.Pattern { return b.mirrors.shown() }

// Speed implements usbip.Device.
func (b *Board) Speed() usbip.Speed { return usbip.FullSpeed }

// Control implements usbip.Device.
func (b *Board) Control(_ context.Context, s usbip.Setup, _ []byte) ([]byte, error) {
	const classRequest, setIdle = 0x21, 10
	if s.Type == classRequest && s.Request == setIdle {
		return nil, nil
	}
	return descriptors.Standard(s)
}

// Out implements usbip.Device.
func (b *Board) Out(ctx context.Context, _ int, data []byte) error {
	return onBus(b.Write(ctx, data))
}

// In implements usbip.Device.
func (b *Board) In(ctx context.Context, _, _ int) ([]byte, error) {
	report := make([]byte, reportSize)
	err := onBus(b.Read(ctx, report))
	return report, err
}

// onBus is what an error of the model looks like on the bus.
func onBus(err error) error {
	switch {
	case errors.Is(err, slm.ErrUnplugged), errors.Is(err, slm.ErrClosed):
		return errors.Join(usbip.ErrGone, err)
	case errors.Is(err, slm.ErrInput):
		return errors.Join(unix.EOVERFLOW, err)
	}
	return err // a stall, or the host's patience has ended
}

// mirrors keeps the last run.
type mirrors struct {
	mu  sync.Mutex
	run []*slm.Pattern
}

func (m *mirrors) show(exposures []controller.Exposure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range exposures {
		if e.Position == 0 && e.Entry >= 0 {
			m.run = nil
		}
		if e.Trigger {
			m.run = append(m.run, e.Pattern)
		}
	}
}

func (m *mirrors) shown() []*slm.Pattern {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]*slm.Pattern(nil), m.run...)
}
