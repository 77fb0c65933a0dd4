//go:build linux && cgo

package helper

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/light-in-the-loop/opu/camera/gentl/internal/wire"
)

// Built tells whether this build can load producers.
const Built = true

// farewell is how long a producer may take to close its device when the program has gone.
const farewell = 2 * time.Second

// Main serves the program that started this process, until that goes. It returns the
// process's exit code.
func Main() int {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serve() error {
	if v := os.Getenv(wire.Variable); v != strconv.Itoa(wire.Version) {
		if v == "" {
			return errors.New("cannot serve: this is what opud and opuctl load GenTL producers into; they start it, it is of no use by hand")
		}
		return fmt.Errorf("cannot serve: this is version %d of opu-gentl, and the program that started it wants version %.20s; install both anew", wire.Version, v)
	}
	os.Unsetenv(wire.Variable)
	control := os.NewFile(wire.ControlFD, "control")
	socket := os.NewFile(wire.FramesFD, "frames")
	conn, err := net.FileConn(socket)
	if err != nil {
		return fmt.Errorf("cannot serve: %w", err)
	}
	socket.Close()
	frames, ok := conn.(*net.UnixConn)
	if !ok {
		return errors.New("cannot serve: the second descriptor is no socket")
	}
	s := &server{frames: frames}

	// Requests are read beside the producer's work, so that a program that has gone is noticed
	// even if the producer hangs.
	requests := make(chan wire.Request)
	go func() {
		defer close(requests)
		lines := bufio.NewReader(control)
		for {
			line, err := lines.ReadBytes('\n')
			if err != nil {
				break
			}
			var r wire.Request
			if json.Unmarshal(line, &r) != nil {
				break
			}
			requests <- r
		}
		time.AfterFunc(farewell, func() { os.Exit(1) })
	}()

	runtime.LockOSThread() // some producers want one thread, and errors belong to one
	replies := json.NewEncoder(control)
	for r := range requests {
		reply := s.answer(r)
		reply.ID = r.ID
		if replies.Encode(reply) != nil {
			break
		}
	}
	s.close()
	return nil
}

// server is the state of the conversation.
type server struct {
	frames *net.UnixConn

	producer *producer
	system   handle
	device   *device
	stream   *stream
}

func (s *server) answer(r wire.Request) (reply wire.Reply) {
	if err := s.do(r, &reply); err != nil {
		var f *failure
		if errors.As(err, &f) {
			reply.Code = f.code
		} else {
			reply.Code = -1001
		}
		reply.Error = err.Error()
	}
	return reply
}

func (s *server) do(r wire.Request, reply *wire.Reply) (err error) {
	if r.Do == wire.Load {
		return s.load(r.Path, reply)
	}
	if s.producer == nil {
		return errors.New("no producer is loaded")
	}
	switch r.Do {
	case wire.List:
		reply.Devices, reply.Notes, err = s.producer.list(s.system)
		return err
	case wire.Open:
		return s.open(r, reply)
	}
	if s.device == nil {
		return errors.New("no device is open")
	}
	switch r.Do {
	case wire.Payload:
		n := s.stream.payload()
		reply.Payload = &n
	case wire.Start:
		return s.stream.start(r.Run, r.Buffers, r.Size)
	case wire.Stop:
		c, err := s.stream.stop()
		reply.Counts = &c
		return err
	case wire.URLs, wire.Read, wire.Write:
		return s.port(r, reply)
	default:
		return fmt.Errorf("nobody knows how to %q", r.Do)
	}
	return nil
}

// load loads the producer; the process is for one.
func (s *server) load(path string, reply *wire.Reply) (err error) {
	if s.producer != nil {
		return errors.New("a producer is loaded already")
	}
	p, err := load(path)
	if err != nil {
		return err
	}
	if s.system, err = p.open(); err != nil {
		return err
	}
	s.producer = p
	reply.Producer = &wire.Producer{
		Vendor: text(p.info(1)), Model: text(p.info(2)), Version: text(p.info(3)), Type: text(p.info(4)),
		Major: int(uint32(number(p.info(9)))), Minor: int(uint32(number(p.info(10)))),
	}
	return nil
}

func (s *server) open(r wire.Request, reply *wire.Reply) error {
	if s.device != nil {
		return errors.New("a device is open already")
	}
	d, err := s.producer.openDevice(s.system, r.Interface, r.Device)
	if err != nil {
		return err
	}
	stream, err := newStream(s.producer, d.stream, s.frames, wire.MemoryFD)
	if err != nil {
		s.producer.closeDevice(d)
		return err
	}
	s.device, s.stream, reply.Opened = d, stream, &d.opened
	return nil
}

// largestRead is what one request may read.
const largestRead = 1 << 20

func (s *server) port(r wire.Request, reply *wire.Reply) (err error) {
	port, ok := map[string]handle{
		wire.Remote: s.device.camera, wire.Device: s.device.handle, wire.Stream: s.device.stream,
		wire.Link: s.device.link, wire.System: s.system,
	}[r.Port]
	switch {
	case !ok:
		return fmt.Errorf("there is no port %q", r.Port)
	case r.Do == wire.URLs:
		reply.URLs, err = s.producer.urls(port)
	case r.Do == wire.Write:
		if len(r.Data) == 0 {
			return errors.New("there is nothing to write")
		}
		err = s.producer.write(port, r.Address, r.Data)
	case r.Size < 1 || r.Size > largestRead:
		return fmt.Errorf("%d bytes cannot be read at once, at most %d can", r.Size, largestRead)
	default:
		b := make([]byte, r.Size)
		var n int
		n, err = s.producer.read(port, r.Address, b)
		reply.Data = b[:n]
	}
	return err
}

// close gives the device back, in the order that producers expect.
func (s *server) close() {
	if s.stream != nil {
		s.stream.close()
	}
	if s.device != nil {
		s.producer.closeDevice(s.device)
	}
	if s.producer != nil {
		s.producer.shut(s.system)
	}
}
