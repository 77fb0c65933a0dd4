package usb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Monitor hears the kernel's events. It is for one goroutine, but for Close.
type Monitor struct {
	socket *os.File
	buffer []byte
}

// Listen opens a monitor. It needs no privileges.
func Listen() (*Monitor, error) {
	const kernel = 1 // the group of the kernel's own messages; 2 is udev's
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_KOBJECT_UEVENT)
	if err == nil {
		if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: kernel}); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot hear when devices come and go: %w", err)
	}
	return &Monitor{socket: os.NewFile(uintptr(fd), "uevent"), buffer: make([]byte, 1<<16)}, nil
}

// ErrMissed says that events were lost because nobody listened: list the devices again.
var ErrMissed = errors.New("events of devices were missed")

// Next blocks until the next event, or until ctx ends.
func (m *Monitor) Next(ctx context.Context) (Event, error) {
	m.socket.SetReadDeadline(time.Time{})
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		m.socket.SetReadDeadline(time.Unix(1, 0))
		close(fired)
	})
	defer func() {
		if !stop() {
			<-fired // else it would end the next call
		}
	}()
	for {
		n, err := m.socket.Read(m.buffer)
		switch {
		case ctx.Err() != nil:
			return Event{}, context.Cause(ctx)
		case errors.Is(err, unix.ENOBUFS):
			return Event{}, ErrMissed
		case err != nil:
			return Event{}, fmt.Errorf("cannot hear when devices come and go: %w", err)
		}
		if e, ok := parseEvent(m.buffer[:n]); ok {
			return e, nil
		}
	}
}

// Close ends a pending Next.
func (m *Monitor) Close() error { return m.socket.Close() }
