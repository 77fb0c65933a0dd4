//go:build linux && (amd64 || arm64)

package vivid

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/camera"
)

// The part of linux/videodev2.h that an output needs, in the kernel's layout on 64-bit systems.
// It is written apart from the driver under test, which has its own.
type (
	format struct {
		Type, _                     uint32
		Width, Height, Pixel, Field uint32
		Stride, Size, Colorspace    uint32
		_                           [200 - 7*4]byte
	}
	requestBuffers struct{ Count, Type, Memory, Capabilities, Flags uint32 }
	buffer         struct {
		Index, Type, Used, Flags, Field, _ uint32
		Seconds, Microseconds              int64
		_                                  [16]byte
		Sequence, Memory                   uint32
		Offset                             uint64
		Length, _, _, _                    uint32
	}
	timings struct {
		Type, Width, Height, Interlaced, Polarities uint32
		Clock                                       [2]uint32 // a uint64 that is not aligned, Hz
		HFront, HSync, HBack                        uint32
		VFront, VSync, VBack                        uint32
		_                                           [132 - 13*4]byte
	}
	enumTimings struct {
		Index, Pad, _, _ uint32
		Timings          timings
	}
)

const (
	output = 2 // type of buffers
	mapped = 1

	grey = 'G' | 'R'<<8 | 'E'<<16 | 'Y'<<24

	setFormat   = 5
	reqBufs     = 8
	queryBuf    = 9
	queue       = 15
	dequeue     = 17
	streamOn    = 18
	streamOff   = 19
	setTimings  = 87
	listTimings = 98
)

// ask makes a request of type 'V'. Of the numbers above only the switches of the stream do not
// answer.
func ask[T any](fd int, number uintptr, argument *T) error {
	direction := uintptr(3)
	if number == streamOn || number == streamOff {
		direction = 1
	}
	request := direction<<30 | unsafe.Sizeof(*argument)<<16 | 'V'<<8 | number
	for {
		_, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(argument)))
		switch err {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return err
		}
	}
}

// Node finds a node of vivid: "vid-cap" or "vid-out" of its device with this number.
func Node(device int, kind string) (string, error) {
	names, err := filepath.Glob("/sys/class/video4linux/*/name")
	if err != nil {
		return "", err
	}
	want := fmt.Sprintf("vivid-%03d-%s", device, kind)
	for _, n := range names {
		text, err := os.ReadFile(n)
		if err == nil && strings.TrimSpace(string(text)) == want {
			return "/dev/" + filepath.Base(filepath.Dir(n)), nil
		}
	}
	return "", fmt.Errorf("cannot find the node %s: %w", want, os.ErrNotExist)
}

// number is that of the device whose input a node is.
func number(node string) (int, error) {
	if real, err := filepath.EvalSymlinks(node); err == nil {
		node = real
	}
	text, err := os.ReadFile(filepath.Join("/sys/class/video4linux", filepath.Base(node), "name"))
	var n int
	if err == nil {
		_, err = fmt.Sscanf(string(text), "vivid-%03d-vid-cap", &n)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot loop frames through %s: it is no input of vivid, which modprobe vivid makes: %w", node, camera.ErrInput)
	}
	return n, nil
}

// SetSignal gives an input or an output of HDMI the quickest signal of these pixels, and returns
// its rate in hertz. It stays when the node is closed.
func SetSignal(node string, width, height int) (hertz float64, err error) {
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("cannot open %s: %w", node, err)
	}
	defer unix.Close(fd)
	var best timings
	for i := uint32(0); ; i++ {
		e := enumTimings{Index: i}
		if ask(fd, listTimings, &e) != nil {
			break
		}
		t := e.Timings
		if int(t.Width) == width && int(t.Height) == height && t.Interlaced == 0 && t.hertz() > hertz {
			best, hertz = t, t.hertz()
		}
	}
	if hertz == 0 {
		return 0, fmt.Errorf("cannot have a signal of %dx%d at %s", width, height, node)
	}
	if err := ask(fd, setTimings, &best); err != nil {
		return 0, fmt.Errorf("cannot set the signal of %s: %w", node, err)
	}
	return hertz, nil
}

func (t *timings) hertz() float64 {
	clock := uint64(t.Clock[0]) | uint64(t.Clock[1])<<32
	return float64(clock) / float64(t.Width+t.HFront+t.HSync+t.HBack) / float64(t.Height+t.VFront+t.VSync+t.VBack)
}

// Screen is an output that shows grey pictures, each until the next one.
type Screen struct {
	Width, Height, Stride int

	fd      int
	buffers [][]byte
	once    sync.Once // of Close
	free    []uint32
	size    int
}

// OpenScreen starts an output. Its signal decides how large the pictures are.
func OpenScreen(node string) (s *Screen, err error) {
	fd, err := unix.Open(node, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", node, err)
	}
	s = &Screen{fd: fd}
	defer func() {
		if err != nil {
			s.Close()
			err = fmt.Errorf("cannot use the output %s: %w", node, err)
		}
	}()
	f := format{Type: output, Width: 1 << 15, Height: 1 << 15, Pixel: grey, Field: 1, Colorspace: 8}
	if err := ask(fd, setFormat, &f); err != nil {
		return s, err
	}
	if f.Pixel != grey {
		return s, fmt.Errorf("it has no grey format")
	}
	s.Width, s.Height, s.Stride, s.size = int(f.Width), int(f.Height), int(f.Stride), int(f.Size)
	r := requestBuffers{Count: 3, Type: output, Memory: mapped}
	if err := ask(fd, reqBufs, &r); err != nil {
		return s, err
	}
	for i := range r.Count {
		b := buffer{Index: i, Type: output, Memory: mapped}
		if err := ask(fd, queryBuf, &b); err != nil {
			return s, err
		}
		m, err := unix.Mmap(fd, int64(uint32(b.Offset)), int(b.Length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return s, err
		}
		s.buffers, s.free = append(s.buffers, m), append(s.free, i)
	}
	kind := int32(output)
	for range 2 { // it starts with as many
		if err := s.Show(func([]byte) {}); err != nil {
			return s, err
		}
	}
	return s, ask(fd, streamOn, &kind)
}

// Show has draw write a picture, in rows of Stride bytes, and shows it from the next tick on. It
// waits while three are on their way.
func (s *Screen) Show(draw func(pix []byte)) error {
	if len(s.free) == 0 {
		b := buffer{Type: output, Memory: mapped}
		if err := ask(s.fd, dequeue, &b); err != nil {
			return err
		}
		s.free = append(s.free, b.Index)
	}
	i := s.free[len(s.free)-1]
	draw(s.buffers[i])
	if err := ask(s.fd, queue, &buffer{Index: i, Type: output, Memory: mapped, Used: uint32(s.size), Field: 1}); err != nil {
		return err
	}
	s.free = s.free[:len(s.free)-1]
	return nil
}

// Close ends the output. It may be called more than once.
func (s *Screen) Close() (err error) {
	s.once.Do(func() {
		kind := int32(output)
		if err = ask(s.fd, streamOff, &kind); err == syscall.EINVAL || err == syscall.ENODEV { // it never began, or is gone
			err = nil
		}
		for _, b := range s.buffers {
			unix.Munmap(b)
		}
		unix.Close(s.fd)
	})
	return err
}
