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

// What can limit a rate.
const (
	limitUpload  = "upload"  // of new patterns
	limitRestart = "restart" // from a start command to the first pattern
	limitDMD     = "DMD"     // the mirrors cannot be faster
	limitCamera  = "camera"  // the period is longer than the mirrors need, for its frames
	limitLink    = "link"    // commands and replies
)

// Rates says what the clock of a real board would allow for what a simulated one did. It is
// modelled, not measured on hardware.
type Rates struct {
	Patterns uint64  `json:"patterns"` // shown, markers and repetitions included
	Starts   uint64  `json:"starts"`   // of the sequence
	Uploads  uint64  `json:"uploads"`  // patterns that were not on the board
	HitRate  float64 `json:"hit_rate"` // of the dictionary: share of patterns that were
	Reports  uint64  `json:"reports"`  // on the USB, both ways
	OfImages uint64  `json:"reports_of_images"`
	OfTables uint64  `json:"reports_of_tables"`
	At       []Rate  `json:"at"`
}

// Rate is what a board with one restart time allows.
type Rate struct {
	RestartMS   float64 `json:"restart_ms"`
	Seconds     float64 `json:"seconds"`
	Projections float64 `json:"projections_per_s"` // those of zeros, which need no light, not counted
	Exposures   float64 `json:"exposures_per_s"`   // markers not counted
	Limit       string  `json:"limit"`             // what takes the largest part: upload, restart, DMD, camera or link
}

// NewRates works out the rates of some work of a rig's board at full speed: projections that
// needed light, of so many exposures, with so many patterns uploaded.
func NewRates(r *rig.Rig, w controller.Stats, projections, exposures, uploads uint64) Rates {
	return newRates(w, shows(r), projections, exposures, uploads)
}

func newRates(w controller.Stats, shows string, projections, exposures, uploads uint64) Rates {
	r := Rates{Patterns: w.Exposures, Starts: w.Starts, Uploads: uploads, Reports: w.Reports, OfImages: w.ImageReports, OfTables: w.TableReports}
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
			Limit: largest(w.Showing, shows,
				reports(w.ImageReports+w.TableReports), reports(w.Reports-w.ImageReports-w.TableReports), time.Duration(w.Starts)*restart),
		})
	}
	return r
}

// reports is what so many take at full speed.
func reports(n uint64) time.Duration { return time.Duration(n) * FullSpeed }

// shows is what limits a rig while its mirrors show patterns.
func shows(r *rig.Rig) string {
	if r.Period() <= r.SLM().MinPeriod {
		return limitDMD
	}
	return limitCamera
}

// largest names the largest part of some time.
func largest(showing time.Duration, shows string, upload, link, restart time.Duration) string {
	most, name := showing, shows
	for _, part := range []struct {
		takes time.Duration
		name  string
	}{{upload, limitUpload}, {link, limitLink}, {restart, limitRestart}} {
		if part.takes > most {
			most, name = part.takes, part.name
		}
	}
	return name
}

// Expectation is what a full run takes a rig on a real board, known before a job.
type Expectation struct {
	Patterns int           // of a run, without markers
	Showing  time.Duration // the run, markers included
	Shows    string        // what makes it that long: DMD or camera
	Link     time.Duration // commands of a run, and their replies
	Restart  time.Duration // assumed
	Upload   time.Duration // of one new pattern
}

// expect says what to expect of a rig at full speed and a restart of so long. Commands and
// images cost what they cost on average in the work that its board has done, in which so many
// patterns were uploaded; the table is written once, and not counted. A board that has done nothing gives none (false).
func expect(r *rig.Rig, w controller.Stats, uploads uint64, restart time.Duration) (e Expectation, ok bool) {
	if w.Starts == 0 || uploads == 0 {
		return e, false
	}
	return Expectation{
		Patterns: r.PerRun(), Showing: time.Duration(r.SLM().MaxRun) * r.Period(), Shows: shows(r),
		Link:    reports(w.Reports-w.ImageReports-w.TableReports) / time.Duration(w.Starts),
		Restart: restart,
		Upload:  reports(w.ImageReports) / time.Duration(uploads),
	}, true
}

// Rate is that of full runs in which so many patterns are new, and what limits it.
func (e Expectation) Rate(fresh int) (exposures float64, limit string) {
	upload := time.Duration(fresh) * e.Upload
	all := e.Showing + e.Link + e.Restart + upload
	return float64(e.Patterns) / all.Seconds(), largest(e.Showing, e.Shows, upload, e.Link, e.Restart)
}

func (e Expectation) String() string {
	known, limit := e.Rate(0)
	fresh, freshLimit := e.Rate(e.Patterns)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	return fmt.Sprintf("on a real board expect at most %.0f exposures/s, limited by %s: a run of %d takes %.0f ms, its commands %.0f ms, its restart (assumed) %.0f ms; of patterns that are all new %.0f/s, limited by %s: %.1f ms each",
		known, limit, e.Patterns, ms(e.Showing), ms(e.Link), ms(e.Restart), fresh, freshLimit, ms(e.Upload))
}
