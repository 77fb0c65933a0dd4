package gige

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

const (
	// answerTime is how long a camera is given to answer, each time that it is asked.
	answerTime = 250 * time.Millisecond
	// tries is how often it is asked before it counts as gone.
	tries = 5
	// busyTime is how long a camera may say that it is busy.
	busyTime = 3 * time.Second
	// longestPending bounds what a camera may ask for in one answer.
	longestPending = 10 * time.Second
)

// control is a channel to a camera. It makes one transaction at a time. It is a
// genapi.Port.
type control struct {
	conn         *net.UDPConn
	writesMemory bool

	turn   chan struct{} // holds a token while no transaction is under way
	id     uint16        // of the last transaction
	packet []byte        // what is sent
	reply  [maxControl]byte
}

// dial opens a channel. No packet is sent yet.
func dial(address netip.Addr) (*control, error) {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(address, controlPort)))
	if err != nil {
		return nil, fmt.Errorf("cannot reach the camera at %v: %w: %w", address, err, camera.ErrUnplugged)
	}
	c := &control{conn: conn, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c, nil
}

// local and remote are the addresses of the channel.
func (c *control) local() netip.Addr  { return c.conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr() }
func (c *control) remote() netip.Addr { return c.conn.RemoteAddr().(*net.UDPAddr).AddrPort().Addr() }

// transact sends a command and returns what the camera answers to it, valid until the next
// transaction, for use by take. It is sent again if no answer comes, or if the camera is busy.
func (c *control) transact(ctx context.Context, command uint16, body []byte, take func(answer []byte) error) error {
	select {
	case <-c.turn:
		defer func() { c.turn <- struct{}{} }()
	case <-ctx.Done():
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { c.conn.SetReadDeadline(time.Unix(1, 0)) })()
	for began := time.Now(); ; {
		reply, err := c.ask(ctx, command, body)
		if errors.Is(err, Status(statusBusy)) && time.Since(began) < busyTime {
			select {
			case <-time.After(answerTime / 5):
				continue
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if err == nil {
			err = take(reply)
		}
		return err
	}
}

var errNonsense = fmt.Errorf("its answer is not to the question: %w", camera.ErrProtocol)

// ask sends a command until it is answered.
func (c *control) ask(ctx context.Context, command uint16, body []byte) ([]byte, error) {
	if c.id++; c.id == 0 {
		c.id = 1
	}
	c.packet = appendCommand(c.packet[:0], wantAnswer, command, c.id, body...)
	var last error
	for range tries {
		if _, err := c.conn.Write(c.packet); err != nil {
			last = err // nobody is there, or there is no way to go; it may come back
		}
		reply, err := c.listen(ctx, command+1)
		switch {
		case err == nil:
			return reply, nil
		case context.Cause(ctx) != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, net.ErrClosed), errors.As(err, new(Status)), errors.Is(err, camera.ErrProtocol):
			return nil, err
		case !errors.Is(err, os.ErrDeadlineExceeded):
			last = err
			select { // what is refused is refused at once
			case <-time.After(answerTime):
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
	}
	if last != nil {
		return nil, fmt.Errorf("it does not answer: %w: %w", last, camera.ErrUnplugged)
	}
	return nil, fmt.Errorf("it does not answer: %w", camera.ErrUnplugged)
}

// listen waits for the answer to the last command. Answers to earlier ones are dropped.
func (c *control) listen(ctx context.Context, code uint16) ([]byte, error) {
	deadline := time.Now().Add(answerTime)
	for {
		c.conn.SetReadDeadline(deadline)
		if err := context.Cause(ctx); err != nil { // it may have ended before the deadline was set
			return nil, err
		}
		n, err := c.conn.Read(c.reply[:])
		if err != nil {
			return nil, err
		}
		a, err := parseAnswer(c.reply[:n])
		switch {
		case err != nil || a.id != c.id:
		case a.code == pendingAnswer && len(a.body) >= 4:
			more := time.Duration(binary.BigEndian.Uint16(a.body[2:])) * time.Millisecond
			deadline = time.Now().Add(min(more, longestPending) + answerTime)
		case a.code != code:
			return nil, errNonsense
		case a.status&0x8000 != 0:
			return nil, a.status
		default:
			return a.body, nil
		}
	}
}

// readRegister reads a bootstrap register.
func (c *control) readRegister(ctx context.Context, address uint32) (value uint32, err error) {
	err = c.transact(ctx, readRegCommand, binary.BigEndian.AppendUint32(nil, address), func(reply []byte) error {
		if len(reply) != 4 {
			return errNonsense
		}
		value = binary.BigEndian.Uint32(reply)
		return nil
	})
	if err != nil {
		err = fmt.Errorf("cannot read register %#x: %w", address, err)
	}
	return value, err
}

// writeRegister writes a register.
func (c *control) writeRegister(ctx context.Context, address, value uint32) error {
	body := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, address), value)
	err := c.transact(ctx, writeRegCommand, body, func([]byte) error { return nil })
	if err != nil {
		return fmt.Errorf("cannot write register %#x: %w", address, err)
	}
	return nil
}

// inMemory says whether a place is in a camera's memory, which has 32 bits of address.
func inMemory(p []byte, address uint64) error {
	if address > 1<<32 || uint64(len(p)) > 1<<32-address {
		return fmt.Errorf("%d bytes at %#x are beyond a camera's memory: %w", len(p), address, camera.ErrInput)
	}
	return nil
}

// ReadAt implements genapi.Port. Cameras read whole words, so what surrounds p is read, too.
func (c *control) ReadAt(ctx context.Context, p []byte, address uint64) error {
	if err := inMemory(p, address); err != nil {
		return err
	}
	for len(p) > 0 {
		start := address &^ 3
		skip := int(address - start)
		n := min((skip+len(p)+3)&^3, maxMemory)
		body := binary.BigEndian.AppendUint32(nil, uint32(start))
		body = binary.BigEndian.AppendUint32(body, uint32(n))
		err := c.transact(ctx, readMemCommand, body, func(reply []byte) error {
			if len(reply) != 4+n || binary.BigEndian.Uint32(reply) != uint32(start) {
				return errNonsense
			}
			k := copy(p, reply[4+skip:])
			p, address = p[k:], address+uint64(k)
			return nil
		})
		if err != nil {
			return fmt.Errorf("cannot read %d bytes at %#x: %w", n, start, err)
		}
	}
	return nil
}

// WriteAt implements genapi.Port. What is no whole word is read first, so that its
// neighbours stay as they are.
func (c *control) WriteAt(ctx context.Context, p []byte, address uint64) error {
	if err := inMemory(p, address); err != nil {
		return err
	}
	if skip := int(address & 3); skip != 0 || len(p)%4 != 0 {
		whole := make([]byte, (skip+len(p)+3)&^3)
		if err := c.ReadAt(ctx, whole, address-uint64(skip)); err != nil {
			return err
		}
		copy(whole[skip:], p)
		p, address = whole, address-uint64(skip)
	}
	for len(p) > 0 {
		if len(p) == 4 || !c.writesMemory {
			if err := c.writeRegister(ctx, uint32(address), binary.BigEndian.Uint32(p)); err != nil {
				return err
			}
			p, address = p[4:], address+4
			continue
		}
		n := min(len(p), maxMemory)
		body := append(binary.BigEndian.AppendUint32(nil, uint32(address)), p[:n]...)
		if err := c.transact(ctx, writeMemCommand, body, func([]byte) error { return nil }); err != nil {
			return fmt.Errorf("cannot write %d bytes at %#x: %w", n, address, err)
		}
		p, address = p[n:], address+uint64(n)
	}
	return nil
}

// send sends a command that has no answer.
func (c *control) send(flags byte, command uint16, body []byte) error {
	_, err := c.conn.Write(appendCommand(nil, flags, command, 1, body...))
	return err
}
