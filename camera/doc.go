// Package camera describes a triggered camera: what it delivers (Frame) and what
// a driver must do (Device).
//
// A run has four steps. Configure sets exposure, region of interest and pixel
// format and answers what the camera really took. Arm makes it ready for a
// number of triggers. Wait hands out frames as they arrive, in their order;
// their pixels are the driver's own buffers, so each frame goes back with
// Requeue. Stop ends the run.
//
//	got, err := cam.Configure(ctx, camera.Config{Exposure: 500 * time.Microsecond, BitDepth: 8})
//	err = cam.Arm(ctx, camera.Run{Frames: 64})
//	frames := make([]camera.Frame, 8)
//	for n := 0; n < 64; {
//		k, err := cam.Wait(ctx, frames) // at least one, at most eight
//		for _, f := range frames[:k] { use(f.Pix); cam.Requeue(f) }
//		n += k
//	}
//	counts, err := cam.Stop(ctx)
//
// A frame carries its proof: sequence number, trigger index, device time and a
// status. A frame whose status is not OK must never reach a result.
//
// The conformance suite of Device is package camera/cameratest.
package camera
