// Package slm describes a binary spatial light modulator: what it shows
// (Pattern), how a vector becomes a pattern (Layout) and what a driver must do
// (Device).
//
// A digital micromirror device (DMD) is an array of mirrors that are either on
// or off. A Pattern holds one bit per mirror. A Layout gives every feature of a
// vector its own mirrors, the same number for each, so that all columns of the
// optical matrix have the same expected norm. A vector x in {-1, 0, 1} is shown
// as two patterns, the features that are +1 and the features that are -1; the
// two results are subtracted as fields:
//
//	layout, err := slm.NewLayout(slm.LayoutSpec{Kind: slm.Blocks, Features: 10, Chip: chip})
//	plus := slm.NewPattern(chip)
//	layout.Encode(plus, x, +1) // lights the mirrors of every feature with x = +1
//
// A Device keeps patterns in numbered slots and plays an order of slots, one
// pattern per period, each announced to the camera by a trigger:
//
//	err = dev.Load(ctx, []int{0, 1}, []*slm.Pattern{plus, minus})
//	err = dev.Play(ctx, slm.Run{Order: []int{0, 1, 0}, Period: 667 * time.Microsecond})
//	shown, err := dev.Wait(ctx)
//
// The conformance suite of Device is package slm/slmtest: a driver is accepted
// when it passes.
package slm
