//go:build linux

package usbip

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The files of the host controller.
const (
	controller = "/sys/devices/platform/vhci_hcd.0"
	devices    = "/sys/bus/usb/devices"
)

// lookAgain is how often the kernel is asked: to wake is what costs in simulated time.
const lookAgain = 10 * time.Millisecond

// patience is how long the kernel may take to configure a device, or to forget one.
const patience = 10 * time.Second

// Port is a port of the host controller with a device in it.
type Port struct {
	Number int    // of the controller's table, from 0
	Name   string // of the device in sysfs: "1-2" is port 2 of bus 1

	conn   net.Conn
	served chan struct{} // closed when nobody answers any more
	err    error         // of serve
	pull   func() error
}

// One device takes a port at a time.
var plugging sync.Mutex

// Plug plugs a device into the first free port, and waits until the kernel has configured it.
func Plug(d Device) (*Port, error) { return plug(d, -1) }

// PlugInto plugs a device into a port that is free, such as the one it was in before.
func PlugInto(number int, d Device) (*Port, error) { return plug(d, number) }

func plug(d Device, number int) (*Port, error) {
	p, err := attach(d, number)
	if err != nil {
		return nil, fmt.Errorf("cannot plug in the device: %w", err)
	}
	configured := func() (bool, error) {
		slots, err := table()
		if err != nil {
			return false, err
		}
		for _, s := range slots {
			if s.number == p.Number && s.device != "0-0" {
				p.Name = s.device
			}
		}
		value, _ := os.ReadFile(filepath.Join(devices, p.Name, "bConfigurationValue")) // not there at first
		return p.Name != "" && len(strings.TrimSpace(string(value))) > 0, nil
	}
	if err := await(configured, "configured"); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot plug in the device: %w", err), p.Pull())
	}
	return p, nil
}

// attach gives the kernel one end of a pair of sockets and answers at the other.
func attach(d Device, number int) (*Port, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	kernel, ours := pair[0], os.NewFile(uintptr(pair[1]), "usbip")
	defer unix.Close(kernel) // the kernel has its own hold of it
	defer ours.Close()       // and FileConn a copy
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, err
	}
	plugging.Lock()
	defer plugging.Unlock()
	if number, err = free(d.Speed(), number); err == nil {
		const bus = 1 << 16 // of the device's address, which only has to be another for each
		line := fmt.Sprintf("%d %d %d %d", number, kernel, bus|number+1, d.Speed())
		err = os.WriteFile(filepath.Join(controller, "attach"), []byte(line), 0)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	p := &Port{Number: number, conn: conn, served: make(chan struct{})}
	p.pull = sync.OnceValue(p.detach)
	go func() {
		p.err = serve(conn, d)
		conn.Close() // so that the kernel does not wait for answers
		close(p.served)
	}()
	return p, nil
}

// Pull pulls the plug: transfers end as those of a device that has gone. It returns when the
// kernel has forgotten the device, with what went wrong while it was plugged in, and may be
// called more than once.
func (p *Port) Pull() error { return p.pull() }

func (p *Port) detach() error {
	p.conn.Close()
	<-p.served
	forgotten := func() (bool, error) {
		if _, err := os.Stat(filepath.Join(devices, p.Name)); p.Name != "" && err == nil {
			return false, nil // the hub has not looked yet
		}
		slots, err := table()
		for _, s := range slots {
			if s.number == p.Number && s.free {
				return true, nil
			}
		}
		return false, err
	}
	return errors.Join(p.err, await(forgotten, "forgotten"))
}

// await asks again and again: files of sysfs cannot be waited for.
func await(done func() (bool, error), what string) error {
	for deadline := time.Now().Add(patience); ; time.Sleep(lookAgain) {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the kernel has not %s it within %v", what, patience)
		}
	}
}

// slot is a line of the controller's table.
type slot struct {
	number int
	super  bool // for devices of SuperSpeed
	free   bool
	device string // its name in sysfs; "0-0": none
}

// table reads the controller's table: hub, port, status, speed, device, socket, name. The
// status 4 is a port without a device (VDEV_ST_NULL).
func table() ([]slot, error) {
	text, err := os.ReadFile(filepath.Join(controller, "status"))
	if err != nil {
		return nil, fmt.Errorf("%w; load the module vhci-hcd", err)
	}
	var slots []slot
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 7 || f[0] == "hub" {
			continue
		}
		number, err1 := strconv.Atoi(f[1])
		status, err2 := strconv.Atoi(f[2])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("cannot read the table of ports: %w", err)
		}
		slots = append(slots, slot{number: number, super: f[0] == "ss", free: status == 4, device: f[6]})
	}
	return slots, nil
}

// free sees that a port is free; -1 is the first that is.
func free(speed Speed, number int) (int, error) {
	slots, err := table()
	if err != nil {
		return 0, err
	}
	for _, s := range slots {
		if s.free && s.super == (speed >= SuperSpeed) && (number < 0 || s.number == number) {
			return s.number, nil
		}
	}
	if number >= 0 {
		return 0, fmt.Errorf("port %d is not free", number)
	}
	return 0, errors.New("no port is free")
}
