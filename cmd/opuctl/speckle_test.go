package main

import (
	"math"
	"math/cmplx"
	"math/rand/v2"

	"gonum.org/v1/gonum/dsp/fourier"
)

// otherBench makes frames of speckle without any of our own optics: the Fourier transform
// of a round pupil full of random amplitudes, a tilted plane reference, Poisson-like
// noise and eight bits. Its grid is larger than the sensor, so that the speckle does
// not wrap round at the frame's edges.
type otherBench struct {
	side, grid int
	fu, fv, r  float64
	rho        float64
	electrons  float64 // mean of a pixel
	random     *rand.Rand
}

func newOtherBench(seed uint64, side int, fu, fv, r, rho float64) *otherBench {
	return &otherBench{side: side, grid: side * 5 / 4, fu: fu, fv: fv, r: r, rho: rho, electrons: 2500, random: rand.New(rand.NewPCG(seed, seed))}
}

// field is fresh speckle of mean power 1.
func (b *otherBench) field() []complex128 {
	n := b.grid
	fft := fourier.NewCmplxFFT(n)
	pupil := make([][]complex128, n) // of each row that the pupil crosses, after the transform along it
	open := 0
	for j := range n {
		fv := fft.Freq(j)
		if math.Abs(fv) >= b.r {
			continue
		}
		for i := range n {
			if math.Hypot(fft.Freq(i), fv) < b.r {
				if pupil[j] == nil {
					pupil[j] = make([]complex128, n)
				}
				pupil[j][i] = complex(b.random.NormFloat64(), b.random.NormFloat64())
				open++
			}
		}
		if pupil[j] != nil {
			fft.Sequence(pupil[j], pupil[j])
		}
	}
	out, line := make([]complex128, b.side*b.side), make([]complex128, n)
	for u := range b.side {
		clear(line)
		for j, row := range pupil {
			if row != nil {
				line[j] = row[u]
			}
		}
		fft.Sequence(line, line)
		for v := range b.side {
			out[v*b.side+u] = line[v] / complex(math.Sqrt(2*float64(open)), 0)
		}
	}
	return out
}

// frame appends an exposure of a field; a mean of a quarter of the range at rho 1 and
// less of it at others, so that bright speckles still fit.
func (b *otherBench) frame(pix []byte, field []complex128) []byte {
	step := cmplx.Rect(1, 2*math.Pi*b.fu)
	for v := range b.side {
		reference := cmplx.Rect(math.Sqrt(b.rho), 2*math.Pi*b.fv*float64(v)+1)
		for u := range b.side {
			e := reference
			reference *= step
			if field != nil {
				e += field[v*b.side+u]
			}
			electrons := (real(e)*real(e) + imag(e)*imag(e)) / (1 + b.rho) * b.electrons
			electrons += b.random.NormFloat64() * math.Sqrt(electrons+50)
			pix = append(pix, byte(max(0, min(255, math.Round(electrons/80)))))
		}
	}
	return pix
}

// frames are exposures of k independent fields.
func (b *otherBench) frames(k int) []byte {
	var pix []byte
	for range k {
		pix = b.frame(pix, b.field())
	}
	return pix
}

// wrapped is a distance on the torus of sampled frequencies.
func wrapped(f float64) float64 { return f - math.Round(f) }
