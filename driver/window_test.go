package driver_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/sim"
)

// A window of the outputs is, to the last bit, what all outputs of the same frames have
// there: without noise, those of the same rows are the same. With few features the first
// 512 outputs of a frame also prove it.
func TestWindow(t *testing.T) {
	const outputs = 520
	for _, features := range []int{10, 100} {
		s := newSetup(t, small(9), features, outputs, driver.Options{})
		if proven := s.cal.Witness != nil; proven != (features == 10) {
			t.Fatalf("frames of %d features prove themselves: %v", features, proven)
		}
		x := randomTernary(4, 12, features)
		clear(x[3*features : 4*features])
		for i := range features { // a one-sided row
			x[5*features+i] = max(0, x[5*features+i])
		}
		want := s.project(t, x)
		for _, w := range []struct{ first, count int }{{0, outputs}, {0, 100}, {400, 100}, {515, 5}, {519, 1}, {3, 516}, {512, 8}, {511, 1}} {
			got := make([]complex64, 12*w.count)
			for i := range got {
				got[i] = complex(float32(math.NaN()), 0)
			}
			if err := s.opu.ProjectWindow(context.Background(), got, x, w.first, w.count); err != nil {
				t.Fatal(err)
			}
			for r := range 12 {
				if !slices.Equal(got[r*w.count:(r+1)*w.count], want[r*outputs+w.first:][:w.count]) {
					t.Fatalf("%d features: row %d of outputs %d to %d is not the one of all outputs", features, r, w.first, w.first+w.count)
				}
			}
		}
	}
}

func TestWindowRefused(t *testing.T) {
	s := newSetup(t, small(5), 10, 64, driver.Options{})
	x := randomTernary(1, 2, 10)
	for _, w := range []struct{ first, count, results int }{
		{-1, 1, 2}, {0, 0, 0}, {0, 65, 130}, {64, 1, 2}, {60, 5, 10}, {math.MaxInt, 1, 2}, {0, math.MaxInt, 2}, {0, 10, 19},
	} {
		if err := s.opu.ProjectWindow(context.Background(), make([]complex64, w.results), x, w.first, w.count); !errors.Is(err, driver.ErrInput) {
			t.Errorf("%d outputs from %d on into %d: %v, want ErrInput", w.count, w.first, w.results, err)
		}
	}
}

// BenchmarkWindow is what a quarter of the outputs of the usual sensor costs, of the time
// that all of them take in the same run.
func BenchmarkWindow(b *testing.B) {
	s := newSetup(b, sim.Good(1), 10, 3969, driver.Options{})
	x := randomTernary(2, 64, 10)
	whole := 0.0
	for _, m := range []int{3969, 1024} {
		b.Run(fmt.Sprintf("outputs=%d", m), func(b *testing.B) {
			y := make([]complex64, 64*m)
			for b.Loop() {
				if err := s.opu.ProjectWindow(b.Context(), y, x, 0, m); err != nil {
					b.Fatal(err)
				}
			}
			took := b.Elapsed().Seconds() / float64(64*b.N)
			if m == 3969 {
				whole = took
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(1/took, "projections/s")
			b.ReportMetric(took/whole, "x/all")
		})
	}
}
