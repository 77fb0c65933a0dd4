package sim

import (
	"math"
	"sync"

	"gonum.org/v1/gonum/dsp/fourier"

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
	modes         modeRows
	scale         float64 // from integer modes to field units: a half-on chip has mean power 1

	mu     sync.Mutex // guards what follows
	parts  *partition
	fields fieldCache
}

// modeRows lists the pupil's modes, row by row of the DFT grid.
type modeRows struct {
	count int
	rows  []modeRow
}

type modeRow struct {
	v     int   // row of the grid
	cols  []int // columns of the grid
	first int   // index of the row's first mode
}

// Memory that the medium may keep: sums of the partition and fields.
const (
	partitionBytes = 128 << 20
	fieldBytes     = 128 << 20
)

func newMedium(c Config) *medium {
	m := &medium{width: c.Width, height: c.Height, gridU: 2 * c.Width, gridV: 2 * c.Height}
	m.modes = discModes(m.gridU, m.gridV, c.Radius)
	m.scale = 1 / math.Sqrt(float64(m.modes.count)*float64(c.Chip.Mirrors())/2*phasorPower)
	m.parts = newPartition(c.Chip, m.modes.count, c.Seed)
	m.fields = newFieldCache(max(4, fieldBytes/(8*c.Width*c.Height)))
	return m
}

// discModes lists the bins of a gridU x gridV DFT within radius cycles per pixel.
func discModes(gridU, gridV int, radius float64) modeRows {
	var m modeRows
	for v := range gridV {
		fv := signedFrequency(v, gridV)
		row := modeRow{v: v, first: m.count}
		for u := range gridU {
			fu := signedFrequency(u, gridU)
			if fu*fu+fv*fv <= radius*radius {
				row.cols = append(row.cols, u)
			}
		}
		if len(row.cols) > 0 {
			m.rows = append(m.rows, row)
			m.count += len(row.cols)
		}
	}
	return m
}

// signedFrequency is that of DFT bin i of n, in -0.5 to 0.5 cycles per pixel.
func signedFrequency(i, n int) float64 {
	if i > n/2 {
		i -= n
	}
	return float64(i) / float64(n)
}

// field returns S on the sensor, row-major, in units where a half-on chip has
// mean power 1. The slice is shared and must not be written.
func (m *medium) field(p *slm.Pattern) []complex64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.fields.get(p); f != nil {
		return f
	}
	f := m.transform(m.parts.modes(p))
	m.fields.put(p, f)
	return f
}

// transform is the inverse DFT of the modes, cropped to the sensor. Rows without
// modes and columns beyond the sensor are never computed.
func (m *medium) transform(modes []int64) []complex64 {
	rows := make([][]complex128, len(m.modes.rows)) // after the pass along u
	parallel.Do(len(rows), func(i int) {
		row := m.modes.rows[i]
		line := make([]complex128, m.gridU)
		for j, u := range row.cols {
			re, im := unpack(modes[row.first+j])
			line[u] = complex(float64(re)*m.scale, float64(im)*m.scale)
		}
		rows[i] = fourier.NewCmplxFFT(m.gridU).Sequence(line, line)[:m.width]
	})
	field := make([]complex64, m.width*m.height)
	const block = 16 // columns that one call makes, for the sake of the cache
	parallel.Do((m.width+block-1)/block, func(b int) {
		fft := fourier.NewCmplxFFT(m.gridV)
		line := make([]complex128, m.gridV)
		for u := b * block; u < min(m.width, (b+1)*block); u++ {
			clear(line)
			for i, row := range m.modes.rows {
				line[row.v] = rows[i][u]
			}
			fft.Sequence(line, line)
			for v := range m.height {
				field[v*m.width+u] = complex64(line[v])
			}
		}
	})
	return field
}
