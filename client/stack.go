package client

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Stack is one OPU made of several: their matrices one below the other, so that it has
// the outputs of all, and each vector is shown to all of them at the same time. Its
// methods may be called from any goroutine.
type Stack struct {
	parts     []stacked
	shape     shape
	epoch     string
	simulated string
	device    string
}

// stacked is a part with its OPU.
type stacked struct {
	Part
	opu *OPU
}

// DialStack connects to the OPUs of a stack. Each must serve the matrix that its part
// names, with enough outputs, and all take equally many inputs; if not, the error names
// the part. The options are those of Dial: the model and the version are the parts' own;
// Inputs and Outputs are of the stacked matrix; a lease is one id for each part, in
// their order, with commas between them; the token opens all that are reached by TCP.
func DialStack(ctx context.Context, m *Manifest, o Options) (*Stack, error) {
	if err := m.Check(); err != nil {
		return nil, err
	}
	s := &Stack{shape: shape{outputs: m.Parts[len(m.Parts)-1].Rows[1]}, epoch: m.epoch()}
	if o.Outputs < 0 || o.Outputs > s.shape.outputs {
		return nil, fmt.Errorf("cannot use %d outputs of the stack: it has %d: %w", o.Outputs, s.shape.outputs, ErrInput)
	}
	if o.Outputs > 0 {
		s.shape.outputs = o.Outputs
	}
	leases := make([]string, len(m.Parts))
	if o.Lease != "" {
		if leases = strings.Split(o.Lease, ","); len(leases) != len(m.Parts) {
			return nil, fmt.Errorf("cannot use %d leases for a stack of %d parts: there must be one for each: %w", len(leases), len(m.Parts), ErrInput)
		}
	}
	for _, p := range m.Parts {
		if p.Rows[0] < s.shape.outputs { // no more are asked for
			s.parts = append(s.parts, stacked{Part: p})
		}
	}
	err := s.each(ctx, func(ctx context.Context, i int, p *stacked) (err error) {
		own := o
		own.Model, own.Version, own.Lease, own.Outputs = p.Model, p.Version, leases[i], min(p.Rows[1], s.shape.outputs)-p.Rows[0]
		if p.opu, err = Dial(ctx, p.URL, own); err != nil {
			return err
		}
		if p.opu.epoch != p.Epoch {
			return fmt.Errorf("its matrix is of epoch %s, and %s belongs to the stack: %w", p.opu.epoch, p.Epoch, ErrOtherMatrix)
		}
		return nil
	})
	if err != nil {
		s.Close()
		return nil, err
	}
	var devices []string
	for i, p := range s.parts {
		if i == 0 {
			s.shape.inputs = p.opu.shape.inputs
		}
		if p.opu.shape.inputs != s.shape.inputs {
			s.Close()
			return nil, s.named(i, fmt.Errorf("it takes %d inputs, and part 0 takes %d: %w", p.opu.shape.inputs, s.shape.inputs, ErrInput))
		}
		devices = append(devices, p.opu.device)
		if p.opu.simulated != "" {
			s.simulated = p.opu.simulated
		}
	}
	s.device = fmt.Sprintf("stack of %d: %s", len(s.parts), strings.Join(slices.Compact(devices), "; "))
	return s, nil
}

// epoch names the stacked matrix: it is a hash of all that makes it.
func (m *Manifest) epoch() string {
	h := sha256.New()
	for _, p := range m.Parts {
		fmt.Fprintf(h, "%q %q %d %g\n", p.Version, p.Epoch, p.Rows, p.Scale)
	}
	return fmt.Sprintf("s-%x", h.Sum(nil)[:8])
}

// each calls f for every part at the same time. The first failure ends the others, and
// is returned when all have ended.
func (s *Stack) each(ctx context.Context, f func(ctx context.Context, i int, p *stacked) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i := range s.parts {
		wg.Go(func() {
			if err := f(ctx, i, &s.parts[i]); err != nil {
				cancel(s.named(i, err))
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// named says which part an error is of.
func (s *Stack) named(i int, err error) error {
	return fmt.Errorf("cannot use part %d of the stack, model %s at %s: %w", i, s.parts[i].Model, s.parts[i].URL, err)
}

// Shape is that of the stacked matrix: outputs (complex) and inputs.
func (s *Stack) Shape() (outputs, inputs int) { return s.shape.outputs, s.shape.inputs }

// Epoch names the stacked matrix. It is another one if any part, its rows or its scale
// is.
func (s *Stack) Epoch() string { return s.epoch }

// Device names the devices for people.
func (s *Stack) Device() string { return s.device }

// Simulated is the preset of a bench if there is one without light among the OPUs, else
// empty.
func (s *Stack) Simulated() string { return s.simulated }

// Project is that of an OPU. Any part's failure is one of the whole, and names it.
func (s *Stack) Project(ctx context.Context, dst []complex64, x []int8) error {
	if err := s.shape.check(len(dst), x, -1); err != nil {
		return err
	}
	return s.project(ctx, complexView, parts(dst), x)
}

// ProjectReal is Project for the real parts.
func (s *Stack) ProjectReal(ctx context.Context, dst []float32, x []int8) error {
	if err := s.shape.check(len(dst), x, -1); err != nil {
		return err
	}
	return s.project(ctx, realView, dst, x)
}

// Intensity is that of an OPU: abs(B x)^2 of the stacked matrix, for entries 0 and 1.
func (s *Stack) Intensity(ctx context.Context, dst []float32, x []int8) error {
	if err := s.shape.check(len(dst), x, 0); err != nil {
		return err
	}
	return s.project(ctx, intensityView, dst, x)
}

func (s *Stack) project(ctx context.Context, v view, dst []float32, x []int8) error {
	if len(x) == 0 {
		return nil
	}
	return s.each(ctx, func(ctx context.Context, _ int, p *stacked) error {
		scale := float32(p.Scale)
		if v == intensityView {
			scale *= scale
		}
		return p.opu.project(ctx, v, strip{dst[v.width*p.Rows[0]:], v.width * s.shape.outputs, scale}, x)
	})
}

// OPUs are those of the stack, the first rows' first.
func (s *Stack) OPUs() (opus []*OPU) {
	for _, p := range s.parts {
		opus = append(opus, p.opu)
	}
	return opus
}

// Shutter says whether intensities can be measured, by all.
func (s *Stack) Shutter(ctx context.Context) (bool, error) {
	every := make([]bool, len(s.parts))
	err := s.each(ctx, func(ctx context.Context, i int, p *stacked) (err error) {
		every[i], err = p.opu.Shutter(ctx)
		return err
	})
	return err == nil && !slices.Contains(every, false), err
}

// Close closes connections that are not in use.
func (s *Stack) Close() error {
	for _, p := range s.parts {
		if p.opu != nil {
			p.opu.Close()
		}
	}
	return nil
}
