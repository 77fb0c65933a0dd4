package gigecam

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

// Config is a camera. What a field switches on is off at its zero value.
type Config struct {
	Address string        // of the host, at which it is reached: an IPv4 address
	Sensor  camera.Device // whose frames it sends, and whose settings it has; it is not closed

	Vendor, Model, Serial, Name string // up to 31 and 15 characters; "": something

	MTU       int           // largest packet of its link, with headers; 0: 9000
	Rate      float64       // of its link, bytes a second; 0: 1 Gbit/s
	Heartbeat time.Duration // 0: 3 s
	Step      int           // of regions of interest, as it announces it; 0: 4 pixels

	Extended      bool // frames are numbered with 64 bits, as of version 2 of the protocol
	Continues     bool // numbers go on from acquisition to acquisition
	NoResend      bool // packets cannot be asked for again
	NoTestPackets bool
	Rolling       bool // the shutter is
}

// Camera is the model. Its methods may be called from any goroutine.
type Camera struct {
	config      Config
	address     netip.Addr
	description []byte
	began       time.Time
	life        context.Context
	end         context.CancelFunc
	serving     sync.WaitGroup

	mu        sync.Mutex     // guards what follows
	due       time.Time      // when the link is free
	socket    *net.UDPConn   // of control; nil: unplugged
	sender    *net.UDPConn   // of the stream
	ears      []*net.UDPConn // for what is sent to everyone
	memory    map[uint32]uint32
	settings  camera.Config
	format    pixelFormat
	master    netip.AddrPort // zero: none
	heard     time.Time      // from the master
	streaming *streaming
	run       int
	number    uint64 // of the last frame
	sent      []sent
	held      [][]byte // packets that are late
	faults    func(Packet) Fate
	stats     Stats
}

// New starts a camera.
func New(c Config) (*Camera, error) {
	address, err := netip.ParseAddr(c.Address)
	if err != nil || !address.Is4() {
		return nil, fmt.Errorf("cannot model a camera at %q: it is no IPv4 address", c.Address)
	}
	c.Vendor, c.Model, c.Serial = cmp.Or(c.Vendor, "opu"), cmp.Or(c.Model, "SimulatedCamera"), cmp.Or(c.Serial, "sim")
	c.MTU, c.Rate = cmp.Or(c.MTU, 9000), cmp.Or(c.Rate, 125e6)
	c.Heartbeat, c.Step = cmp.Or(c.Heartbeat, 3*time.Second), cmp.Or(c.Step, 4)
	if c.MTU < 576 || c.MTU > 65532 || c.MTU%4 != 0 {
		return nil, fmt.Errorf("cannot model a link with packets of %d bytes: 576 to 65532 are possible, multiples of 4", c.MTU)
	}
	for _, depth := range c.Sensor.Info().BitDepths {
		if formats[depth] == nil {
			return nil, fmt.Errorf("cannot model a camera with %d bits", depth)
		}
	}
	m := &Camera{config: c, address: address, began: time.Now()}
	m.description = m.describe()
	m.life, m.end = context.WithCancel(context.Background())
	if m.settings, err = c.Sensor.Configure(m.life, camera.Config{}); err != nil {
		return nil, fmt.Errorf("cannot model a camera: %w", err)
	}
	m.reset()
	if err := m.Replug(); err != nil {
		return nil, err
	}
	m.serving.Go(m.watch)
	return m, nil
}

func (c *Camera) url() string {
	return fmt.Sprintf("Local:camera.xml;%x;%x", addrDescription, len(c.description))
}

// Replug connects the camera to the network again. It has no master then.
func (c *Camera) Replug() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket != nil {
		return nil
	}
	socket, err := listen(netip.AddrPortFrom(c.address, 3956), false)
	if err != nil {
		return fmt.Errorf("cannot model a camera at %v: %w", c.address, err)
	}
	sender, err := listen(netip.AddrPortFrom(c.address, 0), false)
	if err != nil {
		socket.Close()
		return fmt.Errorf("cannot model a camera at %v: %w", c.address, err)
	}
	c.socket, c.sender = socket, sender
	sockets := []*net.UDPConn{socket}
	for _, everyone := range []string{"255.255.255.255", broadcast(c.address)} {
		ear, err := listen(netip.AddrPortFrom(netip.MustParseAddr(everyone), 3956), true)
		if err == nil { // else it is found by its address alone
			c.ears = append(c.ears, ear)
			sockets = append(sockets, ear)
		}
	}
	for _, s := range sockets {
		c.serving.Go(func() { c.serve(s) })
	}
	return nil
}

// broadcast is the address of everyone in the network of an address, as far as one can tell
// without asking.
func broadcast(a netip.Addr) string {
	b := a.As4()
	if a.IsLoopback() {
		return "127.255.255.255"
	}
	return netip.AddrFrom4([4]byte{b[0], b[1], b[2], 255}).String()
}

// Unplug pulls the cable.
func (c *Camera) Unplug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket == nil {
		return
	}
	c.socket.Close()
	c.sender.Close()
	for _, ear := range c.ears {
		ear.Close()
	}
	c.socket, c.ears = nil, nil // the sender is closed: what is sent is lost
	c.dropMaster()              // as it would by itself, a little later
}

// DropMaster lets the camera forget who controls it, as if it had not been heard from.
func (c *Camera) DropMaster() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropMaster()
}

func (c *Camera) socketNow() *net.UDPConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socket
}

// serve answers what comes to a socket until it is closed.
func (c *Camera) serve(s *net.UDPConn) {
	message := make([]byte, 2048)
	for {
		n, from, err := s.ReadFromUDPAddrPort(message)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		if answer := c.handle(from, message[:n]); answer != nil {
			if socket := c.socketNow(); socket != nil {
				socket.WriteToUDPAddrPort(answer, from) // from its own address, whoever was asked
			}
		}
	}
}

// watch drops a master who is not heard from.
func (c *Camera) watch() {
	beat := time.NewTicker(20 * time.Millisecond)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
		case <-c.life.Done():
			return
		}
		c.mu.Lock()
		if c.master.IsValid() && time.Since(c.heard) > time.Duration(c.memory[regHeartbeat])*time.Millisecond {
			c.stats.Expired++
			c.dropMaster()
		}
		c.mu.Unlock()
	}
}

// Register is what a register of the camera holds. Tests look.
func (c *Camera) Register(address uint32) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.memory[address]
}

// Close switches the camera off. It may be called more than once.
func (c *Camera) Close() error {
	c.Unplug()
	c.end()
	c.serving.Wait()
	return nil
}
