package rigs

import (
	"context"
	"strings"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/gentl"
)

func openGenTL(ctx context.Context, where string) (camera.Device, error) {
	ref, o, err := gentl.ParseReference(where)
	if err != nil {
		return nil, err
	}
	d, err := gentl.Open(ctx, ref, o)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// listGenTL looks for nothing where no producer is installed, and so needs no helper there.
func listGenTL(ctx context.Context) (found []FoundCamera, err error) {
	cameras, err := gentl.List(ctx)
	for _, c := range cameras {
		f := FoundCamera{Ref: c.Ref(), Model: strings.TrimSpace(c.Vendor + " " + c.Model), Serial: c.Serial, Note: strings.TrimSpace(c.Type + " " + c.Interface)}
		if c.Busy {
			f.Note += ", in use"
		}
		found = append(found, f)
	}
	return found, err
}
