package driver

import (
	"context"
	"errors"
	"fmt"
	"math/cmplx"
	"slices"
	"sync"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// The conditions that callers act on.
var (
	ErrInput      = slm.ErrInput // found before anything was shown
	ErrMatrixLost = errors.New("the medium is no longer the one that was calibrated")
	ErrLight      = errors.New("the light is not as strong as it was calibrated") // the matrix is the same
)

// Options are choices that change what a projection costs or means. The zero
// value is the careful one.
type Options struct {
	// ShareEqualRows lets equal patterns of one batch share an exposure, and so its
	// noise. Stats counts how many exposures that saved.
	ShareEqualRows bool

	// Drift is how the phase of the reference and the power of the laser are followed.
	Drift Correction
}

// Correction says how fields are brought back to phase and power of the calibration.
type Correction uint8

const (
	// PerFrame asks each frame, where its light can tell (calib.Witness), else the
	// probe of its run.
	PerFrame Correction = iota
	// ByProbe asks the probe, once a run: it follows drift, and no jitter.
	ByProbe
	// Uncorrected shows what the correction is worth.
	Uncorrected
)

// corrections are their names.
var corrections = []string{PerFrame: "frame", ByProbe: "probe", Uncorrected: "none"}

// ParseCorrection is the correction of a name: frame, probe or none.
func ParseCorrection(name string) (Correction, error) {
	i := slices.Index(corrections, name)
	if i < 0 {
		return 0, fmt.Errorf("cannot correct drift by %q: it is frame, probe or none: %w", name, ErrInput)
	}
	return Correction(i), nil
}

// MinHealth is the correlation of the probe with that of the calibration, over what
// noise allows, below which the epoch ends: B has then turned by 37 degrees. The
// reference (6b) warns at 0.9. No calibration brings the old B back.
const MinHealth = 0.8

// scratchBytes bounds the fields of one run that wait for their proof.
const scratchBytes = 64 << 20

// OPU projects vectors through light. Its methods may be called from any
// goroutine; projections wait for each other.
type OPU struct {
	rig     *rig.Rig
	cal     *calib.Calibration
	options Options
	layout  *slm.Layout
	epoch   string

	demodulator *holo.Direct  // of the outputs, and of more where the witness needs them
	probe       *holo.Direct  // of the probe's outputs
	prover      *calib.Prover // nil where frames cannot prove themselves

	mu      sync.Mutex   // held during a projection; guards what follows
	pattern *slm.Pattern // the probe's
	field   []complex64  // the probe's, of the present run
	plan    plan

	statsMu sync.Mutex
	stats   Stats // guarded by statsMu
}

// New makes an OPU of a rig and a calibration of that rig, and sets the camera up
// as it was calibrated. A calibration of other devices,
// or of recorded frames (calib.ErrFile), is refused.
func New(ctx context.Context, r *rig.Rig, cal *calib.Calibration, o Options) (*OPU, error) {
	if err := errors.Join(cal.Check(), cal.OnRig()); err != nil {
		return nil, err
	}
	for _, d := range []struct{ what, have, want string }{
		{"SLM", r.SLM().Serial, cal.SLM.Serial},
		{"camera", r.Camera().Serial, cal.Camera.Serial},
		{"chip", r.SLM().Geometry.String(), cal.Layout.Chip.String()},
		{"period", r.Period().String(), cal.Settings.Period.String()},
	} {
		if d.have != d.want {
			return nil, fmt.Errorf("cannot use the calibration: it belongs to %s %s, this rig has %s; calibrate anew: %w", d.what, d.want, d.have, ErrInput)
		}
	}
	if err := setUp(ctx, r, cal); err != nil {
		return nil, err
	}
	spec, err := cal.LayoutSpec()
	if err != nil {
		return nil, err
	}
	layout, err := slm.NewLayout(spec)
	if err != nil {
		return nil, err
	}
	prover, err := cal.Prover()
	if err != nil {
		return nil, err
	}
	seen := cal.Outputs // outputs of an exposure
	if prover != nil {
		seen = max(seen, prover.Outputs())
	}
	demodulator, err := cal.Demodulator(seen)
	if err != nil {
		return nil, err
	}
	probe, err := cal.Demodulator(len(cal.Probe.Field))
	if err != nil {
		return nil, err
	}
	opu := &OPU{
		rig: r, cal: cal, options: o, layout: layout, epoch: cal.Epoch(),
		demodulator: demodulator, probe: probe, prover: prover,
		pattern: cal.ProbePattern(),
		field:   make([]complex64, probe.Outputs()),
	}
	opu.plan = newPlan(layout, prover, max(4, min(r.PerRun(), scratchBytes/(8*seen))), seen)
	return opu, nil
}

// setUp sets the camera up as it was calibrated.
func setUp(ctx context.Context, r *rig.Rig, cal *calib.Calibration) error {
	s := cal.Settings
	got, err := r.Configure(ctx, camera.Config{Exposure: s.Exposure, ROI: s.ROI, BitDepth: s.BitDepth})
	if err != nil {
		return err
	}
	if got.Exposure != s.Exposure || got.ROI != s.ROI || got.BitDepth != s.BitDepth {
		return fmt.Errorf("cannot use the calibration: the camera took %+v instead of its settings; calibrate anew: %w", got, ErrInput)
	}
	return nil
}

// Resume sets the camera up again as it was calibrated, after something else has used
// the rig, and looks at the probe. It blocks for a projection of one vector. Errors:
// those of Project.
func (o *OPU) Resume(ctx context.Context) error {
	if err := setUp(ctx, o.rig, o.cal); err != nil {
		return err
	}
	m, n := o.Shape()
	x := make([]int8, n)
	x[0] = 1
	return o.Project(ctx, make([]complex64, m), x)
}

// Shape is that of B: outputs (complex) and inputs.
func (o *OPU) Shape() (outputs, inputs int) { return o.cal.Outputs, o.layout.Features() }

// Epoch names B. Results of one epoch belong to one matrix.
func (o *OPU) Epoch() string { return o.epoch }

// Calibration is the one in use; it must not be changed.
func (o *OPU) Calibration() *calib.Calibration { return o.cal }

// Project computes dst = B x for a batch. x holds rows of N entries, each -1, 0 or
// 1, dst as many rows of M outputs; both are row-major and the caller's. It blocks
// for two exposures per row or so. On an error dst may hold some of the rows, and
// none must be used. Errors: ErrInput, ErrMatrixLost, rig.ErrUnproven, the devices'
// own, and the context's.
func (o *OPU) Project(ctx context.Context, dst []complex64, x []int8) error {
	return o.ProjectWindow(ctx, dst, x, 0, o.cal.Outputs)
}

// ProjectWindow is Project for m of the outputs, from first on: dst has rows of m. They
// are what Project would give of the same frames, to the last bit, and no others are
// computed.
func (o *OPU) ProjectWindow(ctx context.Context, dst []complex64, x []int8, first, m int) error {
	outputs, n := o.Shape()
	if first < 0 || m < 1 || first > outputs || m > outputs-first {
		return fmt.Errorf("cannot project to %d outputs from %d on: there are %d: %w", m, first, outputs, ErrInput)
	}
	if len(x)%n != 0 {
		return fmt.Errorf("cannot project %d entries: rows have %d: %w", len(x), n, ErrInput)
	}
	rows := len(x) / n
	if len(dst) != rows*m {
		return fmt.Errorf("cannot project %d rows into %d outputs: %d x %d are needed: %w", rows, len(dst), rows, m, ErrInput)
	}
	if err := slm.CheckTernary(x); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.plan.want(first, m)
	for done := 0; done < rows; {
		taken, err := o.projectRun(ctx, dst[done*m:], x[done*n:])
		if err != nil {
			return err
		}
		done += taken
	}
	return nil
}

// projectRun projects as many rows as one run holds and returns their number.
func (o *OPU) projectRun(ctx context.Context, dst []complex64, x []int8) (rows int, err error) {
	p := &o.plan
	p.fill(x, o.options.ShareEqualRows)
	if p.exposures > 0 {
		if err := o.expose(ctx); err != nil {
			return 0, err
		}
		o.combine(dst, o.judge())
	} else {
		clear(dst[:len(p.rows)*p.count])
	}
	o.count(func(s *Stats) {
		s.Projections += uint64(len(p.rows))
		s.ZeroRows += uint64(p.zeroRows)
		s.Shared += uint64(p.shared)
	})
	return len(p.rows), nil
}

// expose shows the plan and fills its fields, proven. A probe that is not the
// calibrated one is first taken for a frame of another pattern and shown again; only
// if that does not help is the medium lost.
func (o *OPU) expose(ctx context.Context) error {
	p := &o.plan
	probe, off := p.exposures, none
	p.shown = append(append(p.shown[:0], p.patterns[:p.exposures]...), o.pattern)
	if p.oneSided {
		off = len(p.shown)
		p.shown = append(p.shown, p.offPattern)
	}
	err := o.rig.Show(ctx, p.shown, func(k int, f *camera.Frame) (err error) {
		switch k {
		case probe:
			if err := o.probe.Demodulate(o.field, calib.Image(f)); err != nil {
				return err
			}
			if h := o.cal.Drift(o.field).Health; !(h >= MinHealth) {
				return fmt.Errorf("cannot use the probe's frame: it correlates with the calibration by %.2f: %w", h, rig.ErrWrongPattern)
			}
			return nil
		case off:
			p.offFactor, err = o.read(p.off, f, p.offBits)
		default:
			p.factors[k], err = o.read(p.field(k), f, p.bits[k])
		}
		return err
	})
	if errors.Is(err, rig.ErrWrongPattern) {
		// Frames of another medium, or of a laser with half of its power, look like those of
		// another pattern.
		drift := o.judge()
		if !(drift.Health >= MinHealth) {
			return fmt.Errorf("cannot project: the probe correlates with its calibration by %.2f of what noise allows, "+
				"the least is %.2f; epoch %s has ended, calibrate anew: %w", drift.Health, MinHealth, o.epoch, ErrMatrixLost)
		}
		if strength := cmplx.Abs(complex128(drift.Factor)); !(strength > calib.LeastLight && strength < calib.MostLight) {
			return fmt.Errorf("cannot project: the fringes have %.2f of the strength that they were calibrated with, %.1f to %.1f are possible; "+
				"bring the laser back to its power, or calibrate anew: %w", strength, calib.LeastLight, calib.MostLight, ErrLight)
		}
	}
	return err
}

// read demodulates what is needed of a frame and has it prove itself. Dst has room for
// all that can be seen.
func (o *OPU) read(dst []complex64, f *camera.Frame, bits uint64) (factor complex64, err error) {
	p, img := &o.plan, calib.Image(f)
	for _, w := range p.needed {
		if err := o.demodulator.DemodulateWindow(dst[w.first:w.first+w.count], w.first, img); err != nil {
			return 0, err
		}
	}
	if o.prover == nil {
		return 0, nil
	}
	return o.prover.Judge(dst, bits)
}

// judge looks at the probe of the run.
func (o *OPU) judge() calib.Drift {
	drift := o.cal.Drift(o.field)
	o.count(func(s *Stats) { s.Phase, s.Health = drift.Phase(), drift.Health })
	return drift
}

// factor is what the field of an exposure is divided by.
func (o *OPU) factor(own complex64, drift calib.Drift) complex64 {
	switch {
	case o.options.Drift == Uncorrected:
		return 1
	case o.options.Drift == ByProbe || own == 0:
		return drift.Factor
	}
	return own
}

// combine makes the rows' results from the fields of the run. A side without
// features is the all-off field; without an anchor that one has no phase of its own
// and takes that of the other side.
func (o *OPU) combine(dst []complex64, drift calib.Drift) {
	p := &o.plan
	m, first := p.count, p.first
	scale := complex(float32(o.cal.Scale), 0)
	for i, row := range p.rows {
		y := dst[i*m : (i+1)*m]
		if row.plus == none && row.minus == none {
			clear(y)
			continue
		}
		plus, minus, plusFactor, minusFactor := p.off, p.off, p.offFactor, p.offFactor
		if row.plus != none {
			plus, plusFactor = p.field(row.plus), p.factors[row.plus]
		}
		if row.minus != none {
			minus, minusFactor = p.field(row.minus), p.factors[row.minus]
		}
		if plusFactor == 0 {
			plusFactor = minusFactor
		} else if minusFactor == 0 {
			minusFactor = plusFactor
		}
		plus, minus = plus[first:first+m], minus[first:first+m]
		a, b := 1/(o.factor(plusFactor, drift)*scale), 1/(o.factor(minusFactor, drift)*scale)
		for j := range y {
			y[j] = plus[j]*a - minus[j]*b
		}
	}
}

// Stats counts what an OPU did, and says how it is.
type Stats struct {
	Projections uint64 `json:"projections"` // rows, those of zeros included
	ZeroRows    uint64 `json:"zero_rows"`
	Shared      uint64 `json:"shared_exposures"` // saved by Options.ShareEqualRows

	Phase  float64 `json:"phase_rad"` // of the reference since the calibration, at the last probe
	Health float64 `json:"health"`    // of the last probe (calib.Drift)

	rig.Stats
}

// Stats returns the counters. It does not wait for a projection.
func (o *OPU) Stats() Stats {
	o.statsMu.Lock()
	s := o.stats
	o.statsMu.Unlock()
	s.Stats = o.rig.Stats()
	return s
}

func (o *OPU) count(f func(*Stats)) {
	o.statsMu.Lock()
	f(&o.stats)
	o.statsMu.Unlock()
}
