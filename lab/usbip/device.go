package usbip

import (
	"context"
	"encoding/binary"
	"errors"
	"unicode/utf16"
)

// Speed is how fast a device is, as the kernel numbers it.
type Speed uint32

const (
	FullSpeed  Speed = 2 // 12 Mbit/s
	HighSpeed  Speed = 3 // 480 Mbit/s
	SuperSpeed Speed = 5 // 5 Gbit/s
)

// Setup is the packet that begins a control transfer.
type Setup struct {
	Type, Request        byte
	Value, Index, Length uint16
}

// What a Device answers a transfer with, besides data. Other errors that wrap a unix.Errno are
// that error of the bus (EPROTO, EOVERFLOW); what is left is a stall.
var (
	ErrStall = errors.New("stall")
	ErrGone  = errors.New("the device has gone") // as if somebody pulled the plug
)

// Device is a USB device. Transfers of one endpoint come one after the other; those of
// different endpoints, and directions, at the same time. To wait for long is to be busy (NAK):
// ctx ends when the host gives up the transfer or the plug is pulled.
type Device interface {
	Speed() Speed
	// Control answers a transfer of endpoint 0; out is what the host sent. What it returns is
	// cut to what the host asked for.
	Control(ctx context.Context, s Setup, out []byte) ([]byte, error)
	// Out takes what the host sends to an endpoint.
	Out(ctx context.Context, endpoint int, data []byte) error
	// In gives what an endpoint has for the host, at most n bytes.
	In(ctx context.Context, endpoint, n int) ([]byte, error)
}

// Descriptors are what a device says of itself.
type Descriptors struct {
	Device        []byte
	Configuration []byte            // with the interfaces and endpoints; its total length is filled in
	Strings       []string          // the first has index 1
	Class         map[uint16][]byte // further ones by wValue, such as the report descriptor of HID, 0x2200
}

// Requests of every device (USB 2.0, table 9-4).
const (
	getStatus        = 0
	clearFeature     = 1
	setFeature       = 3
	getDescriptor    = 6
	getConfiguration = 8
	setConfiguration = 9
	getInterface     = 10
	setInterface     = 11
)

// Kinds of descriptors (USB 2.0, table 9-5).
const (
	kindDevice        = 1
	kindConfiguration = 2
	kindString        = 3
)

const english = 0x0409

// Standard answers the requests that every device has to answer, and stalls the others. The
// device has one configuration, and its interfaces one setting.
func (d *Descriptors) Standard(s Setup) ([]byte, error) {
	const kindOfRequest = 0x60 // 0: standard
	if s.Type&kindOfRequest != 0 {
		return nil, ErrStall
	}
	switch s.Request {
	case getStatus:
		return []byte{1, 0}, nil // has a power supply of its own
	case getConfiguration:
		return []byte{1}, nil
	case getInterface:
		return []byte{0}, nil
	case clearFeature, setFeature, setConfiguration, setInterface:
		return nil, nil
	case getDescriptor:
		return d.descriptor(s.Value)
	}
	return nil, ErrStall
}

func (d *Descriptors) descriptor(value uint16) ([]byte, error) {
	index := int(value & 0xff)
	switch kind := value >> 8; {
	case kind == kindDevice:
		return d.Device, nil
	case kind == kindConfiguration && index == 0 && len(d.Configuration) >= 4:
		whole := append([]byte(nil), d.Configuration...)
		binary.LittleEndian.PutUint16(whole[2:], uint16(len(whole)))
		return whole, nil
	case kind == kindString && index == 0:
		return binary.LittleEndian.AppendUint16([]byte{4, kindString}, english), nil
	case kind == kindString && index <= len(d.Strings):
		text := []byte{0, kindString}
		for _, u := range utf16.Encode([]rune(d.Strings[index-1])) {
			text = binary.LittleEndian.AppendUint16(text, u)
		}
		text[0] = byte(len(text))
		return text, nil
	case d.Class[value] != nil:
		return d.Class[value], nil
	}
	return nil, ErrStall
}
