package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/rig"
)

// triggerResult is what selftest --trigger found, for programs.
type triggerResult struct {
	Camera    string        `json:"camera"`
	SLM       string        `json:"slm"`
	PeriodUS  float64       `json:"period_us"`
	Checks    []check       `json:"checks"`
	Lines     []triedReport `json:"lines"`
	Exposures []triedReport `json:"exposures"`
	Delays    []triedReport `json:"delays"`
	Rates     []triedReport `json:"rates"`
	Simulated string        `json:"simulated,omitempty"`
}

// triedReport is a try.
type triedReport struct {
	Line       string           `json:"line,omitempty"`
	Edge       string           `json:"edge,omitempty"`
	DelayUS    float64          `json:"delay_us"`
	ExposureUS float64          `json:"exposure_us"`
	PeriodUS   float64          `json:"period_us"`
	Patterns   int              `json:"patterns"`
	Triggers   uint64           `json:"triggers"` // 0: the camera does not count them, or saw none
	Frames     int              `json:"frames"`
	Bad        int              `json:"bad"`
	Fault      rig.TriggerFault `json:"fault"` // "": none
	By         int              `json:"by,omitempty"`
	Before     float64          `json:"before"` // shares of the exposure
	After      float64          `json:"after"`
}

func triedOf(tries []rig.TriggerTry) []triedReport {
	all := make([]triedReport, len(tries))
	for i, t := range tries {
		all[i] = triedReport{
			Line: t.Trigger.Line, DelayUS: us(t.Trigger.Delay), ExposureUS: us(t.Exposure), PeriodUS: us(t.Period),
			Patterns: t.Patterns, Triggers: t.Triggers, Frames: t.Frames, Bad: t.Bad, Fault: t.Fault, By: t.By, Before: t.Before, After: t.After,
		}
		if t.Trigger.Line != "" {
			all[i].Edge = edgeOf(t.Trigger)
		}
	}
	return all
}

func edgeOf(t camera.Trigger) string {
	if t.Falling {
		return "falling"
	}
	return "rising"
}

// selftestTrigger asks the rig that the flags name.
func (b *benchFlags) selftestTrigger(c *cobra.Command, out format) error {
	t, err := b.open(c.Context(), c.ErrOrStderr(), need{features: 10})
	if err != nil {
		return err
	}
	defer t.bench.Close()
	r, err := t.rig.ProbeTrigger(c.Context(), func(what string) { fmt.Fprintf(c.ErrOrStderr(), "%s\n", what) })
	if err != nil {
		return err
	}
	result := triggerResult{
		Camera: t.rig.Camera().Model, SLM: t.rig.SLM().Model, PeriodUS: us(t.rig.Period()), Simulated: b.sim,
		Checks: judgeTrigger(r, t.rig),
		Lines:  triedOf(r.Lines), Exposures: triedOf(r.Exposures), Delays: triedOf(r.Delays), Rates: triedOf(r.Rates),
	}
	err = out.print(c.OutOrStdout(), result, func(w io.Writer) {
		fmt.Fprintf(w, "trigger     %s to %s, a pattern every %.6g us\n", result.SLM, result.Camera, result.PeriodUS)
		printChecks(w, result.Checks)
		if b.sim != "" {
			fmt.Fprintf(w, "simulated bench %q\n", b.sim)
		}
	})
	if err == nil {
		err = failed("cannot rely on the trigger", result.Checks)
	}
	return err
}

// judgeTrigger says what the tries mean.
func judgeTrigger(r *rig.TriggerReport, of *rig.Rig) (checks []check) {
	say := func(name string, c check) {
		c.Name = name
		checks = append(checks, c)
	}
	set := r.Lines[0]
	on := ""
	if set.Trigger.Line != "" {
		on = fmt.Sprintf(" on %s, %s edge", set.Trigger.Line, edgeOf(set.Trigger))
	}
	counted := fmt.Sprintf("%d patterns shown, %d triggers counted, %d frames came", set.Patterns, set.Triggers, set.Frames)
	if !of.Camera().CountsTriggers {
		counted = fmt.Sprintf("%d patterns shown, %d frames came; the camera does not count triggers", set.Patterns, set.Frames)
	}
	if set.Fault == rig.TriggerGood && set.Bad == 0 {
		say("line", found(success, "%s%s", set.Fault.Advice(), on))
		say("counters", found(success, "%s", counted))
	} else {
		say("line", found(failure, "%s%s", set.Fault.Advice(), on))
		say("counters", found(failure, "%s, %d of them bad", counted, set.Bad))
	}
	for _, t := range r.Lines[1:] {
		name := fmt.Sprintf("%s, %s edge", t.Trigger.Line, edgeOf(t.Trigger))
		switch {
		case t.Fault == rig.TriggerGood && set.Fault != rig.TriggerGood:
			say(name, found(ignored, "good: the pulses are here; move the cable, or have the camera listen to it"))
		case t.Fault == rig.TriggerGood:
			say(name, found(ignored, "good, too; exposures see %.0f %% of the pattern before and %.0f %% of the one behind", 100*t.Before, 100*t.After))
		case t.Fault == rig.TriggerSilent:
			say(name, found(ignored, "no pulse arrives here"))
		default:
			say(name, found(ignored, "%s", t.Fault.Advice()))
		}
	}
	switch set.Fault {
	case rig.TriggerGood:
		say("first frames", found(success, "none is lost"))
	case rig.TriggerFirstLost:
		say("first frames", found(failure, "the first %d of each run are lost", set.By))
	case rig.TriggerLate:
		say("first frames", found(failure, "each frame shows the pattern of %d before", set.By))
	}
	say("exposure", judgeExposures(r, of))
	say("settling", judgeDelays(r))
	say("rate", judgeRates(r, of))
	return checks
}

func judgeExposures(r *rig.TriggerReport, of *rig.Rig) check {
	if len(r.Exposures) == 0 {
		return found(ignored, "not tried")
	}
	longest, ok := r.Longest()
	if !ok {
		t := r.Exposures[0]
		return found(failure, "even %v sees %.0f %% of the pattern before and %.0f %% of the one behind", t.Exposure, 100*t.Before, 100*t.After)
	}
	return found(success, "up to %v of the %v of a pattern are clean", longest, of.Period().Round(time.Microsecond))
}

func judgeDelays(r *rig.TriggerReport) check {
	if len(r.Delays) == 0 {
		return found(ignored, "not tried: neither the exposure nor the pulse can be delayed")
	}
	from, to, ok := r.Settled()
	switch set := r.Lines[0].Trigger.Delay; {
	case !ok:
		return found(failure, "at no delay is an exposure clean")
	case set < from:
		return found(failure, "the mirrors stand still %v after the edge, the exposure begins after %v: delay the camera's trigger or the pulse", from, set)
	default:
		return found(success, "exposures may begin %v to %v after the edge; they begin after %v, a margin of %v", from, to, set, to-set)
	}
}

func judgeRates(r *rig.TriggerReport, of *rig.Rig) check {
	if len(r.Rates) == 0 {
		return found(ignored, "not tried")
	}
	fastest, ok := r.Fastest()
	if !ok {
		return found(failure, "none holds, not even a pattern every %v", r.Rates[0].Period)
	}
	text := fmt.Sprintf("%.0f patterns/s hold, with %.0f %% of the time exposed", 1/fastest.Seconds(), 100*r.Rates[0].Exposure.Seconds()/r.Rates[0].Period.Seconds())
	if last := r.Rates[len(r.Rates)-1]; !last.Clean() {
		text += fmt.Sprintf("; at %.0f: %s", 1/last.Period.Seconds(), last.Fault.Advice())
	} else {
		text += ", as fast as the mirrors are"
	}
	if fastest > of.Period() {
		return found(failure, "%s; the rig runs at %.0f", text, 1/of.Period().Seconds())
	}
	return found(success, "%s", text)
}
