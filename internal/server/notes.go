package server

import (
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
)

// Note is an error that people should know of.
type Note struct {
	Time  time.Time `json:"time"` // of the last
	Code  string    `json:"code"` // as refusals have them
	Text  string    `json:"text"`
	Count int       `json:"count"` // how often it came in a row
}

// Judgement is the last verdict on the device.
type Judgement struct {
	Verdict string    `json:"verdict"` // "good" or "refused"
	Reasons []string  `json:"reasons"`
	By      string    `json:"by"` // the kind of the job
	Time    time.Time `json:"time"`
}

// mostNotes are kept, the newest.
const mostNotes = 20

// notes remembers what a page shows.
type notes struct {
	mu        sync.Mutex
	errors    []Note // the newest first
	judgement *Judgement
	saturated *float64
}

// add remembers an error; the same one again only counts.
func (n *notes) add(code string, err error) {
	note := Note{Time: time.Now(), Code: code, Text: err.Error(), Count: 1}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.errors) > 0 && n.errors[0].Code == code && n.errors[0].Text == note.Text {
		note.Count += n.errors[0].Count
		n.errors = n.errors[1:]
	}
	n.errors = append([]Note{note}, n.errors[:min(len(n.errors), mostNotes-1)]...)
}

// judged remembers a verdict, if it is one.
func (n *notes) judged(v calib.Verdict, by string) {
	if v.Verdict == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.judgement = &Judgement{v.Verdict, v.Reasons, by, time.Now()}
	for _, c := range v.Checks {
		if c.Name == calib.SaturatedCheck {
			n.saturated = &c.Value
		}
	}
}

func (n *notes) all() (errors []Note, judgement *Judgement, saturated *float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Note{}, n.errors...), n.judgement, n.saturated
}

// past are the counters of the OPUs that were served before. Those of the rig go on by
// themselves.
type past struct {
	mu    sync.Mutex
	stats driver.Stats
}

func (p *past) add(s driver.Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Projections += s.Projections
	p.stats.ZeroRows += s.ZeroRows
	p.stats.Shared += s.Shared
}

// on returns the counters with the past on top.
func (p *past) on(s driver.Stats) driver.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Projections += p.stats.Projections
	s.ZeroRows += p.stats.ZeroRows
	s.Shared += p.stats.Shared
	return s
}
