// Package calib learns what a rig's frames mean, from frames alone: the carrier
// of the reference beam, the radius of the speckle's sideband, exposure and black
// level, noise, and the scale of the matrix.
//
//	cal, err := calib.Learn(ctx, rig, calib.Options{Layout: slm.LayoutSpec{Kind: slm.Blocks, Features: 10}})
//	err = cal.Save("bench.opucal")
//
// The result names one matrix B: its Epoch is derived from everything that
// defines B, and changes when B may have. Its probe (a fixed pattern and the field
// that it made) lets a driver follow the reference's phase and the laser's power,
// and notice when the medium has become another one.
//
// Methods and figures: reference, sections 3 to 6.
package calib
