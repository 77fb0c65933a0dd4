package driver

import (
	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/slm"
)

// none marks the side of a row that has no feature and needs no exposure.
const none = -1

// row says which exposures make a row.
type row struct{ plus, minus int }

// window is a run of outputs.
type window struct{ first, count int }

// plan is what one run shows for the rows at the head of a batch, with room for
// its patterns and fields that is used again for every run.
type plan struct {
	layout  *slm.Layout
	prover  *calib.Prover // may be nil
	outputs int

	window          // of the outputs that are wanted
	needed []window // of those that are demodulated: them, and what the prover looks at

	rows      []row
	exposures int
	zeroRows  int
	shared    int
	oneSided  bool // a row needs the all-off field

	patterns []*slm.Pattern // of the exposures
	shown    []*slm.Pattern // the same, and the run's own behind them
	fields   []complex64    // exposures x outputs
	bits     []uint64       // of each exposure: what its frame must prove
	factors  []complex64    // phase and power of each exposure, 0 where it cannot tell

	offPattern *slm.Pattern
	off        []complex64
	offBits    uint64
	offFactor  complex64

	index map[uint64]int // exposure of a pattern's hash, when equal ones may share
}

// ownExposures are the probe and the all-off pattern that a run may need beside
// the rows.
const ownExposures = 2

func newPlan(l *slm.Layout, prover *calib.Prover, perRun, outputs int) plan {
	p := plan{
		layout: l, prover: prover, outputs: outputs,
		patterns:   make([]*slm.Pattern, perRun-ownExposures),
		fields:     make([]complex64, (perRun-ownExposures)*outputs),
		bits:       make([]uint64, perRun-ownExposures),
		factors:    make([]complex64, perRun-ownExposures),
		offPattern: slm.NewPattern(l.Chip()),
		off:        make([]complex64, outputs),
		index:      map[uint64]int{},
	}
	if prover != nil {
		p.offBits = prover.Dress(p.offPattern, nil, 1)
	}
	return p
}

// want sets the outputs that are wanted.
func (p *plan) want(first, count int) {
	p.window, p.needed = window{first, count}, p.needed[:0]
	proof := 0
	if p.prover != nil {
		proof = p.prover.Outputs()
	}
	if first <= proof { // both at one go
		p.needed = append(p.needed, window{0, max(proof, first+count)})
		return
	}
	if proof > 0 {
		p.needed = append(p.needed, window{0, proof})
	}
	p.needed = append(p.needed, p.window)
}

// field is that of exposure k.
func (p *plan) field(k int) []complex64 { return p.fields[k*p.outputs : (k+1)*p.outputs] }

// fill plans as many rows from the head of x as one run holds: at least one,
// since a row needs two exposures at most.
func (p *plan) fill(x []int8, share bool) {
	p.rows, p.exposures, p.zeroRows, p.shared, p.oneSided = p.rows[:0], 0, 0, 0, false
	clear(p.index)
	n := p.layout.Features()
	for len(x) > 0 && p.exposures+2 <= len(p.patterns) {
		var hasPlus, hasMinus bool
		for _, v := range x[:n] {
			hasPlus = hasPlus || v > 0
			hasMinus = hasMinus || v < 0
		}
		r := row{none, none}
		if hasPlus {
			r.plus = p.expose(x[:n], +1, share)
		}
		if hasMinus {
			r.minus = p.expose(x[:n], -1, share)
		}
		if !hasPlus && !hasMinus {
			p.zeroRows++
		}
		p.oneSided = p.oneSided || hasPlus != hasMinus
		p.rows = append(p.rows, r)
		x = x[n:]
	}
}

// expose adds an exposure of the features of one sign, or finds one to share.
func (p *plan) expose(x []int8, sign int8, share bool) int {
	k := p.exposures
	if p.patterns[k] == nil {
		p.patterns[k] = slm.NewPattern(p.layout.Chip())
	}
	pattern := p.patterns[k]
	p.layout.Encode(pattern, x, sign)
	if p.prover != nil {
		p.bits[k] = p.prover.Dress(pattern, x, sign)
	}
	if share {
		hash := pattern.Hash()
		if same, ok := p.index[hash]; ok && p.patterns[same].Equal(pattern) {
			p.shared++
			return same
		}
		p.index[hash] = k
	}
	p.exposures++
	return k
}
