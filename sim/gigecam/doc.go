// Package gigecam is a model of a GigE Vision camera: what stands at the other end of the
// network cable. It answers on UDP as a camera would, and sends the frames of any
// camera.Device, such as the one of the simulated bench:
//
//	cam, err := gigecam.New(gigecam.Config{Address: "127.0.0.1", Serial: "sim-1", Sensor: bench.Camera()})
//	defer cam.Close()
//
// The way of a frame: the sensor is triggered and exposed; its pixels are packed as the pixel
// format says (pack.go), and sent as a leader, packets and a trailer, no faster than the link
// (stream.go). A few frames are kept, for packets that are asked for again. Questions and
// answers, registers and who is master are in control.go and registers.go, the description
// that the camera carries of itself in description.go.
//
// SetFaults decides of every packet whether it arrives; Unplug, Replug and DropMaster do what
// happens to cameras. Stats counts, so that a test can compare what a driver noticed.
//
// It is written from the public sources of the protocol and not on the driver's code:
// an encoder and a decoder that share code agree even when both are wrong. Aravis's programs
// and Wireshark are its judges.
package gigecam
