package rig

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/slm"
)

// The tries of a sweep.
const (
	sweepSteps = 8   // of exposure and delay
	faster     = 0.8 // the next period of a rate's sweep
	mostRates  = 24
	// slowest bounds how far below the rig's rate a sweep begins.
	slowest = 20 * time.Millisecond
	// shortExposure is that of the first tries, in periods: far from both neighbours.
	shortExposure = 0.4
)

// quietTime is how much later than its latency a frame may be when somebody counts them.
const quietTime = 100 * time.Millisecond

// ProbeTrigger plays a known order of all-on and all-off patterns, again and again, and finds
// out what the camera makes of the SLM's pulses: on each of its lines and edges, if it
// lets them be chosen (camera.TriggerInput), at exposures and delays (slm.Pulsing) up to a whole period,
// and at higher and higher rates. Tell is called when a part begins. Faults are no error;
// settings of the camera are put back.
func (r *Rig) ProbeTrigger(ctx context.Context, tell func(what string)) (_ *TriggerReport, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, err := r.cam.Configure(ctx, camera.Config{})
	if err != nil {
		return nil, err
	}
	r.markers = nil
	input, _ := r.cam.(camera.TriggerInput)
	var set camera.Trigger
	if input != nil {
		set = input.Trigger()
	}
	defer func() {
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Grace)
		defer cancel()
		if _, e := r.cam.Configure(back, camera.Config{Exposure: before.Exposure}); e != nil {
			err = errors.Join(err, e)
		}
		if input != nil {
			err = errors.Join(err, input.SetTrigger(back, set))
		}
	}()
	p := &prober{rig: r, input: input, report: new(TriggerReport)}
	tell("lines")
	if err := p.lines(ctx, set); err != nil {
		return nil, err
	}
	for _, part := range []struct {
		what string
		do   func(context.Context, camera.Trigger) error
		late bool // it tells something of frames that are late, too
	}{{"exposures", p.exposures, true}, {"delays", p.delays, true}, {"rates", p.rates, false}} {
		if f := p.report.Lines[0].Fault; f != TriggerGood && !(part.late && f == TriggerLate) {
			break // the rest would say the same
		}
		tell(part.what)
		if err := part.do(ctx, set); err != nil {
			return nil, err
		}
	}
	return p.report, nil
}

// prober makes the tries of a report.
type prober struct {
	rig    *Rig
	input  camera.TriggerInput // nil: there is none
	report *TriggerReport
}

// try plays one run.
func (p *prober) try(ctx context.Context, t camera.Trigger, exposure, period time.Duration) (TriggerTry, error) {
	got, err := p.rig.cam.Configure(ctx, camera.Config{Exposure: max(exposure, p.rig.cam.Info().MinExposure)})
	if err != nil {
		return TriggerTry{}, err
	}
	if p.input != nil {
		if err := p.input.SetTrigger(ctx, t); err != nil {
			return TriggerTry{}, err
		}
	}
	return p.rig.pulse(ctx, TriggerTry{Trigger: t, Exposure: got.Exposure, Period: period})
}

func (p *prober) short() time.Duration {
	return time.Duration(shortExposure * float64(p.rig.config.Period))
}

// lines tries what is set, and if something else can be chosen, that too.
func (p *prober) lines(ctx context.Context, set camera.Trigger) error {
	all := []camera.Trigger{set}
	if p.input != nil {
		for _, line := range p.input.TriggerLines() {
			for _, falling := range []bool{false, true} {
				if t := (camera.Trigger{Line: line, Falling: falling, Delay: set.Delay}); t != set {
					all = append(all, t)
				}
			}
		}
	}
	for _, t := range all {
		try, err := p.try(ctx, t, p.short(), p.rig.config.Period)
		if t != set && errors.Is(err, camera.ErrRefused) {
			continue // an output, or an edge that the camera does not know
		}
		if err != nil {
			return err
		}
		p.report.Lines = append(p.report.Lines, try)
	}
	return nil
}

func (p *prober) exposures(ctx context.Context, set camera.Trigger) error {
	for k := range sweepSteps {
		exposure := p.rig.config.Period * time.Duration(k+1) / sweepSteps
		if exposure > p.rig.cam.Info().MaxExposure {
			break
		}
		try, err := p.try(ctx, set, exposure, p.rig.config.Period)
		if err != nil {
			return err
		}
		p.report.Exposures = append(p.report.Exposures, try)
	}
	return nil
}

// delays moves the camera's exposure or, if it cannot be moved, the SLM's pulse.
func (p *prober) delays(ctx context.Context, set camera.Trigger) (err error) {
	step := p.rig.config.Period / sweepSteps
	moves := false
	if p.input != nil {
		t := set
		t.Delay = step.Truncate(time.Microsecond)
		err := p.input.SetTrigger(ctx, t)
		if err != nil && !errors.Is(err, camera.ErrInput) {
			return err
		}
		moves = err == nil
	}
	pulsing, ok := p.rig.dmd.(slm.Pulsing)
	switch {
	case moves:
		pulsing = nil
	case !ok:
		return nil
	default:
		defer func() {
			back, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.rig.config.Grace)
			defer cancel()
			err = errors.Join(err, pulsing.SetPulse(back, slm.Pulse{}))
		}()
	}
	for k := range sweepSteps {
		t, delay := set, (p.rig.config.Period * time.Duration(k) / sweepSteps).Truncate(time.Microsecond)
		if pulsing == nil {
			t.Delay = delay
		} else if err := pulsing.SetPulse(ctx, slm.Pulse{Delay: delay}); err != nil {
			return err
		}
		try, err := p.try(ctx, t, step, p.rig.config.Period)
		try.Trigger.Delay = delay // whoever makes it
		if errors.Is(err, camera.ErrInput) {
			break // a delay beyond its range
		}
		if err != nil {
			return err
		}
		p.report.Delays = append(p.report.Delays, try)
	}
	return nil
}

// rates begins below the rig's own rate, and ends at the SLM's shortest period or with a try
// that failed.
func (p *prober) rates(ctx context.Context, set camera.Trigger) error {
	for period := max(p.rig.config.Period, min(slowest, 4*p.rig.config.Period)); len(p.report.Rates) < mostRates; {
		try, err := p.try(ctx, set, time.Duration(shortExposure*float64(period)), period)
		if err != nil {
			return err
		}
		p.report.Rates = append(p.report.Rates, try)
		least := p.rig.dmd.Info().MinPeriod
		if period == least || !try.Clean() {
			break
		}
		period = max(least, time.Duration(faster*float64(period)))
	}
	return nil
}

// triggerOrder is what is shown (true: all-on). What is left of it if frames are lost, late
// or doubled is like no other part of it; it holds each pattern between every two
// neighbours.
var triggerOrder = []bool{
	false, true, false, false, true, true, true, false, false, true, false, true, true, false, false, false,
	true, false, false, false, false, true, true, true, true, true, false, true, false, true, false, false,
	true, true, false, true, true, true, false, true,
}

// glimpse is a frame of such a run.
type glimpse struct {
	seq      int
	variance float64 // counts squared
}

// pulse shows the order once, whatever comes of it, and judges. Callers hold the lock.
func (r *Rig) pulse(ctx context.Context, t TriggerTry) (TriggerTry, error) {
	order := make([]*slm.Pattern, len(triggerOrder))
	for k, lit := range triggerOrder {
		order[k] = r.off
		if lit {
			order[k] = r.on
		}
	}
	slots, uploads, err := r.slots.place(ctx, r.dmd, nil, order)
	if err != nil {
		return t, err
	}
	r.count(func(s *Stats) { s.Uploads += uint64(uploads) })
	room := 3 * len(order) // so that more frames than patterns are seen
	if err := r.cam.Arm(ctx, camera.Run{Frames: room}); err != nil {
		return t, err
	}
	var seen []glimpse
	err = r.dmd.Play(ctx, slm.Run{Order: slots, Period: t.Period})
	if err == nil {
		seen, err = r.watch(ctx, &t, room)
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.config.Grace)
	defer cancel()
	counts, stopErr := r.cam.Stop(ending)
	if err != nil {
		return t, errors.Join(err, stopErr, r.dmd.Stop(ending))
	}
	if r.cam.Info().CountsTriggers {
		t.Triggers = counts.Triggers
	}
	t.judge(triggerOrder, seen)
	r.count(func(s *Stats) {
		s.Runs++
		s.Markers += uint64(len(order))
		s.Frames += uint64(t.Frames)
		s.Damaged += uint64(t.Bad)
	})
	return t, stopErr
}

// watch collects frames until the SLM has shown everything and no frame can be on its way.
func (r *Rig) watch(ctx context.Context, t *TriggerTry, room int) (seen []glimpse, err error) {
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	var shown error
	var wg sync.WaitGroup
	wg.Go(func() {
		defer cancel()
		if t.Patterns, shown = r.dmd.Wait(ctx); shown != nil {
			return
		}
		select {
		case <-time.After(r.cam.Info().Latency + quietTime):
		case <-waiting.Done():
		}
	})
	for t.Frames < room && err == nil {
		var n int
		if n, err = r.cam.Wait(waiting, r.frames); err != nil {
			if ctx.Err() == nil && waiting.Err() != nil {
				err = nil
			}
			break
		}
		for i := range r.frames[:n] {
			f := &r.frames[i]
			if t.Frames++; f.Status != camera.OK || f.Check() != nil {
				t.Bad++
				continue
			}
			seen = append(seen, glimpse{int(f.Seq), variance(f)})
		}
		r.cam.Requeue(r.frames[:n]...)
	}
	cancel()
	wg.Wait()
	return seen, errors.Join(err, shown)
}

// mostShift is how many patterns frames may be late, or the first lost.
const mostShift = 3

// judge finds out which pattern each frame shows, if frames follow the order at all.
func (t *TriggerTry) judge(order []bool, seen []glimpse) {
	n := len(order)
	switch {
	case t.Frames == 0:
		t.Fault = TriggerSilent
		return
	case t.Frames <= 2:
		t.Fault = TriggerOnce
		return
	}
	for _, h := range hypotheses {
		if by, ok := h.fits(order, seen); ok {
			t.Fault, t.By = h.fault, by
			if t.Fault == TriggerGood && (t.Frames != n || t.Triggers > uint64(n)) {
				t.Fault = TriggerGaps
			}
			t.Before, t.After = shares(order, seen, func(seq int) int { return h.place(seq, by) })
			return
		}
	}
	t.Fault = TriggerBlind
}

// hypothesis is a way in which frames may follow patterns, by so many.
type hypothesis struct {
	fault    TriggerFault
	from, to int                   // by how many
	place    func(seq, by int) int // pattern that frame seq shows
	covers   float64               // share of the patterns that is to be seen, at least
}

var hypotheses = []hypothesis{
	{TriggerGood, 0, 0, func(seq, _ int) int { return seq }, 0.5},
	{TriggerLate, 1, mostShift, func(seq, by int) int { return seq - by }, 0.5},
	{TriggerFirstLost, 1, mostShift, func(seq, by int) int { return seq + by }, 0.5},
	{TriggerDouble, 0, 0, func(seq, _ int) int { return seq / 2 }, 0.5},
	{TriggerHalf, 0, 1, func(seq, by int) int { return 2*seq + by }, 0.35},
}

// fits says whether the frames of lit patterns are brighter than all others, and by how many
// patterns they are off then.
func (h *hypothesis) fits(order []bool, seen []glimpse) (by int, ok bool) {
	for by := h.from; by <= h.to; by++ {
		lowestOn, highestOff := math.Inf(1), math.Inf(-1)
		places := map[int]bool{}
		for _, g := range seen {
			k := h.place(g.seq, by)
			if k < 0 || k >= len(order) {
				continue
			}
			places[k] = true
			if order[k] {
				lowestOn = min(lowestOn, g.variance)
			} else {
				highestOff = max(highestOff, g.variance)
			}
		}
		if float64(len(places)) >= h.covers*float64(len(order)) && lowestOn > 1.2*highestOff {
			return by, true
		}
	}
	return 0, false
}

// shares are the parts of an exposure that the patterns before and behind are seen in. An
// all-off frame beside an all-on one tells: part s of its fields is lit, and s^2 of the
// variance.
func shares(order []bool, seen []glimpse, place func(seq int) int) (before, after float64) {
	var sums, counts [8]float64 // by what is on: 4 the pattern before, 2 the pattern, 1 the one behind
	for _, g := range seen {
		k := place(g.seq)
		if k < 1 || k > len(order)-2 {
			continue
		}
		which := 0
		for i, lit := range order[k-1 : k+2] {
			if lit {
				which |= 4 >> i
			}
		}
		sums[which] += g.variance
		counts[which]++
	}
	mean := func(which int) float64 { return sums[which] / counts[which] }
	dark, lit := mean(0), mean(7)
	share := func(which int) float64 {
		s := math.Sqrt(max(0, mean(which)-dark) / (lit - dark))
		if math.IsNaN(s) { // such a frame is missing
			return 0
		}
		return s
	}
	return share(4), share(1)
}
