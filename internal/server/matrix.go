package server

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/queue"
)

// OPU is what projects; *driver.OPU is one.
type OPU interface {
	Shape() (outputs, inputs int)
	Epoch() string
	ProjectWindow(ctx context.Context, dst []complex64, x []int8, first, outputs int) error
	Intensity(ctx context.Context, dst []float32, x []int8) error
	Stats() driver.Stats
}

// Matrix is an OPU and what is known of its matrix. It is served, and replaced by
// another, as a whole.
type Matrix struct {
	OPU OPU

	// For people. Any may be nil.
	Calibration *calib.Calibration
	Verdict     calib.Verdict
	View        func(context.Context) (*calib.View, error) // called with the device at rest
	Report      []File                                     // about the calibration
	Expect      string                                     // what rate to expect of the device, and what limits it
}

// live is a matrix while it is served.
type live struct {
	Matrix
	version  string                // of the models
	lost     atomic.Pointer[error] // why it is gone; nil: it is there
	ctx      context.Context       // ends, with errReplaced, when another is served
	replaced context.CancelCauseFunc
}

var (
	errReplaced = errors.New("another matrix is served now")
	errNoMatrix = errors.New("no matrix yet")
	errAtWork   = fmt.Errorf("%w", errNoMatrix) // and it is being worked at
)

// matrixVersion is the version of models of an epoch's matrix. Clients need decimal
// digits; 52 bits are exact in every language's numbers.
func matrixVersion(epoch string) string {
	sum := sha256.Sum256([]byte(epoch))
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:8])>>12, 10)
}

// install serves a matrix from now on. No batch may be under way: the goroutine of the
// queue calls it, or nobody is served yet. Requests that wait begin anew on this one.
func (s *Server) install(m *Matrix) error {
	if outputs, inputs := m.OPU.Shape(); outputs != s.outputs || inputs != s.inputs {
		return fmt.Errorf("cannot serve a matrix of %d x %d: clients count on %d x %d", outputs, inputs, s.outputs, s.inputs)
	}
	n := &live{Matrix: *m, version: matrixVersion(m.OPU.Epoch())}
	n.ctx, n.replaced = context.WithCancelCause(context.Background())
	s.notes.judged(m.Verdict, kindCalibration)
	if old := s.matrix.Swap(n); old != nil {
		s.past.add(old.OPU.Stats())
		old.replaced(errReplaced)
	}
	return nil
}

// served is the matrix of now, also if it is lost. There is none before the first
// calibration that was good.
func (s *Server) served() (*live, error) {
	if m := s.matrix.Load(); m != nil {
		return m, nil
	}
	if j := s.jobs.running(kindCalibration); j != nil {
		return nil, fmt.Errorf("cannot project yet: the OPU is being calibrated (%s): %w", j.Stage, errAtWork)
	}
	if why := s.jobs.lastError(kindCalibration); why != "" {
		return nil, fmt.Errorf("cannot project before a calibration is good: POST /opu/v1/calibration, or opuctl calibrate --url, tries again; the last one: %s: %w", why, errNoMatrix)
	}
	return nil, fmt.Errorf("cannot project before the OPU is calibrated: %w", errNoMatrix)
}

// check says whether the matrix has a version that is asked for; empty: any.
func (m *live) check(version string) error {
	if version != "" && version != m.version {
		return fmt.Errorf("cannot use version %.32q: the matrix is version %s now (epoch %s), and results of different versions "+
			"belong to different matrices; start anew with this one, or leave the version out: %w", version, m.version, m.OPU.Epoch(), errOtherMatrix)
	}
	return nil
}

// workProject is a work of the queue on the matrix of the moment.
func (s *Server) workProject(ctx context.Context, dst []complex64, x []int8, w queue.Window) error {
	m, err := s.served()
	if err != nil {
		return err
	}
	return m.OPU.ProjectWindow(ctx, dst, x, w.First, w.Count)
}

// workIntensity is one as well; it is called by one goroutine. Looking at a pixel costs
// so little that all outputs are measured.
func (s *Server) workIntensity(ctx context.Context, dst []complex64, x []int8, w queue.Window) error {
	m, err := s.served()
	if err != nil {
		return err
	}
	if s.light == nil {
		s.light = make([]float32, s.o.Limits.BatchRows*s.outputs)
	}
	rows := len(x) / s.inputs
	light := s.light[:rows*s.outputs]
	if err := m.OPU.Intensity(ctx, light, x); err != nil {
		return err
	}
	for i := range rows {
		for j, v := range light[i*s.outputs+w.First:][:w.Count] {
			dst[i*w.Count+j] = complex(v, 0)
		}
	}
	return nil
}

// driverStats are the counters over all matrices that were served.
func (s *Server) driverStats() driver.Stats {
	m := s.matrix.Load()
	switch {
	case m != nil:
		return s.past.on(m.OPU.Stats())
	case s.o.Counters != nil:
		return s.o.Counters()
	}
	return driver.Stats{}
}
