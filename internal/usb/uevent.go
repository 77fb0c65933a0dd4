package usb

import (
	"bytes"
	"strings"
)

// Event is what the kernel tells when a device comes, goes or changes.
type Event struct {
	Action    string // "add", "remove", "change", "bind", ...
	Path      string // below /sys
	Subsystem string // "hidraw", "usb", "video4linux", ...
	Node      string // "/dev/hidraw3", or ""
}

// parseEvent reads a message of the kernel: action@path, then variables, each ended by NUL. It
// is false for anything else, such as the messages of udev.
func parseEvent(message []byte) (Event, bool) {
	head, rest, ok := bytes.Cut(message, []byte{0})
	if !ok || !bytes.Contains(head, []byte("@/")) {
		return Event{}, false
	}
	vars := variables(strings.Split(string(rest), "\x00"))
	e := Event{Action: vars["ACTION"], Path: vars["DEVPATH"], Subsystem: vars["SUBSYSTEM"]}
	if name := vars["DEVNAME"]; name != "" {
		e.Node = "/dev/" + strings.TrimPrefix(name, "/dev/")
	}
	return e, e.Action != "" && e.Path != ""
}
