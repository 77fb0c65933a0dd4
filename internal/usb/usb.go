// Package usb finds USB devices in Linux's sysfs, and hears when they come and go. It talks
// to none of them.
//
// Devices of one kind often share a serial number; what tells them apart is the port that
// they are plugged into: "1-2.4" is port 4 of the hub at port 2 of bus 1.
package usb

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Sys is where sysfs is mounted.
const Sys = "/sys"

// HIDRaw is a HID interface with its raw node.
type HIDRaw struct {
	Node            string // "/dev/hidraw3"
	Port            string // "1-2.4"
	Interface       int
	Vendor, Product uint16
	Name            string // for people
}

// interfaceName is a USB interface in sysfs: port, configuration, interface.
var interfaceName = regexp.MustCompile(`^(\d+-\d+(?:\.\d+)*):(\d+)\.(\d+)$`)

// FindHIDRaw lists the HID interfaces on USB with the ids given, by port and interface. sys is
// the root of sysfs. Devices that go away meanwhile are left out; without any HID device the
// list is empty.
func FindHIDRaw(sys string, vendor, product uint16) ([]HIDRaw, error) {
	class := filepath.Join(sys, "class", "hidraw")
	nodes, err := os.ReadDir(class)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot list HID devices: %w", err)
	}
	var found []HIDRaw
	for _, n := range nodes {
		h, ok := readHIDRaw(class, n.Name())
		if ok && h.Vendor == vendor && h.Product == product {
			found = append(found, h)
		}
	}
	slices.SortFunc(found, func(a, b HIDRaw) int {
		return strings.Compare(fmt.Sprintf("%s:%03d", a.Port, a.Interface), fmt.Sprintf("%s:%03d", b.Port, b.Interface))
	})
	return found, nil
}

// readHIDRaw reads what sysfs says of a node. It is false for devices that are not on USB.
func readHIDRaw(class, name string) (HIDRaw, bool) {
	path, err := filepath.EvalSymlinks(filepath.Join(class, name))
	if err != nil {
		return HIDRaw{}, false
	}
	h := HIDRaw{Node: "/dev/" + name}
	for part := range strings.SplitSeq(path, string(filepath.Separator)) {
		if m := interfaceName.FindStringSubmatch(part); m != nil {
			h.Port = m[1]
			h.Interface, _ = strconv.Atoi(m[3]) // digits, by the expression
		}
	}
	facts, err := os.ReadFile(filepath.Join(path, "device", "uevent"))
	if err != nil || h.Port == "" {
		return HIDRaw{}, false
	}
	vars := variables(strings.Split(string(facts), "\n"))
	ids := strings.Split(vars["HID_ID"], ":") // bus:vendor:product in hexadecimal
	if len(ids) != 3 {
		return HIDRaw{}, false
	}
	vendor, err1 := strconv.ParseUint(ids[1], 16, 32)
	product, err2 := strconv.ParseUint(ids[2], 16, 32)
	if err1 != nil || err2 != nil {
		return HIDRaw{}, false
	}
	h.Vendor, h.Product, h.Name = uint16(vendor), uint16(product), vars["HID_NAME"]
	return h, true
}

// variables reads lines of KEY=VALUE.
func variables(lines []string) map[string]string {
	vars := map[string]string{}
	for _, line := range lines {
		if key, value, ok := strings.Cut(line, "="); ok {
			vars[key] = value
		}
	}
	return vars
}
