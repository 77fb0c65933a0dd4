package lightswitch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"go.bug.st/serial"

	"github.com/light-in-the-loop/opu/slm"
)

// Serial switches the light over a serial port: by bytes, or by the level of a line, which is
// on while the light is. No answer is read.
//
// The port stays open, so that the level stays; many adapters drop it when the program ends,
// however it does. Linux raises both lines for some milliseconds when a port is opened.
type Serial struct {
	Port  string `toml:"port" json:"port"`
	Baud  int    `toml:"baud" json:"baud,omitempty"` // 0: 9600
	Open  string `toml:"open" json:"open,omitempty"` // bytes, up to 256
	Close string `toml:"close" json:"close,omitempty"`
	Level string `toml:"level" json:"level,omitempty"` // dtr or rts, instead of Open and Close
}

const (
	defaultBaud = 9600
	maxBaud     = 4_000_000
	maxOrder    = 256 // bytes; more than fits into the system's buffer might block
)

func (s *Serial) check() error {
	switch {
	case s.Port == "":
		return errors.New("serial.port has to name a port, such as /dev/ttyUSB0")
	case s.Baud < 0 || s.Baud > maxBaud:
		return fmt.Errorf("serial.baud is %d; 1 to %d are possible, or 0 for %d", s.Baud, maxBaud, defaultBaud)
	case s.Level == "" && (s.Open == "" || s.Close == ""):
		return errors.New("serial has to have open and close, or level")
	case s.Level != "" && (s.Open != "" || s.Close != ""):
		return errors.New("serial has to have either open and close, or level")
	case s.Level != "" && s.Level != "dtr" && s.Level != "rts":
		return fmt.Errorf("serial.level is %q; dtr and rts are possible", s.Level)
	case len(s.Open) > maxOrder || len(s.Close) > maxOrder:
		return fmt.Errorf("serial.open and serial.close have %d and %d bytes; %d are possible", len(s.Open), len(s.Close), maxOrder)
	}
	return nil
}

// port is what is used of a serial.Port.
type port interface {
	io.WriteCloser
	Drain() error
	SetDTR(bool) error
	SetRTS(bool) error
}

func openPort(s Serial) (port, error) {
	mode := &serial.Mode{BaudRate: s.Baud}
	if mode.BaudRate == 0 {
		mode.BaudRate = defaultBaud
	}
	if s.Level != "" { // not otherwise: what has no such lines could not be opened
		mode.InitialStatusBits = &serial.ModemOutputBits{}
	}
	p, err := serial.Open(s.Port, mode)
	if err == nil {
		return p, nil
	}
	why := slm.ErrRefused
	var known *serial.PortError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &known) && known.Code() == serial.PortNotFound:
		why = slm.ErrUnplugged
	case errors.As(err, &known) && known.Code() == serial.PermissionDenied:
		why = fs.ErrPermission
	}
	return nil, fmt.Errorf("cannot open the serial port %s: %w; opuctl devices lists ports and who may open them: %w", s.Port, err, why)
}

// line is a serial line in use.
type line struct {
	Serial
	open func(Serial) (port, error)

	turn chan struct{} // holds a token while nobody uses the port
	port port          // nil: it is opened when it is needed; of whoever has the turn
}

func newLine(s Serial, open func(Serial) (port, error)) *line {
	l := &line{Serial: s, open: open, turn: make(chan struct{}, 1)}
	l.turn <- struct{}{}
	return l
}

// set does not wait longer than its context for a port that blocks. An order that is still
// on its way then comes before the next one, and one whose time is over is not begun.
func (l *line) set(ctx context.Context, on bool) error {
	done := make(chan error, 1)
	go func() {
		<-l.turn
		defer func() { l.turn <- struct{}{} }()
		if on && ctx.Err() != nil {
			return
		}
		done <- l.order(on)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the serial port %s does not take what is sent: %w", l.Port, context.Cause(ctx))
	}
}

// order opens the port if need be. After a failure it is closed, so that an adapter that was
// plugged in again is found.
func (l *line) order(on bool) (err error) {
	if l.port == nil {
		if l.port, err = l.open(l.Serial); err != nil {
			l.port = nil
			return err
		}
	}
	text := l.Serial.Close
	if on {
		text = l.Serial.Open
	}
	switch l.Level {
	case "dtr":
		err = l.port.SetDTR(on)
	case "rts":
		err = l.port.SetRTS(on)
	default:
		if err = writeAll(l.port, text); err == nil {
			err = l.port.Drain()
		}
	}
	if err != nil {
		err = fmt.Errorf("cannot use the serial port %s: %w: %w", l.Port, err, slm.ErrUnplugged)
		l.port.Close()
		l.port = nil
	}
	return err
}

// writeAll writes all: the library writes what the system takes at once.
func writeAll(w io.Writer, text string) error {
	for text != "" {
		n, err := io.WriteString(w, text)
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

// close leaves a port that is blocked to the end of the program.
func (l *line) close() error {
	select {
	case <-l.turn:
	default:
		return fmt.Errorf("cannot close the serial port %s: it blocks: %w", l.Port, slm.ErrTimeout)
	}
	defer func() { l.turn <- struct{}{} }()
	if l.port == nil {
		return nil
	}
	p := l.port
	l.port = nil
	return p.Close()
}
