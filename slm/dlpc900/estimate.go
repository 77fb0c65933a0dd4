package dlpc900

import (
	"context"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Job is what an Estimate is for: so many new patterns, then one run.
type Job struct {
	Upload       int           // patterns that are not on the board yet
	Run          slm.Run       // only the length of its order and its times matter
	CameraPeriod time.Duration // shortest from frame to frame; 0: the camera is no limit
}

// Estimate is how long a job takes, and what for.
type Estimate struct {
	Encoding time.Duration // by the host
	Link     time.Duration // for the images' bytes
	Restart  time.Duration // Stop, reorder, Start
	Show     time.Duration // the run itself
	Rate     float64       // patterns of the run per second of the whole job
	Limit    string        // the largest part: "encoding", "link", "restart", "DMD" or "camera"
	Measured bool          // link and restart are this device's own figures, not assumptions
}

// What is assumed of a board before it has been measured.
const (
	assumedRate    = 63e3                  // bytes per second: a report of 64, less headers, each millisecond
	assumedImage   = 130e3                 // bytes: 24 random patterns of squares of 8x8 mirrors, full HD
	assumedRestart = 20 * time.Millisecond // some ten reports and what the board needs
)

// Estimate says what to expect of a job on this board. Uploads count as whole images of 24
// patterns, as large as those sent so far.
func (d *Device) Estimate(ctx context.Context, j Job) (Estimate, error) {
	if err := d.info.Check(slm.Run{Order: make([]int, len(j.Run.Order)), Period: j.Run.Period, Exposure: j.Run.Exposure}); err != nil {
		return Estimate{}, err
	}
	if j.Upload < 0 || j.Upload > d.info.Capacity || j.CameraPeriod < 0 {
		return Estimate{}, fmt.Errorf("cannot estimate a job of %d new patterns and a camera period of %v: 0 to %d patterns are possible, and no negative times: %w", j.Upload, j.CameraPeriod, d.info.Capacity, slm.ErrInput)
	}
	t, err := d.dmd.plan(j.Run, d.info.MinPeriod)
	if err != nil {
		return Estimate{}, err
	}
	s, err := d.Stats(ctx)
	if err != nil {
		return Estimate{}, err
	}
	e := Estimate{Restart: s.Restart.Mean(), Measured: s.Restart.Count > 0 && (j.Upload == 0 || s.Images > 0)}
	if s.Restart.Count == 0 {
		e.Restart = assumedRestart
	}
	images := float64((j.Upload + planes - 1) / planes)
	if s.Images > 0 && s.Sending > 0 {
		e.Encoding = time.Duration(images * float64(s.Encoding) / float64(s.Images))
		e.Link = time.Duration(images * float64(s.Sending) / float64(s.Images))
	} else {
		e.Link = time.Duration(images * assumedImage / assumedRate * float64(time.Second))
	}
	shown, shows := "DMD", t.period()
	if j.CameraPeriod > shows {
		shown, shows = "camera", j.CameraPeriod
	}
	e.Show = time.Duration(len(j.Run.Order)+d.options.Dummies) * shows
	total := e.Encoding + e.Link + e.Restart + e.Show
	e.Rate = float64(len(j.Run.Order)) / total.Seconds()
	longest := time.Duration(-1)
	for _, part := range []struct {
		name string
		time time.Duration
	}{{"encoding", e.Encoding}, {"link", e.Link}, {"restart", e.Restart}, {shown, e.Show}} {
		if part.time > longest {
			longest, e.Limit = part.time, part.name
		}
	}
	return e, nil
}

func (e Estimate) String() string {
	source := "assumed"
	if e.Measured {
		source = "measured"
	}
	return fmt.Sprintf("%.0f patterns/s, limited by the %s (upload %v, restart %v, showing %v; %s)",
		e.Rate, e.Limit, (e.Encoding + e.Link).Round(time.Millisecond), e.Restart.Round(100*time.Microsecond), e.Show.Round(time.Millisecond), source)
}
