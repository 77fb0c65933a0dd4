package dlpc900

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/light-in-the-loop/opu/slm"
)

// socketed is a link on one end of a socket that keeps the bounds of messages, as a HID node
// does, and the other end in the board's hand.
func socketed(t *testing.T) (*hidraw, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := newHIDRaw(os.NewFile(uintptr(fds[0]), "hidraw of the test"))
	board := os.NewFile(uintptr(fds[1]), "board")
	t.Cleanup(func() {
		h.Close()
		board.Close()
	})
	return h, board
}

func TestHIDRawCarriesReports(t *testing.T) {
	h, board := socketed(t)
	reports := make([]byte, 3*ReportSize)
	for i := range reports {
		reports[i] = byte(i)
	}
	if err := h.Write(t.Context(), reports); err != nil {
		t.Fatal(err)
	}
	for k := range 3 {
		got := make([]byte, 100)
		n, err := board.Read(got)
		if err != nil || n != 65 || got[0] != 0 || !bytes.Equal(got[1:n], reports[64*k:64*k+64]) {
			t.Fatalf("report %d came as % X (%v)", k, got[:n], err)
		}
	}
	board.Write(reports[:64])
	got := make([]byte, 64)
	if err := h.Read(t.Context(), got); err != nil || !bytes.Equal(got, reports[:64]) {
		t.Errorf("got % X, %v", got, err)
	}
	board.Write(reports[:7])
	if err := h.Read(t.Context(), got); !errors.Is(err, slm.ErrProtocol) {
		t.Errorf("a short report: %v", err)
	}
	if err := h.Write(t.Context(), reports[:63]); !errors.Is(err, slm.ErrInput) {
		t.Errorf("no whole report: %v", err)
	}
}

// A read that was given up does not end the next one, nor take its report.
func TestHIDRawReadEndsWithItsContext(t *testing.T) {
	h, board := socketed(t)
	report := make([]byte, 64)
	for range 50 {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, slm.ErrTimeout)
		if err := h.Read(ctx, report); !errors.Is(err, slm.ErrTimeout) {
			t.Fatalf("got %v", err)
		}
		cancel()
		board.Write(bytes.Repeat([]byte{7}, 64))
		if err := h.Read(t.Context(), report); err != nil || report[63] != 7 {
			t.Fatalf("the next report: %v", err)
		}
	}
}

// A write that nobody takes is left behind; the next waits for it.
func TestHIDRawWriteEndsWithItsContext(t *testing.T) {
	h, board := socketed(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, slm.ErrTimeout)
	defer cancel()
	var err error
	for err == nil { // until the socket is full
		err = h.Write(ctx, make([]byte, 8*ReportSize))
	}
	if !errors.Is(err, slm.ErrTimeout) {
		t.Fatalf("got %v", err)
	}
	if err := h.Write(ctx, make([]byte, ReportSize)); !errors.Is(err, slm.ErrTimeout) {
		t.Fatalf("beside a write that does not end: %v", err)
	}
	last := bytes.Repeat([]byte{9}, ReportSize)
	done := make(chan error, 1)
	go func() { done <- h.Write(t.Context(), last) }()
	got := make([]byte, 100)
	for got[1] != 9 {
		if _, err := board.Read(got); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("after it ended: %v", err)
	}
}

func TestHIDRawUnplugged(t *testing.T) {
	h, board := socketed(t)
	time.AfterFunc(10*time.Millisecond, func() { board.Close() })
	if err := h.Read(t.Context(), make([]byte, 64)); !errors.Is(err, slm.ErrUnplugged) {
		t.Errorf("got %v", err)
	}
}

func TestHIDRawClosed(t *testing.T) {
	h, _ := socketed(t)
	time.AfterFunc(10*time.Millisecond, func() { h.Close() })
	if err := h.Read(t.Context(), make([]byte, 64)); !errors.Is(err, slm.ErrClosed) {
		t.Errorf("Read: %v", err)
	}
	if err := h.Write(t.Context(), make([]byte, 64)); !errors.Is(err, slm.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Errorf("another Close: %v", err)
	}
}

// What the kernel says, and what it means.
func TestHIDRawErrors(t *testing.T) {
	h, _ := socketed(t)
	for cause, want := range map[error]error{
		unix.ENODEV: slm.ErrUnplugged, unix.EIO: slm.ErrUnplugged, unix.ETIMEDOUT: slm.ErrTimeout, unix.EPIPE: slm.ErrProtocol, unix.EPROTO: slm.ErrProtocol,
		os.ErrClosed: slm.ErrClosed, context.Canceled: context.Canceled,
	} {
		if err := h.fail(cause); !errors.Is(err, want) {
			t.Errorf("%v is %v, want %v", cause, err, want)
		}
	}
	if err := openError("/dev/hidraw3", unix.EACCES); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "70-opu.rules") {
		t.Errorf("access denied: %v", err)
	}
	if _, err := OpenHIDRaw(filepath.Join(t.TempDir(), "hidraw0")); !errors.Is(err, slm.ErrUnplugged) {
		t.Errorf("no such node: %v", err)
	}
	if _, err := OpenHIDRaw("/dev/null"); !errors.Is(err, slm.ErrInput) {
		t.Errorf("another device: %v", err)
	}
}

func TestChoose(t *testing.T) {
	one := []BoardInfo{{Port: "usb-1-2"}}
	two := append(one, BoardInfo{Port: "usb-1-3"})
	for _, c := range []struct {
		found []BoardInfo
		port  string
		want  string
		err   error
	}{
		{nil, "", "", slm.ErrUnplugged}, {nil, "usb-1-2", "", slm.ErrUnplugged},
		{one, "", "usb-1-2", nil}, {one, "usb-1-3", "", slm.ErrUnplugged},
		{two, "", "", slm.ErrInput}, {two, "usb-1-3", "usb-1-3", nil},
	} {
		if b, err := choose(c.found, c.port); b.Port != c.want || !errors.Is(err, c.err) {
			t.Errorf("%q of %d: %v, %v", c.port, len(c.found), b, err)
		}
	}
}
