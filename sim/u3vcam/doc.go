// Package u3vcam is a model of a USB3 Vision camera, at the level of transfers: what a host
// sends over the bus goes in, and what a camera would send comes out. It stands where the
// camera would, at the far end of a driver's link or of an emulated USB cable, and knows
// nothing of any driver.
//
//	cam, err := u3vcam.New(u3vcam.Config{Width: 640, Height: 480})
//	err = cam.Command(ctx, packet)          // bulk OUT of the control interface
//	answer, err := cam.Answer(ctx, 1024)    // bulk IN
//	data, err := cam.Stream(ctx, 65536)     // bulk IN of the streaming interface, one request
//	cam.Trigger(3)                          // three edges at its line
//	cam.Capture(pixels, at)                 // an edge, and what the sensor saw
//
// The way of a command: its packet is checked and executed on the camera's memory
// (control.go), which holds the registers of the standard and the features (memory.go,
// features.go). The way of a frame: an edge makes an exposure, if the camera is set to take
// it, and the exposure becomes a leader, transfers of pixels and a trailer (stream.go), which
// wait until the host asks for them.
//
// What is known of the protocol is what several open drivers agree on; packets are encoded
// here a second time, so that a driver that is wrong is not right by agreement. Where nobody
// says what a camera does, the model is strict. Nothing here was compared with hardware.
package u3vcam
