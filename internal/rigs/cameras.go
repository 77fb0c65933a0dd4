package rigs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// cameraKind is a way to reach cameras. Where is what stands behind the colon of a
// reference.
type cameraKind struct {
	// open opens a camera. One that is not there is camera.ErrUnplugged; a place that
	// makes no sense is camera.ErrInput.
	open func(ctx context.Context, where string) (camera.Device, error)

	// list finds the cameras that are there without disturbing who uses them. nil: they
	// cannot be found. It should take no more than a second; ctx ends it.
	list func(ctx context.Context) ([]FoundCamera, error)

	// carry makes the simulated bench's camera one of this kind: the frames of the sensor come
	// this way. It closes with the sensor's own. nil: that is not possible.
	carry func(ctx context.Context, where string, sensor camera.Device) (camera.Device, error)
}

// Transport is how the frames of a simulated rig's camera come; nil: directly.
func (r Rig) Transport() bench.Transport {
	c, err := parse("camera", r.Camera, cameras)
	if err != nil || c.kind == simulated {
		return nil
	}
	return func(ctx context.Context, sensor camera.Device) (camera.Device, error) {
		return cameras[c.kind].carry(ctx, c.where, sensor)
	}
}

// FoundCamera is a camera that is there.
type FoundCamera struct {
	Ref    string `json:"camera"` // what OpenCamera takes, such as gige:21043
	Model  string `json:"model"`
	Serial string `json:"serial,omitempty"`
	Note   string `json:"note,omitempty"` // for people: where it is, who uses it, why it cannot be opened

	Simulated bool `json:"simulated"`
}

// listTime bounds how long cameras are looked for.
const listTime = 4 * time.Second

// Cameras looks for cameras of all kinds, at once, and returns them in the order of the
// kinds' names. A kind that cannot be looked for does not hide the others: the error says
// why, beside what was found.
func Cameras(ctx context.Context) ([]FoundCamera, error) {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	kinds := slices.Sorted(maps.Keys(cameras))
	found, errs := make([][]FoundCamera, len(kinds)), make([]error, len(kinds))
	var wg sync.WaitGroup
	for i, kind := range kinds {
		list := cameras[kind].list
		if list == nil {
			continue
		}
		wg.Go(func() {
			var err error
			if found[i], err = list(ctx); err != nil {
				errs[i] = fmt.Errorf("cannot look for cameras of kind %s: %w", kind, err)
			}
		})
	}
	wg.Wait()
	return slices.Concat(found...), errors.Join(errs...)
}

// OpenCamera opens a camera alone. A simulated one looks at a bench of its own, whose
// mirrors show a random pattern, half on; nothing triggers it, so it is for free runs.
func OpenCamera(ctx context.Context, text string) (camera.Device, error) {
	c, err := parse("camera", text, cameras)
	if err != nil {
		return nil, err
	}
	return cameras[c.kind].open(ctx, c.where)
}

func openSimulatedCamera(ctx context.Context, preset string) (camera.Device, error) {
	config, err := sim.Preset(cmp.Or(preset, defaultPreset), 1)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrInput)
	}
	b, err := sim.New(config)
	if err != nil {
		return nil, err
	}
	half := slm.NewPattern(config.Chip)
	random := rand.New(rand.NewPCG(config.Seed, 0))
	for y := range config.Chip.Height {
		for x := range config.Chip.Width {
			half.Set(x, y, random.Uint32()&1 != 0)
		}
	}
	if err := b.DMD().Load(ctx, []int{0}, []*slm.Pattern{half}); err != nil {
		return nil, err
	}
	if err := b.DMD().Play(ctx, slm.Run{Order: []int{0}}); err != nil {
		return nil, err
	}
	return warm(ctx, b.Camera())
}

// warm takes a frame, since what the medium does to a pattern is found out with the first.
func warm(ctx context.Context, cam camera.Device) (camera.Device, error) {
	err := cam.Arm(ctx, camera.Run{Frames: 1, Free: true})
	if err == nil {
		_, err = cam.Wait(ctx, make([]camera.Frame, 1))
	}
	if _, stopErr := cam.Stop(ctx); err == nil {
		err = stopErr
	}
	if err != nil {
		return nil, errors.Join(err, cam.Close())
	}
	return cam, nil
}

func listSimulatedCameras(context.Context) (found []FoundCamera, err error) {
	for _, name := range sim.Presets() {
		c, err := sim.Preset(name, 1)
		if err != nil {
			return found, err
		}
		found = append(found, FoundCamera{
			Ref: simulated + ":" + name, Model: "simulated camera",
			Note: fmt.Sprintf("%dx%d pixels, %d bits", c.Width, c.Height, c.BitDepth), Simulated: true,
		})
	}
	return found, nil
}
