package controller_test

import (
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
)

// unhex is bytes as the manual prints them; rest is what they are padded to.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '|' || r == '\n' || r == '\t' }), ""))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// padded is a message in whole reports.
func padded(data []byte) []byte { return append(data, make([]byte, (64-len(data)%64)%64)...) }

// host talks to a board in bytes that are typed from the manual.
type host struct {
	testing.TB
	board *controller.Board
}

func connect(t testing.TB, c controller.Config) host {
	t.Helper()
	b, err := controller.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return host{t, b}
}

// ctx ends soon: on a virtual clock an answer is there or will never be.
func (h host) ctx() context.Context {
	ctx, cancel := context.WithTimeout(h.Context(), 10*time.Second)
	h.Cleanup(cancel)
	return ctx
}

// send sends a message, without waiting for a reply.
func (h host) send(message string) {
	h.Helper()
	if err := h.board.Write(h.ctx(), padded(unhex(h, message))); err != nil {
		h.Fatalf("% s: %v", message, err)
	}
}

// ask sends a message and returns the reply.
func (h host) ask(message string) []byte {
	h.Helper()
	h.send(message)
	report := make([]byte, 64)
	if err := h.board.Read(h.ctx(), report); err != nil {
		h.Fatalf("%s: %v", message, err)
	}
	return report
}

// expect compares the reply to a message with bytes; the rest of it must be 0.
func (h host) expect(message, want string) {
	h.Helper()
	got := h.ask(message)
	if w := padded(unhex(h, want)); string(got) != string(w) {
		h.Fatalf("%s\n got % x\nwant % x", message, got, w)
	}
}

// accept and refuse send a message that wants a reply, and look at the error bit and
// the error code.
func (h host) accept(message string) { h.Helper(); h.outcome(message, 0) }

func (h host) refuse(message string, code byte) { h.Helper(); h.outcome(message, code) }

func (h host) outcome(message string, code byte) {
	h.Helper()
	got := h.ask(message)
	if failed := got[0]&0x20 != 0; failed != (code != 0) {
		h.Fatalf("%s: reply % x, want failed = %t", message, got[:4], code != 0)
	}
	if got := h.ask("C0 EE 02 00 00 01"); got[4] != code {
		h.Fatalf("%s: error code %d, want %d", message, got[4], code)
	}
}

// small is a board that simulated benches have.
func small() controller.Config {
	return controller.Config{DMD: controller.Custom(slm.Geometry{Width: 8, Height: 3})}
}

// The frames that the reference works out, byte by byte.
func TestWorkedFrames(t *testing.T) {
	h := connect(t, controller.Config{DMD: controller.DLP6500()})
	h.expect("C0 07 02 00 0A 1A", "C0 07 01 00 01")
	h.expect("40 00 03 00 24 1A 00", "40 00 00 00")
	h.expect("40 01 03 00 1B 1A 03", "40 01 00 00")
	h.expect("40 02 0E 00 34 1A 00 00 69 00 00 71 00 00 00 00 00 00", "40 02 00 00")
	h.refuse("40 04 08 00 31 1A 18 00 00 00 00 00", 7) // entries 1 to 23 are not defined
	for i := byte(1); i < 24; i++ {
		h.accept("40 02 0E 00 34 1A " + hex.EncodeToString([]byte{i}) + " 00 69 00 00 71 00 00 00 00 00 00")
	}
	h.expect("40 04 08 00 31 1A 18 00 00 00 00 00", "40 04 00 00")
	h.expect("40 04 08 00 31 1A 18 00 18 00 00 00", "40 04 00 00")
	h.expect("C0 05 02 00 31 1A", "C0 05 06 00 18 00 18 00 00 00")
	h.expect("40 03 0E 00 34 1A 3D 00 69 00 00 F1 00 00 00 00 02 68", "40 03 00 00")
	h.expect("40 05 08 00 2A 1A 01 00 A9 17 00 00", "40 05 00 00")
	for range 12 { // blocks of 504 bytes in eight reports each
		h.send("00 06 FC 01 2B 1A F8 01" + strings.Repeat("00", 504))
	}
	got := h.ask("40 07 0D 00 2B 1A 09 00" + strings.Repeat("00", 9))
	if got[0] != 0x60 || got[1] != 7 { // complete, and no image
		t.Errorf("the last block of 6057 zeros is answered by % x", got[:4])
	}
	got = h.ask("40 03 02 00 99 99")
	if got[0] != 0x60 || got[1] != 3 {
		t.Errorf("an unknown command is answered by % x", got[:4])
	}
}

func TestReplies(t *testing.T) {
	h := connect(t, small())
	h.send("C0 01 02 00 0A 1A")
	h.expect("C0 02 02 00 0B 1A", "C0 02 01 00 01") // the reply before was not collected
	h.send("00 03 03 00 24 1A 00")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.board.Read(ctx, make([]byte, 64)); !errors.Is(err, context.Canceled) {
		t.Errorf("a write that wants no reply: Read returns %v", err)
	}
	h.refuse("40 04 03 00 00 01 00", 3) // the error code can only be read
	h.accept("40 05 03 00 0A 1A 00")    // other read-only commands ignore a write
	h.refuse("C0 06 02 00 32 1A", 3)    // no read of the reorder command
	h.refuse("40 07 02 00 24 1A", 6)    // data are missing
	h.refuse("40 08 01 00 24 1A", 3)    // not even a command
	h.refuse("40 09 FD 01 24 1A", 6)    // longer than the buffer
	h.ask("40 09 03 00 1B 1A 09")
	if text := h.ask("C0 0A 02 00 01 01"); text[2] != 128 || !strings.HasPrefix(string(text[4:]), "invalid parameter\x00") {
		t.Errorf("error text % x", text)
	}
	if err := h.board.Write(h.ctx(), make([]byte, 65)); !errors.Is(err, slm.ErrInput) {
		t.Errorf("65 bytes: %v", err)
	}
}

func TestIdentity(t *testing.T) {
	for _, c := range []struct {
		dmd    controller.DMD
		status string
		id     byte
	}{
		{controller.DLP6500(), "01", 1}, {controller.DLP9000(), "11", 2}, {controller.DLP670S(), "11", 3},
		{controller.DLP500YX(), "11", 4}, {controller.Custom(slm.Geometry{Width: 70, Height: 9}), "01", 0},
	} {
		h := connect(t, controller.Config{DMD: c.dmd, Firmware: controller.Version{Major: 4, Minor: 2, Patch: 258}})
		h.expect("C0 01 02 00 0A 1A", "C0 01 01 00"+c.status)
		if got := h.ask("C0 01 02 00 06 02"); got[2] != 32 || got[4] != c.id || !strings.HasPrefix(string(got[5:]), c.dmd.Name) {
			t.Errorf("%s says that it is % x", c.dmd.Name, got)
		}
		if got := h.ask("C0 01 02 00 05 02"); got[2] != 16 || string(got[4:8]) != "\x02\x01\x02\x04" {
			t.Errorf("%s has version % x", c.dmd.Name, got)
		}
	}
	h := connect(t, controller.Config{DMD: controller.DLP500YX()})
	h.expect("C0 01 02 00 42 1A", "C0 01 20 00 3E 00 B8 00 0D 01 CA 01 AA 02 27 03 3B 04 D7 08")
	h.accept("40 01 04 00 40 1A 02 05")
	if got := h.ask("C0 01 02 00 42 1A"); got[4] != 34 {
		t.Errorf("with five blocks the shortest exposure is %d us, want 34", got[4])
	}
}

// What the mirrors do in real time is seen as time passes, and a stop cuts it.
func TestRealTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var shown []controller.Exposure
		c := small()
		c.RealTime, c.Report, c.Restart = true, time.Millisecond, 5*time.Millisecond
		c.Show = func(x []controller.Exposure) { shown = append(shown, x...) }
		h := connect(t, c)
		h.accept("40 01 03 00 1B 1A 03")
		h.accept("40 02 0E 00 34 1A 00 00 E8 03 00 01 00 00 00 00 00 00") // 1 ms
		h.accept("40 04 08 00 31 1A 01 00 00 00 00 00")
		before := time.Now()
		h.expect("40 00 03 00 24 1A 02", "40 00 00 00")
		if took := time.Since(before); took != 2*time.Millisecond {
			t.Errorf("two reports took %v", took)
		}
		time.Sleep(14500*time.Microsecond - time.Since(before)) // 1 ms to the board, 5 ms restart
		h.send("40 00 03 00 24 1A 00")                          // another
		if n := len(shown); n != 10 || shown[9].Exposure != 500*time.Microsecond || shown[8].Exposure != time.Millisecond {
			t.Errorf("%d exposures were shown: %+v", n, shown)
		}
		time.Sleep(time.Second)
		if len(shown) != 10 {
			t.Error("a stopped sequence goes on")
		}
	})
}

func TestPlug(t *testing.T) {
	h := connect(t, small())
	h.accept("40 01 03 00 1B 1A 03")
	pending := make(chan error, 1)
	go func() { pending <- h.board.Read(context.Background(), make([]byte, 64)) }()
	h.board.Unplug()
	if err := <-pending; !errors.Is(err, slm.ErrUnplugged) {
		t.Errorf("a pending Read ends with %v", err)
	}
	if err := h.board.Write(t.Context(), make([]byte, 64)); !errors.Is(err, slm.ErrUnplugged) {
		t.Errorf("Write returns %v", err)
	}
	h.board.Plug()
	h.expect("C0 01 02 00 1B 1A", "C0 01 01 00 03") // it has power of its own
	h.board.PowerCycle()
	h.expect("C0 01 02 00 1B 1A", "C0 01 01 00 00")
	go func() { pending <- h.board.Read(context.Background(), make([]byte, 64)) }()
	h.board.Close()
	if err := <-pending; !errors.Is(err, slm.ErrClosed) {
		t.Errorf("a pending Read ends with %v", err)
	}
}

// Each fault of a transfer is seen by the host as what it is, once.
func TestFaults(t *testing.T) {
	const question = "C0 07 02 00 0A 1A"
	good := padded(unhex(t, "C0 07 01 00 01"))
	for _, kind := range controller.FaultKinds() {
		for _, in := range []bool{false, true} {
			h := connect(t, small())
			before := h.ask(question) // a reply that must not come again
			if string(before) != string(good) {
				t.Fatalf("reply % x", before)
			}
			armed := true
			h.board.SetFaults(func(x controller.Transfer) controller.FaultKind {
				if x.In == in && armed {
					armed = false
					return kind
				}
				return controller.NoFault
			})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			reply := make([]byte, 64)
			err := h.board.Write(ctx, padded(unhex(t, question)))
			if err == nil {
				err = h.board.Read(ctx, reply)
			}
			again := h.board.Read(ctx, make([]byte, 64))
			cancel()
			var want error
			same := string(reply) == string(good)
			switch {
			case kind == controller.Stall:
				want = slm.ErrProtocol
			case kind == controller.Pull:
				want = slm.ErrUnplugged
			case kind == controller.Hang, kind == controller.Lose, kind == controller.Garbage && !in:
				want = context.DeadlineExceeded
			case in && kind == controller.Repeat:
				if again != nil {
					t.Errorf("a repeated reply did not come: %v", again)
				}
			case in && same:
				t.Errorf("%v of a reply leaves it as it was", kind)
			case !in && !same:
				t.Errorf("%v of a report to the board: reply % x", kind, reply[:5])
			}
			if !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%v, in: %t: got %v, want %v", kind, in, err, want)
			}
			h.board.Plug()
			h.expect(question, "C0 07 01 00 01")
		}
	}
}
