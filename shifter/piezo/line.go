package piezo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/shifter"
)

const (
	// replyTime is how long a controller may take to answer. Labs wait 0.1 to 2 s.
	replyTime = time.Second

	// quietTime is how long nothing may come before the line counts as quiet.
	quietTime = 50 * time.Millisecond

	// maxAnswer is more than any answer is long.
	maxAnswer = 4096
)

// Port is a serial line. Read blocks until there is something, a time-out of its own
// (0, nil) or Close.
type Port = io.ReadWriteCloser

// probe is a question whose answer is known.
type probe struct{ command, answer string }

// line is the conversation with a controller: one command, its answer, the next command.
// Callers take turns.
type line struct {
	port    Port
	dialect *dialect
	arrived chan []byte
	ended   chan struct{}
	end     sync.Once
	failure error // why arrived was closed

	pending []byte
	doubt   bool // the last command did not end as it should: find the step before the next one
	probes  []probe
	owed    []probe // sent, and not answered yet
	broken  error   // why the line is of no more use

	stats Stats
}

// Stats count what went over the line. All numbers only grow.
type Stats struct {
	Commands uint64 `json:"commands"` // sent, repetitions included
	Retries  uint64 `json:"retries"`  // commands repeated because their answer was missing or nonsense
	Strays   uint64 `json:"strays"`   // answers, late or to nobody, that were dropped
	Resyncs  uint64 `json:"resyncs"`  // times that the step was found again
	Reopened uint64 `json:"reopened"` // times that the port was opened again
}

func newLine(port Port, d *dialect) *line {
	l := &line{port: port, dialect: d, arrived: make(chan []byte, 16), ended: make(chan struct{})}
	go l.receive()
	return l
}

// receive brings bytes until the port ends. It is the only reader: a call that gives up
// leaves no reader behind that would take the next call's answer.
func (l *line) receive() {
	defer close(l.arrived)
	buffer := make([]byte, 256)
	for {
		n, err := l.port.Read(buffer)
		if n > 0 {
			select {
			case l.arrived <- bytes.Clone(buffer[:n]):
			case <-l.ended:
				return
			}
		}
		if err != nil {
			l.failure = err
			return
		}
	}
}

// close ends the reader, and the port. It may be called more than once.
func (l *line) close() (err error) {
	l.end.Do(func() {
		close(l.ended)
		err = l.port.Close()
	})
	return err
}

// ask sends a command and returns what is answered, without echo and prompt. Commands may
// be repeated: all of them say where to be, none how far to go.
func (l *line) ask(ctx context.Context, command string) (string, error) {
	for try := 0; ; try++ {
		answer, err := l.try(ctx, command)
		if err == nil || errors.Is(err, shifter.ErrRefused) {
			return answer, err
		}
		l.doubt = true
		if try > 0 || l.broken != nil || ctx.Err() != nil {
			return "", err
		}
		l.stats.Retries++
	}
}

// volts asks for a voltage.
func (l *line) volts(ctx context.Context, command string) (float64, error) {
	for try := 0; ; try++ {
		answer, err := l.ask(ctx, command)
		if err != nil {
			return 0, err
		}
		v, err := parseVolts(answer)
		if err == nil {
			return v, nil
		}
		l.doubt = true
		if try > 0 {
			return 0, err
		}
		l.stats.Retries++
	}
}

// order sends a command that is answered with nothing, or with the new value.
func (l *line) order(ctx context.Context, command string) error {
	answer, err := l.ask(ctx, command)
	if err != nil {
		return err
	}
	if answer != "" && !strings.HasPrefix(answer, "[") {
		l.doubt = true
		return fmt.Errorf("it answers %q to %s: %w", answer, command, shifter.ErrProtocol)
	}
	return nil
}

func (l *line) try(ctx context.Context, command string) (string, error) {
	if l.doubt {
		if err := l.sync(ctx); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, replyTime, shifter.ErrTimeout)
	defer cancel()
	l.drop()
	if err := l.send(ctx, command); err != nil {
		return "", err
	}
	answer, refused, err := l.receiveAnswer(ctx)
	if err != nil {
		return "", err
	}
	answer, err = clean(answer, command)
	if err == nil && refused {
		err = fmt.Errorf("to %s: %w", command, shifter.ErrRefused)
	}
	return answer, err
}

// sync finds the step: it asks who is there until the answer is right. Whatever comes
// before that belongs to earlier commands. A question that is still owed an answer is not
// asked again, since its late answer would look like the new one's.
func (l *line) sync(ctx context.Context) error {
	if len(l.probes) == 0 { // nobody knows yet who is there
		l.doubt = false
		return l.quiet(ctx, quietTime)
	}
	for {
		next := slices.IndexFunc(l.probes, func(p probe) bool { return !slices.Contains(l.owed, p) })
		if next >= 0 {
			if err := l.send(ctx, l.probes[next].command); err != nil {
				return err
			}
			l.owed = append(l.owed, l.probes[next])
		}
		err := l.settle(ctx)
		switch {
		case err == nil:
			l.owed, l.doubt = nil, false
			l.stats.Resyncs++
			return nil
		case ctx.Err() != nil, l.broken != nil:
			return err
		case len(l.owed) == len(l.probes):
			l.broken = fmt.Errorf("it has stopped answering; look at its power and its cable, and open it anew: %w", err)
			return l.broken
		}
	}
}

// settle reads answers until that to the last question comes.
func (l *line) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, replyTime, shifter.ErrTimeout)
	defer cancel()
	for {
		text, _, err := l.receiveAnswer(ctx)
		if err != nil && (ctx.Err() != nil || l.broken != nil) {
			return err
		}
		for i, p := range l.owed {
			if answer, err := clean(text, p.command); err != nil || answer != p.answer {
				continue
			}
			if l.owed = l.owed[i+1:]; len(l.owed) == 0 {
				return nil
			}
			break
		}
		l.stats.Strays++
	}
}

// send writes a command. A line that takes no bytes for that long is broken: part of the
// command may have gone.
func (l *line) send(ctx context.Context, command string) error {
	l.stats.Commands++
	written := make(chan error, 1)
	go func() {
		_, err := io.WriteString(l.port, command+"\r")
		written <- err
	}()
	select {
	case err := <-written:
		if err != nil {
			l.broken = fmt.Errorf("the line takes no more (%v): %w", err, shifter.ErrUnplugged)
			return l.broken
		}
		return nil
	case <-ctx.Done():
		l.broken = fmt.Errorf("the line does not take what is written: %w", context.Cause(ctx))
		return l.broken
	}
}

// receiveAnswer returns what comes before the next prompt.
func (l *line) receiveAnswer(ctx context.Context) (text string, refused bool, err error) {
	for {
		if i := bytes.IndexAny(l.pending, l.dialect.prompts); i >= 0 {
			text, refused = string(l.pending[:i]), string(l.pending[i]) == l.dialect.refusal
			l.pending = bytes.Clone(l.pending[i+1:])
			return text, refused, nil
		}
		if len(l.pending) > maxAnswer {
			l.pending = nil
			return "", false, fmt.Errorf("more than %d bytes without a prompt: %w", maxAnswer, shifter.ErrProtocol)
		}
		if err := l.more(ctx); err != nil {
			if len(bytes.TrimSpace(l.pending)) > 0 && errors.Is(err, shifter.ErrTimeout) {
				err = fmt.Errorf("%q and no prompt: %w: %w", excerpt(l.pending), shifter.ErrProtocol, err)
			}
			return "", false, err
		}
	}
}

// excerpt is the beginning of what came, for errors.
func excerpt(b []byte) []byte { return b[:min(len(b), 60)] }

// more waits for bytes.
func (l *line) more(ctx context.Context) error {
	select {
	case b, ok := <-l.arrived:
		if !ok {
			l.broken = fmt.Errorf("the line has ended (%v): %w", l.failure, shifter.ErrUnplugged)
			return l.broken
		}
		l.pending = append(l.pending, b...)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// drop drops what came unasked. The end of the line is found by who needs it.
func (l *line) drop() {
	for {
		select {
		case b, ok := <-l.arrived:
			if ok {
				l.pending = append(l.pending, b...)
				continue
			}
		default:
		}
		break
	}
	if len(bytes.TrimSpace(l.pending)) > 0 {
		l.stats.Strays++
	}
	l.pending = nil
}

// quiet waits until nothing has come for a time, and drops what came.
func (l *line) quiet(ctx context.Context, time time.Duration) error {
	defer l.drop()
	for {
		moment, cancel := context.WithTimeoutCause(ctx, time, shifter.ErrTimeout)
		err := l.more(moment)
		cancel()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && l.broken == nil:
			return nil
		case err != nil:
			return err
		case len(l.pending) > maxAnswer:
			return fmt.Errorf("it does not stop talking: %q: %w", excerpt(l.pending), shifter.ErrProtocol)
		}
	}
}
