package v4l2

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// ParseReference reads a node and options as one text, for configuration files and flags:
//
//	/dev/video0
//	/dev/v4l/by-id/usb-Maker_Camera_17,trigger=trigger_mode=1,free=trigger_mode=0
//	/dev/video0,set=gain=10,set=gamma=45,exposure=exposure_time:1us,format=RG10
//
// trigger, free and set (Options.Fixed) may be repeated; exposure has the unit behind the
// control's name; format, buffers and latency are as in Options.
func ParseReference(s string) (path string, o Options, err error) {
	path, rest, more := strings.Cut(s, ",")
	fail := func(what string, args ...any) (string, Options, error) {
		return "", Options{}, fmt.Errorf("cannot use the camera %q: %s: %w", s, fmt.Sprintf(what, args...), camera.ErrInput)
	}
	if path == "" {
		return fail("name its node, such as /dev/video0")
	}
	for more {
		var option string
		option, rest, more = strings.Cut(rest, ",")
		key, value, _ := strings.Cut(option, "=")
		var err error
		switch key {
		case "trigger":
			err = add(&o.Trigger, value)
		case "free":
			err = add(&o.Free, value)
		case "set":
			err = add(&o.Fixed, value)
		case "exposure":
			control, unit, _ := strings.Cut(value, ":")
			o.Exposure = control
			o.Unit, err = time.ParseDuration(unit)
		case "format":
			o.Format = value
		case "buffers":
			o.Buffers, err = strconv.Atoi(value)
		case "latency":
			o.Latency, err = time.ParseDuration(value)
		default:
			return fail("there is no option %q; there are trigger, free, set, exposure, format, buffers and latency", key)
		}
		if err != nil {
			return fail("%s: %v", option, err)
		}
	}
	if err := o.check(); err != nil {
		return fail("%v", err)
	}
	return path, o, nil
}

func add(to *[]Control, text string) error {
	c, err := ParseControl(text)
	*to = append(*to, c)
	return err
}
