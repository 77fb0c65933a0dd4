package rigs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/replay"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// replayed is the kind of both parts of a recording.
const replayed = "replay"

// openReplay wires the two devices of a recording, at the rate that was recorded unless the
// rig has one.
func openReplay(path string, w rig.Config) (*bench.Bench, error) {
	r, err := replay.Open(path)
	if err != nil {
		return nil, err
	}
	if w.Period == 0 {
		w.Period = r.Period()
	}
	wired, err := rig.New(r.SLM(), r.Camera(), w)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return &bench.Bench{Rig: wired}, nil
}

// checkReplay says whether the parts of a recording are there together.
func checkReplay(s, c ref) error {
	switch {
	case s.kind != replayed && c.kind != replayed:
		return nil
	case s != c:
		return fmt.Errorf("cannot wire the SLM %s:%s to the camera %s:%s: the two parts of a recording belong together; name the same file twice: %w",
			s.kind, s.where, c.kind, c.where, ErrInput)
	case s.where == "":
		return fmt.Errorf("cannot replay without a file: the reference is %s:FILE: %w", replayed, ErrInput)
	}
	return nil
}

// One part of a recording alone can be asked what it is. Close closes both.
type (
	replayedSLM struct {
		*replay.SLM
		all *replay.Replay
	}
	replayedCamera struct {
		*replay.Camera
		all *replay.Replay
	}
)

func (d replayedSLM) Close() error    { return d.all.Close() }
func (c replayedCamera) Close() error { return c.all.Close() }

func openReplayedSLM(_ context.Context, path string, _ Rig, _ *slog.Logger) (slm.Device, error) {
	r, err := replay.Open(path)
	if err != nil {
		return nil, err
	}
	return replayedSLM{r.SLM(), r}, nil
}

func openReplayedCamera(_ context.Context, path string) (camera.Device, error) {
	r, err := replay.Open(path)
	if err != nil {
		return nil, err
	}
	return replayedCamera{r.Camera(), r}, nil
}
