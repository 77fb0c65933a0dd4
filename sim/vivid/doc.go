// Package vivid lets the frames of a simulated bench come out of the kernel: they are shown on an
// output of its driver vivid, and taken from an input of it as from any camera.
//
//	cam, err := vivid.OpenLoop(ctx, bench.Camera(), "/dev/video0", v4l2.Options{})
//
// vivid is a module of Linux, a set of virtual video devices. One with an input and an output of
// HDMI that can be looped is made by
//
//	modprobe vivid n_devs=1 node_types=0x101 num_inputs=1 input_types=3 num_outputs=1 output_types=1 ccs_cap_mode=1
package vivid
