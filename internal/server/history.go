package server

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/driver"
)

// The history holds a quarter of an hour, a sample a second.
const (
	sampleInterval = time.Second
	mostSamples    = 15 * 60
)

// Sample is how the device was in a moment.
type Sample struct {
	Time        time.Time
	Projections float64  // rows a second since the sample before
	Frames      float64  // a second
	Health      *float64 // of the last probe since the sample before; nil: there was none
}

// history is what people see in charts. It only reads counters, and never looks at the
// device.
type history struct {
	mu      sync.Mutex
	samples []Sample // the latest last
	before  counters
}

// counters are those that rates are made of.
type counters struct {
	at                  time.Time
	projections, frames uint64
	shown               uint64 // projections that light was needed for
	look                uint64 // its number
}

// record takes samples until ctx ends.
func (s *Server) record(ctx context.Context) {
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	for now := time.Now(); ; {
		s.history.sample(now, s.driverStats(), s.views.last.Load())
		select {
		case now = <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// sample takes one, of the counters and the last look (nil: there was none).
func (h *history) sample(now time.Time, st driver.Stats, seen *look) {
	next := counters{at: now, projections: st.Projections, frames: st.Frames, shown: st.Projections - st.ZeroRows}
	if seen != nil {
		next.look = seen.number
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if before := h.before; !before.at.IsZero() {
		seconds := now.Sub(before.at).Seconds()
		x := Sample{Time: now, Projections: rate(before.projections, next.projections, seconds), Frames: rate(before.frames, next.frames, seconds)}
		switch {
		case next.shown != before.shown:
			x.Health = &st.Health
		case next.look != before.look:
			x.Health = &seen.Drift.Health
		}
		if len(h.samples) == mostSamples {
			h.samples = append(h.samples[:0], h.samples[1:]...)
		}
		h.samples = append(h.samples, x)
	}
	h.before = next
}

// rate of a counter. One that has begun anew, with another device, counts from zero.
func rate(before, now uint64, seconds float64) float64 {
	if now < before {
		before = 0
	}
	return float64(now-before) / max(seconds, 1e-3)
}

// last is the newest sample; ok is false before there is one.
func (h *history) last() (x Sample, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.samples) == 0 {
		return x, false
	}
	return h.samples[len(h.samples)-1], true
}

// Rates are means over the last seconds.
type Rates struct {
	Projections float64 `json:"projections_per_s"` // rows, those of zeros included
	Frames      float64 `json:"frames_per_s"`
}

// ratesOver is how many samples the rates are means of.
const ratesOver = 5

func (h *history) rates() (r Rates) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.samples[max(0, len(h.samples)-ratesOver):]
	for _, x := range last {
		r.Projections += x.Projections / float64(len(last))
		r.Frames += x.Frames / float64(len(last))
	}
	return r
}

// columns are the samples as charts take them.
type columns struct {
	Time        []float64  `json:"time"` // seconds since 1970
	Projections []float64  `json:"projections_per_s"`
	Frames      []float64  `json:"frames_per_s"`
	Health      []*float64 `json:"health"` // null: no probe was shown
}

func (h *history) columns() columns {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := columns{Time: []float64{}, Projections: []float64{}, Frames: []float64{}, Health: []*float64{}}
	for _, x := range h.samples {
		c.add(x)
	}
	return c
}

func (c *columns) add(x Sample) {
	c.Time = append(c.Time, float64(x.Time.UnixMilli())/1000)
	c.Projections = append(c.Projections, x.Projections)
	c.Frames = append(c.Frames, x.Frames)
	c.Health = append(c.Health, x.Health)
}

// historyJSON is GET /opu/v1/history.
func (s *Server) historyJSON(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, s.history.columns())
}
