// Package queue shares a device that multiplies rows by a matrix among clients who
// know nothing of each other.
//
//	q, err := queue.New(queue.Options{Inputs: n, Outputs: m, BatchRows: 128, Works: []queue.Work{opu.Project}})
//	go q.Run(ctx) // the one goroutine that uses the device
//	timing, err := q.Project(ctx, client, 0, queue.Window{0, m}, x, func(row int, y []complex64) { ... })
//
// Clients take turns. A batch has an equal share of rows for each client that waits,
// and what some leave over for the others: many small requests travel together, and a
// large one is cut and never keeps a small one waiting for more than the batch under
// way. A request whose context ends leaves the queue at once; the batch that is under
// way is cancelled when nobody waits for it any longer.
//
// Memory is bounded: two batches of results, and the number of requests. Who has no
// place is told so at once (ErrFull).
package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The conditions that callers act on.
var (
	ErrFull   = errors.New("the queue is full")
	ErrClosed = errors.New("the queue is closed")
	ErrInput  = errors.New("bad input")
)

// Work computes rows: x holds rows of inputs, dst as many rows of the outputs in the
// window. It ends when ctx does, and is called by one goroutine, one call at a time.
type Work func(ctx context.Context, dst []complex64, x []int8, w Window) error

// Window is a run of the outputs: Count of them, from First on.
type Window struct{ First, Count int }

// with is the smallest window that has both in it.
func (w Window) with(v Window) Window {
	first := min(w.First, v.First)
	return Window{first, max(w.First+w.Count, v.First+v.Count) - first}
}

// Options say what is shared.
type Options struct {
	Inputs, Outputs int // of a row
	BatchRows       int // at most in one call of a Work
	MaxRequests     int // waiting or under way, all clients together; 0 means 256

	// Works are what can be asked for, each with rows of the same shape.
	Works []Work
}

// Queue shares a device. Its methods may be called from any goroutine.
type Queue struct {
	options Options
	results chan []complex64 // buffers that are free
	wake    chan struct{}    // something has changed for Run; capacity 1
	ended   chan struct{}    // closed when Run has returned

	mu      sync.Mutex
	turns   []*line       // those with rows that no batch has, the next one first
	lines   map[any]*line // the same, by client
	pending int           // requests that wait or are under way
	closed  bool
	stats   Stats
}

// line is the requests of one client, in order.
type line struct {
	client   any
	requests []*request
	granted  int // rows of the batch that is being made
}

// request is what a caller waits for: rows, or the device for itself.
type request struct {
	do   func(context.Context) error // nil: rows
	work int
	x    []int8
	of   Window // the outputs that are wanted
	rows int
	next int         // the first row that no batch has
	dst  []complex64 // of Into; nil: results are taken from buffers

	// parts are what came back. There are never more of them than buffers.
	parts chan part

	batch   *batch // under way with rows of it; guarded by the queue's mu
	granted int    // of the batch that is being made
	gone    bool   // nobody waits for it

	entered, began time.Time
}

// Stats counts what a queue did. Requests and Rows are those of now, the others only
// grow.
type Stats struct {
	Requests int `json:"requests"` // waiting or under way
	Rows     int `json:"rows"`     // waiting, in no batch yet

	Batches   uint64        `json:"batches"`
	BatchRows uint64        `json:"batch_rows"`
	Busy      time.Duration `json:"busy_ns"`   // in a Work
	Refused   uint64        `json:"refused"`   // ErrFull
	Abandoned uint64        `json:"abandoned"` // requests whose context ended
}

// buffers is how many batches of results there are: one is filled while the other
// is taken.
const buffers = 2

// New makes a queue. Nothing happens until Run.
func New(o Options) (*Queue, error) {
	if o.MaxRequests == 0 {
		o.MaxRequests = 256
	}
	if o.Inputs < 1 || o.Outputs < 1 || o.BatchRows < 1 || o.MaxRequests < 1 || len(o.Works) == 0 {
		return nil, fmt.Errorf("cannot make a queue of %d inputs, %d outputs, %d rows a batch, %d requests and %d works: all must be at least 1: %w",
			o.Inputs, o.Outputs, o.BatchRows, o.MaxRequests, len(o.Works), ErrInput)
	}
	q := &Queue{
		options: o,
		results: make(chan []complex64, buffers),
		wake:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		lines:   map[any]*line{},
	}
	for range buffers {
		q.results <- nil // made when first needed
	}
	return q, nil
}

// Timing says where the time of a request went.
type Timing struct {
	Queued  time.Duration // until its first row was shown
	Device  time.Duration // of the batches with rows of it, those of others included
	Batches int
}

// Project has work i done for the rows of x, whenever it is the client's turn. The
// caller's goroutine gets the results through take, row by row in order: y holds the
// outputs w of the row, and is valid during the call. Where all requests of a batch want
// but a window of the outputs, no others are asked of the work. Client is any comparable
// value.
//
// It blocks until all rows are done, the work fails, ctx ends (its cause is
// returned), or the queue is closed. On an error take may have seen some rows, and
// none must be used. x is not read after Project has returned.
func (q *Queue) Project(ctx context.Context, client any, i int, w Window, x []int8, take func(row int, y []complex64)) (Timing, error) {
	if err := q.check(i, w, x); err != nil {
		return Timing{}, err
	}
	return q.serve(ctx, client, &request{work: i, of: w, x: x, rows: len(x) / q.options.Inputs}, take)
}

// Into is Project with the results in dst, which is as long as they are. Batches that are
// for this request alone are computed there, without a copy. On an error dst must be left
// to the garbage collector, unless the next thing that is done with it is another Into:
// the device may write to it until it has noticed that nobody waits.
func (q *Queue) Into(ctx context.Context, client any, i int, w Window, dst []complex64, x []int8) (Timing, error) {
	if err := q.check(i, w, x); err != nil {
		return Timing{}, err
	}
	r := &request{work: i, of: w, x: x, rows: len(x) / q.options.Inputs, dst: dst}
	if len(dst) != r.rows*w.Count {
		return Timing{}, fmt.Errorf("cannot queue %d rows for %d results: rows have %d: %w", r.rows, len(dst), w.Count, ErrInput)
	}
	return q.serve(ctx, client, r, func(row int, y []complex64) {
		if to := dst[row*w.Count:]; &to[0] != &y[0] {
			copy(to, y)
		}
	})
}

// check says whether rows can be queued for a window of the outputs of work i.
func (q *Queue) check(i int, w Window, x []int8) error {
	if m := q.options.Outputs; w.First < 0 || w.Count < 1 || w.First > m || w.Count > m-w.First {
		return fmt.Errorf("cannot queue work for %d outputs from %d on: there are %d: %w", w.Count, w.First, m, ErrInput)
	}
	if i < 0 || i >= len(q.options.Works) || len(x)%q.options.Inputs != 0 {
		return fmt.Errorf("cannot queue %d entries for work %d: rows have %d entries, and there are %d works: %w",
			len(x), i, q.options.Inputs, len(q.options.Works), ErrInput)
	}
	return nil
}

// serve sees a request through.
func (q *Queue) serve(ctx context.Context, client any, r *request, take func(row int, y []complex64)) (Timing, error) {
	var timing Timing
	if r.rows == 0 {
		return timing, nil
	}
	r.parts = make(chan part, buffers)
	if err := q.enter(ctx, client, r); err != nil {
		return timing, err
	}
	defer q.leave(r)
	for taken := 0; taken < r.rows; {
		p, err := q.await(ctx, r)
		if err != nil {
			return timing, err
		}
		timing.Device += p.took
		timing.Batches++
		for i := range p.rows {
			take(p.first+i, p.row(i))
		}
		q.release(p.batch)
		taken += p.rows
	}
	timing.Queued = r.began.Sub(r.entered)
	return timing, nil
}

// Do calls f when it is the client's turn, with the device at rest. It blocks like
// Project; f's context ends when the caller's does.
func (q *Queue) Do(ctx context.Context, client any, f func(context.Context) error) error {
	r := &request{do: f, rows: 1, parts: make(chan part, buffers)}
	if err := q.enter(ctx, client, r); err != nil {
		return err
	}
	defer q.leave(r)
	p, err := q.await(ctx, r)
	if err == nil {
		q.release(p.batch)
	}
	return err
}

// Close lets no new requests in. Run returns when those that are in have been served.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

// Stats returns the counters.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Requests = q.pending
	for _, l := range q.turns {
		for _, r := range l.requests {
			if r.do == nil {
				s.Rows += r.rows - r.next
			}
		}
	}
	return s
}

// signal tells Run to look again.
func (q *Queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // it has been told
	}
}

// enter puts a request at the end of its client's line.
func (q *Queue) enter(ctx context.Context, client any, r *request) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.entered = time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return fmt.Errorf("cannot queue %d rows: %w", r.rows, ErrClosed)
	}
	if q.pending >= q.options.MaxRequests {
		q.stats.Refused++
		return fmt.Errorf("cannot queue %d rows: %d requests are waiting, the most that may; try again later: %w", r.rows, q.pending, ErrFull)
	}
	l := q.lines[client]
	if l == nil {
		l = &line{client: client}
		q.lines[client] = l
		q.turns = append(q.turns, l)
	}
	l.requests = append(l.requests, r)
	q.pending++
	q.signal()
	return nil
}

// await returns what comes back next. Whoever gets a part without an error releases
// its batch.
func (q *Queue) await(ctx context.Context, r *request) (part, error) {
	select {
	case p := <-r.parts:
		return q.received(p)
	case <-ctx.Done():
		q.mu.Lock()
		q.stats.Abandoned++
		q.mu.Unlock()
		return part{}, context.Cause(ctx)
	case <-q.ended:
	}
	select {
	case p := <-r.parts: // the last thing that Run did
		return q.received(p)
	default:
		return part{}, fmt.Errorf("cannot finish %d rows: %w", r.rows, ErrClosed)
	}
}

func (q *Queue) received(p part) (part, error) {
	if p.err != nil {
		q.release(p.batch)
	}
	return p, p.err
}

// leave takes a request out of the queue, done or not.
func (q *Queue) leave(r *request) {
	q.mu.Lock()
	r.gone = true
	q.pending--
	if b := r.batch; b != nil {
		if b.waiting--; b.waiting == 0 && b.cancel != nil {
			b.cancel()
		}
	}
	q.mu.Unlock()
	q.signal()
	for { // nobody sends any more
		select {
		case p := <-r.parts:
			q.release(p.batch)
		default:
			return
		}
	}
}
