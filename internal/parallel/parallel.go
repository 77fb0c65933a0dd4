// Package parallel splits a loop over the cores of the machine.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Do calls f for every i of 0..n-1 on up to GOMAXPROCS goroutines and returns
// when all calls have. The calls are taken one at a time, in order, so f should
// be worth a few microseconds. With one core, or one call, f runs in the
// caller's goroutine.
func Do(n int, f func(i int)) {
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			f(i)
		}
	}
	var wg sync.WaitGroup
	for range workers - 1 {
		wg.Go(work)
	}
	work()
	wg.Wait()
}
