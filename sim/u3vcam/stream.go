package u3vcam

import (
	"context"
	"encoding/binary"
)

// Packets of the stream.
const (
	prefixLeader  = 0x4C563355 // "U3VL"
	prefixTrailer = 0x54563355 // "U3VT"
	leaderSize    = 52
	trailerSize   = 32

	statusDiscarded = 0xA100
	statusOverrun   = 0xA101
)

// expose takes a frame and cuts it into transfers; the lock is held.
func (c *Camera) expose(pixels []byte) {
	m := &c.memory
	k := c.frame
	fault := c.faults.Frames[k]
	c.frame++
	id := c.block + c.faults.First
	c.block++
	m.count(counterExposure)
	if fault == Drop || !m.streams() || len(c.sending) > mostWaiting {
		return
	}
	s := m.settings()
	payload := c.pixels(pixels, s, k)
	le := binary.LittleEndian
	word := func(at int) int { return int(le.Uint32(m.sirm[at:])) }
	leader := leaderOf(id, c.clock, m.get(featurePixelFormat), s)
	status, valid, trailerID := uint16(statusOK), len(payload), id
	sent := payload
	switch fault {
	case Stall:
		c.sending = append(c.sending, nil)
	case Overrun:
		status = statusOverrun
	case Discarded:
		status, valid, sent = statusDiscarded, len(payload)/2, payload[:len(payload)/2]
	case ShortPixels:
		sent = payload[:len(payload)/2]
	case ShortLeader:
		leader = leader[:leaderSize/2]
	case WrongID:
		trailerID++
	}
	trailer := trailerOf(trailerID, status, valid, s)
	if fault == ShortTrailer {
		trailer = trailer[:trailerSize/2]
	}
	if fault != NoLeader {
		c.sending = append(c.sending, leader)
	}
	for range word(0x20) {
		n := min(len(sent), word(0x1C))
		c.send(sent[:n])
		sent = sent[n:]
	}
	for _, at := range []int{0x24, 0x28} {
		n := min(len(sent), word(at))
		c.send(sent[:n])
		sent = sent[n:]
	}
	if fault == LongPixels {
		c.send(make([]byte, word(0x1C)))
	}
	if fault != NoTrailer {
		c.sending = append(c.sending, trailer)
	}
	c.changed()
}

// send queues a transfer of pixels, if there are some.
func (c *Camera) send(b []byte) {
	if len(b) > 0 {
		c.sending = append(c.sending, b)
	}
}

// pixels is a frame as it goes over the bus.
func (c *Camera) pixels(given []byte, s Settings, k int) []byte {
	size := s.Width * s.Height
	if s.BitDepth > 8 {
		size *= 2
	}
	p := make([]byte, size)
	if given == nil {
		testImage(p, s, k)
	} else {
		copy(p, given)
	}
	if !s.Packed {
		return p
	}
	packed := make([]byte, 0, c.memory.payload())
	for i := 0; i+3 < len(p); i += 4 { // two pixels of 12 bits
		a, b := uint32(binary.LittleEndian.Uint16(p[i:])), uint32(binary.LittleEndian.Uint16(p[i+2:]))
		both := a&0xfff | b<<12
		packed = append(packed, byte(both), byte(both>>8), byte(both>>16))
	}
	return packed
}

// leaderOf says that an image follows.
func leaderOf(id, time uint64, format uint32, s Settings) []byte {
	le := binary.LittleEndian
	b := make([]byte, leaderSize)
	le.PutUint32(b[0:], prefixLeader)
	le.PutUint16(b[6:], leaderSize)
	le.PutUint64(b[8:], id)
	le.PutUint16(b[18:], 1)
	le.PutUint64(b[20:], time)
	le.PutUint32(b[28:], format)
	for i, x := range []int{s.Width, s.Height, s.U, s.V} {
		le.PutUint32(b[32+4*i:], uint32(x))
	}
	return b
}

// trailerOf says what was sent.
func trailerOf(id uint64, status uint16, valid int, s Settings) []byte {
	le := binary.LittleEndian
	b := make([]byte, trailerSize)
	le.PutUint32(b[0:], prefixTrailer)
	le.PutUint16(b[6:], trailerSize)
	le.PutUint64(b[8:], id)
	le.PutUint16(b[16:], status)
	le.PutUint64(b[20:], uint64(valid))
	le.PutUint32(b[28:], uint32(s.Height))
	return b
}

// Stream answers one request of the host for n bytes. As on the bus, it ends when they are
// full, or with a packet that is shorter than the largest.
func (c *Camera) Stream(ctx context.Context, n int) (data []byte, err error) {
	data = make([]byte, 0, n)
	stall := false
	err = c.await(ctx, func() bool {
		for len(c.sending) > 0 || c.stalled {
			if c.stalled || c.sending[0] == nil {
				c.stalled, stall = true, true
				return true
			}
			part := c.sending[0]
			take := min(len(part), n-len(data))
			data = append(data, part[:take]...)
			if take < len(part) {
				c.sending[0] = part[take:]
				return true // full
			}
			c.sending = c.sending[1:]
			if len(part)%c.config.Packet != 0 || len(data) == n {
				return true
			}
		}
		return false
	})
	switch {
	case err != nil:
		return nil, err
	case stall:
		return nil, ErrStall
	}
	return data, nil
}

// ClearHalt ends the stall of the stream's pipe, as the host asks for it.
func (c *Camera) ClearHalt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled = false
	if len(c.sending) > 0 && c.sending[0] == nil {
		c.sending = c.sending[1:]
	}
	c.changed()
}
