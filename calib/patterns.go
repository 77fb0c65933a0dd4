package calib

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/holo"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/slm"
)

// What a random pattern is for; each purpose has seeds of its own.
const (
	forExposure = iota + 1
	forCarrier
	forProbe
	forScale
	forMap
	forWitness
	forExamine
	forColumns
	forVouching
)

// seed is that of pattern k for one purpose.
func (l *learner) seed(purpose uint64, k int) uint64 { return seedFor(l.options.Seed, purpose, k) }

func seedFor(seed, purpose uint64, k int) uint64 {
	return rand.NewPCG(seed, purpose<<32|uint64(k)).Uint64()
}

// fineBlocks is how many blocks a fine pattern has at least, chip permitting: many
// more than the frames of a calibration, so that their speckles are independent.
const fineBlocks = 256

// FinePattern is a random half-on pattern of small square blocks over the whole
// chip. Pattern and seed belong together for ever: probes are stored by seed.
func FinePattern(chip slm.Geometry, seed uint64) *slm.Pattern {
	side := max(1, int(math.Sqrt(float64(chip.Mirrors())/fineBlocks)))
	across := (chip.Width + side - 1) / side
	random := rand.NewPCG(seed, seed)
	p := slm.NewPattern(chip)
	on := make([]bool, across)
	for v := range chip.Height {
		if v%side == 0 {
			for i := range on {
				on[i] = random.Uint64()>>63 != 0
			}
		}
		for u := range chip.Width {
			if on[u/side] {
				p.Set(u, v, true)
			}
		}
	}
	return p
}

// Image is a frame as the demodulators see it; the pixels are shared.
func Image(f *camera.Frame) holo.Image {
	return holo.Image{Pix: f.Pix, Width: f.Width, Height: f.Height, Stride: f.Stride, BitDepth: f.BitDepth}
}

// capture shows patterns and hands use the proven frame of each, in order. It
// keeps copies of a few frames at a time, since a frame counts only when its run
// is proven.
func capture(ctx context.Context, r *rig.Rig, patterns []*slm.Pattern, use func(k int, img holo.Image) error) error {
	const atOnce = 16
	images := make([]holo.Image, atOnce)
	for first := 0; first < len(patterns); first += atOnce {
		part := patterns[first:min(len(patterns), first+atOnce)]
		err := r.Show(ctx, part, func(k int, f *camera.Frame) error {
			img := Image(f)
			img.Pix = append(images[k].Pix[:0], f.Pix...)
			images[k] = img
			return nil
		})
		if err != nil {
			return err
		}
		for k := range part {
			if err := use(first+k, images[k]); err != nil {
				return err
			}
		}
	}
	return nil
}

// pixel is one pixel of an image, in counts.
func pixel(img holo.Image, u, v int) float64 {
	if img.BitDepth <= 8 {
		return float64(img.Pix[v*img.Stride+u])
	}
	return float64(binary.LittleEndian.Uint16(img.Pix[v*img.Stride+2*u:]))
}

// stats are the mean of an image in counts, and the share of its pixels at the
// end of the range.
func stats(img holo.Image) (mean, saturated float64) {
	full := float64(int(1)<<img.BitDepth - 1)
	for v := range img.Height {
		for u := range img.Width {
			x := pixel(img, u, v)
			mean += x
			if x >= full {
				saturated++
			}
		}
	}
	n := float64(img.Width * img.Height)
	return mean / n, saturated / n
}
