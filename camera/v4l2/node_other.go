//go:build !linux || !(amd64 || arm64)

package v4l2

import (
	"errors"
	"fmt"
)

func openNode(path string) (node, error) {
	return nil, fmt.Errorf("cannot open camera %s: V4L2 is supported on 64-bit Linux alone: %w", path, errors.ErrUnsupported)
}

func serialOf(string) string { return "" }

// Found is a video node that captures frames.
type Found struct {
	Path, Model, Serial string
	Err                 error
}

// List needs Linux.
func List() ([]Found, error) {
	return nil, fmt.Errorf("cannot list V4L2 cameras on this system: %w", errors.ErrUnsupported)
}
