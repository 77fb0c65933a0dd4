package rigs

import (
	"cmp"
	"context"
	"errors"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/v4l2"
	"github.com/light-in-the-loop/opu/sim/vivid"
)

func openV4L2(ctx context.Context, where string) (camera.Device, error) {
	path, o, err := v4l2.ParseReference(where)
	if err != nil {
		return nil, err
	}
	d, err := v4l2.Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	return d, nil
}

func listV4L2(context.Context) (found []FoundCamera, err error) {
	nodes, err := v4l2.List()
	if errors.Is(err, errors.ErrUnsupported) {
		return nil, nil
	}
	for _, n := range nodes {
		c := FoundCamera{Ref: "v4l2:" + n.Path, Model: cmp.Or(n.Model, "unknown"), Serial: n.Serial}
		if n.Err != nil {
			c.Note = n.Err.Error()
		}
		found = append(found, c)
	}
	return found, err
}

// carryV4L2 has the frames of a simulated camera shown on an output of the kernel's driver
// vivid, whose input is the camera.
func carryV4L2(ctx context.Context, where string, sensor camera.Device) (camera.Device, error) {
	path, o, err := v4l2.ParseReference(where)
	if err != nil {
		return nil, err
	}
	l, err := vivid.OpenLoop(ctx, sensor, path, o)
	if err != nil {
		return nil, err
	}
	return l, nil
}
