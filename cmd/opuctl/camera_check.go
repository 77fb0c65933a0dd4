package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/camera"
)

func newCameraTest() *cobra.Command {
	var f cameraFlags
	c := &cobra.Command{
		Use:   "test",
		Short: "Test a camera: settings, frames, clock, light, triggers",
		Long: `Ask a camera what it is relied on for: that it takes settings as it says, that its
frames come whole, in order and no two alike, that its clock runs as the host's, that
counts follow the exposure, that its controls are off, and that it waits for triggers
in silence. Some light that stands still should fall on it. It takes some seconds.

Verdicts: SUCCESS, FAILURE (the exit code is 1), IGNORED where it could not be told.
opuctl selftest --trigger goes on with a DMD.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cam, now, err := f.open(c)
			if err != nil {
				return err
			}
			defer cam.Close()
			e := &cameraExam{cam: cam, before: now}
			result := struct {
				Camera cameraReport `json:"camera"`
				Checks []check      `json:"checks"`
			}{Checks: e.run(c.Context(), func(name string) { fmt.Fprintf(c.ErrOrStderr(), "%s\n", name) })}
			if err := c.Context().Err(); err != nil {
				return fmt.Errorf("cannot finish the test: %w", err)
			}
			result.Camera = describeCamera(cam, now) // now its controls are known
			if err := f.out.print(c.OutOrStdout(), result, func(w io.Writer) {
				result.Camera.print(w)
				printChecks(w, result.Checks)
			}); err != nil {
				return err
			}
			return failed("cannot rely on this camera", result.Checks)
		},
	}
	f.register(c)
	f.registerSettings(c)
	return c
}

// cameraExam puts questions to a camera.
type cameraExam struct {
	cam    camera.Device
	before camera.Config // to which it is set back

	// Of the free run.
	free    error // why there was none; nil: there was
	frames  []camera.Frame
	tally   tally
	same    int // frames that are like the one before, to the last bit
	last    levels
	beyond  error // a frame that is not as promised
	seconds float64
}

// How long a free run is looked at.
const (
	lookTime   = time.Second
	lookFrames = 5 // at least, if they come within lookPatience
)

// lookPatience is how long a free camera may take for a frame, beside the exposure.
const lookPatience = 5 * time.Second

// questionTime bounds a question, for cameras that do not answer.
const questionTime = time.Minute

// run asks everything, in order.
func (e *cameraExam) run(ctx context.Context, tell func(name string)) (checks []check) {
	for _, q := range []struct {
		name string
		ask  func(ctx context.Context) check
	}{
		{"settings", e.settings},
		{"free run", e.freeRun},
		{"controls", e.controls},
		{"frames", e.whole},
		{"noise", e.noise},
		{"clock", e.clock},
		{"exposure", e.exposure},
		{"silence", e.silence},
		{"restart", e.restart},
	} {
		if ctx.Err() != nil {
			break
		}
		tell(q.name)
		asking, cancel := context.WithTimeout(ctx, questionTime)
		c := q.ask(asking)
		cancel()
		c.Name = q.name
		checks = append(checks, c)
	}
	return checks
}

// settings asks for exposures and a region, and sets back what was.
func (e *cameraExam) settings(ctx context.Context) check {
	i := e.cam.Info()
	wanted := []time.Duration{i.MinExposure, time.Duration(math.Sqrt(float64(i.MinExposure) * float64(i.MaxExposure))), i.MaxExposure}
	var taken []string
	var shorter time.Duration
	for _, exposure := range wanted {
		got, err := e.cam.Configure(ctx, camera.Config{Exposure: exposure})
		switch {
		case err != nil:
			return found(failure, "%v", err)
		case got.Exposure < shorter || got.Exposure < exposure/2 || got.Exposure > 2*exposure:
			return found(failure, "asked for an exposure of %v, it took %v", exposure, got.Exposure)
		}
		shorter = got.Exposure
		taken = append(taken, got.Exposure.String())
	}
	asked := camera.ROI{U: i.Width / 4, V: i.Height / 4, Width: (i.Width + 1) / 2, Height: (i.Height + 1) / 2}
	got, err := e.cam.Configure(ctx, camera.Config{ROI: asked})
	if err != nil {
		return found(failure, "%v", err)
	}
	back, err := e.cam.Configure(ctx, e.before)
	switch {
	case err != nil:
		return found(failure, "%v", err)
	case back != e.before:
		return found(failure, "asked for what it had, %+v, it took %+v", e.before, back)
	}
	return found(success, "exposures of %s; the region %v became %v", strings.Join(taken, ", "), asked, got.ROI)
}

// freeRun looks at the light for a second.
func (e *cameraExam) freeRun(ctx context.Context) check {
	began := time.Now()
	seed := maphash.MakeSeed()
	var before uint64
	err := stream(ctx, e.cam, true, lookPatience+2*e.before.Exposure, func(f *camera.Frame) (bool, error) {
		now := time.Now()
		if !e.tally.add(f) {
			return false, nil
		}
		if f.Width != e.before.ROI.Width || f.Height != e.before.ROI.Height || f.BitDepth != e.before.BitDepth {
			e.beyond = fmt.Errorf("frame %d has %dx%d pixels of %d bits; configured were %v of %d", f.Seq, f.Width, f.Height, f.BitDepth, e.before.ROI, e.before.BitDepth)
		}
		hash := hashOf(seed, f)
		if hash == before && e.tally.Good > 1 {
			e.same++
		}
		before = hash
		kept := *f
		kept.Pix = nil // it belongs to the camera
		e.frames = append(e.frames, kept)
		enough := now.Sub(began) >= lookTime && len(e.frames) >= lookFrames
		if enough {
			e.last = levelsOf(f)
			if e.last.Max > e.last.Full {
				e.beyond = fmt.Errorf("a pixel of frame %d is %d, more than %d bits", f.Seq, e.last.Max, f.BitDepth)
			}
		}
		return enough, nil
	})
	e.seconds = time.Since(began).Seconds()
	if errors.Is(err, camera.ErrInput) {
		e.free = fmt.Errorf("the camera does not run free")
		return found(ignored, "%v", err)
	}
	if err != nil {
		e.free = fmt.Errorf("the free run failed")
		return found(failure, "%v", err)
	}
	text := fmt.Sprintf("%.1f frames/s at an exposure of %v; %d came, %d lost, %d bad", float64(e.tally.Good)/e.seconds, e.before.Exposure, e.tally.Good, e.tally.Lost, e.tally.Bad)
	if e.tally.Lost+e.tally.Bad > 0 {
		return found(failure, "%s; check cable, buffers and what opuctl doctor says", text)
	}
	return found(success, "%s", text)
}

// hashOf tells frames apart by their pixels.
func hashOf(seed maphash.Seed, f *camera.Frame) uint64 {
	var h maphash.Hash
	h.SetSeed(seed)
	for v := range f.Height {
		h.Write(f.Pix[v*f.Stride:][:f.Width*camera.BytesPerPixel(f.BitDepth)])
	}
	return h.Sum64()
}

// controls asks what arming did to them.
func (e *cameraExam) controls(context.Context) check {
	inspector, ok := e.cam.(camera.Inspector)
	if !ok {
		return found(ignored, "the camera does not tell; see that gain, gamma and automatics are off")
	}
	var safe, absent, stuck []string
	for _, s := range inspector.Settings() {
		switch s.State {
		case camera.Safe:
			safe = append(safe, s.Name)
		case camera.Absent:
			absent = append(absent, s.Name)
		default:
			stuck = append(stuck, fmt.Sprintf("%s stays at %s", s.Name, s.Value))
		}
	}
	switch {
	case len(stuck) > 0:
		return found(failure, "%s: pixels may not be linear", strings.Join(stuck, ", "))
	case len(safe) == 0:
		return found(ignored, "it offers none of %s", strings.Join(absent, ", "))
	}
	text := "safe are " + strings.Join(safe, ", ")
	if len(absent) > 0 {
		text += "; not offered are " + strings.Join(absent, ", ")
	}
	return found(success, "%s", text)
}

// whole says whether frames are as they were promised.
func (e *cameraExam) whole(context.Context) check {
	switch {
	case e.free != nil:
		return found(ignored, "%v", e.free)
	case e.beyond != nil:
		return found(failure, "%v", e.beyond)
	}
	return found(success, "%v with %d bits as configured; %v", e.before.ROI, e.before.BitDepth, e.last)
}

// noise says whether frames are those of a sensor.
func (e *cameraExam) noise(context.Context) check {
	switch {
	case e.free != nil:
		return found(ignored, "%v", e.free)
	case e.last.Max == 0:
		return found(failure, "all pixels are 0: raise the black level, else noise is cut off; or there is no light at all")
	case e.same > 0:
		return found(failure, "%d of %d frames are like the one before to the last bit: a test image, or one frame twice", e.same, len(e.frames))
	}
	return found(success, "no two of %d frames in a row are alike", len(e.frames))
}

// clockTolerance is how far a camera's clock may be from the host's over the second of a
// free run.
const clockTolerance = 0.05

func (e *cameraExam) clock(context.Context) check {
	switch {
	case e.free != nil:
		return found(ignored, "%v", e.free)
	case !e.cam.Info().HasTime:
		return found(ignored, "the camera has no clock; markers alone prove the order of frames")
	}
	for i := 1; i < len(e.frames); i++ {
		if e.frames[i].DeviceTime <= e.frames[i-1].DeviceTime {
			return found(failure, "frame %d is of %v, the one before it of %v", e.frames[i].Seq, e.frames[i].DeviceTime, e.frames[i-1].DeviceTime)
		}
	}
	// Frames come late by chance, never early: those that were the least late in the first
	// and in the last third tell how far apart the clocks went.
	third := (len(e.frames) + 2) / 3
	first, last := punctual(e.frames[:third]), punctual(e.frames[len(e.frames)-third:])
	device, host := last.DeviceTime-first.DeviceTime, last.HostTime.Sub(first.HostTime)
	ratio := device.Seconds() / host.Seconds()
	if !(math.Abs(ratio-1) <= clockTolerance) {
		return found(failure, "its clock advanced %v while the host's advanced %v", device, host)
	}
	return found(success, "it ran %.4f times as fast as the host's, over %v", ratio, host.Round(time.Millisecond))
}

// punctual is the frame that came soonest after its exposure.
func punctual(frames []camera.Frame) camera.Frame {
	return slices.MinFunc(frames, func(a, b camera.Frame) int {
		return cmp.Compare(a.HostTime.Sub(b.HostTime), a.DeviceTime-b.DeviceTime)
	})
}

// Counts and exposure.
const (
	meanFrames    = 8    // of one exposure
	leastStep     = 2    // counts: less is no light to speak of
	mostSaturated = 0.01 // share of pixels
	linear        = 0.15 // how far steps may be from the exposures' ratio
)

// exposure compares the mean counts of exposures 1, 2 and 4: the second step is twice the
// first, whatever the black level is.
func (e *cameraExam) exposure(ctx context.Context) check {
	defer e.cam.Configure(ctx, e.before)
	if e.free != nil {
		return found(ignored, "%v", e.free)
	}
	full := e.before.Exposure
	if full/4 < e.cam.Info().MinExposure {
		return found(ignored, "the exposure of %v cannot be divided by four; try a longer one with --exposure", full)
	}
	var means, exposures [3]float64
	for i, exposure := range []time.Duration{full / 4, full / 2, full} {
		got, err := e.cam.Configure(ctx, camera.Config{Exposure: exposure})
		if err != nil {
			return found(failure, "%v", err)
		}
		n := 0
		var sum, saturated float64
		err = stream(ctx, e.cam, true, lookPatience+2*exposure, func(f *camera.Frame) (bool, error) {
			if f.Status == camera.OK && f.Check() == nil {
				l := levelsOf(f)
				sum, saturated, n = sum+l.Mean, max(saturated, l.Saturated), n+1
			}
			return n == meanFrames, nil
		})
		switch {
		case err != nil:
			return found(failure, "%v", err)
		case saturated > mostSaturated:
			return found(ignored, "%.2g %% of the pixels are saturated at an exposure of %v; try a shorter one with --exposure", 100*saturated, got.Exposure)
		}
		means[i], exposures[i] = sum/meanFrames, got.Exposure.Seconds()
	}
	low, high := means[1]-means[0], means[2]-means[1]
	text := fmt.Sprintf("mean counts are %.1f, %.1f and %.1f at a quarter, half and all of %v", means[0], means[1], means[2], full)
	switch want := (exposures[2] - exposures[1]) / (exposures[1] - exposures[0]); {
	case math.Abs(low)+math.Abs(high) < leastStep:
		return found(ignored, "%s: too little light, or none", text)
	case math.Abs(high/low/want-1) > linear:
		return found(failure, "%s: they do not follow the exposure; look for gamma, look-up tables and automatics, or light that changes", text)
	}
	return found(success, "%s", text)
}

// quiet is how long no trigger is waited for.
const quiet = 300 * time.Millisecond

// silence arms for triggers that nobody gives.
func (e *cameraExam) silence(ctx context.Context) check {
	frames := 0
	began := time.Now()
	err := stream(ctx, e.cam, false, quiet, func(*camera.Frame) (bool, error) {
		frames++
		return time.Since(began) > quiet, nil
	})
	switch {
	case frames > 0:
		return found(ignored, "%d frames came in %v: something triggers it", frames, time.Since(began).Round(time.Millisecond))
	case errors.Is(err, camera.ErrTimeout):
		return found(success, "no trigger came for %v, and no frame", quiet)
	case errors.Is(err, camera.ErrInput):
		return found(ignored, "it cannot be triggered: %v", err)
	}
	return found(failure, "%v", err)
}

// restart measures how long a run takes to begin and to end.
func (e *cameraExam) restart(ctx context.Context) check {
	const runs = 5
	began := time.Now()
	for range runs {
		err := e.cam.Arm(ctx, camera.Run{Frames: 1})
		if errors.Is(err, camera.ErrInput) {
			return found(ignored, "it cannot be triggered: %v", err)
		}
		if err == nil {
			_, err = e.cam.Stop(ctx)
		}
		if err != nil {
			return found(failure, "%v", err)
		}
	}
	return found(success, "a run of no frames takes %.2g ms", us(time.Since(began))/1e3/runs)
}
