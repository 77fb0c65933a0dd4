package controller

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// Config says which board it is, how fast, and how well it behaves.
type Config struct {
	DMD      DMD
	Firmware Version // zero: 6.1.0
	Tag      string  // of the firmware; "" means the name of the chip

	// What things take on the board's clock. Report is the time of one report on the
	// USB, in either direction: one millisecond at full speed. Restart is the time from a
	// start command to the first pattern.
	Report, Restart time.Duration

	// RealTime lets the board's clock be that of package time, so that transfers and
	// patterns take as long as they say. Else the clock is virtual (package comment).
	RealTime bool

	Quirks Quirks

	// Show is told what the mirrors did, in order, when it has been seen: all of a run
	// at once, or what the clock has passed. It is called under the board's lock, must
	// not call the board, and may keep the slice and the patterns but not write to them.
	Show func([]Exposure)
}

// Quirks are what users and other programs report of boards. A zero Quirks is a board
// as the manual has it.
type Quirks struct {
	LatchedAbort   bool // hardware status, bit 6: set at boot and after every stop, while all is well
	ReservedBit    bool // hardware status, bit 5: set
	EmptyErrorCode bool // the error code comes without its byte
	LongReplies    bool // replies of more than 60 bytes go on in further reports, unasked
	NeedsBitZero   bool // without an entry at bit 0 of its image, all entries show lower planes
	LocksUp        bool // changing the display mode during a sequence ends all answers until power is cut
	IdleRuns       bool // the sequencer says that it runs in idle mode
	SlowReadBack   bool // the first read-back of a new display mode is the old one
	// StuckMirrors: mirrors of revision B hold one block of the chip after a change of
	// the display mode, until they are parked and unparked (advisory DLPT028), with the
	// firmware that it names.
	StuckMirrors bool
}

// Version is one of the versions of a firmware.
type Version struct{ Major, Minor, Patch int }

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch) }

// before tells whether v is older than major.minor.
func (v Version) before(major, minor int) bool {
	return v.Major < major || v.Major == major && v.Minor < minor
}

// Board is a controller board with its mirrors. Its methods may be called from any
// goroutine; one host talks to it at a time.
type Board struct {
	config Config
	dmd    DMD

	mu        sync.Mutex // guards what follows
	closed    bool
	pulled    bool
	hung      bool
	wake      chan struct{} // closed when something changed for those who wait
	faults    func(Transfer) FaultKind
	transfers int
	stats     Stats
	pending   [][reportSize]byte // reply not collected yet
	in        collector

	epoch time.Time     // of the clock, in real time
	clock time.Duration // of the board, virtual
	timer *time.Timer   // calls when the next pattern is over, in real time

	lastError errorCode
	registers map[uint16][]byte // those that only remember
	power     power
	mode      mode
	table     table
	memory    memory
	sequencer sequencer
	blocks    [2]int // first of the blocks in use, and how many
}

// New makes a board that has power and is connected.
func New(c Config) (*Board, error) {
	if err := c.DMD.check(); err != nil {
		return nil, err
	}
	if c.Firmware == (Version{}) {
		c.Firmware = Version{6, 1, 0}
	}
	if c.Tag == "" {
		c.Tag = c.DMD.Name
	}
	b := &Board{config: c, dmd: c.DMD, wake: make(chan struct{}), epoch: time.Now()}
	b.boot()
	return b, nil
}

// boot brings the board to the state that it has after power came: nothing in its
// memory, nothing on the mirrors.
func (b *Board) boot() {
	b.hung, b.pending, b.in, b.lastError = false, nil, collector{}, noError
	b.registers = newRegisters()
	b.power = power{}
	b.mode = mode{abortLatched: b.config.Quirks.LatchedAbort}
	b.table = table{definitions: make([]entry, b.dmd.Entries)}
	b.memory = newMemory(b.dmd)
	b.sequencer = sequencer{}
	b.blocks = [2]int{0, len(b.dmd.Blocks)}
}

// name is the board in errors.
func (b *Board) name() string { return "the modelled DLPC900 board of " + b.dmd.Name }

// Write takes whole reports from the host, in their order. It blocks for as long as
// they take in real time. What it refuses wraps slm.ErrUnplugged, slm.ErrClosed, the
// cause of a context that has ended, or, for bytes that are no reports, slm.ErrInput;
// a stalled endpoint is slm.ErrProtocol.
func (b *Board) Write(ctx context.Context, reports []byte) error {
	if len(reports)%reportSize != 0 {
		return fmt.Errorf("cannot write %d bytes to %s: they are not whole reports of %d: %w", len(reports), b.name(), reportSize, slm.ErrInput)
	}
	for len(reports) > 0 {
		t := Transfer{Report: [reportSize]byte(reports)}
		reports = reports[reportSize:]
		fault, err := b.transfer(ctx, &t)
		if err != nil {
			return err
		}
		if err := b.pass(ctx, b.config.Report); err != nil {
			return err
		}
		if fault == Lose {
			continue
		}
		b.take(&t)
		if fault == Repeat {
			b.take(&t)
		}
	}
	return nil
}

// Read gives the next report that the board sends, and blocks until there is one or
// ctx ends. A reply that is not read before the next command is overwritten by its
// reply. Errors are those of Write.
func (b *Board) Read(ctx context.Context, report []byte) error {
	if len(report) != reportSize {
		return fmt.Errorf("cannot read into %d bytes from %s: a report has %d: %w", len(report), b.name(), reportSize, slm.ErrInput)
	}
	for {
		b.mu.Lock()
		err := b.reachable(ctx, "read from")
		waiting := len(b.pending) == 0
		wake := b.wake
		b.mu.Unlock()
		if err != nil {
			return err
		}
		if waiting {
			select {
			case <-wake:
			case <-ctx.Done():
				return b.ended(ctx, "read from")
			}
			continue
		}
		// The report is taken when its time on the wire is over: a command that comes
		// before overwrites it.
		if err := b.pass(ctx, b.config.Report); err != nil {
			return err
		}
		b.mu.Lock()
		if len(b.pending) == 0 {
			b.mu.Unlock()
			continue
		}
		t := Transfer{In: true, Report: b.pending[0]}
		b.pending = b.pending[1:]
		b.mu.Unlock()
		fault, err := b.transfer(ctx, &t)
		if err != nil {
			return err
		}
		if fault == Lose {
			continue
		}
		if fault == Repeat {
			b.mu.Lock()
			b.pending = append([][reportSize]byte{t.Report}, b.pending...)
			b.mu.Unlock()
		}
		copy(report, t.Report[:])
		return nil
	}
}

// reachable says whether a transfer can begin; callers hold the lock.
func (b *Board) reachable(ctx context.Context, what string) error {
	switch {
	case b.closed:
		return fmt.Errorf("cannot %s %s: %w", what, b.name(), slm.ErrClosed)
	case b.pulled:
		return fmt.Errorf("cannot %s %s: %w", what, b.name(), slm.ErrUnplugged)
	case ctx.Err() != nil:
		return b.ended(ctx, what)
	}
	return nil
}

func (b *Board) ended(ctx context.Context, what string) error {
	return fmt.Errorf("cannot %s %s: %w", what, b.name(), context.Cause(ctx))
}

// transfer counts a transfer and lets go wrong what should.
func (b *Board) transfer(ctx context.Context, t *Transfer) (FaultKind, error) {
	what := "write to"
	if t.In {
		what = "read from"
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.reachable(ctx, what); err != nil {
		return NoFault, err
	}
	t.Index = b.transfers
	b.transfers++
	if b.faults == nil {
		return NoFault, nil
	}
	fault := b.faults(*t)
	switch fault {
	case Stall:
		return fault, fmt.Errorf("cannot %s %s: the endpoint stalls: %w", what, b.name(), slm.ErrProtocol)
	case Pull:
		b.pull()
		return fault, b.reachable(ctx, what)
	case Hang:
		for {
			wake := b.wake
			b.mu.Unlock()
			select {
			case <-wake:
			case <-ctx.Done():
			}
			b.mu.Lock()
			if err := b.reachable(ctx, what); err != nil {
				return fault, err
			}
		}
	}
	fault.spoil(t)
	return fault, nil
}

// take gives the board a report.
func (b *Board) take(t *Transfer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.advance(b.now())
	if c, complete, refused := b.in.take(t.Report[:]); complete && !b.hung {
		b.execute(c, refused)
		b.signal()
	}
	b.schedule()
}

// Close ends the connection: pending and later calls fail with slm.ErrClosed. The
// board goes on with what it does. Close may be called more than once.
func (b *Board) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.signal()
	return nil
}

// Unplug pulls the USB plug: calls fail with slm.ErrUnplugged. The board has power of
// its own and goes on.
func (b *Board) Unplug() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pull()
}

func (b *Board) pull() {
	b.pulled = true
	b.signal()
}

// Plug connects the board again after Unplug or Close. A half-sent command and an
// uncollected reply are gone; the rest is as it was.
func (b *Board) Plug() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed, b.pulled, b.pending, b.in = false, false, nil, collector{}
	b.signal()
}

// Open connects again after Close; while the plug is out it fails with slm.ErrUnplugged.
func (b *Board) Open() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pulled {
		return fmt.Errorf("cannot open %s: %w", b.name(), slm.ErrUnplugged)
	}
	b.closed, b.pending, b.in = false, nil, collector{}
	b.signal()
	return nil
}

// PowerCycle takes the power away and gives it back.
func (b *Board) PowerCycle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.cut(b.now())
	b.boot()
	b.schedule()
}

// signal wakes everybody who waits; callers hold the lock.
func (b *Board) signal() {
	close(b.wake)
	b.wake = make(chan struct{})
}

// now is the time of the board's clock; callers hold the lock.
func (b *Board) now() time.Duration {
	if b.config.RealTime {
		return time.Since(b.epoch)
	}
	return b.clock
}

// Now is the time of the board's clock: since New in real time, else what has been
// spent.
func (b *Board) Now() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now()
}

// Advance lets virtual time pass. In real time it does nothing.
func (b *Board) Advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock += d
	b.advance(b.now())
}

// pass lets the time of a transfer pass.
func (b *Board) pass(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	if !b.config.RealTime {
		b.Advance(d)
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return b.ended(ctx, "talk to")
	}
}

// schedule sets the timer for the next pattern, in real time; callers hold the lock.
func (b *Board) schedule() {
	if !b.config.RealTime {
		return
	}
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if next, ok := b.nextEvent(); ok {
		b.timer = time.AfterFunc(next-b.now(), func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.advance(b.now())
			b.schedule()
		})
	}
}
