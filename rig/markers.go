package rig

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// markers tells all-off from all-on frames by the variance of their pixels: that
// of an all-on hologram is the largest there is, that of an all-off frame is noise
// and the reference's own structure. It needs no calibration and does not care
// about the phase of the reference.
type markers struct {
	threshold float64 // of the variance, in counts squared
}

// isOn tells an all-on frame from an all-off one.
func (m *markers) isOn(f *camera.Frame) bool { return variance(f) > m.threshold }

// A marker is a pair of patterns: off, then on. One frame too early or too late
// puts an off frame where on belongs, or the reverse, whatever the neighbours are.
const markerLength = 2

// Distances between markers, in exposures, taken in turn. They are unequal so
// that a fault with a period of its own cannot step from marker to marker. Between
// two markers only the camera's clock proves the order, so a camera without one
// gets them closer together.
var (
	clockedDistances = []int{61, 73, 67, 59, 71}
	blindDistances   = []int{11, 17, 13, 7, 19}
)

// minRun is the shortest run that holds markers at both ends and something to
// prove.
const minRun = 2*markerLength + 1

// learningOrder is shown to learn the levels (true = on). No shift of it by up to
// three is like itself, so that frames which come late are recognised.
var learningOrder = []bool{false, true, false, false, true, true, true, false, false, true, false, true, true, false}

// learn plays a known order of all-off and all-on and finds out what they look
// like. Callers hold the lock.
func (r *Rig) learn(ctx context.Context) (*markers, error) {
	patterns := make([]*slm.Pattern, len(learningOrder))
	for k, lit := range learningOrder {
		patterns[k] = r.off
		if lit {
			patterns[k] = r.on
		}
	}
	var reason error
	for range r.config.Tries {
		levels := make([]float64, len(learningOrder))
		run, err := r.play(ctx, patterns, func(k int, f *camera.Frame) error {
			levels[k] = variance(f)
			return nil
		})
		if err != nil {
			return nil, err
		}
		r.count(func(s *Stats) { s.Markers += uint64(len(patterns)) })
		if reason = run.check(r); reason == nil {
			reason = run.complete()
		}
		if reason != nil {
			continue
		}
		return r.separate(levels)
	}
	return nil, fmt.Errorf("cannot learn what all-on and all-off look like on %s and %s in %d tries: %w: %w",
		r.dmd.Info().Model, r.cam.Info().Model, r.config.Tries, reason, ErrUnproven)
}

// separate finds the threshold between the off and the on levels of the learning
// order.
func (r *Rig) separate(levels []float64) (*markers, error) {
	late := func(by int) func(int) int { return func(k int) int { return k - by } }
	threshold, clear := split(levels, late(0))
	if clear {
		return &markers{threshold}, nil
	}
	if _, clear := split(levels, func(k int) int { return k / 2 }); clear {
		return nil, fmt.Errorf("cannot use camera %s: each pattern was seen twice; the trigger's line rings or bounces, or both edges are taken: %w",
			r.cam.Info().Model, ErrUnproven)
	}
	for by := 1; by <= 3; by++ {
		if _, clear := split(levels, late(by)); clear {
			return nil, fmt.Errorf("cannot use camera %s: each frame shows the pattern of %d before it; "+
				"check the trigger's line, polarity and delay: %w", r.cam.Info().Model, by, ErrUnproven)
		}
	}
	return nil, fmt.Errorf("cannot tell all-on from all-off on %s: variances %.3g (counts squared) are in no order; "+
		"check the laser, the shutters, the mirrors' trigger and that the camera is not saturated: %w",
		r.cam.Info().Model, levels, ErrNoContrast)
}

// split compares the levels of frames, of which frame k shows pattern shown(k), with the
// learning order, and says whether the on levels lie clear of the off levels.
func split(levels []float64, shown func(k int) int) (threshold float64, clear bool) {
	var highestOff, lowestOn float64
	offs, ons := 0, 0
	for k := range levels {
		if shown(k) < 0 {
			continue
		}
		lit := learningOrder[shown(k)]
		switch {
		case lit && (ons == 0 || levels[k] < lowestOn):
			lowestOn = levels[k]
		case !lit && (offs == 0 || levels[k] > highestOff):
			highestOff = levels[k]
		}
		if lit {
			ons++
		} else {
			offs++
		}
	}
	// A fifth more is far outside the scatter of a variance over thousands of
	// pixels, and still there at 0 dB.
	return (lowestOn + highestOff) / 2, lowestOn > 1.2*highestOff
}

// maxSampled is how many pixels of a frame the variance looks at.
const maxSampled = 1 << 16

// variance is that of the frame's pixels, in counts squared, over every row or,
// in a large frame, over evenly spaced ones.
func variance(f *camera.Frame) float64 {
	step := max(1, f.Width*f.Height/maxSampled)
	var n, sum, square uint64
	for v := 0; v < f.Height; v += step {
		row := f.Pix[v*f.Stride:]
		if f.BitDepth <= 8 {
			for _, x := range row[:f.Width] {
				sum += uint64(x)
				square += uint64(x) * uint64(x)
			}
		} else {
			for u := range f.Width {
				x := uint64(binary.LittleEndian.Uint16(row[2*u:]))
				sum += x
				square += x * x
			}
		}
		n += uint64(f.Width)
	}
	mean := float64(sum) / float64(n)
	return max(0, float64(square)/float64(n)-mean*mean)
}
