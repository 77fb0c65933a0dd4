// Package shifter describes the phase shifter of the reference beam: a mirror or a
// fibre on a piezo, whose voltage moves the phase of the beam.
//
//	info := dev.Info()
//	volts, err := info.Volts(math.Pi / 2) // by the calibrated radians per volt
//	err = dev.Set(ctx, volts)             // returns when the piezo has settled
//	volts, err = dev.Read(ctx)
//
// Voltage is what a device is told, and what can break a piezo; phase is what
// voltage means on one rig. So a Device speaks of volts alone, within limits that
// cannot be passed, and Info converts.
//
// Open-loop piezos have hysteresis: the same voltage, approached from above and from
// below, gives positions that differ by up to a tenth or so of the way between. Whoever needs
// equal steps approaches all of them from the same side; SetPhase does not do
// so by itself.
//
// The conformance suite of Device is package shifter/shiftertest: a driver is
// accepted when it passes.
package shifter
