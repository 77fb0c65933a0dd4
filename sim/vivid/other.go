//go:build !linux || !(amd64 || arm64)

package vivid

import (
	"context"
	"errors"
	"fmt"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/camera/v4l2"
)

// OpenLoop needs Linux.
func OpenLoop(context.Context, camera.Device, string, v4l2.Options) (camera.Device, error) {
	return nil, fmt.Errorf("cannot loop frames through vivid on this system: %w", errors.ErrUnsupported)
}
