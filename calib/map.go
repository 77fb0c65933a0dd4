package calib

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/parallel"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// ErrDark: no part of the chip sends light to the camera that stands out of the
// noise.
var ErrDark = errors.New("the chip is dark")

// LightMap says how much light each part of a chip sends to the camera. The chip is
// cut into square blocks, which may be smaller at the right and lower edge.
type LightMap struct {
	Chip          slm.Geometry
	Side          int       // of a block, mirrors
	Columns, Rows int       // of blocks
	Power         []float64 // per mirror of each block, row-major; the brightest blocks have 1, noise may make 0 negative
	Error         float64   // standard error of a whole block's Power from noise
	Exposures     int       // that were shown
}

// MapOptions say how to map. The zero value means the usual.
type MapOptions struct {
	Blocks   int    // at most; 0 means 224, the most is 3584
	Seed     uint64 // of the patterns
	Progress func(done, of int)
}

const (
	defaultBlocks = 224
	maxBlocks     = 3584

	// One code in eight belongs to no block: what it shows is noise.
	spareCodes = 8

	// mapPixels is how many pixels are looked at, spread over the sensor: enough
	// independent speckles for a per cent.
	mapPixels = 1 << 14

	// The brightest sixteenth of the blocks is what others are compared with; one
	// block alone would be the luckiest.
	brightest = 16

	// minContrast is the least power of the brightest blocks, in standard errors.
	minContrast = 8
)

// MapLight finds the lit part of the chip, without any calibration and with or
// without a reference beam. It sets the exposure itself, shows two patterns for every
// block and blocks until done or ctx ends. Errors: ErrDark, and those of the rig.
//
// Every block is on in a half of the patterns, by a Hadamard code of its own, and
// each pattern is followed by its complement. With S the field of the chip and d that
// of a pattern's difference from half of it, the two frames are abs(R + S/2 + d)^2 and
// abs(R + S/2 - d)^2: their difference is linear in d, whatever the strength of the
// light, and the transform of the differences gives each block's own. Against blocks
// that are on one at a time, in as many exposures, the power of the noise falls by a
// quarter of the number of blocks (Harwit and Sloane, Hadamard Transform Optics, 1979),
// and the codes that belong to no block measure it.
func MapLight(ctx context.Context, r *rig.Rig, o MapOptions) (*LightMap, error) {
	if o.Blocks == 0 {
		o.Blocks = defaultBlocks
	}
	if o.Blocks < 1 || o.Blocks > maxBlocks {
		return nil, fmt.Errorf("cannot map the chip in %d blocks: 1 to %d are possible: %w", o.Blocks, maxBlocks, slm.ErrInput)
	}
	m := &LightMap{Chip: r.SLM().Geometry, Side: 1}
	for {
		m.Columns, m.Rows = (m.Chip.Width+m.Side-1)/m.Side, (m.Chip.Height+m.Side-1)/m.Side
		if m.Columns*m.Rows <= o.Blocks {
			break
		}
		m.Side++
	}
	l := &learner{rig: r, options: Options{Seed: o.Seed}, cal: &Calibration{}}
	if err := l.exposure(ctx); err != nil {
		return nil, fmt.Errorf("cannot map the chip (exposure): %w", err)
	}
	blocks := m.Columns * m.Rows
	codes := max(16, 1<<bits.Len(uint(blocks+blocks/(spareCodes-1)-1))) // a power of two
	frames, err := m.show(ctx, r, codes, o)
	if err != nil {
		return nil, fmt.Errorf("cannot map the chip: %w", err)
	}
	if err := m.judge(powerOfCodes(frames, codes)); err != nil {
		return nil, fmt.Errorf("cannot map the chip: %w", err)
	}
	return m, nil
}

// show shows every code's pattern and its complement, and returns the difference of
// their frames: a row of pixels for each code.
func (m *LightMap) show(ctx context.Context, r *rig.Rig, codes int, o MapOptions) ([][]float32, error) {
	// Signs of its own keep a block from being on when all others are, as it would be
	// in the first pattern.
	random := rand.New(rand.NewPCG(o.Seed, forMap))
	signs := make([]int, m.Columns*m.Rows)
	for b := range signs {
		signs[b] = random.IntN(2)
	}
	m.Exposures = 2 * codes
	frames := make([][]float32, 2*codes)
	const atOnce = 64
	for first := 0; first < len(frames); first += atOnce {
		patterns := make([]*slm.Pattern, min(atOnce, len(frames)-first))
		for i := range patterns {
			k := first + i
			patterns[i] = m.pattern(func(b int) bool { return (bits.OnesCount(uint(k/2&b))+signs[b]+k)%2 == 0 })
		}
		err := r.Show(ctx, patterns, func(i int, f *camera.Frame) error {
			if frames[first+i] == nil {
				frames[first+i] = make([]float32, sampled(f, nil))
			}
			sampled(f, frames[first+i])
			return nil
		})
		if err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(first+len(patterns), len(frames))
		}
	}
	for k := range codes {
		difference, complement := frames[2*k], frames[2*k+1]
		mean := float32(0)
		for i, x := range complement {
			difference[i] -= x
			mean += difference[i] / float32(len(difference))
		}
		for i := range difference { // the laser's power changes from frame to frame
			difference[i] -= mean
		}
		frames[k] = difference
	}
	return frames[:codes], nil
}

// pattern lights the blocks that on names.
func (m *LightMap) pattern(on func(block int) bool) *slm.Pattern {
	p := slm.NewPattern(m.Chip)
	for v := range m.Chip.Height {
		for c := range m.Columns {
			if !on(v/m.Side*m.Columns + c) {
				continue
			}
			for u := c * m.Side; u < min(m.Chip.Width, (c+1)*m.Side); u++ {
				p.Set(u, v, true)
			}
		}
	}
	return p
}

// sampled writes pixels of a frame, about mapPixels of them on a grid, into dst, if it
// is not nil, and returns their number.
func sampled(f *camera.Frame, dst []float32) int {
	step := max(1, int(math.Sqrt(float64(f.Width)*float64(f.Height)/mapPixels)))
	n := 0
	for v := step / 2; v < f.Height; v += step {
		for u := step / 2; u < f.Width; u += step {
			if dst != nil {
				dst[n] = float32(f.At(u, v))
			}
			n++
		}
	}
	return n
}

// powerOfCodes is the mean over the pixels of the square of each code's coefficient.
func powerOfCodes(differences [][]float32, codes int) []float64 {
	pixels := len(differences[0])
	const part = 256
	sums := make([][]float64, (pixels+part-1)/part)
	parallel.Do(len(sums), func(i int) {
		sum, line := make([]float64, codes), make([]float32, codes)
		for p := i * part; p < min(pixels, (i+1)*part); p++ {
			for k := range line {
				line[k] = differences[k][p]
			}
			hadamard(line)
			for k, x := range line {
				sum[k] += float64(x) * float64(x)
			}
		}
		sums[i] = sum
	})
	power := make([]float64, codes)
	for _, sum := range sums {
		for k, x := range sum {
			power[k] += x / float64(pixels) / float64(codes) / float64(codes)
		}
	}
	return power
}

// hadamard transforms x in place: coefficient b is the sum of x[k] (-1)^(ones of k&b).
// The length is a power of two.
func hadamard(x []float32) {
	for half := 1; half < len(x); half *= 2 {
		for first := 0; first < len(x); first += 2 * half {
			for i := first; i < first+half; i++ {
				x[i], x[i+half] = x[i]+x[i+half], x[i]-x[i+half]
			}
		}
	}
}

// judge turns the power of codes into that of blocks; block b has code b.
func (m *LightMap) judge(power []float64) error {
	blocks := m.Columns * m.Rows
	noise := mean(power[blocks:])
	spread := 0.0
	for _, x := range power[blocks:] {
		spread += (x - noise) * (x - noise)
	}
	spread = math.Sqrt(spread / float64(len(power)-blocks-1))
	m.Power = make([]float64, blocks)
	for b := range m.Power {
		m.Power[b] = (power[b] - noise) / float64(m.mirrors(b))
	}
	sorted := slices.Sorted(slices.Values(m.Power))
	bright := mean(sorted[blocks-max(1, blocks/brightest):])
	m.Error = spread / float64(m.Side*m.Side) / bright
	if !(bright > 0 && m.Error < 1.0/minContrast) {
		return fmt.Errorf("the brightest blocks of %dx%d mirrors change the frames by %.1f times what noise does, at least %d times is needed; "+
			"raise the laser's power, open the signal beam, or use fewer blocks: %w", m.Side, m.Side, 1/m.Error, minContrast, ErrDark)
	}
	for b := range m.Power {
		m.Power[b] /= bright
	}
	return nil
}

// mirrors is the number of mirrors of a block.
func (m *LightMap) mirrors(block int) int {
	u, v := block%m.Columns*m.Side, block/m.Columns*m.Side
	return min(m.Side, m.Chip.Width-u) * min(m.Side, m.Chip.Height-v)
}

// Mask is the lit part of the chip: the blocks with at least the given share of the
// brightest ones' power per mirror.
func (m *LightMap) Mask(share float64) *slm.Pattern {
	return m.pattern(func(b int) bool { return m.Power[b] >= share })
}

// Centre is the centroid of the light, in mirrors.
func (m *LightMap) Centre() (u, v float64) {
	var sum float64
	for b, x := range m.Power {
		x *= float64(m.mirrors(b))
		left, top := b%m.Columns*m.Side, b/m.Columns*m.Side
		u += x * float64(left+min(m.Chip.Width, left+m.Side)-1) / 2
		v += x * float64(top+min(m.Chip.Height, top+m.Side)-1) / 2
		sum += x
	}
	return u / sum, v / sum
}
