package calib_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// Of faulty frames none is taken for good, and of good ones none is refused: with few
// features known by heart, and with tags. The bench stamps each frame with the pattern
// that it really shows. Set OPU_LONG for ten thousand of either.
func TestProverFindsEveryFault(t *testing.T) {
	frames, vectors := 100, 40
	if os.Getenv("OPU_LONG") != "" {
		frames, vectors = 10000, 150
	}
	for _, x := range []struct {
		name     string
		features int
		tags     bool
	}{{"features", 10, false}, {"tags", 100, true}} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			c := sim.Good(3)
			c.Stamp = true
			if !x.tags {
				c.Width, c.Height = 128, 128
			}
			r, bench := table(t, c)
			cal, err := calib.Learn(t.Context(), r, calib.Options{
				Layout: slm.LayoutSpec{Kind: slm.Blocks, Features: x.features}, Outputs: 64, Tags: x.tags,
			})
			if err != nil {
				t.Fatal(err)
			}
			prover, err := cal.Prover()
			if err != nil || prover == nil {
				t.Fatal(prover, err)
			}
			spec, err := cal.LayoutSpec()
			if err != nil {
				t.Fatal(err)
			}
			layout, err := slm.NewLayout(spec)
			if err != nil {
				t.Fatal(err)
			}
			demodulator, err := cal.Demodulator(prover.Outputs())
			if err != nil {
				t.Fatal(err)
			}
			var good, falseAlarms, faulty, missed atomic.Int64
			// A pool of vectors, whose light the bench keeps.
			draw := rand.New(rand.NewPCG(9, uint64(x.features)))
			vector := make([]int8, x.features)
			pool, codes := make([]*slm.Pattern, vectors), make([]uint64, vectors)
			for k := range pool {
				for i := range vector {
					vector[i] = int8(draw.IntN(2))
				}
				pool[k] = slm.NewPattern(c.Chip)
				layout.Encode(pool[k], vector, 1)
				codes[k] = prover.Dress(pool[k], vector, 1)
			}
			const perRun = 60 // no marker lies within, so that no run is discarded
			// show judges the frames of a batch until there are enough of what want counts.
			show := func(want *atomic.Int64) {
				for want.Load() < int64(frames) {
					patterns, bits := make([]*slm.Pattern, perRun), make([]uint64, perRun)
					for k := range patterns {
						i := draw.IntN(len(pool))
						patterns[k], bits[k] = pool[i], codes[i]
					}
					err := r.Show(t.Context(), patterns, func(k int, f *camera.Frame) error {
						z := make([]complex64, prover.Outputs())
						if err := demodulator.Demodulate(z, calib.Image(f)); err != nil {
							return err
						}
						_, shown := sim.ReadStamp(f)
						_, err := prover.Judge(z, bits[k])
						refused := errors.Is(err, rig.ErrWrongPattern)
						switch wrong := shown != patterns[k].Hash(); {
						case wrong && !refused:
							missed.Add(1)
							fallthrough
						case wrong:
							faulty.Add(1)
						case refused:
							falseAlarms.Add(1)
							fallthrough
						default:
							good.Add(1)
						}
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
				}
			}
			show(&good)
			if n := faulty.Load(); n > 0 {
				t.Errorf("%d frames of an undisturbed bench show another pattern", n)
			}
			// Half of the frames are swapped with the next, that of the pattern before, or of a
			// stranger: another vector, random mirrors or none.
			faults := rand.New(rand.NewPCG(7, 7))
			strangers := append([]*slm.Pattern{calib.FinePattern(c.Chip, 1), slm.NewPattern(c.Chip)}, pool[:30]...)
			bench.SetFaults(func(e sim.Exposure) sim.Fault {
				if faults.IntN(2) > 0 || e.Position < 3 || e.Position > e.Of-4 {
					return sim.Fault{}
				}
				kinds := []sim.FaultKind{sim.StalePattern, sim.SwapPatterns, sim.StrayPattern}
				return sim.Fault{Kind: kinds[faults.IntN(3)], Pattern: strangers[faults.IntN(len(strangers))]}
			})
			show(&faulty)
			t.Logf("%d good frames, %d of them refused; %d faulty frames, %d of them taken", good.Load(), falseAlarms.Load(), faulty.Load(), missed.Load())
			if missed.Load() > 0 || falseAlarms.Load() > 0 {
				t.Errorf("of %d faulty frames %d were taken, of %d good ones %d refused", faulty.Load(), missed.Load(), good.Load(), falseAlarms.Load())
			}
		})
	}
}
