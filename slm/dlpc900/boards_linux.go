package dlpc900

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/internal/usb"
	"github.com/light-in-the-loop/opu/slm"
)

// BoardInfo is a board that is plugged in.
type BoardInfo struct {
	Port   string `json:"port"`             // the USB port path, "usb-1-2.4": what tells boards apart
	Node   string `json:"node"`             // of its control interface
	Denied bool   `json:"denied,omitempty"` // this user may not open it
}

// Boards lists the boards that are plugged in, by port. Where a board has more than one HID
// interface the first is its control (field reports of a sibling; Open sees whether it
// answers).
func Boards() ([]BoardInfo, error) { return boards(usb.Sys) }

func boards(sys string) ([]BoardInfo, error) {
	nodes, err := usb.FindHIDRaw(sys, VendorID, ProductID)
	if err != nil {
		return nil, err
	}
	var found []BoardInfo
	for _, n := range nodes {
		port := "usb-" + n.Port
		if len(found) > 0 && found[len(found)-1].Port == port {
			continue // another interface of the same board
		}
		denied := unix.Access(n.Node, unix.R_OK|unix.W_OK)
		found = append(found, BoardInfo{Port: port, Node: n.Node, Denied: errors.Is(denied, unix.EACCES)})
	}
	return found, nil
}

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

// OpenPort opens the board at a USB port, "usb-1-2"; "" is the only board. If it goes away and
// comes back to that port the device goes on with it.
func OpenPort(ctx context.Context, port string, o Options) (*Device, error) {
	found, err := Boards()
	if err != nil {
		return nil, err
	}
	b, err := choose(found, port)
	if err != nil {
		return nil, err
	}
	link, err := OpenHIDRaw(b.Node)
	if err != nil {
		return nil, err
	}
	o.Port = b.Port
	if o.Reopen == nil {
		o.Reopen = func(ctx context.Context) (Link, error) { return awaitBoard(ctx, b.Port) }
	}
	return Open(ctx, link, o)
}

// A board that was pulled may take a moment to be listed again, and another until udev has
// given its node away.
const (
	returnTime = 2 * time.Second
	lookAgain  = 200 * time.Millisecond
)

// awaitBoard opens the board at a port when it is there, within returnTime.
func awaitBoard(ctx context.Context, port string) (Link, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, returnTime, slm.ErrUnplugged)
	defer cancel()
	monitor, err := usb.Listen()
	if err != nil {
		return nil, err
	}
	defer monitor.Close()
	for {
		link, err := openAt(port)
		if err == nil || !errors.Is(err, slm.ErrUnplugged) && !errors.Is(err, os.ErrPermission) {
			return link, err
		}
		if heard := await(ctx, monitor); heard != nil {
			return nil, fmt.Errorf("%w (%w)", err, heard)
		}
	}
}

func openAt(port string) (Link, error) {
	found, err := Boards()
	if err != nil {
		return nil, err
	}
	b, err := choose(found, port)
	if err != nil {
		return nil, err
	}
	return OpenHIDRaw(b.Node)
}

// await returns when a device came, or after a while: the node's owner changes without an
// event of the kernel.
func await(ctx context.Context, monitor *usb.Monitor) error {
	moment, cancel := context.WithTimeout(ctx, lookAgain)
	defer cancel()
	for {
		e, err := monitor.Next(moment)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case moment.Err() != nil, errors.Is(err, usb.ErrMissed):
			return nil
		case err != nil:
			return err
		case e.Subsystem == "hidraw" && e.Action == "add":
			return nil
		}
	}
}
