package camera_test

import (
	"context"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// A run, from settings to counts. How many frames can be trusted is decided frame
// by frame, and by the counts at the end.
func Example() {
	run := func(ctx context.Context, cam camera.Device, trigger func(n int) error) (good int, err error) {
		got, err := cam.Configure(ctx, camera.Config{Exposure: 500 * time.Microsecond, BitDepth: 8})
		if err != nil {
			return 0, err
		}
		const n = 64
		if err := cam.Arm(ctx, camera.Run{Frames: n}); err != nil {
			return 0, err
		}
		if err := trigger(n); err != nil {
			return 0, err
		}
		// Frames that were lost never come: without a limit the loop would not end.
		waiting, cancel := context.WithTimeout(ctx, n*got.Exposure+cam.Info().Latency+time.Second)
		defer cancel()
		frames := make([]camera.Frame, 8)
		for seen := uint64(0); seen < n; {
			k, err := cam.Wait(waiting, frames)
			if err != nil {
				break
			}
			for _, f := range frames[:k] {
				if f.Status == camera.OK {
					good++ // and use f.Pix, until it is given back
				}
				seen = f.Seq + 1
			}
			cam.Requeue(frames[:k]...)
		}
		counts, err := cam.Stop(ctx)
		if err == nil && counts.Lost > 0 {
			err = fmt.Errorf("%d of %d frames were lost", counts.Lost, counts.Frames)
		}
		return good, err
	}
	_ = run
}

func ExampleFrame_At() {
	f := camera.Frame{
		Pix:   []byte{0x10, 0x00, 0xff, 0x0f}, // two pixels of 12 bits, little-endian
		Width: 2, Height: 1, Stride: 4, BitDepth: 12,
	}
	if err := f.Check(); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(f.At(0, 0), f.At(1, 0))
	// Output: 16 4095
}

func ExampleInfo_CheckConfig() {
	info := camera.Info{Model: "camera", Serial: "17", Width: 640, Height: 480, BitDepths: []int{8, 12}, MinExposure: 20 * time.Microsecond, MaxExposure: time.Second}
	fmt.Println(info.CheckConfig(camera.Config{ROI: camera.ROI{U: 320, V: 240, Width: 512, Height: 512}}))
	// Output: cannot configure camera (17): region of interest 512x512+320+240 does not lie on the sensor of 640x480: bad input
}
