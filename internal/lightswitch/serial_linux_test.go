package lightswitch

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/light-in-the-loop/opu/sim/piezo"
	"github.com/light-in-the-loop/opu/slm"
)

// shutter is the far end of a serial port, which never answers.
type shutter struct {
	told chan byte
	end  chan struct{}
}

func (s shutter) Read([]byte) (int, error) { <-s.end; return 0, io.EOF }
func (s shutter) Close() error             { close(s.end); return nil }
func (s shutter) Write(b []byte) (int, error) {
	for _, c := range b {
		s.told <- c
	}
	return len(b), nil
}

// Bytes go over a pseudo-terminal as they are; a cable that is pulled is told.
func TestSerialBytes(t *testing.T) {
	far := shutter{make(chan byte, 100), make(chan struct{})}
	cable, name, err := piezo.Pty(far)
	if err != nil {
		t.Fatal(err)
	}
	defer cable.Close()
	s, err := Open(t.Context(), Config{Serial: &Serial{Port: name, Open: "O\r\x00\xc3\xbf", Close: "C\n"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Set(t.Context(), true); err != nil {
		t.Error(err)
	}
	if err := s.Set(t.Context(), false); err != nil {
		t.Error(err)
	}
	const want = "C\nO\r\x00\xc3\xbfC\n"
	var got []byte
	for range len(want) {
		got = append(got, <-far.told)
	}
	if string(got) != want {
		t.Errorf("sent %q, want %q", got, want)
	}
	cable.Close()
	for _, on := range []bool{true, false} {
		if err := s.Set(t.Context(), on); !errors.Is(err, slm.ErrUnplugged) || !strings.Contains(err.Error(), "may be on") {
			t.Errorf("pulled: %v", err)
		}
	}
	if err := s.Close(); err == nil {
		t.Error("Close does not tell that it could not close the light")
	}
	if _, err := Open(t.Context(), Config{Serial: &Serial{Port: "/dev/opu-that-is-not-there", Level: "rts"}}); !errors.Is(err, slm.ErrUnplugged) {
		t.Errorf("no port: %v", err)
	}
}

// wires is a port that remembers; it fails as often as told.
type wires struct {
	dtr, rts bool
	opened   int
	fail     int
	wait     chan struct{} // not nil: writing blocks until it is closed
	sent     string
}

func (w *wires) open(Serial) (port, error) { w.opened++; return w, nil }
func (w *wires) SetDTR(on bool) error      { w.dtr = on; return w.failure() }
func (w *wires) SetRTS(on bool) error      { w.rts = on; return w.failure() }
func (w *wires) Drain() error              { return nil }
func (w *wires) Close() error              { w.dtr, w.rts = false, false; return nil }
func (w *wires) Write(b []byte) (int, error) {
	if w.wait != nil {
		<-w.wait
	}
	w.sent += string(b[:1])
	return 1, nil // as little as a port may
}

func (w *wires) failure() error {
	if w.fail--; w.fail >= 0 {
		return errors.New("input/output error")
	}
	return nil
}

// A level is held by the port that stays open, and an adapter that went away is found again.
func TestSerialLevel(t *testing.T) {
	for _, level := range []string{"dtr", "rts"} {
		w := new(wires)
		s := &Switch{by: newLine(Serial{Port: "p", Level: level}, w.open), limit: limit}
		for _, on := range []bool{false, true, false, true} {
			if err := s.Set(t.Context(), on); err != nil {
				t.Error(err)
			}
			if w.dtr != (on && level == "dtr") || w.rts != (on && level == "rts") {
				t.Errorf("%s, on %v: dtr %v, rts %v", level, on, w.dtr, w.rts)
			}
		}
		if w.opened != 1 {
			t.Errorf("opened %d times", w.opened)
		}
		w.fail = 1
		if err := s.Set(t.Context(), true); !errors.Is(err, slm.ErrUnplugged) || w.dtr || w.rts {
			t.Errorf("%v, dtr %v, rts %v", err, w.dtr, w.rts)
		}
		if err := s.Set(t.Context(), true); err != nil || w.opened != 2 {
			t.Errorf("plugged in again: %v, opened %d times", err, w.opened)
		}
		if err := s.Close(); err != nil || w.dtr || w.rts {
			t.Errorf("Close: %v, dtr %v, rts %v", err, w.dtr, w.rts)
		}
	}
}

// A port that blocks holds nobody up, and what it takes at last ends with the light off.
func TestSerialBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wires{wait: make(chan struct{})}
		s := &Switch{by: newLine(Serial{Port: "p", Open: "on;", Close: "off;"}, w.open), limit: limit}
		for range 2 { // the second one is not sent at all
			if err := s.Set(t.Context(), true); !errors.Is(err, slm.ErrTimeout) {
				t.Errorf("%v", err)
			}
		}
		if err := s.Close(); !errors.Is(err, slm.ErrTimeout) {
			t.Errorf("Close: %v", err)
		}
		close(w.wait)
		synctest.Wait()
		if w.sent != "on;off;off;off;" {
			t.Errorf("sent %q", w.sent)
		}
	})
}
