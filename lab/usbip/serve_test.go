//go:build linux

package usbip

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// fake is a device whose endpoints do what a test says.
type fake struct {
	Descriptors
	out func(ctx context.Context, data []byte) error
	in  func(ctx context.Context, n int) ([]byte, error)
}

func (f *fake) Speed() Speed { return FullSpeed }

func (f *fake) Control(_ context.Context, s Setup, _ []byte) ([]byte, error) { return f.Standard(s) }

func (f *fake) Out(ctx context.Context, _ int, data []byte) error { return f.out(ctx, data) }

func (f *fake) In(ctx context.Context, _, n int) ([]byte, error) { return f.in(ctx, n) }

// host is the kernel's end of a session.
type host struct {
	t    *testing.T
	conn net.Conn
	over chan error
}

func newHost(t *testing.T, d Device) *host {
	ours, theirs := net.Pipe()
	h := &host{t, ours, make(chan error, 1)}
	go func() {
		err := serve(theirs, d)
		theirs.Close()
		h.over <- err
	}()
	return h
}

// message is a request as the protocol has it, written here a second time.
func message(command, number, direction, endpoint, fifth uint32, setup [8]byte, out []byte) []byte {
	var m bytes.Buffer
	binary.Write(&m, binary.BigEndian, []uint32{command, number, 1<<16 | 1, direction, endpoint})
	if command == 1 {
		binary.Write(&m, binary.BigEndian, []uint32{0, fifth, 0, 0, 1})
	} else {
		binary.Write(&m, binary.BigEndian, []uint32{fifth, 0, 0, 0, 0})
	}
	m.Write(setup[:])
	m.Write(out)
	return m.Bytes()
}

func (h *host) send(m []byte) {
	h.t.Helper()
	if _, err := h.conn.Write(m); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) in(number, endpoint, n uint32) {
	h.t.Helper()
	h.send(message(1, number, 1, endpoint, n, [8]byte{}, nil))
}

func (h *host) out(number, endpoint uint32, data string) {
	h.t.Helper()
	h.send(message(1, number, 0, endpoint, uint32(len(data)), [8]byte{}, []byte(data)))
}

// expect reads an answer: with data if want has some and the transfer was to the host.
func (h *host) expect(command, number uint32, status int32, transferred int, want string) {
	h.t.Helper()
	var got [12]uint32
	if err := binary.Read(h.conn, binary.BigEndian, &got); err != nil {
		h.t.Fatal(err)
	}
	if got[0] != command || got[1] != number || int32(got[5]) != status || command == submitted && int(got[6]) != transferred {
		h.t.Fatalf("the answer is %d to %d, status %d, %d bytes; want %d to %d, status %d, %d bytes", got[0], got[1], int32(got[5]), got[6], command, number, status, transferred)
	}
	data := make([]byte, len(want))
	if _, err := io.ReadFull(h.conn, data); err != nil || string(data) != want {
		h.t.Fatalf("the data are %q, want %q: %v", data, want, err)
	}
}

func (h *host) leave(want error) {
	h.t.Helper()
	h.conn.Close()
	if err := <-h.over; !errors.Is(err, want) {
		h.t.Errorf("the session ends with %v, want %v", err, want)
	}
}

func TestTransfers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		h := newHost(t, &fake{
			out: func(_ context.Context, data []byte) error {
				got = append(got, string(data))
				return nil
			},
			in: func(context.Context, int) ([]byte, error) { return []byte("pattern"), nil },
		})
		h.out(1, 1, "first")
		h.expect(submitted, 1, 0, 5, "")
		h.out(2, 1, "second")
		h.expect(submitted, 2, 0, 6, "")
		if len(got) != 2 || got[0] != "first" || got[1] != "second" {
			t.Errorf("the device got %q", got)
		}
		h.in(3, 1, 64)
		h.expect(submitted, 3, 0, 7, "pattern")
		h.in(4, 1, 3)
		h.expect(submitted, 4, 0, 3, "pat")
		h.leave(nil)
	})
}

func TestDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, &fake{Descriptors: Descriptors{Device: []byte{18, 1, 2}, Configuration: []byte{9, 2, 0, 0, 1}, Strings: []string{"µm"}, Class: map[uint16][]byte{0x2200: {6}}}})
		ask := func(number uint32, value uint16) {
			h.send(message(1, number, 1, 0, 255, [8]byte{0x80, 6, byte(value), byte(value >> 8), 0, 0, 255, 0}, nil))
		}
		ask(1, 0x0100)
		h.expect(submitted, 1, 0, 3, "\x12\x01\x02")
		ask(2, 0x0200)
		h.expect(submitted, 2, 0, 5, "\x09\x02\x05\x00\x01") // with its length
		ask(3, 0x0300)
		h.expect(submitted, 3, 0, 4, "\x04\x03\x09\x04")
		ask(4, 0x0301)
		h.expect(submitted, 4, 0, 6, "\x06\x03\xb5\x00m\x00")
		ask(5, 0x2200)
		h.expect(submitted, 5, 0, 1, "\x06")
		ask(6, 0x0302) // not there
		h.expect(submitted, 6, -int32(unix.EPIPE), 0, "")
		h.leave(nil)
	})
}

func TestErrorsOnTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var next error
		h := newHost(t, &fake{out: func(context.Context, []byte) error { return next }})
		for number, c := range map[uint32]struct {
			err    error
			status unix.Errno
		}{1: {ErrStall, unix.EPIPE}, 2: {errors.New("anything"), unix.EPIPE}, 3: {unix.EPROTO, unix.EPROTO}, 4: {errors.Join(unix.EOVERFLOW, io.EOF), unix.EOVERFLOW}} {
			next = c.err
			h.out(number, 1, "report")
			h.expect(submitted, number, -int32(c.status), 0, "")
		}
		next = ErrGone
		h.out(9, 1, "report")
		if n, err := h.conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("a device that has gone answers %d bytes, %v", n, err)
		}
		h.leave(nil)
	})
}

// A transfer that waits does not hold up another endpoint, ends when the kernel takes it back,
// and then lets the next of its own endpoint go.
func TestUnlink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := make(chan string)
		h := newHost(t, &fake{
			out: func(context.Context, []byte) error { return nil },
			in: func(ctx context.Context, _ int) ([]byte, error) {
				select {
				case a := <-answers:
					return []byte(a), nil
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			},
		})
		h.in(1, 1, 64)
		h.in(2, 1, 64)
		h.in(3, 1, 64)
		h.out(4, 1, "report")
		h.expect(submitted, 4, 0, 6, "")
		h.send(message(2, 5, 0, 0, 1, [8]byte{}, nil)) // the one that waits for the device
		h.expect(unlinked, 5, -int32(unix.ECONNRESET), 0, "")
		h.send(message(2, 6, 0, 0, 3, [8]byte{}, nil)) // one that waits for the other
		h.expect(unlinked, 6, -int32(unix.ECONNRESET), 0, "")
		answers <- "late"
		h.expect(submitted, 2, 0, 4, "late")
		h.send(message(2, 7, 0, 0, 2, [8]byte{}, nil)) // too late
		h.expect(unlinked, 7, 0, 0, "")
		h.leave(nil)
	})
}

// Pulling the plug ends what waits; the bubble would find a goroutine that is left.
func TestPulledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t, &fake{in: func(ctx context.Context, _ int) ([]byte, error) {
			<-ctx.Done()
			time.Sleep(time.Second) // a device that takes its time
			return nil, ctx.Err()
		}})
		for i := range uint32(5) {
			h.in(i, i%2+1, 64)
		}
		synctest.Wait()
		h.leave(nil)
	})
}

func TestNonsenseOfTheKernel(t *testing.T) {
	for name, m := range map[string][]byte{
		"command":       message(7, 1, 0, 1, 0, [8]byte{}, nil),
		"endpoint":      message(1, 1, 1, 16, 64, [8]byte{}, nil),
		"length":        message(1, 1, 0, 1, maxTransfer+1, [8]byte{}, nil),
		"half a packet": message(1, 1, 0, 1, 64, [8]byte{}, []byte("report")),
	} {
		if _, err := readRequest(bytes.NewReader(m)); err == nil || err == io.EOF {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readRequest(bytes.NewReader(nil)); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
}

func FuzzReadRequest(f *testing.F) {
	f.Add(message(1, 1, 1, 0, 18, [8]byte{0x80, 6, 0, 1, 0, 0, 18, 0}, nil))
	f.Add(message(1, 2, 0, 1, 6, [8]byte{}, []byte("report")))
	f.Add(message(2, 3, 0, 0, 1, [8]byte{}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		q, err := readRequest(bytes.NewReader(b))
		switch {
		case err != nil:
		case q.command == submit && (q.length > maxTransfer || q.endpoint > 15 || !q.in && len(q.out) != q.length):
			t.Errorf("%+v was let in", q)
		case q.command != submit && q.command != unlink:
			t.Errorf("command %d was let in", q.command)
		}
	})
}
