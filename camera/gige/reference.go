package gige

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/light-in-the-loop/opu/camera"
)

// ParseReference reads which camera is meant, and options, as one text, for configuration
// files and flags:
//
//	21043
//	192.168.1.20,source=Line2,edge=falling
//	192.168.1.20,packet=1500
//
// The camera is an address, a serial number or a user's name. source and edge are those of
// the trigger; packet is the size of the stream's packets.
func ParseReference(s string) (camera string, o Options, err error) {
	camera, rest, more := strings.Cut(s, ",")
	if camera == "" {
		return refuse(s, "name its address or its serial number")
	}
	for more {
		var option string
		option, rest, more = strings.Cut(rest, ",")
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "source":
			o.Source = value
		case "edge":
			if value != "rising" && value != "falling" {
				return refuse(s, "edge is rising or falling, not %q", value)
			}
			o.Falling = value == "falling"
		case "packet":
			if o.PacketSize, err = strconv.Atoi(value); err != nil || o.PacketSize == 0 {
				return refuse(s, "packet is a number of bytes, not %q", value)
			}
		default:
			return refuse(s, "there is no option %q; there are source, edge and packet", key)
		}
	}
	if err := o.check(); err != nil {
		return refuse(s, "%v", err)
	}
	return camera, o, nil
}

func refuse(s, why string, args ...any) (string, Options, error) {
	return "", Options{}, fmt.Errorf("cannot use the camera %q: %s: %w", s, fmt.Sprintf(why, args...), camera.ErrInput)
}

// check says whether the options make sense, whatever the camera.
func (o Options) check() error {
	if n := o.PacketSize; n != 0 && (n < 576 || n > 65532 || n%4 != 0) {
		return fmt.Errorf("packets have 576 to 65532 bytes, a multiple of 4, not %d", n)
	}
	if o.Memory < 0 {
		return fmt.Errorf("a memory of %d bytes makes no sense", o.Memory)
	}
	return nil
}
