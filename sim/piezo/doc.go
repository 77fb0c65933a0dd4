// Package piezo models an open-loop piezo controller on a serial line, a Thorlabs
// MDT693B or MDT694B, with a mirror on its piezo:
//
//	c, err := piezo.New(piezo.Config{RadiansPerVolt: 0.2, Moved: bench.ShiftReference})
//	defer c.Close()
//	// c is an io.ReadWriteCloser: what the host writes, and what it reads.
//	line, name, err := piezo.Pty(c) // or: a pseudo-terminal, to be opened as a serial port
//
// It knows the commands from the published list and from programs of labs, not from
// our driver, and counts what must never happen: Extremes are the volts that its
// output ever had.
package piezo
