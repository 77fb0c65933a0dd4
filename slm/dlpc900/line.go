package dlpc900

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/slm"
)

// How long the board may take to answer one command. Field reports say that half a second
// is too short for some acknowledgements and that two are enough; TI's program waits ten.
const replyTimeout = 2 * time.Second

// A board that was interrupted in the middle of a command takes what comes next for the
// rest of it, for up to seven reports. So it is asked again until it answers; each question
// that it swallows costs nudgeTimeout.
const (
	nudges       = 9
	nudgeTimeout = 250 * time.Millisecond
)

// A reply to a lost command comes late and is dropped by its sequence number. A board that
// sends more of them than this talks nonsense.
const maxStrays = 64

// line is the conversation with a board: one command, its reply, the next command. Callers
// take turns.
type line struct {
	link    Link
	seq     byte
	suspect bool    // the last command did not end as it should: find the step before the next one
	orders  replies // to reorder commands
	out     []byte
	in      [ReportSize]byte
	stats   LineStats
}

// LineStats count what went over the line.
type LineStats struct {
	Commands  uint64 // sent, repetitions included
	Reports   uint64 // sent
	Strays    uint64 // late replies that were dropped
	Retries   uint64 // commands repeated because their reply did not come
	Resyncs   uint64 // times that the step was found again
	Refusals  uint64 // commands that the board refused
	Reopened  uint64 // times that the board came back on a link that was opened again
	Resets    uint64 // of its USB port
	Failures  uint64 // commands that failed for good
	Unplugged uint64 // times that the board went away
}

// get reads; the reply has at least n bytes. It aliases a buffer that the next command
// overwrites.
func (l *line) get(ctx context.Context, c command, n int) ([]byte, error) {
	for try := 0; ; try++ {
		reply, err := l.insist(ctx, read, c)
		if err != nil || len(reply) >= n {
			return reply, err
		}
		l.suspect = true
		if try == 1 {
			return nil, l.fail(c, fmt.Errorf("the reply has %d bytes, not %d: %w", len(reply), n, slm.ErrProtocol))
		}
		l.stats.Retries++
	}
}

// set writes and waits for the acknowledgement. The command must be one that may be given twice.
func (l *line) set(ctx context.Context, c command, data ...[]byte) error {
	_, err := l.insist(ctx, acknowledged, c, data...)
	return err
}

// insist gives a command again, once, if its reply is lost.
func (l *line) insist(ctx context.Context, m mode, c command, data ...[]byte) ([]byte, error) {
	reply, err := l.once(ctx, m, c, data...)
	if errors.Is(err, slm.ErrTimeout) || errors.Is(err, slm.ErrProtocol) {
		l.stats.Retries++
		reply, err = l.once(ctx, m, c, data...)
	}
	return reply, err
}

// once gives a command one time. The error names board, command and remedy.
func (l *line) once(ctx context.Context, m mode, c command, data ...[]byte) ([]byte, error) {
	if l.suspect {
		if err := l.resync(ctx); err != nil {
			return nil, err
		}
	}
	reply, err := l.exchange(ctx, replyTimeout, m, c, data...)
	switch {
	case err == nil:
		return reply, nil
	case errors.Is(err, errFailed):
		l.stats.Refusals++
		return nil, l.fail(c, l.refusal(ctx))
	}
	return nil, l.fail(c, err)
}

// give sends a command that has no reply and asks the board afterwards whether it took it:
// the error code is that of the last command.
func (l *line) give(ctx context.Context, c command, data ...[]byte) error {
	if _, err := l.once(ctx, silent, c, data...); err != nil {
		return err
	}
	code, err := l.once(ctx, read, cmdErrorCode)
	if err != nil {
		return err
	}
	if len(code) > 0 && code[0] != 0 {
		l.stats.Refusals++
		return l.fail(c, l.refused(ctx, ErrorCode(code[0])))
	}
	return nil
}

// exchange is a command and its reply, without any remedy.
func (l *line) exchange(ctx context.Context, patience time.Duration, m mode, c command, data ...[]byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, slm.ErrTimeout)
	defer cancel()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	l.seq++
	l.out = appendMessage(l.out[:0], m, l.seq, c, data...)
	l.stats.Commands++
	l.stats.Reports += uint64(len(l.out) / ReportSize)
	l.suspect = true // until the reply is here
	if err := l.link.Write(ctx, l.out); err != nil {
		return nil, reason(ctx, err)
	}
	if m == silent {
		l.suspect = false
		return nil, nil
	}
	for strays := 0; ; strays++ {
		if err := l.link.Read(ctx, l.in[:]); err != nil {
			err = reason(ctx, err)
			if strays > 0 && errors.Is(err, slm.ErrTimeout) {
				err = fmt.Errorf("%d replies with other sequence numbers: %w: %w", strays, slm.ErrProtocol, err)
			}
			return nil, err
		}
		reply, err := parseReply(l.in[:], m, l.seq)
		switch {
		case err == nil || errors.Is(err, errFailed):
			l.suspect = false
			return reply, err
		case !errors.Is(err, errStray):
			return nil, fmt.Errorf("%w: %w", err, slm.ErrProtocol)
		case strays >= maxStrays:
			return nil, fmt.Errorf("%d replies with other sequence numbers: %w", strays, slm.ErrProtocol)
		}
		l.stats.Strays++
	}
}

// reason is why a transfer failed: what ended the context, if that was it.
func reason(ctx context.Context, err error) error {
	if ctx.Err() != nil && !errors.Is(err, slm.ErrUnplugged) && !errors.Is(err, slm.ErrClosed) {
		return context.Cause(ctx)
	}
	return err
}

// resync finds the step again: it asks a harmless question until the reply to it comes, and
// drops what comes before.
func (l *line) resync(ctx context.Context) error {
	l.stats.Resyncs++
	var err error
	for range nudges {
		_, err = l.exchange(ctx, nudgeTimeout, read, cmdHardware)
		if err == nil || errors.Is(err, errFailed) {
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, slm.ErrUnplugged) || errors.Is(err, slm.ErrClosed) {
			break
		}
	}
	return l.fail(cmdHardware, fmt.Errorf("the board does not get back into step: %w", err))
}

// fail names the board and the command of an error, and what to do about it.
func (l *line) fail(c command, err error) error {
	l.stats.Failures++
	remedy := ""
	switch {
	case errors.Is(err, slm.ErrUnplugged):
		l.stats.Unplugged++
		remedy = "; plug the board in and switch it on"
	case errors.Is(err, slm.ErrTimeout):
		remedy = "; see that no other program uses the board, then power-cycle it"
	case errors.Is(err, slm.ErrProtocol):
		remedy = "; see that no other program uses the board, and try a shorter USB cable"
	}
	return fmt.Errorf("command %v: %w%s", c, err, remedy)
}
