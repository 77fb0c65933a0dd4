package gentl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/genicam"
)

// Options say how a camera is used. The zero value is good.
type Options struct {
	// Buffers is how many the producer gets; callers may hold half of what they have room for.
	// 0 means 32. At most 128. A producer that wants more gets more.
	Buffers int

	// Parts is how many images a buffer gets at most, for grabbers that cannot tell of
	// thousands of buffers per second: 0 and 1 mean one. It needs a stream with the feature
	// BufferPartCount. A run gets as many as divide its frames, and its frames come together.
	Parts int

	Camera genicam.Options
}

const (
	defaultBuffers = 32
	mostBuffers    = 128
	mostParts      = 10000
)

func (o *Options) check() error {
	if o.Buffers == 0 {
		o.Buffers = defaultBuffers
	}
	if o.Parts == 0 {
		o.Parts = 1
	}
	if o.Buffers < 2 || o.Buffers > mostBuffers || o.Parts < 1 || o.Parts > mostParts {
		return fmt.Errorf("cannot open a GenTL camera with %d buffers of %d images; 2 to %d of 1 to %d are possible: %w", o.Buffers, o.Parts, mostBuffers, mostParts, camera.ErrInput)
	}
	return nil
}

// ParseReference reads a reference with options behind commas:
// PRODUCER/ID[,buffers=N][,parts=N][,source=LINE][,edge=falling].
func ParseReference(text string) (Ref, Options, error) {
	var o Options
	where, options, _ := strings.Cut(text, ",")
	fail := func(option, why string) (Ref, Options, error) {
		return Ref{}, Options{}, fmt.Errorf("cannot use the camera gentl:%.200s: option %.100q: %s: %w", text, option, why, camera.ErrInput)
	}
	for option := range strings.SplitSeq(options, ",") {
		if options == "" {
			break
		}
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "buffers", "parts":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return fail(option, "it is no number from 1 on")
			}
			if key == "buffers" {
				o.Buffers = n
			} else {
				o.Parts = n
			}
		case "source":
			o.Camera.Source = value
		case "edge":
			if value != "rising" && value != "falling" {
				return fail(option, "edges are rising or falling")
			}
			o.Camera.Falling = value == "falling"
		default:
			return fail(option, "there are buffers, parts, source and edge")
		}
	}
	checked := o
	return ParseRef(where), o, checked.check()
}
