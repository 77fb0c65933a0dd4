package piezo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Line is a pseudo-terminal with an instrument at its far end.
type Line struct {
	master *os.File
	near   *os.File // held, so that a host may come and go without a hang-up
	far    io.Closer
	copies sync.WaitGroup
	once   sync.Once
}

// Pty puts an instrument at the far end of a pseudo-terminal, and returns the name of its
// near end, which is opened as a serial port is. Closing the line pulls the cable.
func Pty(instrument io.ReadWriteCloser) (*Line, string, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, "", fmt.Errorf("cannot make a pseudo-terminal: %w", err)
	}
	near := -1
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	name := fmt.Sprintf("/dev/pts/%d", n)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		near, err = unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err == nil { // before anyone opens it: a terminal would send the first answers back to the instrument
		err = makeRaw(near)
	}
	if err != nil {
		unix.Close(fd)
		if near >= 0 {
			unix.Close(near)
		}
		return nil, "", fmt.Errorf("cannot make a pseudo-terminal: %w", err)
	}
	l := &Line{master: os.NewFile(uintptr(fd), "/dev/ptmx"), near: os.NewFile(uintptr(near), name), far: instrument}
	l.copies.Go(func() { io.Copy(instrument, l.master) })
	l.copies.Go(func() { io.Copy(l.master, instrument) })
	return l, name, nil
}

func makeRaw(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}

// Close pulls the cable.
func (l *Line) Close() error {
	var err error
	l.once.Do(func() {
		err = errors.Join(l.master.Close(), l.near.Close())
		l.far.Close()
		l.copies.Wait()
	})
	return err
}
