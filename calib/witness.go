package calib

import (
	"context"
	"fmt"
	"math"
	"math/cmplx"
	"math/rand/v2"

	"gonum.org/v1/gonum/mat"

	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// Witness is what a calibration knows by heart: the fields, at some of the outputs,
// of a few groups of mirrors (its columns). With them a frame tells which of the
// groups were on when it was taken, and how bright and in which phase: it proves
// itself. The columns are the anchor, if there is one, and then the features, if they
// are few, or the parts of a tag.
type Witness struct {
	Reserved Reserved `json:"reserved"`
	Features int      `json:"features"` // columns that are features: all of the layout, or 0
	Outputs  int      `json:"outputs"`
	Dark     Field    `json:"dark"`   // all mirrors off: outputs
	Fields   Field    `json:"fields"` // columns x outputs, demodulated counts
}

// How much a witness keeps: (columns + 1) x outputs fields of 8 bytes, 1 MB at most.
const (
	maxProvenFeatures = 32   // more are known by tags
	featureOutputs    = 512  // features are bright
	tagOutputs        = 4096 // parts of a tag are not
)

// columns is the number of groups whose fields are known.
func (w *Witness) columns() int {
	n := w.Features
	if w.Reserved.Anchor > 0 {
		n++
	}
	if w.Reserved.Tag > 0 {
		n += tags
	}
	return n
}

// check says whether the parts fit together and to the rest of the calibration.
func (w *Witness) check(c *Calibration) error {
	r, g := w.Reserved, c.Layout.Chip
	switch {
	case r.Anchor < 0 || r.Tag < 0 || r.Anchor > g.Height || r.Tag > g.Height-r.Anchor || (r.Tag > 0 && g.Width < tags):
		return fmt.Errorf("%d and %d rows of a chip of %v are reserved", r.Anchor, r.Tag, g)
	case w.Features != 0 && (w.Features != c.Layout.Features || w.Features > maxProvenFeatures || r.Tag > 0):
		return fmt.Errorf("%d of %d features are known by heart, beside %d rows of tags", w.Features, c.Layout.Features, r.Tag)
	case w.columns() == 0 || w.Outputs <= w.columns() || len(w.Dark) != w.Outputs || len(w.Fields) != w.columns()*w.Outputs:
		return fmt.Errorf("%d columns at %d outputs are known by %d and %d numbers", w.columns(), w.Outputs, len(w.Fields), len(w.Dark))
	}
	for _, z := range append(append(Field(nil), w.Dark...), w.Fields...) {
		if p := power(z); math.IsNaN(p) || math.IsInf(p, 0) {
			return fmt.Errorf("a field known by heart is %v", z)
		}
	}
	if _, err := newProver(w); err != nil {
		return err
	}
	_, err := c.Demodulator(w.Outputs)
	return err
}

// reserve makes the band that the options ask for.
func (o *Options) reserve(g slm.Geometry) (Reserved, error) {
	var r Reserved
	if !(o.Anchor >= 0 && o.Anchor <= 0.5) {
		return r, fmt.Errorf("cannot reserve %g of the chip for the anchor: 0 to 0.5 are possible: %w", o.Anchor, slm.ErrInput)
	}
	if o.Anchor > 0 {
		r.Anchor = max(1, int(math.Round(o.Anchor*float64(g.Height))))
	}
	if o.Tags && o.Layout.Features > maxProvenFeatures {
		r.Tag = max(1, int(math.Round(tagShare*float64(g.Height))))
		if g.Width < tags {
			return r, fmt.Errorf("cannot reserve tags on a chip of %v mirrors: it must be %d wide: %w", g, tags, slm.ErrInput)
		}
	}
	return r, nil
}

// Exposures that a witness is learnt from.
const (
	witnessFrames = 96 // or six for each column, if that is more
	witnessRounds = 8
)

// witness measures the columns of the witness: random halves of them are shown, and
// nothing else. The phase of the reference may be another in each frame, so phases
// and columns are found in turn, each by least squares given the other.
func (l *learner) witness(ctx context.Context) error {
	w := &Witness{Reserved: l.reserved, Outputs: featureOutputs}
	if l.layout.Features() <= maxProvenFeatures {
		w.Features = l.layout.Features()
	}
	if w.Reserved.Tag > 0 {
		w.Outputs = tagOutputs
	}
	w.Outputs = min(w.Outputs, l.cal.maxOutputs())
	n := w.columns()
	if n == 0 || w.Outputs < 4*n {
		return nil // too many features, too few outputs: frames cannot prove themselves
	}
	prover := &Prover{witness: w}
	random := rand.New(rand.NewPCG(l.options.Seed, forWitness))
	frames := max(witnessFrames, 6*n)
	bits := make([]uint64, frames)
	patterns := make([]*slm.Pattern, 0, frames+quietFrames)
	for k := range bits {
		for bits[k] == 0 {
			bits[k] = random.Uint64() >> (64 - n)
		}
		p := slm.NewPattern(l.layout.Chip())
		prover.show(p, l.layout, bits[k])
		patterns = append(patterns, p)
	}
	for range quietFrames {
		patterns = append(patterns, slm.NewPattern(l.layout.Chip()))
	}
	fields, err := l.cal.fields(ctx, l.rig, patterns, w.Outputs)
	if err != nil {
		return err
	}
	w.Dark, _ = average(fields[frames:], 0, 1)
	for _, field := range fields[:frames] {
		for i := range field {
			field[i] -= w.Dark[i]
		}
	}
	w.Fields, err = learnColumns(bits, fields[:frames], n)
	if err != nil {
		return err
	}
	if _, err := newProver(w); err != nil {
		return err
	}
	l.cal.Witness = w
	return nil
}

// learnColumns finds the fields of n columns from frames z_k = f_k sum_j b_kj w_j, whose
// factors f_k (phase and power of the moment, 1 on average) are unknown.
func learnColumns(bits []uint64, z [][]complex64, n int) (Field, error) {
	outputs := len(z[0])
	columns := make(Field, n*outputs)
	factors := make([]complex128, len(z))
	for k := range factors {
		factors[k] = 1
	}
	for range witnessRounds {
		normal := mat.NewSymDense(n, nil)
		for k, b := range bits {
			weight := real(factors[k] * cmplx.Conj(factors[k]))
			for i := range n {
				for j := i; j < n; j++ {
					if b>>i&1 != 0 && b>>j&1 != 0 {
						normal.SetSym(i, j, normal.At(i, j)+weight)
					}
				}
			}
		}
		var cholesky mat.Cholesky
		if !cholesky.Factorize(normal) {
			return nil, refuse("cannot tell the columns of the witness apart: %d frames are too few for %d of them", len(z), n)
		}
		var inverse mat.SymDense
		if err := cholesky.InverseTo(&inverse); err != nil {
			return nil, refuse("cannot tell the columns of the witness apart: %w", err)
		}
		clear(columns)
		for k, b := range bits {
			for j := range n {
				share := 0.0 // of frame k in column j
				for i := range n {
					if b>>i&1 != 0 {
						share += inverse.At(j, i)
					}
				}
				factor := complex64(complex(share, 0) * cmplx.Conj(factors[k]))
				column := columns[j*outputs : (j+1)*outputs]
				for i, x := range z[k] {
					column[i] += factor * x
				}
			}
		}
		var mean complex128
		sum := make([]complex64, outputs)
		for k, b := range bits {
			clear(sum)
			for j := range n {
				if b>>j&1 != 0 {
					for i, x := range columns[j*outputs : (j+1)*outputs] {
						sum[i] += x
					}
				}
			}
			factors[k], _ = compare(z[k], sum)
			mean += factors[k] / complex(float64(len(z)), 0)
		}
		if mean == 0 {
			return nil, refuse("cannot learn the columns of the witness: their frames have no light in common")
		}
		for k := range factors {
			factors[k] /= mean
		}
	}
	return columns, nil
}

// Prover reads in frames which of the witness's columns were on. It may be used from
// several goroutines.
type Prover struct {
	witness *Witness
	columns *correlator
	gram    []complex128 // columns x columns: inner products of the columns
	inverse []complex128 // of gram
}

// Prover makes the prover of the calibration, or nil if it has no witness.
func (c *Calibration) Prover() (*Prover, error) {
	if c.Witness == nil {
		return nil, nil
	}
	return newProver(c.Witness)
}

func newProver(w *Witness) (*Prover, error) {
	n := w.columns()
	p := &Prover{witness: w, columns: newCorrelator(w.Fields, w.Outputs), gram: make([]complex128, n*n), inverse: make([]complex128, n*n)}
	// Inverted as the real matrix [re -im; im re] of twice the size.
	double := mat.NewSymDense(2*n, nil)
	for i := range n {
		for j := range n {
			sum := p.columns.between(i, j)
			p.gram[i*n+j] = sum
			if i <= j {
				double.SetSym(i, j, real(sum))
				double.SetSym(n+i, n+j, real(sum))
			}
			double.SetSym(n+i, j, imag(sum))
		}
	}
	var cholesky mat.Cholesky
	if !cholesky.Factorize(double) || cholesky.Cond() > 1e6 {
		return nil, refuse("cannot tell the %d groups of mirrors apart by their speckle: it is nearly the same for some of them, "+
			"or they have no light; use a stronger diffuser, scattered features, or fewer", n)
	}
	var inverse mat.SymDense
	if err := cholesky.InverseTo(&inverse); err != nil {
		return nil, refuse("cannot tell the %d groups of mirrors apart: %w", n, err)
	}
	for i := range n {
		for j := range n {
			p.inverse[i*n+j] = complex(inverse.At(i, j), inverse.At(n+i, j))
		}
	}
	return p, nil
}

// phaseVariance is how well a frame of the given bits tells its phase, from the
// difference between what the even and the odd outputs tell: that is no jitter.
func (p *Prover) phaseVariance(z []complex64, bits uint64) float64 {
	w := p.witness
	var half [2]complex128
	for i := range w.Outputs {
		var known complex64
		for j := range w.columns() {
			if bits>>j&1 != 0 {
				known += w.Fields[j*w.Outputs+i]
			}
		}
		half[i%2] += cmplx.Conj(complex128(known)) * complex128(z[i]-w.Dark[i])
	}
	d := cmplx.Phase(half[0] * cmplx.Conj(half[1]))
	return d * d / 4 // each half has twice the variance of the whole, the difference four times
}

// Outputs is how many outputs of a frame Judge needs, from the first on.
func (p *Prover) Outputs() int { return p.witness.Outputs }

// Dress completes the pattern of the features of x that have the given sign, by
// anchor and tag, and returns the bits that its frame must show.
func (p *Prover) Dress(pattern *slm.Pattern, x []int8, sign int8) uint64 {
	w := p.witness
	var bits uint64
	next := 0
	if w.Reserved.Anchor > 0 {
		bits, next = 1, 1
	}
	if w.Features > 0 {
		for i, v := range x {
			if v == sign {
				bits |= 1 << (next + i)
			}
		}
	}
	if w.Reserved.Tag > 0 {
		bits |= pattern.Hash() & (1<<tags - 1) << next
	}
	p.dress(pattern, bits)
	return bits
}

// dress turns on anchor and tag as the bits say.
func (p *Prover) dress(pattern *slm.Pattern, bits uint64) {
	r := p.witness.Reserved
	code := bits
	if r.Anchor > 0 {
		code >>= 1
	}
	r.dress(pattern, bits&1 != 0, code)
}

// show makes the pattern that the bits say, and nothing else.
func (p *Prover) show(pattern *slm.Pattern, layout *slm.Layout, bits uint64) {
	if n := p.witness.Features; n > 0 {
		first := p.witness.columns() - n
		x := make([]int8, n)
		for i := range x {
			x[i] = int8(bits >> (first + i) & 1)
		}
		layout.Encode(pattern, x, 1)
	}
	p.dress(pattern, bits)
}

// Limits of a judgement. A column that is off reads as 0 and one that is on as 1; what
// noise does not explain may deviate by columnSlack, and beyond that by so many
// standard deviations that no good frame of a lifetime is refused. A random half of all
// mirrors looks like the pattern of all features at half its amplitude: with the power
// of the light halved or doubled a frame is refused as well.
const (
	columnSlack      = 0.1
	judgeSigmas      = 8
	maxWitnessColumn = 64

	// Strength of a frame's fringes, over that of the calibration, with which it can
	// still prove itself. It goes with the laser's power.
	LeastLight = 0.7
	MostLight  = 1.4
)

// Judge looks at the field of a frame, of which Outputs are needed, and says how
// bright and in which phase it is against the calibration (factor), or that it is not
// the frame of the given bits: an error that wraps rig.ErrWrongPattern. For a frame
// without light in any column the factor is 0: it has no phase. It allocates nothing.
func (p *Prover) Judge(z []complex64, bits uint64) (factor complex64, err error) {
	w := p.witness
	n := w.columns()
	var products, column [maxWitnessColumn]complex128 // of the columns with the field; how much of each
	rest := p.columns.correlate(products[:n], z, w.Dark)
	for i := range n {
		for j := range n {
			column[i] += p.inverse[i*n+j] * products[j]
		}
		rest -= real(cmplx.Conj(products[i]) * column[i])
	}
	noise := math.Max(rest, 0) / float64(w.Outputs-n) // of an output

	scale := complex128(1)
	if bits != 0 {
		var cross, norm complex128
		for i := range n {
			if bits>>i&1 == 0 {
				continue
			}
			cross += products[i]
			for j := range n {
				if bits>>j&1 != 0 {
					norm += p.gram[i*n+j]
				}
			}
		}
		scale = cross / norm
		if a := cmplx.Abs(scale); !(a > LeastLight && a < MostLight) {
			return 0, fmt.Errorf("cannot use a frame: %.2f of the light of its pattern is in it: %w", a, rig.ErrWrongPattern)
		}
		factor = complex64(scale)
	}
	deviation := 0.0
	light := real(scale * cmplx.Conj(scale))
	for i := range n {
		off := column[i] / scale
		if bits>>i&1 != 0 {
			off--
		}
		variance := noise*real(p.inverse[i*n+i])/light + columnSlack*columnSlack
		deviation += real(off*cmplx.Conj(off)) / variance
	}
	if limit := float64(n) + judgeSigmas*math.Sqrt(float64(n)); !(deviation <= limit) {
		return 0, fmt.Errorf("cannot use a frame: its groups of mirrors deviate from the pattern by %.0f variances, %.0f are possible: %w",
			deviation, limit, rig.ErrWrongPattern)
	}
	return factor, nil
}
