package sim

import (
	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
)

// Board is the controller board of the bench's mirrors, for drivers that talk to one.
// The time that reports and restarts take passes on the bench as well, with all mirrors off.
func (b *Bench) Board() *controller.Board { return b.board }

func newBoard(b *Bench) (*controller.Board, error) {
	off := slm.NewPattern(b.config.Chip)
	return controller.New(controller.Config{
		DMD:    controller.Custom(b.config.Chip),
		Report: b.config.Report, Restart: b.config.Restart,
		Show: func(shown []controller.Exposure) { b.play(b.steps(off, shown)) },
	})
}

// steps is what the board's mirrors did, and the time in between.
func (b *Bench) steps(off *slm.Pattern, shown []controller.Exposure) []step {
	steps := make([]step, 0, len(shown)+1)
	for _, x := range shown {
		if gap := x.Start - b.boardTime; gap > 0 {
			steps = append(steps, step{pattern: off, period: gap, silent: true})
		}
		steps = append(steps, step{pattern: x.Pattern, period: x.Exposure + x.Dark, silent: !x.Trigger, pulse: x.Pulse, inverted: x.Inverted})
		b.boardTime = x.Start + x.Exposure + x.Dark
	}
	return steps
}
