// Package controller is a model of a DLPC900 board: USB reports go in, mirrors
// move. It stands where the board would, at the far end of a driver's link, and
// knows nothing of any driver:
//
//	board, err := controller.New(controller.Config{
//		DMD:  controller.DLP6500(),
//		Show: func(shown []controller.Exposure) { ... }, // what the mirrors did
//	})
//	err = board.Write(ctx, reports) // 64-byte reports, as the host sends them
//	err = board.Read(ctx, reply)    // 64 bytes, as the board answers
//
// The way of a report: its bytes are collected to a command (message.go), the
// table of commands checks and executes it (commands.go), images are decompressed
// into the pattern memory (image.go, compression.go), the table of patterns is
// defined, made effective and reordered (lut.go), and the sequencer plays it
// (sequencer.go). Each file names the sections of the manual that it follows.
//
// The facts are those of TI's "DLPC900 Programmer's Guide" (DLPU018, revisions F
// of 2020 and J of 2024) and of the data sheet (DLPS037, revisions F and H); what
// only other programs or users report is a switch in Quirks. Where no source says
// what a board does, the model is strict: it refuses what nobody promises. Nothing
// here was compared with hardware.
//
// Time is the board's own. By default it is virtual: it advances by what Config
// says that reports and restarts take, and by Advance, and a sequence that ends by
// itself is over when its start command returns. With Config.RealTime it is that of
// package time, and so a test in a bubble of testing/synctest decides how it passes.
package controller
