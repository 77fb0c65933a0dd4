package usb

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Interface is a USB interface and its endpoints.
type Interface struct {
	Number    int
	Of        int // interfaces of the device
	Endpoints []Endpoint
}

// Endpoint is one end of a pipe.
type Endpoint struct {
	Address  byte   // bit 7: to the host
	Type     string // "Interrupt", "Bulk", "Isoc", "Control"
	Interval string // between two polls, such as "1ms"
}

// InterfaceOf says which interface a raw HID node belongs to. sys is the root of sysfs.
func InterfaceOf(sys, node string) (Interface, error) {
	fail := func(err error) (Interface, error) {
		return Interface{}, fmt.Errorf("cannot find the USB interface of %s: %w", node, err)
	}
	path, err := filepath.EvalSymlinks(filepath.Join(sys, "class", "hidraw", filepath.Base(node)))
	if err != nil {
		return fail(err)
	}
	for !interfaceName.MatchString(filepath.Base(path)) {
		if parent := filepath.Dir(path); parent != path {
			path = parent
			continue
		}
		return fail(fmt.Errorf("it is on no USB"))
	}
	number, err := strconv.Atoi(interfaceName.FindStringSubmatch(filepath.Base(path))[3])
	if err != nil {
		return fail(err)
	}
	of, err := strconv.Atoi(read(path, "..", "bNumInterfaces"))
	if err != nil {
		return fail(err)
	}
	i := Interface{Number: number, Of: of}
	ends, err := filepath.Glob(filepath.Join(path, "ep_*"))
	if err != nil {
		return fail(err)
	}
	for _, end := range ends {
		address, err := strconv.ParseUint(read(end, "bEndpointAddress"), 16, 8)
		if err != nil {
			return fail(err)
		}
		i.Endpoints = append(i.Endpoints, Endpoint{Address: byte(address), Type: read(end, "type"), Interval: read(end, "interval")})
	}
	slices.SortFunc(i.Endpoints, func(a, b Endpoint) int { return cmp.Compare(a.Address, b.Address) })
	return i, nil
}

// read is what a file of sysfs holds, without spaces; "" if it cannot be read.
func read(path ...string) string {
	text, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
