//go:build libusb

package u3v

import (
	"errors"
	"os"
	"testing"

	"github.com/google/gousb"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/usb"
)

// Where no camera is, libusb finds none, and says so.
func TestUSBWithoutCamera(t *testing.T) {
	if _, err := usb.Library(); err != nil {
		t.Skip(err)
	}
	if _, err := OpenUSB(t.Context(), "no such camera", Options{}); !errors.Is(err, camera.ErrUnplugged) {
		t.Errorf("got %v", err)
	}
}

func TestPortName(t *testing.T) {
	if got := portName(&gousb.DeviceDesc{Bus: 2, Path: []int{1, 4}}); got != "2-1.4" {
		t.Errorf("got %s", got)
	}
}

// Interfaces are found by what they are, not by where.
func TestUSBInterfaces(t *testing.T) {
	setting := func(number int, protocol gousb.Protocol) gousb.InterfaceSetting {
		return gousb.InterfaceSetting{Number: number, Class: 0xEF, SubClass: 0x05, Protocol: protocol}
	}
	camera := func(settings ...gousb.InterfaceSetting) *gousb.DeviceDesc {
		c := gousb.ConfigDesc{Number: 1}
		for _, s := range settings {
			c.Interfaces = append(c.Interfaces, gousb.InterfaceDesc{Number: s.Number, AltSettings: []gousb.InterfaceSetting{s}})
		}
		return &gousb.DeviceDesc{Configs: map[int]gousb.ConfigDesc{1: c}}
	}
	if _, control, stream, ok := interfaces(camera(setting(3, 2), setting(4, 1), setting(5, 0))); !ok || control.Number != 5 || stream.Number != 3 {
		t.Errorf("control is %d, frames %d, %t", control.Number, stream.Number, ok)
	}
	other := setting(1, 2)
	other.Class = 3
	for name, d := range map[string]*gousb.DeviceDesc{"no frames": camera(setting(0, 0)), "another class": camera(setting(0, 0), other), "nothing": camera()} {
		if _, _, _, ok := interfaces(d); ok {
			t.Errorf("%s: it is a camera", name)
		}
	}
}

func TestUSBErrors(t *testing.T) {
	for from, want := range map[error]error{
		gousb.ErrorNoDevice: camera.ErrUnplugged, gousb.TransferNoDevice: camera.ErrUnplugged, gousb.TransferStall: ErrHalted, gousb.ErrorPipe: ErrHalted, gousb.TransferOverflow: camera.ErrProtocol,
	} {
		if err := linkError(from); !errors.Is(err, want) {
			t.Errorf("%v became %v, want %v", from, err, want)
		}
	}
	if err := openError("2-1", "/dev/bus/usb/002/003", gousb.ErrorAccess); err == nil || !errors.Is(err, os.ErrPermission) {
		t.Errorf("%v", err)
	}
}
