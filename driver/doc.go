// Package driver is the optical processing unit: a rig and its calibration make
// y = B x.
//
//	opu, err := driver.New(rig, calibration, driver.Options{})
//	y := make([]complex64, rows*opu.Outputs())
//	err = opu.Project(ctx, y, x) // x: rows of {-1, 0, 1}
//
// A row is shown as two patterns, its features at +1 and those at -1; each is
// exposed, demodulated at the calibrated carrier, and the fields are subtracted.
// A row of one sign alone is referred to an all-off exposure of the same run, a
// row of zeros costs nothing and is exactly zero. Every exposure is a new frame
// with new noise, and no result outlives its batch.
//
// Where the calibration has a witness (few features, tags or an anchor), every frame
// proves which pattern it shows and tells the phase of the reference and the power of
// the laser when it was taken; elsewhere a probe in every run follows the two.
//
// B is scaled so that the mean of abs(B_ij)^2 is 1. It has a name, the Epoch; the
// probe ends it when the medium is no longer the one that was calibrated.
//
// Memory is that of one run of the SLM: it does not grow with outputs x inputs nor
// with the batch.
package driver
