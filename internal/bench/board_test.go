package bench_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/rig"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
)

// stamped is a bench whose frames say which pattern they are of.
func stamped(t *testing.T) *bench.Bench {
	t.Helper()
	c := sim.Ideal(6)
	c.Width, c.Height, c.Chip, c.Stamp = 32, 32, slm.Geometry{Width: 32, Height: 24}, true
	b, err := bench.New(t.Context(), c, "ideal", rig.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// someFresh returns patterns that were never shown.
func someFresh(random *rand.Rand, chip slm.Geometry, n int) []*slm.Pattern {
	patterns := make([]*slm.Pattern, n)
	for k := range patterns {
		patterns[k] = slm.NewPattern(chip)
		for u := range chip.Width {
			for v := range chip.Height {
				patterns[k].Set(u, v, random.IntN(2) == 1)
			}
		}
	}
	return patterns
}

// show shows patterns; what it shows without an error is right.
func show(t *testing.T, b *bench.Bench, patterns []*slm.Pattern) error {
	t.Helper()
	got := make([]uint64, len(patterns))
	err := b.Rig.Show(t.Context(), patterns, func(k int, f *camera.Frame) error {
		_, got[k] = sim.ReadStamp(f)
		return nil
	})
	for k, p := range patterns {
		if err == nil && got[k] != p.Hash() {
			t.Errorf("the frame of pattern %d shows another, and nobody was told", k)
		}
	}
	return err
}

// known says whether an error is one that callers can act on.
func known(err error) bool {
	return slices.ContainsFunc([]error{slm.ErrUnplugged, slm.ErrTimeout, slm.ErrProtocol, slm.ErrRefused, rig.ErrUnproven},
		func(e error) bool { return errors.Is(err, e) })
}

// failing lets one transfer from now on fail, and counts them. Garbage spares the bytes of
// images: they have no checksum but that of USB, so no driver can see it.
func failing(board *controller.Board, at int, kind controller.FaultKind) (seen *int) {
	seen = new(int)
	const imageData = 0x1A2B
	left, command := 0, uint16(0) // bytes of the present command
	board.SetFaults(func(x controller.Transfer) controller.FaultKind {
		if !x.In {
			if left <= 0 {
				left, command = 4+int(binary.LittleEndian.Uint16(x.Report[2:])), binary.LittleEndian.Uint16(x.Report[4:])
			}
			left -= len(x.Report)
		}
		*seen++
		if *seen-1 != at || kind == controller.Garbage && !x.In && command == imageData {
			return controller.NoFault
		}
		return kind
	})
	return seen
}

// patience is when a call must have ended whatever the board does.
const patience = 30 * time.Second

// A simulated bench is what the laboratory is: patterns reach its mirrors as reports, and no
// other way.
func TestPatternsGoThroughReports(t *testing.T) {
	b := stamped(t)
	defer b.Close()
	before := b.Sim.Board().Stats()
	if err := show(t, b, someFresh(rand.New(rand.NewPCG(1, 6)), b.Sim.Config().Chip, 5)); err != nil {
		t.Fatal(err)
	}
	if w := b.Sim.Board().Stats().Since(before); w.Starts == 0 || w.Exposures < 5 || w.ImageReports == 0 || w.Reports <= w.ImageReports {
		t.Errorf("to show 5 new patterns the board did %+v", w)
	}
	b.Sim.Board().SetFaults(func(controller.Transfer) controller.FaultKind { return controller.Stall })
	if err := show(t, b, someFresh(rand.New(rand.NewPCG(2, 6)), b.Sim.Config().Chip, 5)); err == nil {
		t.Error("without a board that hears, patterns were shown")
	}
}

// Transfers of an upload, a start and a wait fail, each in each way: frames are those of their
// patterns, or an error says what went wrong, and then the bench works again.
func TestFaultsOfTheBoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stamped(t)
		defer b.Close()
		board, random := b.Sim.Board(), rand.New(rand.NewPCG(3, 6))
		patterns := func() []*slm.Pattern { return someFresh(random, b.Sim.Config().Chip, 4) }
		if err := show(t, b, patterns()); err != nil { // learns the markers
			t.Fatal(err)
		}
		seen := failing(board, 0, controller.NoFault)
		if err := show(t, b, patterns()); err != nil {
			t.Fatal(err)
		}
		transfers, failed, cases := *seen, 0, 0
		for kind, k := range controller.FaultKinds() {
			for at := kind % 3; at < transfers; at += 3 { // every third, others for other kinds
				cases++
				failing(board, at, k)
				began := time.Now()
				err := show(t, b, patterns())
				if took := time.Since(began); took > patience {
					t.Errorf("%v at transfer %d: it took %v", k, at, took)
				}
				if err != nil {
					failed++
					if !known(err) {
						t.Errorf("%v at transfer %d: an error of no kind: %v", k, at, err)
					}
				}
				board.SetFaults(nil)
				board.Plug()
				if err := show(t, b, patterns()); err != nil {
					t.Fatalf("%v at transfer %d: afterwards: %v", k, at, err)
				}
			}
		}
		t.Logf("%d faults in %d transfers; %d were told, the others mended", cases, transfers, failed)
		if transfers < 30 || failed == 0 || failed == cases {
			t.Errorf("%d transfers, %d of %d faults told", transfers, failed, cases)
		}
	})
}

// A plug that is out is told until it is in again; then the board gets back what it had. What
// a hundred of them leave behind would keep the test from ending.
func TestReplugs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := stamped(t)
		defer b.Close()
		board := b.Sim.Board()
		patterns := someFresh(rand.New(rand.NewPCG(4, 6)), b.Sim.Config().Chip, 3)
		if err := show(t, b, patterns); err != nil {
			t.Fatal(err)
		}
		for cycle := range 100 {
			board.Unplug()
			if cycle%2 == 1 {
				board.PowerCycle() // its memory is lost, too
			}
			for range 2 {
				if err := show(t, b, patterns); !errors.Is(err, slm.ErrUnplugged) {
					t.Fatalf("cycle %d: unplugged: %v", cycle, err)
				}
			}
			board.Plug()
			if err := show(t, b, patterns); err != nil {
				t.Fatalf("cycle %d: plugged in again: %v", cycle, err)
			}
		}
	})
}

// Projections over a board that faults are right, or are not given.
func TestProjectOverFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := sim.Ideal(3)
		c.Width, c.Height, c.Chip = 96, 96, slm.Geometry{Width: 40, Height: 30}
		b, err := bench.Open(t.Context(), c, bench.Options{Features: 10, Outputs: 64, Seed: 3}, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		const rows = 3
		random, board := rand.New(rand.NewPCG(5, 6)), b.Sim.Board()
		project := func(ctx context.Context, x []int8) ([]complex64, error) {
			y := make([]complex64, rows*64)
			return y, b.OPU.Project(ctx, y, x)
		}
		told := 0
		for _, kind := range controller.FaultKinds() {
			for at := 0; at < 60; at += 13 {
				x := make([]int8, rows*10)
				for i := range x {
					x[i] = int8(random.IntN(3) - 1)
				}
				failing(board, at, kind)
				y, err := project(t.Context(), x)
				board.SetFaults(nil)
				board.Plug()
				want, again := project(t.Context(), x)
				if again != nil {
					t.Fatalf("%v at transfer %d: afterwards: %v", kind, at, again)
				}
				if err != nil {
					if told++; !known(err) {
						t.Errorf("%v at transfer %d: an error of no kind: %v", kind, at, err)
					}
					continue
				}
				for i := range y {
					if cmplx.Abs(complex128(y[i]-want[i])) > 1e-2 {
						t.Fatalf("%v at transfer %d: output %d is %v, without the fault %v", kind, at, i, y[i], want[i])
					}
				}
			}
		}
		if told == 0 {
			t.Error("no fault was told")
		}
	})
}
