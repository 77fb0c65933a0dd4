package sim

import (
	"math"
	"sync"

	"github.com/light-in-the-loop/opu/internal/parallel"
	"github.com/light-in-the-loop/opu/slm"
)

// medium is the scattering medium and the lens behind it: it turns a pattern
// into the speckle field on the camera.
//
// In the pupil of the lens every mirror makes light of unit power and random
// phase in each mode (a DFT bin of a grid twice as large as the sensor, so that
// the speckle does not wrap round at the frame's edges). The field on the camera
// is the inverse DFT of the modes: a sum of thousands of random phasors, hence a
// circular complex Gaussian, with the spectrum of a hard disc.
//
// Phases come as bytes from a stream keyed by (seed, mirror), phasors are
// integers, and the modes of a pattern are integer sums of its mirrors' phasors:
// exact whatever the order. That allows the shortcut that makes the bench fast,
// see partition.
type medium struct {
	width, height int // sensor
	gridU, gridV  int // grid of the DFT
	pupil         pupil
	scale         float64 // from integer modes to field units: a half-on chip has mean power 1
	leak          float64 // amplitude of an off mirror over that of an on mirror

	mu     sync.Mutex // guards what follows
	parts  *partition
	all    []int64 // modes of all mirrors, if some leak
	fields fieldCache
}

// Memory that the medium may keep: sums of the partition and fields.
const (
	partitionBytes = 128 << 20
	fieldBytes     = 128 << 20
)

// newMedium makes the medium of a bench from one of its streams: the medium of the
// start, or the one that it ages into.
func newMedium(c Config, seed uint64) *medium {
	m := &medium{width: c.Width, height: c.Height, gridU: 2 * c.Width, gridV: 2 * c.Height, leak: math.Sqrt(c.OffLight)}
	m.pupil = newPupil(c, m.gridU, m.gridV)
	m.parts = newPartition(c.Chip, m.pupil.count, seed, illumination(c))
	m.scale = 1 / math.Sqrt(m.pupil.power*m.parts.power()/2)
	m.fields = newFieldCache(max(4, fieldBytes/(8*c.Width*c.Height)))
	return m
}

// illumination is the amplitude of the light on each mirror, as the phasors take
// it, under a Gaussian beam; nil if it is even.
func illumination(c Config) []uint8 {
	if c.IlluminationWaist == 0 {
		return nil
	}
	g := c.Chip
	half := math.Hypot(float64(g.Width), float64(g.Height)) / 2
	out := make([]uint8, g.Mirrors())
	for i := range out {
		u, v := float64(i%g.Width)-float64(g.Width-1)/2, float64(i/g.Width)-float64(g.Height-1)/2
		out[i] = uint8(math.Round(phasorAmplitude * gaussian(math.Hypot(u, v)/half, c.IlluminationWaist)))
	}
	return out
}

// gaussian is the amplitude of a beam at distance r from its axis; its intensity
// falls to 1/e^2 at the waist.
func gaussian(r, waist float64) float64 { return math.Exp(-r * r / (waist * waist)) }

// field returns S on the sensor, row-major, in units where a half-on chip has
// mean power 1. The slice is shared and must not be written.
func (m *medium) field(p *slm.Pattern) []complex64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.fields.get(p); f != nil {
		return f
	}
	f := m.transform(m.light(p))
	m.fields.put(p, f)
	return f
}

// light is the modes of a pattern: those of its mirrors, and some of the others.
func (m *medium) light(p *slm.Pattern) []complex128 {
	if m.leak > 0 && m.all == nil {
		on := slm.NewPattern(p.Geometry())
		on.Fill()
		m.all = m.parts.modes(on)
	}
	modes := m.parts.modes(p)
	light := make([]complex128, len(modes))
	for i, x := range modes {
		re, im := unpack(x)
		z := complex(float64(re), float64(im))
		if m.all != nil {
			re, im = unpack(m.all[i])
			z += complex(m.leak, 0) * (complex(float64(re), float64(im)) - z)
		}
		scale := m.scale
		if m.pupil.amplitudes != nil {
			scale *= m.pupil.amplitudes[i]
		}
		light[i] = complex(real(z)*scale, imag(z)*scale)
	}
	return light
}

// transform is the inverse DFT of the modes, cropped to the sensor. Rows without
// modes and columns beyond the sensor are never computed.
func (m *medium) transform(modes []complex128) []complex64 {
	const block = 16 // lines that one call makes: one plan for all, and columns that share the cache
	blocks := func(lines int) int { return (lines + block - 1) / block }
	rows := make([][]complex128, len(m.pupil.rows)) // after the pass along u
	parallel.Do(blocks(len(rows)), func(b int) {
		fft := newInverseFFT(m.gridU)
		for i := b * block; i < min(len(rows), (b+1)*block); i++ {
			row := m.pupil.rows[i]
			line := make([]complex128, m.gridU)
			for j, u := range row.cols {
				line[u] = modes[row.first+j]
			}
			fft.transform(line)
			rows[i] = line[:m.width]
		}
	})
	field := make([]complex64, m.width*m.height)
	parallel.Do(blocks(m.width), func(b int) {
		fft := newInverseFFT(m.gridV)
		line := make([]complex128, m.gridV)
		for u := b * block; u < min(m.width, (b+1)*block); u++ {
			clear(line)
			for i, row := range m.pupil.rows {
				line[row.v] = rows[i][u]
			}
			fft.transform(line)
			for v := range m.height {
				field[v*m.width+u] = complex64(line[v])
			}
		}
	})
	return field
}
