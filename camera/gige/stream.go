package gige

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

const (
	// wantedBuffer is what the host is asked to keep of packets while the program does not run:
	// a quarter of a second of a full link.
	wantedBuffer = 32 << 20
	// smallBuffer is what is worth a warning.
	smallBuffer = 2 << 20

	maxStreamPacket = 1 << 16
	// drain is how long a stream is read after its camera was stopped, without packets.
	drain = 2 * time.Millisecond
	// longestDrain bounds it if packets come all the same.
	longestDrain = 100 * time.Millisecond
)

// A stream is the receiving end of one run: a port of its own, so that nothing of an earlier
// run can come.
type stream struct {
	conn   *net.UDPConn
	from   netip.Addr
	buffer int // bytes that the host keeps; 0: not known

	assembler *assembler // the receiving goroutine's
	deliver   func(out []finished)
	resend    func(gap)
	count     func(Stats)

	ending atomic.Bool
	done   chan struct{}
}

// listen opens a port.
func listen(local, remote netip.Addr) (*stream, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		return nil, fmt.Errorf("cannot open a port for the stream: %w", err)
	}
	return &stream{conn: conn, from: remote, buffer: setReceiveBuffer(conn, wantedBuffer), done: make(chan struct{})}, nil
}

func (s *stream) port() uint16 { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port() }

// receive takes packets until finish, and then as long as some are under way.
func (s *stream) receive() {
	defer close(s.done)
	a := s.assembler
	data := make([]byte, maxStreamPacket)
	var ended time.Time
	for {
		now := time.Now()
		switch {
		case s.ending.Load():
			if ended.IsZero() {
				ended = now
			}
			s.conn.SetReadDeadline(now.Add(drain))
		case a.idle():
			s.conn.SetReadDeadline(time.Time{})
			if s.ending.Load() { // finish's deadline may have been overwritten
				continue
			}
		default:
			s.conn.SetReadDeadline(now.Add(quiet / 2))
		}
		n, from, err := s.conn.ReadFromUDPAddrPort(data)
		now = time.Now()
		over := !ended.IsZero() && now.Sub(ended) > longestDrain
		switch {
		case err == nil && from.Addr() == s.from:
			a.packet(now, data[:n])
		case err == nil:
			a.stats.Foreign++
		case !errors.Is(err, os.ErrDeadlineExceeded) || !ended.IsZero():
			over = true
		}
		if over {
			a.giveUpAll()
			s.flush()
			return
		}
		a.tick(now)
		s.flush()
	}
}

// flush hands out what the assembler has done.
func (s *stream) flush() {
	a := s.assembler
	if len(a.out) > 0 {
		s.deliver(a.out)
		a.out = a.out[:0]
	}
	for _, g := range a.gaps {
		s.resend(g)
	}
	a.gaps = a.gaps[:0]
	s.count(a.stats)
}

// finish waits for the packets that are under way, and closes the port.
func (s *stream) finish() {
	s.ending.Store(true)
	s.conn.SetReadDeadline(time.Now().Add(drain))
	<-s.done
	s.conn.Close()
}

// The packet sizes that are tried, beside that of the host's network, from the largest.
var packetSizes = []int{9000, 8000, 4000, 1500, 1400, 576}

// testTime is how long a test packet is waited for.
const testTime = 60 * time.Millisecond

// negotiate finds the largest packets that come through, of up to most bytes, by having the
// camera send test packets. A camera that sends none keeps what it has, if that is sure to
// come through.
func negotiate(ctx context.Context, c *control, most int) (int, error) {
	s, err := listen(c.local(), c.remote())
	if err != nil {
		return 0, err
	}
	defer s.conn.Close()
	if err := c.pointStream(ctx, c.local(), s.port()); err != nil {
		return 0, err
	}
	defer c.pointStream(ctx, c.local(), 0)
	try := func(size int) (bool, error) {
		if err := c.writeRegister(ctx, regPacketSize, fireTestPacket|doNotFragment|uint32(size)); err != nil {
			return false, err
		}
		return s.gets(ctx, size)
	}
	before, err := c.readRegister(ctx, regPacketSize)
	if err != nil {
		return 0, err
	}
	sizes := append([]int{most}, packetSizes...)
	for i, size := range sizes {
		if size > most || i > 0 && size == most {
			continue
		}
		ok, err := try(size)
		switch {
		case errors.Is(err, camera.ErrRefused):
			continue // it does not have packets of this size
		case err != nil:
			return 0, err
		case ok:
			return size, nil
		}
	}
	safe := int(before & 0xffff)
	if safe < 576 || safe > min(most, 1500) {
		safe = min(most, 1400)
	}
	return safe, nil
}

// gets says whether a packet of the size comes soon.
func (s *stream) gets(ctx context.Context, size int) (bool, error) {
	s.conn.SetReadDeadline(time.Now().Add(testTime))
	defer context.AfterFunc(ctx, func() { s.conn.SetReadDeadline(time.Unix(1, 0)) })()
	data := make([]byte, maxStreamPacket)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(data)
		switch {
		case context.Cause(ctx) != nil:
			return false, context.Cause(ctx)
		case err != nil:
			return false, nil
		case from.Addr() == s.from && n == size-networkHeaders:
			return true, nil
		}
	}
}

// setPacketSize sets the size of the stream's packets, all headers included, and returns the
// one that the camera took.
func (c *control) setPacketSize(ctx context.Context, size int) (int, error) {
	if err := c.writeRegister(ctx, regPacketSize, doNotFragment|uint32(size)); err != nil {
		return 0, err
	}
	took, err := c.readRegister(ctx, regPacketSize)
	if err != nil {
		return 0, err
	}
	if n := int(took & 0xffff); n > header(true) && n <= size {
		return n, nil
	}
	return 0, fmt.Errorf("asked for packets of %d bytes it has packets of %d: %w", size, took&0xffff, camera.ErrProtocol)
}

// pointStream tells the camera where the stream goes. Port 0 closes it.
func (c *control) pointStream(ctx context.Context, to netip.Addr, port uint16) error {
	a := to.As4()
	if port != 0 {
		if err := c.writeRegister(ctx, regStreamAddr, uint32(a[0])<<24|uint32(a[1])<<16|uint32(a[2])<<8|uint32(a[3])); err != nil {
			return err
		}
	}
	return c.writeRegister(ctx, regStreamPort, uint32(port))
}

// mtu is the size of the largest packet on the host's network of an address.
func mtu(address netip.Addr) int {
	networks, err := net.Interfaces()
	if err != nil {
		return 1500
	}
	for _, n := range networks {
		addresses, _ := n.Addrs()
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && (p.Addr() == address || n.Flags&net.FlagLoopback != 0 && p.Contains(address)) {
				return n.MTU
			}
		}
	}
	return 1500
}
