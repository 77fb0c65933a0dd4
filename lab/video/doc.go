// Package video tests the V4L2 driver on the kernel's own virtual cameras, the driver vivid, and
// lets the frames of a simulated bench come out of one of them.
//
//	hertz, err := video.SetSignal(node, 640, 480)
//	s, err := video.OpenScreen(output)
//	err = s.Show(func(pix []byte) { ... })
package video
