package dlpc900

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/internal/usb"
	"github.com/light-in-the-loop/opu/slm"
)

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

func openHIDRawPort(ctx context.Context, port string, o Options) (*Device, error) {
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
		o.Reset = func(context.Context) error { return usb.Reset(usb.Sys, strings.TrimPrefix(b.Port, "usb-")) }
	}
	return Open(ctx, link, o)
}

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
