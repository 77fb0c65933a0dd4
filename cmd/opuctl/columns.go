package main

import (
	"context"
	"math"
	"math/bits"
	"math/rand/v2"

	"github.com/light-in-the-loop/opu/dfa"
	"github.com/light-in-the-loop/opu/internal/parallel"
)

// columnMeter measures columns of a projector's matrix, a group at a time.
//
// The vectors of a group of n columns are the rows of a Hadamard matrix of order 2^k >=
// n with random signs on its columns, and zeros elsewhere: each has every feature of the
// group in it, plus or minus. A column is what its code finds in the results. Against
// one-hot vectors, which show one feature at a time, the power of the noise falls by
// 2^k for as many projections (Harwit and Sloane, Hadamard Transform Optics, 1979); and
// where the two signs are shown one after the other, as complements within the group,
// what is quadratic in the light is the same in both and falls out.
type columnMeter struct {
	projector dfa.Projector
	repeats   int
	random    *rand.Rand // of the signs, fresh for each repeat

	codes  int         // the most that one group takes
	fields []complex64 // codes x outputs: the results of one repeat
	mean   []complex64 // columns x outputs, over the repeats
	spread []float32   // the same, sum of squared distances from the mean (Welford)
}

// meterBytes bounds the memory of a columnMeter, and so the columns of a group.
const meterBytes = 256 << 20

// newColumnMeter makes a meter. Groups are as large as its memory allows, and all
// nearly equal.
func newColumnMeter(p dfa.Projector, repeats int, seed uint64, memory int) *columnMeter {
	outputs, inputs := p.Shape()
	most := 1 << (bits.Len(uint(max(1, memory/(20*outputs)))) - 1)
	c := &columnMeter{projector: p, repeats: repeats, random: rand.New(rand.NewPCG(seed, 0x636f6c73)), codes: min(most, orderFor(inputs))}
	c.fields, c.mean, c.spread = make([]complex64, c.codes*outputs), make([]complex64, c.codes*outputs), make([]float32, c.codes*outputs)
	return c
}

// orderFor is the order of the Hadamard matrix for n columns.
func orderFor(n int) int { return 1 << bits.Len(uint(n-1)) }

// groups are the first columns of the groups, and behind them the number of columns.
func (c *columnMeter) groups() []int {
	_, inputs := c.projector.Shape()
	n := (inputs + c.codes - 1) / c.codes
	firsts := make([]int, n+1)
	for g := range firsts {
		firsts[g] = g * inputs / n
	}
	return firsts
}

// projections is how many vectors a measurement of the whole matrix shows.
func (c *columnMeter) projections() int {
	sum, firsts := 0, c.groups()
	for g, first := range firsts[:len(firsts)-1] {
		sum += c.repeats * orderFor(firsts[g+1]-first)
	}
	return sum
}

// measure measures columns first to last-1, one after the other in mean, and the
// standard error of each entry (of its complex value) in errs; both are valid until the
// next call.
func (c *columnMeter) measure(ctx context.Context, first, last int, shown func(vectors int)) (mean []complex64, errs []float32, err error) {
	outputs, inputs := c.projector.Shape()
	n := last - first
	codes := orderFor(n)
	fields, mean, spread := c.fields[:codes*outputs], c.mean[:n*outputs], c.spread[:n*outputs]
	clear(mean)
	clear(spread)
	signs := make([]int, n)
	rows := max(1, min(codes, chunkEntries/(outputs+inputs)))
	x := make([]int8, rows*inputs)
	for repeat := range c.repeats {
		for j := range signs {
			signs[j] = c.random.IntN(2)
		}
		for k := 0; k < codes; k += rows {
			part := min(rows, codes-k)
			for r := range part {
				for j, sign := range signs {
					x[r*inputs+first+j] = 1 - 2*int8((bits.OnesCount(uint((k+r)&j))+sign)%2)
				}
			}
			if err := c.projector.Project(ctx, fields[k*outputs:(k+part)*outputs], x[:part*inputs]); err != nil {
				return nil, nil, err
			}
			shown(part)
		}
		c.decode(fields, mean, spread, signs, repeat)
	}
	k := float64(c.repeats)
	for i, s := range spread {
		spread[i] = float32(math.Sqrt(float64(s) / (k * (k - 1))))
	}
	return mean, spread, nil
}

// decode turns the fields of one repeat into columns and adds them to the mean.
func (c *columnMeter) decode(fields, mean []complex64, spread []float32, signs []int, repeat int) {
	outputs, _ := c.projector.Shape()
	codes := len(fields) / outputs
	const part = 64 // outputs at a time, so that all their fields fit the cache
	parallel.Do((outputs+part-1)/part, func(p int) {
		from, to := p*part, min(outputs, (p+1)*part)
		for half := 1; half < codes; half *= 2 {
			for k := range codes {
				if k&half != 0 {
					continue
				}
				a, b := fields[k*outputs+from:k*outputs+to], fields[(k+half)*outputs+from:(k+half)*outputs+to]
				for i := range a {
					a[i], b[i] = a[i]+b[i], a[i]-b[i]
				}
			}
		}
		for j, sign := range signs {
			scale := complex(float32(1-2*sign)/float32(codes), 0)
			for i := from; i < to; i++ {
				at := j*outputs + i
				z := fields[at] * scale
				before := z - mean[at]
				mean[at] += before / complex(float32(repeat+1), 0)
				after := z - mean[at]
				spread[at] += real(before)*real(after) + imag(before)*imag(after)
			}
		}
	})
}
