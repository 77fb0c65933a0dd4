//go:build !linux

package gentl

import (
	"context"
	"errors"
	"fmt"
)

// List fails: the helper that loads producers is for Linux.
func List(context.Context) ([]Found, error) {
	return nil, fmt.Errorf("cannot look for GenTL cameras: producers are loaded on Linux only: %w", errors.ErrUnsupported)
}
