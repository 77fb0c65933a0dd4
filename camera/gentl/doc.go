// Package gentl reaches cameras and frame grabbers through GenTL: it is the only way to most
// CoaXPress and Camera Link grabbers on Linux, and one to other cameras.
//
// # The standard, in short
//
// GenTL (EMVA, version 1.6) is an interface in C. The maker of a grabber ships a producer,
// a shared library whose name ends with ".cti", and its installer adds the library's folder
// to GENICAM_GENTL64_PATH; a program that loads it is a consumer. What it offers is a tree
// of modules: the system (the library), interfaces (a grabber, a network card), devices
// (cameras), data streams, and buffers. Each module is also a port, some memory with a
// description in XML (package camera/genapi): settings of the grabber are features of the
// interface, the device and the stream; settings of the camera those of the remote port.
//
// Frames: the consumer announces buffers to a stream, queues them, and waits for events that
// say which buffer was filled. Then it asks what is in it: the frame's id, its time, whether
// it is complete, and where the pixels are; a buffer may hold several images (parts), which
// grabbers use at thousands of frames per second. A buffer that was looked at is queued
// again. Frames that found no buffer are counted as underrun.
//
// # How this package does it
//
// A vendor's library runs in a process of its own (opu-gentl, package camera/gentl/helper),
// one for each camera that is open: libraries crash and hang, and that must not end the
// daemon.
//
//	program ── requests ──> helper ── C ──> producer ──> grabber
//	   ^  <── records of frames ──┘            │
//	   └───────── memory (memfd) <── pixels ───┘
//
// The buffers that are announced lie in memory that both processes map, so the producer
// writes pixels where the program reads them: nobody copies them, and nothing is allocated
// for a frame. Twice as many buffers are announced as callers may hold.
//
// If the library crashes, or does not answer within seconds, its helper is killed, the calls
// that wait end with camera.ErrUnplugged, and the camera can be opened again. Frames that a
// caller has stay readable.
//
// # What producers leave out
//
// Functions that came after GenTL 1.0 are used where they are; a producer of 1.0 does. Old
// producers know no exclusive access, no time in nanoseconds, no parts, no stacked questions.
// Ids of frames begin where the producer likes (see internal/frameid). Pixel formats come in the
// 32 bits of PFNC or in the 16 of CoaXPress.
//
// No producer of a vendor was tried yet: what stands here is tested against a producer of the
// tests' own, in C, written from the standard's list of functions.
package gentl
