// Package genicam is what cameras with a GenICam feature description have in common,
// however they are reached: settings, triggers, and the controls that must be off before a
// pixel's count can be trusted.
//
// A driver brings the memory of its camera (genapi.Port), and gets the part of
// camera.Device that is not transport:
//
//	m, err := genapi.New(description, port)
//	cam, err := genicam.Open(ctx, m, info, genicam.Options{})
//	info = cam.Info()                                   // sensor, depths, exposures filled in
//	got, err := cam.Configure(ctx, camera.Config{...})  // as camera.Device says, while not armed
//	image := cam.Image()                                // what frames will be like: allocate buffers
//	err = cam.Arm(ctx, run)                             // triggers and controls; then open the stream, and
//	err = cam.Start(ctx)                                // frames come
//	err = cam.Stop(ctx)                                 // no more will
//	image.Format.Unpack(dst, src)                       // where the format is packed
//
// # What arming sees to
//
// Projections are differences of counts, so counts must be proportional to light, in every
// frame in the same way. Automatic exposure and gain, gamma, look-up tables, denoising and
// sharpening are switched off, the black level is lifted above zero, since what is clamped
// at zero is lost, and each is read back: Settings tells what came of it. A camera that
// has no such control is said to have none; what it does is not known then. A rolling
// shutter exposes rows while the mirrors change, so a run with triggers is refused.
//
// Names are those of the Standard Features Naming Convention (SFNC 2.7), and for some older
// ones what cameras had before it. Pixel formats are those of the Pixel Format Naming
// Convention (PFNC 2.4).
package genicam
