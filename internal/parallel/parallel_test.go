package parallel_test

import (
	"sync/atomic"
	"testing"

	"github.com/light-in-the-loop/opu/internal/parallel"
)

func TestEveryIndexOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 1000} {
		seen := make([]atomic.Int32, n)
		parallel.Do(n, func(i int) { seen[i].Add(1) })
		for i := range seen {
			if got := seen[i].Load(); got != 1 {
				t.Errorf("n = %d: index %d was visited %d times", n, i, got)
			}
		}
	}
}
