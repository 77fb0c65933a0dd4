//go:build linux

// Package vision makes a USB device of the model of a USB3 Vision camera, to be plugged into
// the kernel of the virtual lab with package usbip.
//
// What it says of itself are the descriptors of a small camera: two interfaces of class EF/05
// behind an association, control with a bulk pipe each way and streaming with one, at
// SuperSpeed.
package vision

import (
	"context"
	"errors"

	"github.com/light-in-the-loop/opu/lab/usbip"
	"github.com/light-in-the-loop/opu/sim/u3vcam"
)

// The endpoints: control both ways, and frames.
const (
	endpointControl = 1
	endpointStream  = 2
)

// Camera is a model on a USB cable.
type Camera struct {
	*u3vcam.Camera
	descriptors usbip.Descriptors
}

var _ usbip.Device = (*Camera)(nil)

// New makes a camera.
func New(c u3vcam.Config) (*Camera, error) {
	if c.Serial == "" {
		c.Serial = "U3V0001"
	}
	cam, err := u3vcam.New(c)
	if err != nil {
		return nil, err
	}
	return &Camera{cam, usbip.Descriptors{
		Device: []byte{
			18, 1, 0x00, 0x03, // USB 3.0
			0xEF, 0x02, 0x01, 9, // with associations; endpoint 0 takes 2^9 bytes
			0x09, 0x12, 0x01, 0x00, // 1209:0001, of pid.codes, for tests
			0x00, 0x01, 1, 2, 3, 1,
		},
		Configuration: []byte{
			9, 2, 0, 0, 2, 1, 0, 0x80, 0x70,
			8, 0x0b, 0, 2, 0xEF, 0x05, 0, 0, // association
			9, 4, 0, 0, 2, 0xEF, 0x05, 0, 0, // control
			0x14, 0x24, 1, 2, 0, 1, 0, 1, 0, 1, 0, 3, 1, 2, 0, 2, 1, 3, 0, 0x0c, // what it is
			7, 5, endpointControl, 2, 0x00, 0x04, 0, 6, 0x30, 0, 0, 0, 0, // out, with its companion
			7, 5, 0x80 | endpointControl, 2, 0x00, 0x04, 0, 6, 0x30, 0, 0, 0, 0, // in
			9, 4, 1, 0, 1, 0xEF, 0x05, 2, 0, // streaming
			7, 5, 0x80 | endpointStream, 2, 0x00, 0x04, 0, 6, 0x30, 15, 0, 0, 0,
		},
		Strings: []string{"Model Works", "U3V-1", c.Serial},
	}}, nil
}

// Speed implements usbip.Device.
func (c *Camera) Speed() usbip.Speed { return usbip.SuperSpeed }

// Control implements usbip.Device.
func (c *Camera) Control(_ context.Context, s usbip.Setup, _ []byte) ([]byte, error) {
	const clearEndpoint, clearFeature = 0x02, 1
	if s.Type == clearEndpoint && s.Request == clearFeature && s.Index == 0x80|endpointStream {
		c.ClearHalt()
	}
	return c.descriptors.Standard(s)
}

// Out implements usbip.Device.
func (c *Camera) Out(ctx context.Context, endpoint int, data []byte) error {
	if endpoint != endpointControl {
		return usbip.ErrStall
	}
	return onBus(c.Command(ctx, data))
}

// In implements usbip.Device.
func (c *Camera) In(ctx context.Context, endpoint, n int) (data []byte, err error) {
	switch endpoint {
	case endpointControl:
		data, err = c.Answer(ctx, n)
	case endpointStream:
		data, err = c.Stream(ctx, n)
	default:
		err = usbip.ErrStall
	}
	return data, onBus(err)
}

// onBus is what an error of the model looks like on the bus.
func onBus(err error) error {
	switch {
	case errors.Is(err, u3vcam.ErrGone):
		return errors.Join(usbip.ErrGone, err)
	case errors.Is(err, u3vcam.ErrStall):
		return errors.Join(usbip.ErrStall, err)
	}
	return err // the host's patience has ended
}
