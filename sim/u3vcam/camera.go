package u3vcam

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"
)

// What transfers end with, besides data.
var (
	ErrStall = errors.New("stall")            // the camera refuses the transfer
	ErrGone  = errors.New("the cable is out") // or the camera was closed
)

// Config is what a camera is like. The zero value is one of 64x48 pixels.
type Config struct {
	Vendor, Model, Serial string
	Width, Height         int           // of the sensor
	Period                time.Duration // between frames without triggers; 0 means 1 ms
	Packet                int           // largest of the bus; 0 means 1024

	// Started and Stopped are called when the acquisition begins, with what is set, and when it
	// ends, without the camera's lock: to set up what calls Capture. nil: nothing is.
	Started func(Settings)
	Stopped func()
}

// Settings is how frames are taken.
type Settings struct {
	U, V, Width, Height int
	BitDepth            int
	Packed              bool // two pixels in three bytes
	Exposure            time.Duration
	Triggered           bool
}

// Camera is a model of a camera. Its methods may be called from any goroutine.
type Camera struct {
	config Config
	gone   chan struct{}
	once   sync.Once

	mu       sync.Mutex    // guards what follows
	wake     chan struct{} // closed and made anew when something changes
	memory   memory
	answers  []answer
	sending  [][]byte // transfers that wait for the host, as the camera cuts them
	stalled  bool     // the stream's pipe
	acquires bool
	free     chan struct{} // closed to end the exposures without triggers
	block    uint64        // id of the next frame
	frame    int           // of the run
	clock    uint64        // ns
	faults   Faults
}

// answer is a packet for the control pipe.
type answer struct {
	packet []byte
}

// mostWaiting is how many transfers wait in the camera's memory before frames are lost.
const mostWaiting = 4096

// New makes a camera that is plugged in.
func New(c Config) (*Camera, error) {
	if c.Width == 0 && c.Height == 0 {
		c.Width, c.Height = 64, 48
	}
	if c.Width < 8 || c.Height < 8 || c.Width%4 != 0 || c.Height%2 != 0 || c.Width > 8192 || c.Height > 8192 {
		return nil, fmt.Errorf("cannot make a camera of %dx%d pixels: its sides must be 8 to 8192, multiples of 4 and 2", c.Width, c.Height)
	}
	for text, other := range map[*string]string{&c.Vendor: "Model Works", &c.Model: "U3V-1", &c.Serial: "U3V0001"} {
		if *text == "" {
			*text = other
		}
		if len(*text) > 63 {
			return nil, fmt.Errorf("cannot make a camera that is called %q: 63 bytes are the most", *text)
		}
	}
	if c.Period == 0 {
		c.Period = time.Millisecond
	}
	if c.Packet == 0 {
		c.Packet = 1024
	}
	cam := &Camera{config: c, gone: make(chan struct{}), wake: make(chan struct{}), clock: 123456789012}
	cam.memory.reset(c)
	return cam, nil
}

// Unplug pulls the cable: every transfer ends with ErrGone.
func (c *Camera) Unplug() {
	c.once.Do(func() { close(c.gone) })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopAcquisition()
}

// changed wakes who waits; the lock is held.
func (c *Camera) changed() {
	close(c.wake)
	c.wake = make(chan struct{})
}

// await calls ready, with the lock, until it says that it is done.
func (c *Camera) await(ctx context.Context, ready func() bool) error {
	for {
		select {
		case <-c.gone:
			return ErrGone
		default:
		}
		c.mu.Lock()
		done, wake := ready(), c.wake
		c.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-wake:
		case <-c.gone:
			return ErrGone
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Trigger gives n edges to the camera's line; what is exposed is a test image, of which pixel
// (u, v) of the sensor is u + 2v + 3k in frame k of the run.
func (c *Camera) Trigger(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for range n {
		if c.acquires && c.memory.triggered() {
			c.clock += 1e6
			c.edge(nil)
		}
	}
}

// Capture is an edge at the line, or without triggers the end of an exposure, at a time of the
// camera's clock, and the pixels that came of it, as Settings say: one byte each at 8 bits, else
// two, the lesser one first.
func (c *Camera) Capture(pixels []byte, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acquires {
		c.clock = uint64(at)
		c.edge(pixels)
	}
}

// edge takes a frame, or as many as the faults say.
func (c *Camera) edge(pixels []byte) {
	if c.faults.Deaf {
		return
	}
	c.memory.count(counterTrigger)
	again := c.faults.Frames[c.frame] == Twice
	c.expose(pixels)
	if again {
		c.clock += 1000
		c.expose(pixels)
	}
}

// startAcquisition begins exposures; the lock is held.
func (c *Camera) startAcquisition() {
	if c.acquires {
		return
	}
	c.acquires, c.block, c.frame = true, 0, 0
	if c.config.Started != nil {
		s := c.memory.settings()
		c.unlocked(func() { c.config.Started(s) })
		return
	}
	if !c.memory.triggered() {
		c.free = make(chan struct{})
		go c.runFree(c.free)
	}
}

func (c *Camera) stopAcquisition() {
	if !c.acquires {
		return
	}
	c.acquires = false
	if c.free != nil {
		close(c.free)
		c.free = nil
	}
	if c.config.Stopped != nil {
		c.unlocked(c.config.Stopped)
	}
}

// unlocked calls f without the lock.
func (c *Camera) unlocked(f func()) {
	c.mu.Unlock()
	defer c.mu.Lock()
	f()
}

// runFree exposes without triggers.
func (c *Camera) runFree(end chan struct{}) {
	t := time.NewTicker(c.config.Period)
	defer t.Stop()
	for {
		select {
		case <-end:
			return
		case <-c.gone:
			return
		case <-t.C:
			c.mu.Lock()
			if c.acquires && c.free == end {
				c.clock += uint64(c.config.Period)
				c.expose(nil)
			}
			c.mu.Unlock()
		}
	}
}

// testImage is what is seen without light.
func testImage(dst []byte, s Settings, k int) {
	mask := 1<<s.BitDepth - 1
	for v := range s.Height {
		for u := range s.Width {
			x := (u + s.U + 2*(v+s.V) + 3*k) & mask
			if s.BitDepth == 8 {
				dst[v*s.Width+u] = byte(x)
			} else {
				binary.LittleEndian.PutUint16(dst[2*(v*s.Width+u):], uint16(x))
			}
		}
	}
}
