package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
)

// wired has benches wired like this from now on.
func wired(t *testing.T, w sim.Wiring) {
	t.Helper()
	usual := newBench
	newBench = func(ctx context.Context, c sim.Config, preset string, r rig.Config) (*bench.Bench, error) {
		b, err := usual(ctx, c, preset, r)
		if err == nil {
			b.Sim.Wire(w)
		}
		return b, err
	}
	t.Cleanup(func() { newBench = usual })
}

// checksByName are the verdicts.
func checksByName(checks []check) map[string]check {
	all := map[string]check{}
	for _, c := range checks {
		all[c.Name] = c
	}
	return all
}

func TestSelftestTrigger(t *testing.T) {
	var r triggerResult
	must(t, &r, "selftest", "--trigger", "--sim")
	for _, name := range []string{"line", "counters", "first frames", "exposure", "settling", "rate"} {
		if c := checksByName(r.Checks)[name]; c.Verdict != success {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if len(r.Lines) != 4 || r.Lines[0].Fault != rig.TriggerGood || r.Lines[2].Fault != rig.TriggerSilent || r.Simulated != "good" {
		t.Errorf("%+v", r)
	}
}

// Each fault of the cable is named, with what to do.
func TestSelftestTriggerFaults(t *testing.T) {
	for name, c := range map[string]struct {
		wiring sim.Wiring
		says   []string
	}{
		"cut":     {sim.Wiring{Cut: true}, []string{"FAILURE  line: no pulse reaches"}},
		"moved":   {sim.Wiring{Line: 1}, []string{"FAILURE  line: no pulse", "Line2, rising edge: good: the pulses are here"}},
		"level":   {sim.Wiring{Level: true}, []string{"use output 2"}},
		"bounces": {sim.Wiring{Bounce: true}, []string{"rings or bounces", "40 patterns shown, 80 triggers"}},
		"settles": {sim.Wiring{Settle: 100 * time.Microsecond}, []string{"FAILURE  settling: the mirrors stand still"}},
	} {
		wired(t, c.wiring)
		code, out, messages := opuctl(t, "selftest", "--trigger", "--sim")
		for _, says := range c.says {
			if code != exitFailed || !strings.Contains(out, says) {
				t.Errorf("%s: exit %d: it does not say %q: %s\n%s", name, code, says, messages, out)
			}
		}
	}
	if code, _, messages := opuctl(t, "selftest", "--trigger", "--sim", "--calibration", "x"); code != exitInput {
		t.Errorf("exit %d: %s", code, messages)
	}
}
