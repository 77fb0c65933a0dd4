package u3v

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genicam"
)

// Options say how a camera is used. The zero value is good.
type Options struct {
	Buffers  int // frames that callers may hold; 0 means 16. At most 128
	Transfer int // bytes of a transfer at most; 0 means 256 KiB
	InFlight int // bytes asked for at a time; 0 means 6 MiB, of the 16 MiB that the kernel gives all of USB

	Camera genicam.Options
}

const (
	defaultBuffers  = 16
	mostBuffers     = 128
	defaultTransfer = 256 << 10
	leastTransfer   = 4 << 10
	mostTransfer    = 8 << 20
	defaultInFlight = 6 << 20
	mostInFlight    = 1 << 30
)

func (o *Options) check() error {
	if o.Buffers == 0 {
		o.Buffers = defaultBuffers
	}
	if o.Transfer == 0 {
		o.Transfer = defaultTransfer
	}
	if o.InFlight == 0 {
		o.InFlight = defaultInFlight
	}
	switch {
	case o.Buffers < 1 || o.Buffers > mostBuffers:
		return fmt.Errorf("cannot open a USB3 Vision camera with %d buffers; 1 to %d are possible: %w", o.Buffers, mostBuffers, camera.ErrInput)
	case o.Transfer < leastTransfer || o.Transfer > mostTransfer || o.InFlight < o.Transfer || o.InFlight > mostInFlight:
		return fmt.Errorf("cannot open a USB3 Vision camera with transfers of %d bytes, %d at a time; %d to %d of at most %d are possible: %w",
			o.Transfer, o.InFlight, leastTransfer, mostTransfer, mostInFlight, camera.ErrInput)
	}
	return nil
}

// ParseReference reads a reference with options behind commas:
// SERIAL[,buffers=N][,transfer=KIB][,inflight=KIB][,source=LINE][,edge=falling][,packed].
// An empty serial number is the only camera.
func ParseReference(text string) (serial string, o Options, err error) {
	serial, options, some := strings.Cut(text, ",")
	fail := func(option, why string) (string, Options, error) {
		return "", Options{}, fmt.Errorf("cannot use the camera u3v:%.200s: option %.100q: %s: %w", text, option, why, camera.ErrInput)
	}
	for option := range strings.SplitSeq(options, ",") {
		if !some {
			break
		}
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "buffers", "transfer", "inflight":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > mostInFlight>>10 {
				return fail(option, "it is no number from 1 on")
			}
			switch key {
			case "buffers":
				o.Buffers = n
			case "transfer":
				o.Transfer = n << 10
			default:
				o.InFlight = n << 10
			}
		case "source":
			o.Camera.Source = value
		case "edge":
			if value != "rising" && value != "falling" {
				return fail(option, "edges are rising or falling")
			}
			o.Camera.Falling = value == "falling"
		case "packed":
			o.Camera.Packed = true
		default:
			return fail(option, "there are buffers, transfer, inflight, source, edge and packed")
		}
	}
	checked := o
	return serial, o, checked.check()
}
