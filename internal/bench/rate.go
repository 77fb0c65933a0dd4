package bench

import (
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim/controller"
)

// FullSpeed is the time of a report on the USB of a real board (1.1, one in a millisecond).
const FullSpeed = time.Millisecond

// Restarts are the times from a start command to the first pattern for which rates are
// given: nobody has published that of a board.
var Restarts = []time.Duration{time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond}

// UsualRestart is what is assumed where one number is wanted.
const UsualRestart = 10 * time.Millisecond

// Rates says what the clock of a real board would allow for what a simulated one did. It is
// modelled, not measured on hardware.
type Rates struct {
	Patterns uint64  `json:"patterns"` // shown, markers and repetitions included
	Starts   uint64  `json:"starts"`   // of the sequence
	Uploads  uint64  `json:"uploads"`  // patterns that were not on the board
	HitRate  float64 `json:"hit_rate"` // of the dictionary: share of patterns that were
	Reports  uint64  `json:"reports"`  // on the USB, both ways
	OfImages uint64  `json:"reports_of_images"`
	At       []Rate  `json:"at"`
}

// Rate is what a board with one restart time allows.
type Rate struct {
	RestartMS   float64 `json:"restart_ms"`
	Seconds     float64 `json:"seconds"`
	Projections float64 `json:"projections_per_s"` // those of zeros, which need no light, not counted
	Exposures   float64 `json:"exposures_per_s"`   // markers not counted
	Limit       string  `json:"limit"`
}

// NewRates works out the rates of some work of a board at full speed: projections that needed
// light, of so many exposures, with so many patterns uploaded.
func NewRates(w controller.Stats, projections, exposures, uploads uint64) Rates {
	r := Rates{Patterns: w.Exposures, Starts: w.Starts, Uploads: uploads, Reports: w.Reports, OfImages: w.ImageReports}
	if w.Exposures > 0 {
		r.HitRate = 1 - float64(uploads)/float64(w.Exposures)
	}
	for _, restart := range Restarts {
		seconds := w.Takes(FullSpeed, restart).Seconds()
		if seconds == 0 {
			continue
		}
		r.At = append(r.At, Rate{
			RestartMS: float64(restart) / float64(time.Millisecond), Seconds: seconds,
			Projections: float64(projections) / seconds, Exposures: float64(exposures) / seconds,
			Limit: limit(w, restart),
		})
	}
	return r
}

// limit names what takes the largest part of the time.
func limit(w controller.Stats, restart time.Duration) string {
	most, name := w.Showing, "DMD and camera"
	for _, part := range []struct {
		takes time.Duration
		name  string
	}{
		{time.Duration(w.ImageReports) * FullSpeed, "upload"},
		{time.Duration(w.Reports-w.ImageReports) * FullSpeed, "link"},
		{time.Duration(w.Starts) * restart, "restart"},
	} {
		if part.takes > most {
			most, name = part.takes, part.name
		}
	}
	return name
}

// Expect says in one line what rate a rig on a real board would reach, and what limits it: so
// is known before a job. The commands of a run cost what they cost on average in the work that
// the board has done.
func Expect(r *rig.Rig, w controller.Stats, restart time.Duration) string {
	if w.Starts == 0 {
		return ""
	}
	perRun := float64(w.Reports-w.ImageReports) / float64(w.Starts) * FullSpeed.Seconds()
	longest, n := r.SLM().MaxRun, r.PerRun()
	period := r.Period().Seconds()
	run := perRun + restart.Seconds() + float64(longest)*period
	name := "DMD and camera"
	switch showing := float64(longest) * period; {
	case restart.Seconds() > max(showing, perRun):
		name = "restart"
	case perRun > showing:
		name = "link"
	}
	return fmt.Sprintf("on a real board expect at most %.0f exposures/s, limited by %s: %.0f us each, %d of %d patterns of a full run, %.0f ms of link and (assumed) %.0f ms of restart for each run, however short; new patterns wait for their upload",
		float64(n)/run, name, 1e6*period, n, longest, 1e3*perRun, 1e3*restart.Seconds())
}
