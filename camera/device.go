package camera

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// MaxSide bounds the width and the height of a frame, in pixels.
const MaxSide = 1 << 15

// The conditions that callers act on. Drivers wrap them with the camera, the
// limit and the remedy; test with errors.Is.
var (
	ErrClosed    = errors.New("closed by us")
	ErrUnplugged = errors.New("camera unplugged")
	ErrTimeout   = errors.New("no frame in time")
	ErrProtocol  = errors.New("camera answered nonsense")
	ErrRefused   = errors.New("camera refused")
	ErrInput     = errors.New("bad input") // found before anything was sent
	ErrArmed     = errors.New("camera is armed")
	ErrNotArmed  = errors.New("camera is not armed")
	ErrNoBuffers = errors.New("all buffers are with the caller") // requeue some
)

// Device is a camera, or a frame grabber and its camera.
//
// Its methods may be called from any goroutine; Wait is for one goroutine at a
// time. Every blocking call ends when its context does, even if the hardware
// never answers, with an error that wraps the context's; a context that has
// already ended lets nothing but Wait begin. What else a camera can do is found by
// asserting for a small interface of its own.
type Device interface {
	// Info describes the camera. It never blocks and does not change while the
	// device is open.
	Info() Info

	// Configure sets up the camera and returns what it took: cameras round
	// exposures and regions of interest. Zero fields of c leave a setting as it
	// is. It fails with ErrArmed during a run, and with ErrInput, changing
	// nothing, if a field is out of the camera's range.
	Configure(ctx context.Context, c Config) (Config, error)

	// Arm prepares for a run and returns when a trigger would be accepted. Frames
	// and counters of an earlier run are gone. While armed it fails with ErrArmed;
	// a run of no frames is ErrInput. After an error the camera is not armed, unless
	// it was.
	Arm(ctx context.Context, r Run) error

	// Wait blocks until at least one frame has arrived, fills dst from its start
	// and returns how many. Frames come in the order of exposure, bad ones
	// included. If ctx ends first it returns 0 and an error wrapping ErrTimeout and
	// the context's own; frames that arrive later are kept for the next call. It
	// does not block with every buffer in the caller's hands (ErrNoBuffers), without
	// a run (ErrNotArmed) or with an empty dst (ErrInput).
	Wait(ctx context.Context, dst []Frame) (int, error)

	// Requeue gives frames back; their pixels may be overwritten from now on.
	// Frames of an earlier run are ignored.
	Requeue(frames ...Frame)

	// Stop ends the run and returns what the camera counted. Stopping a camera
	// that is not armed returns the counts of the last run.
	Stop(ctx context.Context) (Counts, error)

	// Close stops the run and ends all pending calls with ErrClosed. It may be
	// called more than once.
	Close() error
}

// Config is how frames are taken.
type Config struct {
	Exposure time.Duration
	ROI      ROI
	BitDepth int // 8 to 16
}

// ROI is the region of interest on the sensor, in pixels.
type ROI struct {
	U, V          int // left column, top row
	Width, Height int
}

func (r ROI) String() string { return fmt.Sprintf("%dx%d+%d+%d", r.Width, r.Height, r.U, r.V) }

// Run is what to be ready for. The camera takes one frame per hardware trigger.
type Run struct {
	// Frames is how many are expected, at least 1. It should be near the truth: a camera may
	// judge by it which numbers of frames make sense.
	Frames int

	// Free lets the camera expose at its own pace instead, without triggers. It is for
	// looking at the light; no frame of it belongs to a pattern. A camera that cannot
	// fails with ErrInput.
	Free bool
}

// Counts is what a camera counted during a run.
type Counts struct {
	Triggers  uint64 // triggers seen, ignored ones included; 0 unless Info.CountsTriggers
	Frames    uint64 // frames taken
	Delivered uint64 // frames handed out by Wait
	Lost      uint64 // frames taken and not delivered
}

// Info describes a camera and its limits.
type Info struct {
	Model         string
	Serial        string
	Width, Height int   // of the whole sensor, pixels
	BitDepths     []int // what Configure takes
	Buffers       int   // frames that may be with the caller at a time

	MinExposure, MaxExposure time.Duration

	// Latency is the longest time from the end of an exposure to the frame at the
	// host. A frame that is later than that is lost.
	Latency time.Duration

	HasTime        bool // frames carry the device's clock
	CountsTriggers bool
}

// CheckConfig says whether the camera can take the settings, rounding aside.
// Zero fields are skipped. The error wraps ErrInput.
func (i Info) CheckConfig(c Config) error {
	fail := func(format string, args ...any) error {
		return fmt.Errorf("cannot configure %s (%s): %s: %w", i.Model, i.Serial, fmt.Sprintf(format, args...), ErrInput)
	}
	switch r := c.ROI; {
	case c.Exposure != 0 && (c.Exposure < i.MinExposure || c.Exposure > i.MaxExposure):
		return fail("exposure %v is not %v to %v", c.Exposure, i.MinExposure, i.MaxExposure)
	case c.BitDepth != 0 && !slices.Contains(i.BitDepths, c.BitDepth):
		return fail("bit depth %d is not one of %v", c.BitDepth, i.BitDepths)
	case r == ROI{}:
	case r.U < 0 || r.V < 0 || r.Width < 1 || r.Height < 1 || r.Width > i.Width-r.U || r.Height > i.Height-r.V:
		return fail("region of interest %v does not lie on the sensor of %dx%d", r, i.Width, i.Height)
	}
	return nil
}
