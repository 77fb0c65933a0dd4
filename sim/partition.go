package sim

import (
	"math"

	"github.com/light-in-the-loop/opu/internal/parallel"
	"github.com/light-in-the-loop/opu/slm"
)

// A mode of a sum of mirrors is a pair of 32-bit integers packed into one int64
// (imaginary part in the upper half, plus the carry of the lower), so that one
// addition adds both.

// phasorAmplitude is small enough for the sums of maxMirrors to fit 32 bits.
const phasorAmplitude = 127

// phasorTable holds the 256 phases of a mode at one amplitude, packed.
type phasorTable [256]int64

// phasors are those of every amplitude, and phasorPower their mean powers after
// rounding.
var phasors, phasorPower = func() (tables [phasorAmplitude + 1]phasorTable, powers [phasorAmplitude + 1]float64) {
	for a := range tables {
		for i := range tables[a] {
			sin, cos := math.Sincos(2 * math.Pi * (float64(i) + 0.5) / 256)
			re, im := math.Round(float64(a)*cos), math.Round(float64(a)*sin)
			tables[a][i] = int64(re) + int64(im)<<32
			powers[a] += (re*re + im*im) / 256
		}
	}
	return tables, powers
}()

func unpack(x int64) (re, im int32) {
	re = int32(x)
	return re, int32((x - int64(re)) >> 32)
}

// partition sums columns of the medium quickly for the patterns that are really
// shown.
//
// Patterns are made of macro-pixels: after a few of them, the chip falls into
// classes of mirrors that have always been equal. The partition keeps the summed
// modes of each class, splits a class when a pattern divides it, and adds the
// sums of the classes that are on. The result is the sum over mirrors, exactly,
// since it is one of integers; the classes only decide how much work it is.
// Nobody has to tell the bench about layouts.
type partition struct {
	chip  slm.Geometry
	count int // modes
	seed  uint64
	light []uint8 // amplitude of each mirror; nil: all the largest
	limit int     // classes

	class   []int32   // of each mirror
	members [][]int32 // mirrors of each class
	sums    [][]int64 // modes of each class
}

func newPartition(chip slm.Geometry, modes int, seed uint64, light []uint8) *partition {
	p := &partition{
		chip: chip, count: modes, seed: seed, light: light,
		limit: max(4, partitionBytes/(8*modes)),
		class: make([]int32, chip.Mirrors()),
	}
	p.reset()
	return p
}

// power is the mean power of a mode with all mirrors on.
func (p *partition) power() float64 {
	if p.light == nil {
		return float64(p.chip.Mirrors()) * phasorPower[phasorAmplitude]
	}
	sum := 0.0
	for _, a := range p.light {
		sum += phasorPower[a]
	}
	return sum
}

// reset goes back to one class, whose sum is nil: nobody has asked for it yet.
func (p *partition) reset() {
	clear(p.class)
	all := make([]int32, p.chip.Mirrors())
	for i := range all {
		all[i] = int32(i)
	}
	p.members, p.sums = [][]int32{all}, [][]int64{nil}
}

// modes returns the summed modes of the pattern's mirrors.
func (p *partition) modes(pattern *slm.Pattern) []int64 {
	on := p.onCounts(pattern)
	splits := 0
	for c, n := range on {
		if n > 0 && n < len(p.members[c]) {
			splits++
		}
	}
	if len(p.members)+splits > p.limit && len(p.members) > 1 {
		p.reset() // what was shown long ago has left classes behind that nobody needs
		on = p.onCounts(pattern)
	}
	for c, n := range on {
		if n > 0 && n < len(p.members[c]) {
			p.split(c, pattern)
		}
	}
	var parts [][]int64 // sums of the classes that are on
	for c, members := range p.members {
		if pattern.On(p.mirror(members[0])) {
			parts = append(parts, p.sum(c))
		}
	}
	sum := make([]int64, p.count)
	p.blocks(func(from, to int) { add(sum, parts, from, to) })
	return sum
}

// blocks calls f for the modes in blocks that stay in the first-level cache, on all cores.
func (p *partition) blocks(f func(from, to int)) {
	const block = 2048
	parallel.Do((p.count+block-1)/block, func(b int) { f(b*block, min(p.count, (b+1)*block)) })
}

func (p *partition) mirror(i int32) (u, v int) { return int(i) % p.chip.Width, int(i) / p.chip.Width }

// onCounts is the number of mirrors of each class that the pattern turns on.
func (p *partition) onCounts(pattern *slm.Pattern) []int {
	on := make([]int, len(p.members))
	for i, c := range p.class {
		if pattern.On(p.mirror(int32(i))) {
			on[c]++
		}
	}
	return on
}

// split moves the mirrors of class c that the pattern turns on to a new class.
func (p *partition) split(c int, pattern *slm.Pattern) {
	var stay, move []int32
	for _, i := range p.members[c] {
		if pattern.On(p.mirror(i)) {
			move = append(move, i)
		} else {
			stay = append(stay, i)
		}
	}
	for _, i := range move {
		p.class[i] = int32(len(p.members))
	}
	var staySum, moveSum []int64
	if whole := p.sums[c]; whole != nil { // make the smaller part and subtract
		if len(move) <= len(stay) {
			moveSum = p.generate(move)
			staySum = subtract(whole, moveSum)
		} else {
			staySum = p.generate(stay)
			moveSum = subtract(whole, staySum)
		}
	}
	p.members[c], p.sums[c] = stay, staySum
	p.members, p.sums = append(p.members, move), append(p.sums, moveSum)
}

// sum is that of class c, made when it is first needed.
func (p *partition) sum(c int) []int64 {
	if p.sums[c] == nil {
		p.sums[c] = p.generate(p.members[c])
	}
	return p.sums[c]
}

// generate sums the columns of mirrors from the streams of the medium.
func (p *partition) generate(mirrors []int32) []int64 {
	sum := make([]int64, p.count)
	p.blocks(func(from, to int) {
		part := sum[from:to]
		for _, i := range mirrors {
			amplitude := uint8(phasorAmplitude)
			if p.light != nil {
				amplitude = p.light[i]
			}
			addColumn(part, &phasors[amplitude], streamKey(p.seed, forMedium, uint64(i)), from/8)
		}
	})
	return sum
}

// addColumn adds modes of one mirror to dst; word is the stream's word for
// dst[0]. One word makes eight modes.
func addColumn(dst []int64, phasors *phasorTable, key uint64, word int) {
	state := key + uint64(word)*golden
	for ; len(dst) >= 8; dst = dst[8:] {
		state += golden
		w := mix(state)
		d := dst[:8:8]
		d[0] += phasors[w&0xff]
		d[1] += phasors[w>>8&0xff]
		d[2] += phasors[w>>16&0xff]
		d[3] += phasors[w>>24&0xff]
		d[4] += phasors[w>>32&0xff]
		d[5] += phasors[w>>40&0xff]
		d[6] += phasors[w>>48&0xff]
		d[7] += phasors[w>>56]
	}
	w := mix(state + golden)
	for i := range dst {
		dst[i] += phasors[w>>(8*i)&0xff]
	}
}

// add adds values from..to-1 of all parts to dst. It takes four parts at a time, which
// saves most of the loads and stores of dst: half of the time of patterns that nobody
// showed before goes by here.
func add(dst []int64, parts [][]int64, from, to int) {
	dst = dst[from:to]
	for ; len(parts) >= 4; parts = parts[4:] {
		a, b := parts[0][from:to][:len(dst)], parts[1][from:to][:len(dst)]
		c, d := parts[2][from:to][:len(dst)], parts[3][from:to][:len(dst)]
		for i := range dst {
			dst[i] += a[i] + b[i] + c[i] + d[i]
		}
	}
	for _, part := range parts {
		for i, x := range part[from:to] {
			dst[i] += x
		}
	}
}

func subtract(whole, part []int64) []int64 {
	rest := make([]int64, len(whole))
	for i, x := range whole {
		rest[i] = x - part[i]
	}
	return rest
}
