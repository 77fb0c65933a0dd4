package rigs

import (
	"context"
	"errors"
	"strings"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/u3v"
)

func openU3V(ctx context.Context, where string) (camera.Device, error) {
	serial, o, err := u3v.ParseReference(where)
	if err != nil {
		return nil, err
	}
	d, err := u3v.OpenUSB(ctx, serial, o)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func listU3V(context.Context) (found []FoundCamera, err error) {
	cameras, err := u3v.List()
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil // a build without libusb
	}
	for _, c := range cameras {
		f := FoundCamera{Ref: c.Ref(), Model: strings.TrimSpace(c.Vendor + " " + c.Model), Serial: c.Serial, Note: "USB port " + c.Port}
		if c.Err != nil {
			f.Note = c.Err.Error()
		}
		found = append(found, f)
	}
	return found, err
}
