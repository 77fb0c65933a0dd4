// Package rig wires one SLM to one camera: patterns go in, and for each pattern
// its own frame comes out, proven.
//
//	r, err := rig.New(dmd, cam, rig.Config{})
//	err = r.Show(ctx, patterns, func(k int, f *camera.Frame) error {
//		return demodulate(fields[k], f) // frame f belongs to patterns[k]
//	})
//	// only now, with err == nil, may the fields be used
//
// That frame k belongs to pattern k is proven for every run, never assumed:
//
//   - the patterns the SLM showed, the triggers the camera saw and the frames it
//     took must be equally many;
//   - the camera's clock must have advanced by one period from frame to frame, so
//     that a trigger lost and one too many do not cancel;
//   - markers must be where they were put: pairs of all-off and all-on patterns at
//     both ends of a run and at unequal distances within it. Speckle tells them
//     apart without any calibration: an all-on frame has the largest variance of
//     all, an all-off one has none but noise.
//
// What has no proof is shown again, and counted: frames that were lost or damaged
// and those that the sink found to be of another pattern (ErrWrongPattern) alone, a
// run whose counts, clock or markers disagree as a whole. After too many
// tries Show fails; it never shifts a frame.
package rig
