package queue

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// batch is what the device does at a time.
type batch struct {
	do    func(context.Context) error // nil: rows
	work  int
	of    Window // the outputs that are computed
	parts []part
	x     []int8
	y     []complex64 // a buffer of the queue's
	dst   []complex64 // of the only request; nil: results go to y

	// Guarded by the queue's mu.
	waiting int                // requests that still want it
	cancel  context.CancelFunc // for when none does
	holders int                // of y
}

// part is the rows of one request in a batch, or the end of the request.
type part struct {
	request     *request
	first, rows int         // of the request
	y           []complex64 // rows of the batch's outputs
	took        time.Duration
	batch       *batch // whose buffer y is
	err         error
}

// row is what the request wants of its row i in the part.
func (p *part) row(i int) []complex64 {
	r, of := p.request.of, p.batch.of
	y := p.y[i*of.Count+r.First-of.First:]
	return y[:r.Count:r.Count]
}

// Run serves the requests. It returns nil when the queue is closed and empty; when
// ctx ends it returns its cause, and whoever still waits gets ErrClosed. It must be
// called once.
func (q *Queue) Run(ctx context.Context) error {
	defer close(q.ended)
	defer q.Close()
	var x []int8
	for {
		var y []complex64
		select {
		case y = <-q.results:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		b, last := q.next(ctx, x, y)
		for b == nil && !last {
			select {
			case <-q.wake:
				b, last = q.next(ctx, x, y)
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if last {
			return nil
		}
		x = b.x
		q.run(ctx, b)
	}
}

// next makes the batch whose turn it is, into the given memory. There is none while
// nobody waits, and last is set when nobody will.
func (q *Queue) next(ctx context.Context, x []int8, y []complex64) (b *batch, last bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tidy()
	if len(q.turns) == 0 {
		return nil, q.closed
	}
	head := q.turns[0].requests[0]
	b = &batch{do: head.do, work: head.work, x: x[:0], y: y}
	var served []*request
	if b.do != nil {
		head.granted, q.turns[0].granted = 1, 1
		served = []*request{head}
	} else {
		served = q.grant(b.work)
	}
	for _, r := range served {
		p := part{request: r, first: r.next, rows: r.granted, batch: b}
		if r.do == nil {
			if b.of = b.of.with(r.of); len(b.parts) == 0 {
				b.of = r.of
			}
			b.x = append(b.x, r.x[r.next*q.options.Inputs:(r.next+r.granted)*q.options.Inputs]...)
		}
		if r.next == 0 {
			r.began = time.Now()
		}
		if r.dst != nil && len(served) == 1 {
			b.dst = r.dst[r.next*r.of.Count : (r.next+r.granted)*r.of.Count]
		}
		r.next, r.granted, r.batch = r.next+r.granted, 0, b
		b.parts = append(b.parts, p)
	}
	b.waiting = len(b.parts)
	// Whoever got much goes behind those who got less.
	slices.SortStableFunc(q.turns, func(l, m *line) int { return l.granted - m.granted })
	for _, l := range q.turns {
		l.granted = 0
	}
	q.tidy()
	return b, false
}

// grant shares the rows of a batch: equally among the clients whose turn is such work,
// then what is left in turn. It returns the requests that got some.
func (q *Queue) grant(work int) (served []*request) {
	var takers []*line
	for _, l := range q.turns {
		if r := l.requests[0]; r.do == nil && r.work == work {
			takers = append(takers, l)
		}
	}
	room := q.options.BatchRows
	for _, most := range []int{max(1, room/len(takers)), room} {
		for _, l := range takers {
			most := most
			for _, r := range l.requests {
				if r.do != nil || r.work != work {
					break
				}
				n := min(room, most, r.rows-r.next-r.granted)
				if n > 0 && r.granted == 0 {
					served = append(served, r)
				}
				r.granted, l.granted = r.granted+n, l.granted+n
				room, most = room-n, most-n
			}
		}
	}
	return served
}

// tidy takes out what needs no turn: requests whose rows all are in batches or that
// nobody waits for, and lines without requests.
func (q *Queue) tidy() {
	q.turns = slices.DeleteFunc(q.turns, func(l *line) bool {
		l.requests = slices.DeleteFunc(l.requests, func(r *request) bool { return r.gone || r.next == r.rows })
		if len(l.requests) == 0 {
			delete(q.lines, l.client)
		}
		return len(l.requests) == 0
	})
}

// run has the batch done and gives everyone their part.
func (q *Queue) run(outer context.Context, b *batch) {
	ctx, cancel := context.WithCancel(outer)
	defer cancel()
	q.mu.Lock()
	b.cancel = cancel
	if b.waiting == 0 { // they all went before it began
		cancel()
	}
	q.mu.Unlock()

	var err error
	rows := len(b.x) / q.options.Inputs
	start := time.Now()
	switch {
	case b.do != nil:
		rows = 0
		err = b.do(ctx)
	case b.dst != nil:
		err = q.options.Works[b.work](ctx, b.dst, b.x, b.of)
	default:
		if b.y == nil {
			b.y = make([]complex64, q.options.BatchRows*q.options.Outputs)
		}
		err = q.options.Works[b.work](ctx, b.y[:rows*b.of.Count], b.x, b.of)
	}
	took := time.Since(start)
	if err != nil && outer.Err() != nil {
		err = fmt.Errorf("cannot finish %d rows: %w", rows, ErrClosed)
	}

	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Busy += took
	if err == nil && rows > 0 {
		q.stats.Batches++
		q.stats.BatchRows += uint64(rows)
	}
	y := b.y
	if b.dst != nil {
		y = b.dst
	}
	b.holders = 1 // this function
	for _, p := range b.parts {
		r := p.request
		r.batch = nil
		if b.do == nil {
			n := p.rows * b.of.Count
			p.y, y = y[:n:n], y[n:]
		}
		if r.gone {
			continue
		}
		p.took, p.err = took, err
		if err != nil {
			r.gone = true // its other rows are of no use
		}
		b.holders++
		r.parts <- p
	}
	q.releaseLocked(b)
}

// release says that a part of the batch is no longer looked at.
func (q *Queue) release(b *batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.releaseLocked(b)
}

// releaseLocked is release for who holds mu.
func (q *Queue) releaseLocked(b *batch) {
	if b.holders--; b.holders == 0 {
		q.results <- b.y // there is room for all buffers
	}
}
