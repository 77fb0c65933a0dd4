package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/calib/report"
)

// Selftest is what came of judging a bench again by its calibration.
type Selftest struct {
	Result SelftestResult
	Report report.Report
	cal    *calib.Calibration
}

// SelftestResult is a self-test as programs read it.
type SelftestResult struct {
	EpochOfB string `json:"epoch_of_b"`
	calib.Verdict
	Figures   *calib.Figures `json:"figures"` // null: it did not come to any
	Simulated string         `json:"simulated,omitempty"`
}

// Selftest shows some 250 patterns with the settings of a calibration and judges what
// comes back. A bench that is not good is no error: Err says so then.
func (b *Bench) Selftest(ctx context.Context, cal *calib.Calibration, seed uint64) (*Selftest, error) {
	s := &Selftest{
		cal: cal, Result: SelftestResult{EpochOfB: cal.Epoch(), Simulated: b.Preset},
		Report: report.Report{
			Title: "Self-test", Subject: b.Subject(), Simulated: b.Preset, Time: time.Now(), Carrier: cal.Carrier, Facts: facts(cal),
		},
	}
	figures, err := cal.Examine(ctx, b.Rig, seed)
	var failure *calib.Failure
	switch {
	case errors.As(err, &failure):
		s.Result.Verdict, s.Report.Seen = calib.Refuse(failure), failure.Seen
	case err != nil:
		return nil, err
	default:
		s.Result.Verdict, s.Result.Figures = cal.Judge(figures), figures
		s.Report.Seen, s.Report.Figures = figures.Seen, figures
	}
	s.Report.Verdict, s.Report.Result = s.Result.Verdict, s.Result
	return s, nil
}

// Err is nil for a good bench, else calib.ErrRefused with what to turn.
func (s *Selftest) Err() error {
	if err := s.Result.Verdict.Err(); err != nil {
		return fmt.Errorf("cannot go on with this calibration: %w", err)
	}
	return nil
}

// Print writes it for people.
func (s *Selftest) Print(w io.Writer) {
	fmt.Fprintf(w, "epoch       %s, of %s\n", s.cal.Epoch(), s.cal.Created.Local().Format("2006-01-02 15:04:05"))
	PrintVerdict(w, s.Result.Verdict)
}
