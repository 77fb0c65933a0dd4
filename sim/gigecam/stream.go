package gigecam

import (
	"context"
	"encoding/binary"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

const (
	contentLeader  = 1
	contentTrailer = 2
	contentPayload = 3

	// kept is how many frames are there to be sent again.
	kept = 64
	// ahead is how far the sender may be ahead of the link before it pauses.
	ahead = 500 * time.Microsecond
)

// streaming is an acquisition.
type streaming struct {
	to       *net.UDPAddr
	size     int    // bytes of pixels in a packet
	base     uint64 // number of the frame before the first
	format   pixelFormat
	cancel   context.CancelFunc
	finished chan struct{}
}

// sent is a frame that may be asked for again.
type sent struct {
	number  uint64
	packets [][]byte
}

// start begins an acquisition; callers hold the lock.
func (c *Camera) start() uint16 {
	port := c.memory[regStreamPort] & 0xffff
	if port == 0 {
		return invalidParameter
	}
	if c.streaming != nil {
		return good
	}
	run := camera.Run{Frames: math.MaxInt32}
	for i := range uint32(2) {
		if c.memory[addrTrigger+0x20*i] == 1 && i == 1 { // of the start of acquisition: nothing is wired to it
			return invalidParameter
		}
	}
	const line1 = 1
	triggered := c.memory[addrTrigger] == 1
	deaf := triggered && c.memory[addrTrigger+4] != line1 // another line, at which nothing comes
	run.Free = !triggered
	if err := c.config.Sensor.Arm(c.life, run); err != nil {
		return invalidParameter
	}
	headers := 20 + 8 + 8
	if c.config.Extended {
		headers = 20 + 8 + 20
	}
	var to [4]byte
	binary.BigEndian.PutUint32(to[:], c.memory[regStreamAddress])
	if !c.config.Continues {
		c.number = 0
	}
	ctx, cancel := context.WithCancel(c.life)
	s := &streaming{
		to:   net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4(to), uint16(port))),
		size: int(c.memory[regPacketSize]&0xffff) - headers, base: c.number, format: c.format,
		cancel: cancel, finished: make(chan struct{}),
	}
	c.streaming = s
	c.run++
	c.sent = c.sent[:0]
	go c.stream(ctx, s, c.run, deaf)
	return good
}

// stop ends the acquisition: frames that were exposed are sent. Callers hold the lock.
func (c *Camera) stop() {
	s := c.streaming
	if s == nil {
		return
	}
	s.cancel()
	c.mu.Unlock() // the sender needs it
	<-s.finished
	c.mu.Lock()
	if c.streaming == s {
		c.streaming = nil
	}
}

// stream sends the sensor's frames until ctx ends, and then those that are still there.
func (c *Camera) stream(ctx context.Context, s *streaming, run int, deaf bool) {
	defer close(s.finished)
	frames := make([]camera.Frame, 4)
	for {
		n, err := c.config.Sensor.Wait(ctx, frames)
		if err != nil {
			break
		}
		for i := range frames[:n] {
			if !deaf {
				c.send(s, run, &frames[i])
			}
		}
		c.config.Sensor.Requeue(frames[:n]...)
	}
	c.config.Sensor.Stop(context.WithoutCancel(ctx))
}

// send sends a frame.
func (c *Camera) send(s *streaming, run int, f *camera.Frame) {
	number := s.base + f.Seq + 1
	if !c.config.Extended {
		number = (number-1)%65535 + 1
	}
	status := uint16(good)
	if f.Status != camera.OK {
		status = 0x800D
	}
	pixels := pack(f, s.format)
	ticks := uint64(f.DeviceTime) / (uint64(time.Second) / tickRate)

	leader := binary.BigEndian.AppendUint32(nil, 1) // an image
	leader = binary.BigEndian.AppendUint64(leader, ticks)
	for _, x := range []uint32{s.format.code, uint32(f.Width), uint32(f.Height), uint32(c.settings.ROI.U), uint32(c.settings.ROI.V), 0} {
		leader = binary.BigEndian.AppendUint32(leader, x)
	}
	packets := [][]byte{c.packet(good, number, contentLeader, 0, leader)}
	for id := uint32(1); len(pixels) > 0; id++ {
		n := min(len(pixels), s.size)
		packets = append(packets, c.packet(status, number, contentPayload, id, pixels[:n]))
		pixels = pixels[n:]
	}
	trailer := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, 1), uint32(f.Height))
	packets = append(packets, c.packet(status, number, contentTrailer, uint32(len(packets)), trailer))

	c.mu.Lock()
	if len(c.sent) == kept {
		c.sent = c.sent[1:]
	}
	c.sent = append(c.sent, sent{number, packets})
	c.number = s.base + f.Seq + 1
	c.stats.Frames++
	c.mu.Unlock()
	for id, p := range packets {
		c.deliver(s.to, p, Packet{Run: run, Frame: f.Seq, ID: id, Of: len(packets)})
	}
	c.release(s.to)
}

// packet puts a header before a body.
func (c *Camera) packet(status uint16, number uint64, content byte, id uint32, body []byte) []byte {
	p := binary.BigEndian.AppendUint16(nil, status)
	if c.config.Extended {
		p = binary.BigEndian.AppendUint16(p, 0)
		p = binary.BigEndian.AppendUint32(p, 1<<31|uint32(content)<<24)
		p = binary.BigEndian.AppendUint64(p, number)
		p = binary.BigEndian.AppendUint32(p, id)
	} else {
		p = binary.BigEndian.AppendUint16(p, uint16(number))
		p = binary.BigEndian.AppendUint32(p, uint32(content)<<24|id)
	}
	return append(p, body...)
}

// deliver puts a packet on the link, or does to it what the faults say.
func (c *Camera) deliver(to *net.UDPAddr, packet []byte, p Packet) {
	c.mu.Lock()
	fate := Arrive
	if c.faults != nil {
		fate = c.faults(p)
	}
	count := &c.stats.Packets
	switch fate {
	case Drop:
		count = &c.stats.Dropped
	case Double:
		count = &c.stats.Doubled
	case Late:
		count = &c.stats.Late
		c.held = append(c.held, packet)
	}
	*count++
	if p.Resent {
		c.stats.Resent++
	}
	sender := c.sender
	c.mu.Unlock()
	if fate == Drop || fate == Late {
		return
	}
	sender.WriteToUDP(packet, to)
	if fate == Double {
		sender.WriteToUDP(packet, to)
	}
	c.pace(len(packet))
}

// release sends the packets that were late, when the rest of the frame has gone.
func (c *Camera) release(to *net.UDPAddr) {
	c.mu.Lock()
	held, sender := c.held, c.sender
	c.held = nil
	c.mu.Unlock()
	for _, p := range held {
		sender.WriteToUDP(p, to)
	}
}

// pace waits while the sender is ahead of the link.
func (c *Camera) pace(bytes int) {
	c.mu.Lock()
	now := time.Now()
	if c.due.Before(now) {
		c.due = now
	}
	c.due = c.due.Add(time.Duration(float64(bytes+28) / c.config.Rate * float64(time.Second)))
	wait := c.due.Sub(now)
	c.mu.Unlock()
	if wait > ahead {
		time.Sleep(wait)
	}
}

// testPacket sends a packet of the size, if the link carries it; callers hold the lock.
func (c *Camera) testPacket(size int) {
	port := c.memory[regStreamPort] & 0xffff
	if size > c.config.MTU || port == 0 || c.config.NoTestPackets {
		return
	}
	var to [4]byte
	binary.BigEndian.PutUint32(to[:], c.memory[regStreamAddress])
	packet := make([]byte, size-28)
	packet[4] = contentPayload
	c.sender.WriteToUDPAddrPort(packet, netip.AddrPortFrom(netip.AddrFrom4(to), uint16(port)))
}

// resend sends packets again; callers hold the lock.
func (c *Camera) resend(flags byte, body []byte) {
	s := c.streaming
	if s == nil || c.config.NoResend || len(body) < 12 {
		return
	}
	number := uint64(binary.BigEndian.Uint16(body[2:]))
	first, last := int(binary.BigEndian.Uint32(body[4:])), int(binary.BigEndian.Uint32(body[8:]))
	if flags&0x10 != 0 && len(body) >= 20 {
		number = binary.BigEndian.Uint64(body[12:])
	}
	var packets [][]byte
	for _, f := range c.sent {
		if f.number == number {
			packets = f.packets
		}
	}
	last = min(last, first+4096)
	if packets != nil {
		last = min(last, len(packets)-1)
	}
	run, sender := c.run, c.sender
	c.mu.Unlock()
	defer c.mu.Lock()
	for id := first; id <= last; id++ {
		if packets == nil {
			sender.WriteToUDP(c.packet(unavailable, number, contentPayload, uint32(id), nil), s.to)
			continue
		}
		c.deliver(s.to, packets[id], Packet{Run: run, Frame: number - s.base - 1, ID: id, Of: len(packets), Resent: true})
	}
}
