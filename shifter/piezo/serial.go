package piezo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"

	"go.bug.st/serial"

	"github.com/light-in-the-loop/opu/shifter"
)

// OpenSerial opens a serial port, 115200 baud, for Open. A port that is not there is
// shifter.ErrUnplugged, one that somebody else has open shifter.ErrRefused, and one that this
// user may not open fs.ErrPermission.
func OpenSerial(name string) (Port, error) {
	p, err := serial.Open(name, &serial.Mode{BaudRate: 115200})
	if err == nil {
		return &port{Port: p}, nil
	}
	var known *serial.PortError
	if errors.As(err, &known) {
		switch known.Code() {
		case serial.InvalidSerialPort:
			return nil, fmt.Errorf("cannot open %s: it is no serial port (%v); opuctl devices lists them: %w", name, err, shifter.ErrInput)
		case serial.PortNotFound:
			return nil, fmt.Errorf("cannot open the serial port %s: %v; plug the controller in and switch it on: %w", name, err, shifter.ErrUnplugged)
		case serial.PortBusy:
			return nil, fmt.Errorf("cannot open the serial port %s: another program has it open: %w", name, shifter.ErrRefused)
		case serial.PermissionDenied:
			return nil, fmt.Errorf("cannot open the serial port %s: join the group that owns it, often dialout, and log in again: %w", name, fs.ErrPermission)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot open the serial port %s: plug the controller in and switch it on: %w", name, shifter.ErrUnplugged)
	}
	return nil, fmt.Errorf("cannot open the serial port %s: %w", name, err)
}

// Ports lists the serial ports of this machine, whatever is connected to them.
func Ports() ([]string, error) {
	names, err := serial.GetPortsList()
	if err != nil {
		return nil, fmt.Errorf("cannot list serial ports: %w", err)
	}
	return names, nil
}

// port makes the library's port safe to close: it writes to its file descriptor without
// looking whether that is still its own.
type port struct {
	serial.Port
	mu     sync.Mutex // held while writing
	closed bool
}

func (p *port) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return 0, io.ErrClosedPipe
	}
	for n := 0; n < len(b); {
		k, err := p.Port.Write(b[n:])
		if n += k; err != nil {
			return n, err
		}
		if k == 0 {
			return n, io.ErrShortWrite
		}
	}
	return len(b), nil
}

func (p *port) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	return p.Port.Close()
}
