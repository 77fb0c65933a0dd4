package rig

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// Peek shows a pattern a few times and gives see the last good frame that came,
// unproven: for people who want to know why nothing can be proven. The frame is valid
// during the call. Without any frame Peek fails with ErrUnproven.
func (r *Rig) Peek(ctx context.Context, p *slm.Pattern, see func(f *camera.Frame)) error {
	if p == nil || p.Geometry() != r.dmd.Info().Geometry {
		return fmt.Errorf("cannot show a pattern that is not one for a chip of %v mirrors: %w", r.dmd.Info().Geometry, slm.ErrInput)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var mu sync.Mutex
	last := -1
	_, err := r.play(ctx, slices.Repeat([]*slm.Pattern{p}, minRun), func(k int, f *camera.Frame) error {
		mu.Lock()
		defer mu.Unlock()
		if k > last {
			last = k
			see(f)
		}
		return nil
	})
	if err == nil && last < 0 {
		err = fmt.Errorf("cannot see a frame of %s: none came in a run of %d: %w", r.cam.Info().Model, minRun, ErrUnproven)
	}
	return err
}
