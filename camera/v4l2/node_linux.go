//go:build amd64 || arm64

package v4l2

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/camera"
)

// video is an open node of a video device.
type video struct {
	fd, event int // event is an eventfd: readable after wake

	mu     sync.Mutex // guards closed and the descriptors' use by wake
	closed bool

	polling sync.Mutex // held while polling; what follows needs no memory then
	polled  [2]unix.PollFd
	limit   unix.Timespec
	count   [8]byte
}

// openNode opens a node. Not with os.OpenFile: that registers the node with the runtime's
// poller, and being polled makes a driver that can also be read from start streaming, which
// then refuses formats.
func openNode(path string) (node, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, openError(path, err)
	}
	event, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot open camera %s: cannot make an eventfd: %w", path, err), unix.Close(fd))
	}
	return &video{fd: fd, event: event}, nil
}

// openError says what to do about a node that cannot be opened.
func openError(path string, err error) error {
	switch err {
	case unix.EACCES, unix.EPERM:
		return fmt.Errorf("cannot open camera %s: permission denied; join the group video: %w", path, os.ErrPermission)
	case unix.ENOENT, unix.ENODEV, unix.ENXIO:
		return fmt.Errorf("cannot open camera %s: %w; plug it in and switch it on, and see what /dev/v4l/by-id names", path, camera.ErrUnplugged)
	case unix.EBUSY:
		return fmt.Errorf("cannot open camera %s: another program has it; close that: %w", path, camera.ErrRefused)
	}
	return fmt.Errorf("cannot open camera %s: %w", path, err)
}

func (v *video) ioctl(request uint32, argument unsafe.Pointer) error {
	for {
		_, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(v.fd), uintptr(request), uintptr(argument))
		switch err {
		case 0:
			return nil
		case unix.EINTR: // the runtime's signals
		default:
			return err
		}
	}
}

func (v *video) mmap(offset int64, length int) ([]byte, error) {
	p, err := unix.MmapPtr(v.fd, offset, nil, uintptr(length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(p), length), nil
}

func (v *video) unmap(b []byte, read bool) error {
	p := unsafe.Pointer(unsafe.SliceData(b))
	if read {
		_, err := unix.MmapPtr(-1, 0, p, uintptr(len(b)), unix.PROT_READ, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED|unix.MAP_NORESERVE)
		return err
	}
	return unix.MunmapPtr(p, uintptr(len(b)))
}

// lookAgain is how often a node is looked at that reports nothing: some drivers, vivid among
// them, do not wake those who wait when their device goes.
const lookAgain = 250 * time.Millisecond

func (v *video) poll() (trouble bool, err error) {
	v.polling.Lock()
	defer v.polling.Unlock()
	v.mu.Lock()
	closed := v.closed
	v.mu.Unlock()
	if closed {
		return false, nil
	}
	v.polled = [2]unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLIN}, {Fd: int32(v.event), Events: unix.POLLIN}}
	v.limit = unix.NsecToTimespec(int64(lookAgain))
	if _, err := unix.Ppoll(v.polled[:], &v.limit, nil); err == unix.EINTR {
		return false, nil
	} else if err != nil {
		return false, err
	}
	if v.polled[1].Revents != 0 {
		unix.Read(v.event, v.count[:]) // what it holds does not matter
	}
	if v.polled[0].Revents&unix.POLLHUP != 0 {
		return true, syscall.ENODEV
	}
	return v.polled[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0, nil
}

func (v *video) wake() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.closed {
		unix.Write(v.event, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // fails if it would overflow: then it is readable anyway
	}
}

func (v *video) close() error {
	v.wake()
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.polling.Lock() // nobody polls, or will
	defer v.polling.Unlock()
	return errors.Join(unix.Close(v.fd), unix.Close(v.event))
}
