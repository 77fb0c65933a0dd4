package rig

import (
	"fmt"
	"slices"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// TriggerFault is what is likely wrong between the pulses of an SLM and the frames of a
// camera, in a word for programs.
type TriggerFault string

const (
	TriggerGood      TriggerFault = ""           // one frame for each pattern, in order
	TriggerSilent    TriggerFault = "silent"     // no frame at all
	TriggerOnce      TriggerFault = "once"       // one frame for a whole run
	TriggerDouble    TriggerFault = "double"     // two frames for each pattern
	TriggerHalf      TriggerFault = "half"       // a frame for every other pattern
	TriggerFirstLost TriggerFault = "first lost" // the first patterns of a run have no frame
	TriggerLate      TriggerFault = "late"       // each frame shows an earlier pattern
	TriggerGaps      TriggerFault = "gaps"       // frames are missing here and there
	TriggerBlind     TriggerFault = "blind"      // frames come, and show no pattern that was asked for
)

// Advice says what to do about a fault.
func (f TriggerFault) Advice() string {
	switch f {
	case TriggerGood:
		return "one frame for each pattern, in order"
	case TriggerSilent:
		return "no pulse reaches the camera on this line: check the cable, that it is on the pattern's output (2 of a DLPC900) " +
			"and on the camera's input, their voltages, and a common ground"
	case TriggerOnce:
		return "one pulse came for a whole run: the cable is on an output that stays high through a run (1 of a DLPC900); use output 2"
	case TriggerDouble:
		return "each pattern triggers twice: the line rings or bounces, or the camera takes both edges; terminate the cable, set a debouncer"
	case TriggerHalf:
		return "every other trigger is lost: the camera is still exposing or reading out; lower the rate, shorten the exposure or the region"
	case TriggerFirstLost:
		return "the first pulses of a run find the camera not ready: the driver's Arm returns too early, or the first pulses are too short"
	case TriggerLate:
		return "each frame shows an earlier pattern: the exposure begins at the wrong edge, or a delay is longer than a pattern"
	case TriggerGaps:
		return "frames are missing here and there: pulses that are too short or too low, or losses on the way (opuctl doctor)"
	case TriggerBlind:
		return "frames come, and do not follow the mirrors: check the laser and the shutters; or something else triggers the camera"
	}
	return fmt.Sprintf("unknown fault %q", string(f))
}

// TriggerTry is what came of a run of a known order of all-on and all-off patterns.
type TriggerTry struct {
	Trigger  camera.Trigger // the zero value: the camera does not let one choose
	Exposure time.Duration
	Period   time.Duration

	Patterns int    // that the SLM showed
	Triggers uint64 // that the camera counted; 0: it cannot
	Frames   int    // that came
	Bad      int    // of them, with an error

	Fault  TriggerFault
	By     int     // first patterns that were lost, or patterns that frames are late
	Before float64 // share of the exposure in which the pattern before was seen
	After  float64 // the same, of the pattern behind
}

// Clean says whether each frame shows its own pattern and nothing else.
func (t *TriggerTry) Clean() bool {
	return t.Fault == TriggerGood && t.Before < cleanShare && t.After < cleanShare
}

// cleanShare is how much of another pattern passes for noise: a frame's variance tells
// shares to some percent.
const cleanShare = 0.08

// TriggerReport is what ProbeTrigger found.
type TriggerReport struct {
	Lines []TriggerTry // the one that is set, then the others that can be chosen

	// Of the line that is set, if it is good.
	Exposures []TriggerTry // from short to as long as the period
	Delays    []TriggerTry // of the camera's exposure, or of the SLM's pulse; empty: neither can be delayed
	Rates     []TriggerTry // from slow to fast, until one failed
}

// Longest is the longest clean exposure at the rig's period, and whether there is one.
func (r *TriggerReport) Longest() (time.Duration, bool) { return lastClean(r.Exposures, exposureOf) }

// Fastest is the shortest period that holds, and whether there is one.
func (r *TriggerReport) Fastest() (time.Duration, bool) {
	return lastClean(r.Rates, func(t *TriggerTry) time.Duration { return t.Period })
}

// Settled are the shortest and the longest delay of the exposure with which it is clean: how
// long the mirrors need, and how much room is left.
func (r *TriggerReport) Settled() (from, to time.Duration, ok bool) {
	first := slices.IndexFunc(r.Delays, func(t TriggerTry) bool { return t.Clean() })
	if first < 0 {
		return 0, 0, false
	}
	to, _ = lastClean(r.Delays, delayOf)
	return r.Delays[first].Trigger.Delay, to, true
}

func exposureOf(t *TriggerTry) time.Duration { return t.Exposure }
func delayOf(t *TriggerTry) time.Duration    { return t.Trigger.Delay }

func lastClean(tries []TriggerTry, of func(*TriggerTry) time.Duration) (time.Duration, bool) {
	for i := len(tries) - 1; i >= 0; i-- {
		if tries[i].Clean() {
			return of(&tries[i]), true
		}
	}
	return 0, false
}
