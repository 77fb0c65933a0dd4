package u3v

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/light-in-the-loop/opu/camera"
	"github.com/light-in-the-loop/opu/internal/pause"
)

// How control goes until the camera has said how it wants it.
const (
	firstPacket   = 128 // bytes of data in a packet
	answerTime    = 500 * time.Millisecond
	mostPending   = 30 * time.Second // that a camera may ask for at once
	tries         = 3
	busyPause     = 20 * time.Millisecond
	receiveBuffer = 1024 // at least: cameras may send more than was asked for
)

// control reads and writes a camera's memory, one command at a time. It is a genapi.Port.
type control struct {
	link Link
	turn chan struct{} // held by who talks

	id       uint16
	mostRead int // bytes of data in one acknowledgement, and
	mostSent int // in one command
	patience time.Duration
	packet   []byte
	answer   []byte
}

func newControl(link Link) *control {
	return &control{
		link: link, turn: make(chan struct{}, 1), mostRead: firstPacket, mostSent: firstPacket, patience: answerTime,
		answer: make([]byte, roundUp(receiveBuffer, link.PacketSize())),
	}
}

// limit sets what the camera's registers say: the largest packets, headers included, and how
// long it may take to answer.
func (c *control) limit(command, ack uint32, answer time.Duration) error {
	if command < headerSize+addressSize+4 || ack < headerSize+4 {
		return fmt.Errorf("packets of %d and %d bytes are too small for a register: %w", command, ack, camera.ErrProtocol)
	}
	const most = 1<<16 - 1 - headerSize - addressSize // the length has 16 bits
	c.mostSent = int(min(command-headerSize-addressSize, most)) &^ 3
	c.mostRead = int(min(ack-headerSize, most)) &^ 3
	c.answer = make([]byte, roundUp(max(receiveBuffer, c.mostRead+headerSize), c.link.PacketSize()))
	c.patience = min(max(answerTime, answer), mostPending)
	return nil
}

// ReadAt implements genapi.Port.
func (c *control) ReadAt(ctx context.Context, p []byte, address uint64) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.end()
	for len(p) > 0 {
		n := min(len(p), c.mostRead)
		argument := binary.LittleEndian.AppendUint64(make([]byte, 0, readArgument), address)
		argument = binary.LittleEndian.AppendUint32(argument, uint32(n)<<16) // two reserved bytes first
		a, err := c.ask(ctx, readMem, argument)
		if err == nil && len(a.data) != n {
			err = fmt.Errorf("%d bytes came: %w", len(a.data), camera.ErrProtocol)
		}
		if err != nil {
			return fmt.Errorf("cannot read %d bytes of the camera's memory at 0x%x: %w", n, address, err)
		}
		copy(p, a.data)
		p, address = p[n:], address+uint64(n)
	}
	return nil
}

// WriteAt implements genapi.Port.
func (c *control) WriteAt(ctx context.Context, p []byte, address uint64) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	defer c.end()
	for len(p) > 0 {
		n := min(len(p), c.mostSent)
		argument := binary.LittleEndian.AppendUint64(make([]byte, 0, addressSize+n), address)
		if _, err := c.ask(ctx, writeMem, append(argument, p[:n]...)); err != nil {
			return fmt.Errorf("cannot write %d bytes to the camera's memory at 0x%x: %w", n, address, err)
		}
		p, address = p[n:], address+uint64(n)
	}
	return nil
}

func (c *control) begin(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *control) end() { <-c.turn }

// ask sends a command until it is answered. A camera that is silent or busy is asked again,
// with the same id, so that a late answer is an answer; one whose pipe is halted once more
// after that has been mended.
func (c *control) ask(ctx context.Context, code uint16, data []byte) (a ack, err error) {
	if c.id++; c.id == 0 {
		c.id = 1
	}
	c.packet = appendCommand(c.packet[:0], code, c.id, data)
	halted := false
	for try := 1; ; try++ {
		a, err = c.once(ctx, code+1)
		switch {
		case ctx.Err() != nil && err != nil:
			return ack{}, context.Cause(ctx)
		case errors.Is(err, ErrHalted) && !halted:
			halted = true
			if err := c.link.Recover(ctx); err != nil {
				return ack{}, err
			}
		case try < tries && errors.Is(err, camera.ErrTimeout):
		case try < tries && err == nil && a.status == statusBusy:
			if err := pause.For(ctx, busyPause); err != nil {
				return ack{}, err
			}
		case err != nil:
			return ack{}, err
		case a.status != success:
			return ack{}, fmt.Errorf("the camera answers %v: %w", a.status, a.status.condition())
		default:
			return a, nil
		}
	}
}

// once sends the command and waits for its acknowledgement. Others are late ones of commands
// that were given up.
func (c *control) once(ctx context.Context, want uint16) (ack, error) {
	deadline := time.Now().Add(c.patience)
	if _, err := within(ctx, deadline, func(ctx context.Context) (int, error) { return 0, c.link.Send(ctx, c.packet) }); err != nil {
		return ack{}, err
	}
	for {
		n, err := within(ctx, deadline, func(ctx context.Context) (int, error) { return c.link.Receive(ctx, c.answer) })
		if err != nil {
			return ack{}, err
		}
		a, err := parseAck(c.answer[:n])
		switch {
		case err != nil:
			return ack{}, fmt.Errorf("%w: %w", err, camera.ErrProtocol)
		case a.id != c.id:
		case a.code == pendingAck && len(a.data) >= 4:
			more := time.Duration(binary.LittleEndian.Uint16(a.data[2:])) * time.Millisecond
			deadline = time.Now().Add(min(max(more, c.patience), mostPending))
		case a.code == want:
			return a, nil
		default:
			return ack{}, fmt.Errorf("the camera acknowledges 0x%04x, not 0x%04x: %w", a.code, want, camera.ErrProtocol)
		}
	}
}

// within makes a transfer that has until the deadline.
func within(ctx context.Context, deadline time.Time, transfer func(context.Context) (int, error)) (int, error) {
	inner, cancel := context.WithDeadlineCause(ctx, deadline, camera.ErrTimeout)
	defer cancel()
	n, err := transfer(inner)
	if err != nil && inner.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("the camera does not answer: %w", camera.ErrTimeout)
	}
	return n, err
}

func roundUp(x, to int) int { return (x + to - 1) / to * to }
