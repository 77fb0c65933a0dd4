// Package helper is the process that a GenTL producer lives in: what a vendor's library does
// to it, it does to nobody else. It answers the requests of one program, package camera/gentl,
// for one producer and one device, and ends with that program.
//
// A request is answered when the producer has answered; one that hangs is not answered, and
// the program kills the process. Frames do not pass through here: the producer writes them
// into memory that the program reads, and only their records are sent.
//
// This package needs C, to load libraries and to call them. Without it (CGO_ENABLED=0) Main
// says so and fails.
package helper
