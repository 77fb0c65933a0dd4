// Package gige drives GigE Vision cameras: monochrome cameras on a network, with a trigger
// line that the SLM's board pulls.
//
//	found, err := gige.Discover(ctx)                                 // who is there
//	dev, err := gige.Open(ctx, "192.168.1.20", gige.Options{})       // or a serial number
//	defer dev.Close()                                                // gives the camera up
//
// Control is a protocol of questions and answers over UDP (GVCP): registers and memory are
// read and written, one transaction at a time, repeated if no answer comes (control.go). Whoever
// writes the control channel privilege is the camera's master, and must be heard from every few
// seconds: a heartbeat reads it, and so finds out whether the camera is still there and still
// ours (heartbeat.go). The camera describes its features in its own memory; packages genapi
// and genicam make settings of them.
//
// Frames are a stream of packets over UDP (GVSP), to a port of ours: a leader that says what
// comes, the pixels in numbered packets, and a trailer. What is lost on the way leaves a gap.
// The assembler (assemble.go) puts packets into frames, asks for those that are missing, waits
// a little, and gives frames out in the order of their numbers: complete, or with status
// Incomplete and zeros where pixels are missing. A frame of which nothing came is a gap in
// Seq. Stats counts packets, so that a bad cable or a small buffer is seen long before it
// costs frames.
//
// Three things make or break the link. Packets should be as large as the network carries:
// Open tries the sizes with test packets, so enable jumbo frames (MTU 9000) on the port and
// on the switch. The host's receive buffer must hold what comes while the program does not
// run: raise net.core.rmem_max to 32 MB; Warnings says if it is small. And the link must be
// faster than the sensor: 1 Gbit/s carries about 115 MB/s.
//
// # Sources
//
// The GigE Vision standard itself is not public. What stands here is what Aravis, Wireshark's
// dissectors and the cameras that these speak to agree on; what only one of them says is
// marked. The stream's layout is that of version 1 and, with 64-bit block numbers, version 2.
// Not done: several stream channels, chunk data after the pixels, multi-part payloads, events,
// action commands, and setting a camera's address.
package gige
