package piezo

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"
)

// Config describes a controller. The zero value is an MDT694B whose switch stands at 75 V.
type Config struct {
	Model  string // "": MDT694B
	Serial string // "": 140421-07

	// Switch is the position of the limit switch at the back: 75, 100 or 150 V; 0 means 75.
	Switch float64

	// Compatible makes it speak as its predecessors MDT693A and MDT694A do.
	Compatible bool

	// What the output's meter is off by, in volts. Controllers in the field read up to
	// 0.2 V more than they were told.
	MeterOffset float64

	// RadiansPerVolt is what the piezo does to the phase. Hysteresis is the play of the
	// piezo in volts: it follows the voltage only from this far behind. A real piezo's
	// loop widens with the way; a play of fixed width is the simplest that has one.
	RadiansPerVolt float64
	Hysteresis     float64

	// Moved is called with the phase, in radians from that at 0 V, whenever it changes;
	// may be nil. It must not call the controller.
	Moved func(radians float64)
}

// Controller is the instrument, seen from the cable. Its methods may be called from any
// goroutine.
type Controller struct {
	config Config

	mu       sync.Mutex // guards what follows
	closed   bool
	came     chan struct{} // closed when there is something new for Read
	out      []answer
	line     []byte // a command that has not ended yet
	echo     bool
	volts    float64
	place    float64 // of the piezo, as volts without hysteresis
	lo, hi   float64 // of the output, ever
	min, max float64 // of the axis, set by the user
	commands int
	fault    func(command, answer string) (string, time.Duration)
}

// answer is bytes that the host can read from a time on.
type answer struct {
	bytes []byte
	at    time.Time
}

// New switches a controller on.
func New(c Config) (*Controller, error) {
	if c.Model == "" {
		c.Model = "MDT694B"
	}
	if c.Serial == "" {
		c.Serial = "140421-07"
	}
	if c.Switch == 0 {
		c.Switch = 75
	}
	if !slices.Contains([]float64{75, 100, 150}, c.Switch) {
		return nil, fmt.Errorf("cannot switch a controller to %g V: 75, 100 and 150 are possible", c.Switch)
	}
	if !(math.Abs(c.RadiansPerVolt) < 1e3) || !(c.Hysteresis >= 0 && c.Hysteresis < c.Switch) {
		return nil, fmt.Errorf("cannot make a piezo of %g rad/V with a play of %g V", c.RadiansPerVolt, c.Hysteresis)
	}
	return &Controller{config: c, came: make(chan struct{}), echo: true, max: c.Switch}, nil
}

// Volts is the output's voltage.
func (c *Controller) Volts() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.volts
}

// Extremes are the lowest and the highest voltage that the output ever had.
func (c *Controller) Extremes() (lo, hi float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lo, c.hi
}

// Commands is how many it was given.
func (c *Controller) Commands() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.commands
}

// Turn turns the knob at the front.
func (c *Controller) Turn(volts float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drive(volts)
}

// Fault changes answers, from now on: f is given each command and its answer, prompt
// included, and returns what is sent, and how much later. nil ends it.
func (c *Controller) Fault(f func(command, answer string) (string, time.Duration)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault = f
}

// Say sends bytes that nobody asked for.
func (c *Controller) Say(noise []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(noise, 0)
}

// drive puts a voltage on the piezo; callers hold the lock.
func (c *Controller) drive(volts float64) {
	c.volts = volts
	c.lo, c.hi = min(c.lo, volts), max(c.hi, volts)
	play := c.config.Hysteresis / 2
	before := c.place
	c.place = max(volts-play, min(volts+play, c.place))
	if c.place != before && c.config.Moved != nil {
		c.config.Moved(c.place * c.config.RadiansPerVolt)
	}
}

// Write takes bytes from the host. It never blocks.
func (c *Controller) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, io.ErrClosedPipe
	}
	for _, x := range b {
		switch {
		case x == '\n': // some programs end lines with both
		case x != '\r':
			if len(c.line) < 256 {
				c.line = append(c.line, x)
			}
		default:
			c.obey(string(c.line))
			c.line = c.line[:0]
		}
	}
	return len(b), nil
}

// obey carries out a command; callers hold the lock.
func (c *Controller) obey(command string) {
	c.commands++
	echo := c.echo
	text := c.carryOut(command)
	if echo {
		text = command + "\r" + text
	}
	var late time.Duration
	if c.fault != nil {
		text, late = c.fault(command, text)
	}
	c.send([]byte(text), late)
}

// send queues bytes behind those that wait already; callers hold the lock.
func (c *Controller) send(b []byte, late time.Duration) {
	if len(b) == 0 || c.closed {
		return
	}
	at := time.Now().Add(late)
	if n := len(c.out); n > 0 && c.out[n-1].at.After(at) {
		at = c.out[n-1].at
	}
	c.out = append(c.out, answer{bytes.Clone(b), at})
	c.wake()
}

func (c *Controller) wake() {
	close(c.came)
	c.came = make(chan struct{})
}

// Read gives the host what was answered. It blocks until there is something, or the cable
// is pulled.
func (c *Controller) Read(b []byte) (int, error) {
	for {
		c.mu.Lock()
		came, wait := c.came, time.Duration(-1)
		if len(c.out) > 0 {
			first := &c.out[0]
			if wait = time.Until(first.at); wait <= 0 && !c.closed {
				n := copy(b, first.bytes)
				if first.bytes = first.bytes[n:]; len(first.bytes) == 0 {
					c.out = c.out[1:]
				}
				c.mu.Unlock()
				return n, nil
			}
		}
		closed := c.closed
		c.mu.Unlock()
		if closed {
			return 0, io.EOF
		}
		if wait < 0 {
			<-came
			continue
		}
		select {
		case <-came:
		case <-time.After(wait):
		}
	}
}

// Close pulls the cable. The voltage stays.
func (c *Controller) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		c.wake()
	}
	return nil
}
