package dlpc900

import (
	"fmt"
	"strings"

	"github.com/light-in-the-loop/opu/slm"
)

// BoardInfo is a board that is plugged in.
type BoardInfo struct {
	Port   string `json:"port"`             // the USB port path, "usb-1-2.4": what tells boards apart
	Node   string `json:"node"`             // of its control interface
	Denied bool   `json:"denied,omitempty"` // this user may not open it
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
