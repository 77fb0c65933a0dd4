package rigs

import (
	"cmp"
	"context"
	"errors"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/v4l2"
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
