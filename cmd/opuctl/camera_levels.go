package main

import (
	"encoding/binary"
	"fmt"

	"github.com/light-in-the-loop/opu/camera"
)

// levels are those of one frame's pixels.
type levels struct {
	Mean      float64 `json:"mean"`      // counts
	Max       int     `json:"max"`       // counts
	Full      int     `json:"full"`      // counts: the end of the range
	Saturated float64 `json:"saturated"` // share of the pixels that are there
}

func levelsOf(f *camera.Frame) levels {
	l := levels{Full: 1<<f.BitDepth - 1}
	sum, full := uint64(0), 0
	see := func(x int) {
		sum += uint64(x)
		if l.Max = max(l.Max, x); x >= l.Full {
			full++
		}
	}
	for v := range f.Height {
		row := f.Pix[v*f.Stride:]
		if f.BitDepth <= 8 {
			for _, x := range row[:f.Width] {
				see(int(x))
			}
			continue
		}
		for u := range f.Width {
			see(int(binary.LittleEndian.Uint16(row[2*u:])))
		}
	}
	n := float64(f.Width * f.Height)
	l.Mean, l.Saturated = float64(sum)/n, float64(full)/n
	return l
}

func (l levels) String() string {
	return fmt.Sprintf("mean %.1f, largest %d of %d counts, %.2g %% saturated", l.Mean, l.Max, l.Full, 100*l.Saturated)
}

// tally counts the frames of a run as they come.
type tally struct {
	Good uint64 `json:"good"`
	Bad  uint64 `json:"bad"`  // came with an error
	Lost uint64 `json:"lost"` // never came, though later ones did
	next uint64 // Seq of the next frame
}

// add counts a frame, and says whether its pixels may be used.
func (t *tally) add(f *camera.Frame) bool {
	if f.Seq >= t.next {
		t.Lost += f.Seq - t.next
		t.next = f.Seq + 1
	}
	if f.Status != camera.OK || f.Check() != nil {
		t.Bad++
		return false
	}
	t.Good++
	return true
}
