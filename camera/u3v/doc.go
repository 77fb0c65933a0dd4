// Package u3v drives USB3 Vision cameras.
//
// # The protocol, in short
//
// A camera has two or three USB interfaces of class EF/05. The control interface has a pipe
// each way. Over it the host reads and writes memory, one packet for a command and one for
// its acknowledgement (GenCP): a prefix, a command, a length, an id that tells which answer is
// to which command, an address. A camera that needs time says so (pending).
//
// At the start of that memory are registers that every camera has: names and limits (ABRM),
// those of USB3 Vision (SBRM), of which the largest packets, and those of the stream (SIRM).
// A table (manifest) says where the description of all other features is, XML of GenICam,
// which packages camera/genapi and camera/genicam read.
//
// A frame comes over the pipe of the streaming interface: a leader (what follows: id, time,
// pixel format, size), the pixels without anything between them, and a trailer (how many were
// valid, and what went wrong). Each is a transfer of its own, and ends with a short packet.
// The host says beforehand into how many transfers of which size the pixels are cut. There is
// no repetition: what the host does not take in time is lost, and shows as a gap in the ids.
//
// # How this package does it
//
// Transfers are all of one size, many of them asked for at a time, so that the bus never
// waits for this program; a leader or trailer, and the last part of the pixels, are transfers
// that came short. What a transfer is, is told by where it comes and by its first bytes, so
// that after a fault the next leader puts everything in step again. Pixels are copied once,
// from the library's buffer into the frame's.
//
// A frame is good if its leader and trailer have one id, the trailer says that all is well,
// and as many bytes came as both sides expect. Everything else is delivered too, with a
// status.
//
// USB at 5 Gbit/s carries some 400 MB/s: 1500 frames per second of 0.25 Mpx, or 380 of 1 Mpx.
//
// # Links
//
// The protocol works on a Link. With -tags libusb, OpenUSB makes one of a camera on USB,
// through libusb; without it, what is here is tested on a model (sim/u3vcam). No camera was
// tried yet.
//
// # Sources
//
// The standards were not at hand. What is here is what Aravis, the Linux driver of National
// Instruments, cameleon and Wireshark's dissector have in common.
package u3v
