// Package sim is the bench in software: a DMD, a scattering medium, a reference
// beam and a camera, as physics. Its DMD is an slm.Device and its camera a
// camera.Device, so everything above them runs as it does in the laboratory.
//
//	bench, err := sim.New(sim.Good(1))
//	dmd, cam := bench.DMD(), bench.Camera()
//
// Light takes this way (reference, section 10):
//
//	pattern -> S = T x -> phase and power of the moment -> reference added ->
//	intensity -> pixel response -> electrons -> Poisson -> read noise ->
//	full well -> ADC -> frame
//
// The medium is exact and reproducible: every mirror has its own column of the
// transmission matrix T, made from (seed, mirror) when it is needed and summed in
// integers, so that a field depends on the pattern alone and not on what was
// shown before. Nothing of the size of T is ever stored.
//
// Time is the bench's own: it advances by the pattern period with each pattern
// and stands still in between. Frames are rendered when they are waited for, as
// fast as the host can; device times are those of the bench's clock.
//
// Results from this package are simulated and must be labelled so.
package sim
