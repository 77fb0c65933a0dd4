package dlpc900

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// BoardInfo is a board that is plugged in.
type BoardInfo struct {
	Port   string `json:"port"`             // the USB port path, "usb-1-2.4": what tells boards apart
	Node   string `json:"node"`             // of its control interface
	Denied bool   `json:"denied,omitempty"` // this user may not open it
}

// throughLibUSB marks a port whose board is to be reached through libusb.
const throughLibUSB = "libusb:"

// OpenPort opens the board at a USB port, "usb-1-2"; "" is the only board. If it goes away and
// comes back to that port the device goes on with it; if it answers no more the link is opened
// again, and then the port reset. Raw HID nodes are used; "libusb:usb-1-2" takes libusb, in
// programs that were built with -tags libusb.
func OpenPort(ctx context.Context, port string, o Options) (*Device, error) {
	if port, ok := strings.CutPrefix(port, throughLibUSB); ok {
		return openLibUSBPort(ctx, port, o)
	}
	return openHIDRawPort(ctx, port, o)
}

// Identity is what a board says of itself before it is taken into use.
type Identity struct {
	DMD      string  `json:"dmd"` // "type 9" if it is not listed
	Tag      string  `json:"tag"` // of the firmware
	Firmware Version `json:"-"`
}

// identifyTime bounds how long Identify waits for a board.
const identifyTime = 2 * time.Second

// Identify asks the board at a node who it is, and changes nothing. It fails with slm.ErrBusy
// if another program has it.
func Identify(ctx context.Context, node string) (Identity, error) {
	link, err := OpenHIDRaw(node)
	if err != nil {
		return Identity{}, err
	}
	defer link.Close()
	return identify(ctx, link)
}

func identify(ctx context.Context, link Link) (Identity, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, identifyTime, slm.ErrTimeout)
	defer cancel()
	l := &line{link: link, seq: byte(rand.Uint32())} // another than the program before began with
	kind, tag, err := l.identity(ctx)
	if err != nil {
		return Identity{}, err
	}
	v, err := l.versions(ctx)
	i := Identity{DMD: fmt.Sprintf("type %d", kind), Tag: tag, Firmware: v.Application}
	if d, listed := dmds[kind]; listed {
		i.DMD = d.Name
	}
	return i, err
}

// A board that was pulled may take a moment to be listed again, and another until udev has
// given its node away.
const (
	returnTime = 2 * time.Second
	lookAgain  = 200 * time.Millisecond
)

// choose finds a board by its port; "" is the only one.
func choose(found []BoardInfo, port string) (BoardInfo, error) {
	var ports []string
	for _, b := range found {
		if b.Port == port || port == "" && len(found) == 1 {
			return b, nil
		}
		ports = append(ports, b.Port)
	}
	switch {
	case len(found) == 0:
		return BoardInfo{}, fmt.Errorf("cannot find a DLPC900 board; plug it in and switch it on: %w", slm.ErrUnplugged)
	case port == "":
		return BoardInfo{}, fmt.Errorf("cannot choose among %d DLPC900 boards; name one of the ports %s: %w", len(found), strings.Join(ports, ", "), slm.ErrInput)
	}
	return BoardInfo{}, fmt.Errorf("cannot find a DLPC900 board at %s, only at %s: %w", port, strings.Join(ports, ", "), slm.ErrUnplugged)
}
