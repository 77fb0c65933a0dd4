// Package v4l2 drives cameras and frame grabbers behind Linux's V4L2, the kernel's own
// interface, without C.
//
//	cam, err := v4l2.Open(ctx, "/dev/video0", v4l2.Options{
//		Trigger: []v4l2.Control{{Name: "Trigger Mode", Value: 1}}, // as the camera calls it
//	})
//	defer cam.Close()
//	for _, s := range cam.Settings() { fmt.Println(s.Name, s.Value, s.State) } // camera.Inspector
//
// # Frames
//
// The pixels of a frame are the driver's own buffer, mapped into the program, until the frame
// is given back: nothing is copied, and nothing is allocated (run.go). Formats that are packed
// or big-endian are the exception, each frame of them is unpacked (pixel.go). Two buffers more
// than Info promises stay with the kernel, so that the camera goes on while the caller holds
// the others.
//
// A frame's number is the kernel's sequence, so a frame that the kernel had no buffer for, or
// that the driver dropped, leaves a gap and is counted as lost. A driver whose sequence does
// not count has its frames numbered as they come; Settings says so, since losses are then not
// seen here. A buffer with the error flag is a Damaged frame, one that is too short an
// Incomplete one.
//
// A frame has a device time only if the kernel stamps it at the start of exposure. Most
// drivers stamp the end of the transfer, which the host's own delays move about.
//
// A region of interest is cut out by the camera if it can crop, which rounds, and by this
// package if not: without a copy, to the pixel, and without a gain in rate.
//
// # Triggers
//
// V4L2 has no control for external triggers. Each driver has its own, so Options names them.
// Without a name the camera is taken as it is: a trigger may be set up elsewhere. That no frame
// comes is never a fault of the camera here; who waits says for how long.
//
// # What changes pixels
//
// Arm switches off what would change the meaning of a count, and reads it back (hygiene.go):
// automatic exposure and gain, gamma, look-up tables, denoising. It refuses a run with triggers
// on a rolling shutter, where a camera says that it has one. What a camera does not offer, or
// keeps otherwise, is in Settings.
//
// # Sources
//
//	the interface   kernel documentation, "Video for Linux API"; numbers and layouts from
//	                linux/videodev2.h of Linux 6.1, by a C compiler (abi_test.go); sure
//	behaviour       videobuf2 and vivid of Linux 6.1, read, and tried in the virtual lab; sure
//	gamma of 100    USB Video Class: the unit of a gamma is a hundredth; likely
//
// Nothing here was tried on a real camera.
package v4l2
