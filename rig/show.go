package rig

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/parallel"
	"github.com/light-in-the-loop/opu/slm"
)

// Sink takes the frame of pattern k. It may be called from several goroutines at
// once for different k, and again for the same k if an exposure is repeated: the
// last call counts, and none does until Show has returned nil. The frame is valid
// during the call. A sink that can read in the frame which pattern it shows returns
// ErrWrongPattern, wrapped, where it is not pattern k: the exposure is repeated, and
// counted. Any other error ends Show.
type Sink func(k int, f *camera.Frame) error

// item is one position of a run's order: a pattern of the caller, or part of a
// marker.
type item int // index of the caller's pattern, or one of these

const (
	markerOff item = -1
	markerOn  item = -2
)

// relearnAfter is after how many runs without progress the markers are learnt again.
const relearnAfter = 2

// Show shows the patterns in their order and gives sink the frame of each, proven
// (see the package comment). Any number of patterns may be shown, equal ones too;
// each is an exposure of its own. It blocks until all frames are proven, the tries
// are used up (ErrUnproven, with the counts) or ctx ends.
func (r *Rig) Show(ctx context.Context, patterns []*slm.Pattern, sink Sink) error {
	for k, p := range patterns {
		if p == nil || p.Geometry() != r.dmd.Info().Geometry {
			return fmt.Errorf("cannot show pattern %d: it is not one for a chip of %v mirrors: %w", k, r.dmd.Info().Geometry, slm.ErrInput)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	pending := make([]int, len(patterns))
	for k := range pending {
		pending[k] = k
	}
	if r.exposure == 0 && len(pending) > 0 {
		now, err := r.cam.Configure(ctx, camera.Config{})
		if err == nil {
			err = r.take(now.Exposure)
		}
		if err != nil {
			return err
		}
	}
	failures := 0 // runs in a row without progress
	for len(pending) > 0 {
		if r.markers == nil {
			m, err := r.learn(ctx)
			if err != nil {
				return err
			}
			r.markers = m
		}
		part := pending[:min(len(pending), r.PerRun())]
		missing, reason, err := r.attempt(ctx, patterns, part, sink)
		if err != nil {
			return err
		}
		if len(missing) < len(part) {
			failures = 0
		} else if failures++; failures >= r.config.Tries {
			s := r.Stats()
			return fmt.Errorf("cannot prove %d of %d frames in %d tries: %w: %w (so far %d lost, %d damaged, %d runs unproven)",
				len(missing), len(patterns), failures, reason, ErrUnproven, s.Lost, s.Damaged, s.Unproven)
		} else if failures == relearnAfter {
			r.markers = nil // a laser of another power has other levels
		}
		r.count(func(s *Stats) { s.Repeated += uint64(len(missing)) })
		pending = append(missing, pending[len(part):]...)
	}
	return nil
}

// PerRun is how many patterns fit one run of the SLM beside the markers. Show
// takes any number, but what must be seen at nearly the same time should fit.
func (r *Rig) PerRun() int {
	info := r.dmd.Info()
	n := min(info.MaxRun, info.Capacity-2) - 2*markerLength
	return n - n/(slices.Min(r.distances())+markerLength)*markerLength
}

func (r *Rig) distances() []int {
	if r.cam.Info().HasTime {
		return clockedDistances
	}
	return blindDistances
}

// attempt plays one run of the caller's patterns part and returns those that must
// be shown again, with the reason. An error ends Show.
func (r *Rig) attempt(ctx context.Context, patterns []*slm.Pattern, part []int, sink Sink) (missing []int, reason, err error) {
	items := withMarkers(part, r.distances())
	order := make([]*slm.Pattern, len(items))
	for i, it := range items {
		switch it {
		case markerOff:
			order[i] = r.off
		case markerOn:
			order[i] = r.on
		default:
			order[i] = patterns[it]
		}
	}
	misplaced := make([]bool, len(items)) // each written by the one call that sees the frame
	run, err := r.play(ctx, order, func(i int, f *camera.Frame) error {
		switch it := items[i]; it {
		case markerOff, markerOn:
			misplaced[i] = r.markers.isOn(f) != (it == markerOn)
			return nil
		default:
			return sink(int(it), f)
		}
	})
	r.count(func(s *Stats) {
		s.Exposures += uint64(len(part))
		s.Markers += uint64(len(items) - len(part))
	})
	if err != nil {
		return nil, nil, err
	}
	if reason = run.check(r); reason == nil {
		reason = checkMarkers(items, run.good, misplaced)
	}
	if reason != nil { // nothing in this run can be trusted
		r.count(func(s *Stats) { s.Unproven++ })
		return part, reason, nil
	}
	for i, it := range items {
		if it >= 0 && !run.good[i] {
			missing = append(missing, int(it))
		}
	}
	return missing, run.complete(), nil
}

// checkMarkers says whether every marker was seen where it was put.
func checkMarkers(items []item, good, misplaced []bool) error {
	for i, it := range items {
		switch {
		case it >= 0:
		case !good[i]:
			return fmt.Errorf("the marker at position %d of the run was not received", i)
		case misplaced[i] && it == markerOn:
			return fmt.Errorf("position %d of the run should be all-on and is not: frames and patterns are out of step", i)
		case misplaced[i]:
			return fmt.Errorf("position %d of the run should be all-off and is not: frames and patterns are out of step", i)
		}
	}
	return nil
}

// withMarkers is the order of a run: a marker at each end and others within.
func withMarkers(part []int, distances []int) []item {
	items := make([]item, 0, len(part)+markerLength*(2+len(part)/distances[0]))
	marker := func() { items = append(items, markerOff, markerOn) }
	next, since := 0, 0
	marker()
	for _, k := range part {
		if since == distances[next] {
			marker()
			next, since = (next+1)%len(distances), 0
		}
		items = append(items, item(k))
		since++
	}
	marker()
	return items
}

// record is what became of one run.
type record struct {
	good     []bool // by position: a frame with a good status came, and sink took it
	received int    // frames, whatever their status, duplicates not counted
	shown    int    // patterns, as the SLM says
	counts   camera.Counts
	clock    error // the camera's clock disagreed with the period
	stray    error // a frame that no pattern can have made
	wrong    error // what the sink said of the last frame that it found to be another pattern's
}

// play shows an order of patterns once and gives sink each good frame. It does
// not judge: see record.check. Callers hold the lock.
func (r *Rig) play(ctx context.Context, order []*slm.Pattern, sink Sink) (*record, error) {
	slots, uploads, err := r.slots.place(ctx, r.dmd, make([]int, 0, len(order)), order)
	if err != nil {
		return nil, err
	}
	r.count(func(s *Stats) { s.Uploads += uint64(uploads) })
	if err := r.cam.Arm(ctx, camera.Run{Frames: len(order)}); err != nil {
		return nil, err
	}
	run := &record{good: make([]bool, len(order))}
	err = r.dmd.Play(ctx, slm.Run{Order: slots, Period: r.config.Period})
	if err == nil {
		err = r.collect(ctx, run, sink)
	}
	if err == nil {
		run.shown, err = r.dmd.Wait(ctx)
	}
	// Stopping must be tried even if ctx has ended: an armed camera would refuse the
	// next run.
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Grace)
	defer cancel()
	counts, stopErr := r.cam.Stop(ending)
	if err != nil {
		return nil, errors.Join(err, stopErr, r.dmd.Stop(ending))
	}
	run.counts = counts
	r.count(func(s *Stats) {
		s.Runs++
		s.Lost += uint64(len(order) - run.received)
	})
	return run, stopErr
}

// collect receives the frames of a run until the last has come, or no more can.
func (r *Rig) collect(ctx context.Context, run *record, sink Sink) error {
	n := len(run.good)
	limit := time.Duration(n)*r.config.Period + r.cam.Info().Latency + r.config.Grace
	waiting, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var last camera.Frame // the frame before, without its pixels
	next := 0             // position of the next frame
	for next < n {
		got, err := r.cam.Wait(waiting, r.frames)
		if err != nil {
			if ctx.Err() == nil && waiting.Err() != nil {
				break // late frames are lost ones
			}
			return err
		}
		frames := r.frames[:got]
		positions, fresh := r.positions[:0], r.fresh[:0]
		for i := range frames {
			f := &frames[i]
			switch {
			case f.Seq >= uint64(n):
				run.stray = fmt.Errorf("frame %d came in a run of %d patterns", f.Seq, n)
				continue
			case f.Seq < uint64(next):
				r.count(func(s *Stats) { s.Duplicates++ })
				continue
			}
			if next > 0 && run.clock == nil {
				run.clock = r.checkClock(&last, f)
			}
			next = int(f.Seq) + 1 // lost ones before it will not come any more
			last = *f
			run.received++
			if f.Status != camera.OK || f.Check() != nil {
				r.count(func(s *Stats) { s.Damaged++ })
				continue
			}
			positions, fresh = append(positions, int(f.Seq)), append(fresh, f)
		}
		errs := r.errs[:len(fresh)]
		parallel.Do(len(fresh), func(i int) { errs[i] = sink(positions[i], fresh[i]) })
		wrong := 0
		for i, k := range positions {
			if errors.Is(errs[i], ErrWrongPattern) {
				run.wrong, errs[i] = errs[i], nil
				wrong++
				continue
			}
			run.good[k] = true
		}
		r.cam.Requeue(frames...)
		r.count(func(s *Stats) {
			s.Frames += uint64(got)
			s.Wrong += uint64(wrong)
		})
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// clockTolerance is how far a frame may be from its place in time, in periods.
// The nearest that a trigger too many can be told from the right one is half.
const clockTolerance = 0.3

// checkClock says whether two frames are as far apart in time as in number.
func (r *Rig) checkClock(before, f *camera.Frame) error {
	if !r.cam.Info().HasTime {
		return nil
	}
	steps := f.Seq - before.Seq
	got := f.DeviceTime - before.DeviceTime
	want := time.Duration(steps) * r.config.Period
	if slack := time.Duration(clockTolerance * float64(r.config.Period)); got < want-slack || got > want+slack {
		return fmt.Errorf("frame %d came %v after frame %d, expected %v: a trigger was lost or there was one too many", f.Seq, got, before.Seq, want)
	}
	return nil
}

// check says why the run as a whole cannot be trusted, or nil.
func (run *record) check(r *Rig) error {
	n := uint64(len(run.good))
	switch {
	case run.shown != len(run.good):
		return fmt.Errorf("the SLM showed %d of %d patterns", run.shown, n)
	case run.counts.Frames == 0 && run.counts.Triggers == 0:
		return fmt.Errorf("the camera took no frame of %d patterns: no trigger reaches it; check the trigger's line (opuctl selftest --trigger)", n)
	case run.counts.Triggers == 2*n:
		return fmt.Errorf("the camera was triggered twice by each of %d patterns: the trigger's line rings or bounces, or both edges are taken", n)
	case r.cam.Info().CountsTriggers && run.counts.Triggers != n:
		return fmt.Errorf("the camera saw %d triggers for %d patterns; it sees none while it reads out a frame: "+
			"lengthen the period of %v, or shorten the exposure of %v; if it saw too many, check the trigger's line",
			run.counts.Triggers, n, r.config.Period, r.exposure)
	case run.counts.Frames != n:
		return fmt.Errorf("the camera took %d frames of %d patterns", run.counts.Frames, n)
	case run.stray != nil:
		return run.stray
	}
	return run.clock
}

// complete says how many frames of the run are missing, or nil.
func (run *record) complete() error {
	missing := 0
	for _, good := range run.good {
		if !good {
			missing++
		}
	}
	switch {
	case missing > 0 && run.wrong != nil:
		return fmt.Errorf("%d of %d frames were lost, damaged or of another pattern: %w", missing, len(run.good), run.wrong)
	case missing > 0:
		return fmt.Errorf("%d of %d frames were lost or damaged", missing, len(run.good))
	}
	return nil
}
