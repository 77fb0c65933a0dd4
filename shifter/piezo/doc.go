// Package piezo drives open-loop piezo controllers on a serial line: Thorlabs MDT693B
// and MDT694B, and their predecessors MDT693A and MDT694A.
//
//	port, err := piezo.OpenSerial("/dev/ttyACM0")
//	dev, err := piezo.Open(ctx, port, piezo.Options{Name: "/dev/ttyACM0", Max: 75, RadiansPerVolt: 0.12})
//	defer dev.Close() // the piezo stays where it is
//	err = shifter.SetPhase(ctx, dev, math.Pi/2)
//
// A controller takes a line of text and answers with text and a prompt. Answers carry no
// number: one that comes too late looks like that of the next command. So after anything
// went wrong nothing is believed until the controller has answered a question whose
// answer is known, who it is; what comes before that is dropped (line.go).
//
// Voltage is checked in one place (Device.drive), against the narrowest of three limits:
// those of Options, those of the axis, which the controller is asked for, and its switch
// at the back. Every change goes in steps of at most Options.Step.
//
// # Sources
//
// Nothing here was tried on hardware. How sure each fact is:
//
//	commands and their arguments     MDT693B and MDT694B: published command list; sure
//	115200 baud, 8 bits, no parity   the same; sure
//	lines end with CR                the same, and programs of labs; sure
//	answers end with the prompt >    programs of labs agree; likely
//	echo is on after power-up        a recorded session of firmware 1.05; likely. Both are understood
//	values in brackets or not        both were recorded; both are understood
//	0.1 V of resolution, read-back   the same session: told 24.68 V, it read 24.8 V; told
//	up to 0.2 V off                  1.23 V, 1.4 V. So Tolerance is 0.5 V
//	CMD_NOT_DEFINED, CMD_ARG_INVALID programs for the same maker's instruments; likely
//	commands of MDT693A, MDT694A     programs of labs, and the B's mode of compatibility; less
//	                                 sure: prompts * and !, no question for the serial number
package piezo
