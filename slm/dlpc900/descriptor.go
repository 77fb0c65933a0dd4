package dlpc900

import (
	"fmt"
	"strings"

	"github.com/light-in-the-loop/opu/internal/usb"
)

// describer is a link that knows what the board's USB interface says of itself.
type describer interface{ describe() (descriptors, error) }

// descriptors are those of the control interface.
type descriptors struct {
	usb.Interface
	Report []byte // HID report descriptor; nil: not known
}

func (d descriptors) String() string {
	var parts []string
	for _, e := range d.Endpoints {
		parts = append(parts, fmt.Sprintf("endpoint 0x%02X %s every %s", e.Address, e.Type, e.Interval))
	}
	s := fmt.Sprintf("interface %d of %d", d.Number, d.Of)
	if len(parts) > 0 {
		s += ", " + strings.Join(parts, ", ")
	}
	if len(d.Report) > 0 {
		s += fmt.Sprintf(", report descriptor % X", d.Report)
	}
	return s
}

// Items of a report descriptor (HID 1.11, section 6.2.2): the upper six bits of the prefix.
const (
	itemInput       = 0x80
	itemOutput      = 0x90
	itemReportSize  = 0x74
	itemReportID    = 0x84
	itemReportCount = 0x94
	itemLong        = 0xFE
)

// reportBits returns how many bits the reports of a descriptor have in each direction, all
// together, and whether they have numbers.
func reportBits(descriptor []byte) (in, out int, numbered bool) {
	var size, count int
	for len(descriptor) > 0 {
		prefix := descriptor[0]
		n := int(prefix & 3)
		if n == 3 {
			n = 4
		}
		if prefix == itemLong && len(descriptor) > 1 {
			n = int(descriptor[1]) + 2
		}
		if len(descriptor) < 1+n {
			break
		}
		value := 0
		for i, b := range descriptor[1 : 1+min(n, 4)] {
			value |= int(b) << (8 * i)
		}
		switch prefix &^ 3 {
		case itemReportSize:
			size = value
		case itemReportCount:
			count = value
		case itemReportID:
			numbered = true
		case itemInput:
			in += size * count
		case itemOutput:
			out += size * count
		}
		descriptor = descriptor[1+n:]
	}
	return in, out, numbered
}
