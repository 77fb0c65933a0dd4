package queue_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/internal/queue"
)

const inputs, outputs = 5, 3

// A device that takes a millisecond a row, and writes down what it was asked.
type device struct {
	batches [][]int8
	windows []queue.Window
	fail    error
	inUse   bool
}

func (d *device) project(ctx context.Context, dst []complex64, x []int8, w queue.Window) error {
	if d.inUse {
		panic("two calls at once")
	}
	d.inUse = true
	defer func() { d.inUse = false }()
	d.batches, d.windows = append(d.batches, slices.Clone(x)), append(d.windows, w)
	for i := range dst { // what an interrupted call leaves
		dst[i] = -1
	}
	select {
	case <-time.After(time.Duration(len(x)/inputs) * time.Millisecond):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if d.fail != nil {
		return d.fail
	}
	compute(dst, x, w)
	return nil
}

// all is the window of all outputs.
var all = queue.Window{First: 0, Count: outputs}

// compute makes rows that depend on all of x's row and on nothing else.
func compute(dst []complex64, x []int8, w queue.Window) {
	for r := range len(x) / inputs {
		for j := range w.Count {
			var sum complex64
			for i, v := range x[r*inputs : (r+1)*inputs] {
				sum = sum*3 + complex(float32(v), float32(i*(w.First+j)))
			}
			dst[r*w.Count+j] = sum
		}
	}
}

// start returns a running queue. It is stopped, and must stop, at the end of the test.
func start(t *testing.T, o queue.Options) *queue.Queue {
	t.Helper()
	o.Inputs, o.Outputs = inputs, outputs
	q, err := queue.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error)
	go func() { ran <- q.Run(t.Context()) }()
	t.Cleanup(func() {
		q.Close()
		if err := <-ran; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
	return q
}

// project collects the result of x.
func project(ctx context.Context, q *queue.Queue, client any, work int, x []int8) ([]complex64, queue.Timing, error) {
	var y []complex64
	timing, err := q.Project(ctx, client, work, all, x, func(row int, piece []complex64) {
		if row*outputs != len(y) {
			panic(fmt.Sprintf("row %d came after %d entries", row, len(y)))
		}
		y = append(y, piece...)
	})
	return y, timing, err
}

// into is project with Into.
func into(ctx context.Context, q *queue.Queue, client any, work int, x []int8) ([]complex64, queue.Timing, error) {
	y := make([]complex64, len(x)/inputs*outputs)
	timing, err := q.Into(ctx, client, work, all, y, x)
	return y, timing, err
}

func randomRows(seed uint64, rows int) []int8 {
	random := rand.New(rand.NewPCG(seed, 2))
	x := make([]int8, rows*inputs)
	for i := range x {
		x[i] = int8(random.IntN(3) - 1)
	}
	return x
}

func want(x []int8) []complex64 {
	y := make([]complex64, len(x)/inputs*outputs)
	compute(y, x, all)
	return y
}

// Eight clients with requests of all sizes, some of which give up, get exactly what
// they would get alone.
func TestEightClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		q := start(t, queue.Options{BatchRows: 16, Works: []queue.Work{d.project}})
		var wg sync.WaitGroup
		for client := range 8 {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(client), 1))
				for n := range 50 {
					x := randomRows(random.Uint64(), random.IntN(1<<client))
					ctx := t.Context()
					if random.IntN(4) == 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, time.Duration(random.IntN(20))*time.Millisecond)
						defer cancel()
					}
					ask := project
					if client%2 == 1 {
						ask = into
					}
					y, _, err := ask(ctx, q, client, 0, x)
					if ctx.Err() == nil && err != nil {
						t.Errorf("client %d, request %d: %v", client, n, err)
					}
					if err == nil && !slices.Equal(y, want(x)) {
						t.Errorf("client %d, request %d of %d rows: not what it would be alone", client, n, len(x)/inputs)
					}
					clear(x) // it is the caller's again
				}
			})
		}
		wg.Wait()
		for _, b := range d.batches {
			if len(b) == 0 || len(b) > 16*inputs {
				t.Errorf("a batch has %d entries, want 1 to 16 rows", len(b))
			}
		}
		s := q.Stats()
		if s.Requests != 0 || s.Rows != 0 || s.Abandoned == 0 || s.Batches == 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// Small requests that wait together travel together.
func TestBatchesAcrossClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		q := start(t, queue.Options{BatchRows: 16, Works: []queue.Work{d.project}})
		var wg sync.WaitGroup
		for client := range 9 {
			wg.Go(func() {
				if _, _, err := project(t.Context(), q, client, 0, randomRows(1, 1)); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		if len(d.batches) != 2 || len(d.batches[1]) != 8*inputs {
			t.Errorf("%d batches, want the first request's and one with the eight that came meanwhile", len(d.batches))
		}
	})
}

// A large request leaves a small one at most the batch under way and its own.
func TestSmallBesideLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		q := start(t, queue.Options{BatchRows: 100, Works: []queue.Work{d.project}})
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, err := project(t.Context(), q, "large", 0, randomRows(1, 10000)); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		for range 20 {
			begin := time.Now()
			_, timing, err := project(t.Context(), q, "small", 0, randomRows(2, 1))
			if took := time.Since(begin); err != nil || took > 200*time.Millisecond {
				t.Errorf("the small request took %v (%v), want two batches at most", took, err)
			}
			if timing.Device != 100*time.Millisecond || timing.Queued > 100*time.Millisecond || timing.Batches != 1 {
				t.Errorf("its timing is %+v", timing)
			}
			time.Sleep(17 * time.Millisecond)
		}
		wg.Wait()
	})
}

// Each of several large requests gets its share, also when there are more of them
// than rows in a batch.
func TestFair(t *testing.T) {
	for _, clients := range []int{2, 5, 16, 40} {
		synctest.Test(t, func(t *testing.T) {
			d := new(device)
			q := start(t, queue.Options{BatchRows: 16, Works: []queue.Work{d.project}})
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
			defer cancel()
			got := make([]int, clients)
			var wg sync.WaitGroup
			for client := range clients {
				wg.Go(func() {
					q.Project(ctx, client, 0, all, randomRows(1, 100000), func(_ int, y []complex64) { got[client] += len(y) / outputs })
				})
			}
			wg.Wait()
			if least, most := slices.Min(got), slices.Max(got); least == 0 || most-least > 32 {
				t.Errorf("%d clients got %v rows of 4000: not alike", clients, got)
			}
		})
	}
}

func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		q := start(t, queue.Options{BatchRows: 50, Works: []queue.Work{d.project}})
		cause := errors.New("the client is gone")
		leave := func(after time.Duration) context.Context {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(after, func() { cancel(cause) })
			return ctx
		}

		// Alone: the batch under way is cancelled as well.
		begin := time.Now()
		_, _, err := project(leave(70*time.Millisecond), q, 1, 0, randomRows(1, 1000))
		if took := time.Since(begin); !errors.Is(err, cause) || took != 70*time.Millisecond {
			t.Errorf("got %v after %v, want the cause when it came", err, took)
		}
		begin = time.Now()
		if _, _, err := project(t.Context(), q, 2, 0, randomRows(2, 1)); err != nil || time.Since(begin) != time.Millisecond {
			t.Errorf("the next request took %v (%v), want 1 ms", time.Since(begin), err)
		}
		if len(d.batches) != 3 {
			t.Errorf("%d batches, want 2 of the one that left and 1", len(d.batches))
		}

		// Beside another: that one is not disturbed.
		var wg sync.WaitGroup
		wg.Go(func() { project(leave(30*time.Millisecond), q, 1, 0, randomRows(1, 1000)) })
		synctest.Wait() // its first 50 rows are under way
		wg.Go(func() { project(leave(70*time.Millisecond), q, 2, 0, randomRows(1, 25)) })
		x := randomRows(3, 75)
		y, _, err := project(t.Context(), q, 3, 0, x)
		if err != nil || !slices.Equal(y, want(x)) {
			t.Errorf("whoever stayed got %v", err)
		}
		wg.Wait()
		if s := q.Stats(); s.Abandoned != 3 || s.Requests != 0 {
			t.Errorf("got %+v, want 3 abandoned and none left", s)
		}

		// Before it began.
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		if _, _, err := project(ctx, q, 1, 0, x); !errors.Is(err, cause) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}

func TestFullAndClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		q := start(t, queue.Options{BatchRows: 4, MaxRequests: 3, Works: []queue.Work{d.project}})
		var wg sync.WaitGroup
		for client := range 3 {
			x := randomRows(uint64(client), 10)
			wg.Go(func() {
				if y, _, err := project(context.Background(), q, client, 0, x); err != nil || !slices.Equal(y, want(x)) {
					t.Errorf("a request that was let in: %v", err)
				}
			})
		}
		synctest.Wait()
		if _, _, err := project(t.Context(), q, 4, 0, randomRows(1, 1)); !errors.Is(err, queue.ErrFull) {
			t.Errorf("the fourth request: %v, want ErrFull", err)
		}
		q.Close()
		if _, _, err := project(t.Context(), q, 4, 0, randomRows(1, 1)); !errors.Is(err, queue.ErrClosed) {
			t.Errorf("a request after Close: %v, want ErrClosed", err)
		}
		wg.Wait() // what is in is served
		if s := q.Stats(); s.Refused != 1 || s.BatchRows != 30 {
			t.Errorf("got %+v, want 1 refused and 30 rows", s)
		}
	})
}

// When Run is told to end, nobody is left waiting.
func TestRunEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		q, err := queue.New(queue.Options{Inputs: inputs, Outputs: outputs, BatchRows: 4, Works: []queue.Work{d.project}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		for client := range 3 {
			wg.Go(func() {
				if _, _, err := project(t.Context(), q, client, 0, randomRows(1, 1000)); !errors.Is(err, queue.ErrClosed) {
					t.Errorf("got %v, want ErrClosed", err)
				}
			})
		}
		if err := q.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run returned %v", err)
		}
		wg.Wait()
	})
}

// A batch that fails fails for everyone in it, and the next one works.
func TestFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &device{fail: errors.New("the laser is off")}
		q := start(t, queue.Options{BatchRows: 4, Works: []queue.Work{d.project}})
		var wg sync.WaitGroup
		for client := range 6 {
			wg.Go(func() {
				if _, _, err := project(t.Context(), q, client, 0, randomRows(1, 100)); !errors.Is(err, d.fail) {
					t.Errorf("got %v, want the device's error", err)
				}
			})
		}
		wg.Wait()
		if len(d.batches) > 6 {
			t.Errorf("%d batches for 6 requests: rows went on after the failure of others", len(d.batches))
		}
		d.fail = nil
		if _, _, err := project(t.Context(), q, 1, 0, randomRows(1, 100)); err != nil {
			t.Error(err)
		}
	})
}

// Whoever looks at results is not overrun by the next batches, and those go on.
func TestResultsStayWhileTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		q := start(t, queue.Options{BatchRows: 4, Works: []queue.Work{d.project}})
		x := randomRows(1, 4)
		_, err := q.Project(t.Context(), "slow", 0, all, x, func(row int, y []complex64) {
			for k := range 5 {
				other := randomRows(uint64(k+2), 10)
				if got, _, err := project(t.Context(), q, "other", 0, other); err != nil || !slices.Equal(got, want(other)) {
					t.Errorf("while results are looked at, others get %v", err)
				}
			}
			if !slices.Equal(y, want(x)[row*outputs:(row+1)*outputs]) {
				t.Error("the results changed while they were looked at")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// Whoever waits alone has the device write where the results are wanted, and whoever
// shares batches gets a copy.
func TestInto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		var last []complex64 // where the device was told to write
		q := start(t, queue.Options{BatchRows: 4, Works: []queue.Work{func(ctx context.Context, dst []complex64, x []int8, w queue.Window) error {
			last = dst
			return d.project(ctx, dst, x, w)
		}}})
		x := randomRows(1, 10)
		y, timing, err := into(t.Context(), q, 1, 0, x)
		if err != nil || !slices.Equal(y, want(x)) || timing.Batches != 3 || &last[0] != &y[8*outputs] {
			t.Errorf("alone: %v after %d batches, the last of which is in place: %v (%v)", y, timing.Batches, &last[0] == &y[8*outputs], err)
		}
		var wg sync.WaitGroup
		for client := range 3 {
			wg.Go(func() {
				x := randomRows(uint64(client), 7)
				if y, _, err := into(t.Context(), q, client, 0, x); err != nil || !slices.Equal(y, want(x)) {
					t.Errorf("client %d of three: %v, want %v (%v)", client, y, want(x), err)
				}
			})
		}
		wg.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, _, err := into(ctx, q, 1, 0, x); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("too short a time: %v", err)
		}
		if _, err := q.Into(t.Context(), 1, 0, all, make([]complex64, 5), x); !errors.Is(err, queue.ErrInput) {
			t.Errorf("10 rows into 5 results: %v", err)
		}
	})
}

// Each gets the outputs that it wants, whoever shares the batch; and the work is asked for
// no others than somebody in the batch wants.
func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		q := start(t, queue.Options{BatchRows: 8, Works: []queue.Work{d.project}})
		var wg sync.WaitGroup
		ask := func(client int, w queue.Window) {
			x := randomRows(uint64(client), 3)
			expected := make([]complex64, 3*w.Count)
			compute(expected, x, w)
			wg.Go(func() {
				y := make([]complex64, len(expected))
				var err error
				if client%2 == 0 {
					_, err = q.Into(t.Context(), client, 0, w, y, x)
				} else {
					_, err = q.Project(t.Context(), client, 0, w, x, func(row int, z []complex64) { copy(y[row*w.Count:], z) })
				}
				if err != nil || !slices.Equal(y, expected) {
					t.Errorf("client %d wants %+v and gets %v, want %v (%v)", client, w, y, expected, err)
				}
			})
			synctest.Wait() // the first is under way, the others come together
		}
		ask(0, queue.Window{First: 1, Count: 1})
		ask(1, queue.Window{First: 2, Count: 1})
		ask(2, queue.Window{First: 1, Count: 2})
		wg.Wait()
		if want := []queue.Window{{First: 1, Count: 1}, {First: 1, Count: 2}}; !slices.Equal(d.windows, want) {
			t.Errorf("the work was asked for %+v, want %+v", d.windows, want)
		}
		for client, w := range []queue.Window{{First: 0, Count: 1}, {First: 2, Count: 1}, {First: 0, Count: 3}, {First: 1, Count: 1}} {
			ask(client, w)
		}
		wg.Wait()
	})
}

// Different works never share a batch, and Do has the device for itself.
func TestWorksAndDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(device)
		negative := func(ctx context.Context, dst []complex64, x []int8, w queue.Window) error {
			err := d.project(ctx, dst, x, w)
			for i := range dst {
				dst[i] = -dst[i]
			}
			return err
		}
		q := start(t, queue.Options{BatchRows: 8, Works: []queue.Work{d.project, negative}})
		var wg sync.WaitGroup
		for client := range 12 {
			wg.Go(func() {
				if client%3 == 2 {
					err := q.Do(t.Context(), client, func(ctx context.Context) error {
						if d.inUse {
							t.Error("Do while the device is in use")
						}
						d.inUse = true
						time.Sleep(time.Millisecond)
						d.inUse = false
						return ctx.Err()
					})
					if err != nil {
						t.Error(err)
					}
					return
				}
				x := randomRows(uint64(client), 20)
				y, _, err := project(t.Context(), q, client, client%3, x)
				expected := want(x)
				for i := range expected {
					expected[i] *= complex(float32(1-2*(client%3)), 0)
				}
				if err != nil || !slices.Equal(y, expected) {
					t.Errorf("client %d: %v, or the wrong work", client, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestBadInput(t *testing.T) {
	d := new(device)
	if _, err := queue.New(queue.Options{Inputs: 1, Outputs: 0, BatchRows: 1, Works: []queue.Work{d.project}}); !errors.Is(err, queue.ErrInput) {
		t.Errorf("no outputs: %v", err)
	}
	q := start(t, queue.Options{BatchRows: 4, Works: []queue.Work{d.project}})
	for _, c := range []struct {
		work, entries int
	}{{0, inputs + 1}, {1, inputs}, {-1, inputs}} {
		if _, _, err := project(t.Context(), q, 1, c.work, make([]int8, c.entries)); !errors.Is(err, queue.ErrInput) {
			t.Errorf("%+v: %v, want ErrInput", c, err)
		}
	}
	for _, w := range []queue.Window{{}, {First: -1, Count: 1}, {First: 0, Count: outputs + 1}, {First: outputs, Count: 1}, {First: math.MaxInt, Count: math.MaxInt}} {
		if _, err := q.Into(t.Context(), 1, 0, w, nil, nil); !errors.Is(err, queue.ErrInput) {
			t.Errorf("%+v of %d outputs: %v, want ErrInput", w, outputs, err)
		}
	}
	if y, _, err := project(t.Context(), q, 1, 0, nil); err != nil || len(y) != 0 {
		t.Errorf("no rows: %v, %v", y, err)
	}
}
