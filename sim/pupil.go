package sim

import "math"

// pupil lists the modes that the lens lets through: bins of the DFT grid, row by
// row, and how much of each.
type pupil struct {
	count int
	rows  []pupilRow
	power float64 // sum over the modes of what the lens lets through, before the pixels

	// Amplitude of each mode, behind the lens and in the eyes of the pixels; nil if
	// all are 1.
	amplitudes []float64
}

type pupilRow struct {
	v     int   // row of the grid
	cols  []int // columns of the grid
	first int   // index of the row's first mode
}

func newPupil(c Config, gridU, gridV int) pupil {
	var p pupil
	plain := c.Softness == 0 && !c.PixelArea
	for v := range gridV {
		fv := signedFrequency(v, gridV)
		row := pupilRow{v: v, first: p.count}
		for u := range gridU {
			fu := signedFrequency(u, gridU)
			power := c.transmission(fu, fv)
			if power == 0 {
				continue
			}
			row.cols = append(row.cols, u)
			p.power += power
			if !plain {
				p.amplitudes = append(p.amplitudes, math.Sqrt(power)*c.pixelTilt(fu, fv))
			}
		}
		if len(row.cols) > 0 {
			p.rows = append(p.rows, row)
			p.count += len(row.cols)
		}
	}
	return p
}

// transmission is the power that the lens lets through at a frequency, 0 to 1. The
// area within which it is at least half is that of the disc of radius Radius.
func (c Config) transmission(fu, fv float64) float64 {
	stretch := math.Sqrt(c.aspect())
	fu, fv = fu/stretch, fv*stretch
	var squared float64 // of the distance from the centre, in radii
	switch c.Pupil {
	case Disc:
		squared = (fu*fu + fv*fv) / (c.Radius * c.Radius)
	case Square:
		side := max(math.Abs(fu), math.Abs(fv)) / (c.Radius * math.Sqrt(math.Pi) / 2)
		squared = side * side
	}
	if c.Softness == 0 {
		if squared <= 1 {
			return 1
		}
		return 0
	}
	into := (math.Sqrt(squared) - (1 - c.Softness)) / (2 * c.Softness) // the edge: 0 to 1
	return (1 + math.Cos(math.Pi*max(0, min(1, into)))) / 2
}

// pixelTilt is how much better pixels see a frequency of S in the fringes, where it
// lies at its distance from the carrier, than they see the carrier. The bench gives
// it to S as a whole; abs(S)^2 is tilted with it, which nothing here depends on.
func (c Config) pixelTilt(fu, fv float64) float64 {
	if !c.PixelArea {
		return 1
	}
	return sinc(fu-c.Carrier[0]) * sinc(fv-c.Carrier[1]) / (sinc(c.Carrier[0]) * sinc(c.Carrier[1]))
}

// signedFrequency is that of DFT bin i of n, in -0.5 to 0.5 cycles per pixel.
func signedFrequency(i, n int) float64 {
	if i > n/2 {
		i -= n
	}
	return float64(i) / float64(n)
}
