package dlpc900_test

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// meddler changes commands on their way to the board.
type meddler struct {
	dlpc900.Link
	change func(code uint16, report []byte)
}

func (m meddler) Write(ctx context.Context, reports []byte) error {
	if m.change != nil {
		m.change(binary.LittleEndian.Uint16(reports[4:]), reports)
	}
	return m.Link.Write(ctx, reports)
}

// met opens a board of which the first contact is made, and makes it.
func met(t *testing.T, quirks controller.Quirks, change func(uint16, []byte), ask func(*controller.Board, *mirrors) func(context.Context, string) (string, error)) map[string]dlpc900.Check {
	t.Helper()
	m := new(mirrors)
	board, err := controller.New(controller.Config{
		DMD: controller.Custom(small), RealTime: true, Report: time.Millisecond, Restart: 5 * time.Millisecond, Quirks: quirks, Show: m.show,
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := dlpc900.Open(t.Context(), meddler{board, change}, dlpc900.Options{DMD: smallDMD(), Port: "usb-1-2"})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c := dlpc900.Contact{}
	if ask != nil {
		c.Ask = ask(board, m)
	}
	checks, err := d.Contact(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]dlpc900.Check{}
	for i, check := range checks {
		t.Logf("%-8s %s: %s (%g %s)", check.Verdict, check.Name, check.Found, check.Value, check.Unit)
		if check.Name != dlpc900.ContactQuestions()[i] {
			t.Errorf("%q comes instead of %q", check.Name, dlpc900.ContactQuestions()[i])
		}
		byName[check.Name] = check
	}
	// The board can be used after it.
	if found := byName["silent entries"]; found.Verdict == dlpc900.Failure {
		return byName // the model's mirrors are counted by their pulses
	}
	if p := someDifferent(1)[0]; !show(t, d, m, p, slm.Run{}).Equal(p) {
		t.Error("a wrong pattern is shown afterwards")
	}
	return byName
}

// A model that is as the manual has it gets good marks where the driver can tell; figures are
// those of the model's clock.
func TestContactAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found := met(t, controller.Quirks{}, nil, nil)
		for _, name := range dlpc900.ContactQuestions() {
			want := dlpc900.Success
			if slices.Contains([]string{"descriptors", "planes", "silent entries", "trigger input", "video lock"}, name) {
				want = dlpc900.Ignored
			}
			if found[name].Verdict != want {
				t.Errorf("%s: %v, want %v", name, found[name].Verdict, want)
			}
		}
		with, without := found["upload with replies"].Value, found["upload without replies"].Value
		if without <= with || without > 64 || with < 20 {
			t.Errorf("%g kB/s with replies, %g without: a report of 64 bytes takes 1 ms", with, without)
		}
		if n := found["patterns of a start"].Value; n < 5 || n > 6.5 {
			t.Errorf("5 patterns took the time of %g", n)
		}
		// Stop with its reply takes 2 ms, an order of 2 and Start too; and two questions.
		if ms := found["restart"].Value; ms < 6 || ms > 12 {
			t.Errorf("a restart takes %g ms", ms)
		}
		if n := found["longest order"].Value; n != 250 {
			t.Errorf("the longest order has %g entries", n)
		}
		if e := found["error text"]; e.Value != 0 || !strings.Contains(e.Found, "error 3, unknown command") {
			t.Errorf("%+v", e)
		}
	})
}

// With somebody at the bench who sees the bar, has a counter and a generator.
func TestContactWithInstruments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		found := met(t, controller.Quirks{LongReplies: true, LatchedAbort: true, ReservedBit: true}, nil, func(board *controller.Board, m *mirrors) func(context.Context, string) (string, error) {
			var stop chan struct{}
			rates := []string{"1000", "nonsense", "9000"}
			return func(_ context.Context, question string) (string, error) {
				if stop != nil {
					close(stop)
					stop = nil
				}
				switch {
				case strings.Contains(question, "[y/n"):
					return "Yes", nil
				case strings.Contains(question, "pulses"):
					return strconv.Itoa(len(m.shown())), nil
				case strings.Contains(question, "generator") && len(rates) > 0:
					rate := rates[0]
					rates = rates[1:]
					if hertz, err := strconv.Atoi(rate); err == nil {
						stop = make(chan struct{})
						go generate(board, hertz, stop)
					}
					return rate, nil
				}
				return "", nil
			}
		})
		for _, name := range []string{"status", "planes", "silent entries", "trigger input"} {
			if found[name].Verdict != dlpc900.Success {
				t.Errorf("%s: %+v", name, found[name])
			}
		}
		if n := found["silent entries"].Value; n != 19 {
			t.Errorf("%g pulses", n)
		}
		if n := found["trigger input"].Value; n != 1000 || !strings.Contains(found["trigger input"].Found, "9000") {
			t.Errorf("follows %g edges in a second", n)
		}
		if n := found["error text"].Value; n != 2 {
			t.Errorf("%g more reports behind a text of 128 bytes", n)
		}
	})
}

func generate(board *controller.Board, hertz int, stop chan struct{}) {
	ticks := time.NewTicker(time.Second / time.Duration(hertz))
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			board.Trigger()
		case <-stop:
			return
		}
	}
}

// Boards that are not as the driver believes are told so.
func TestContactFindsFaults(t *testing.T) {
	for name, change := range map[string]func(code uint16, report []byte){
		"patterns of a start": func(code uint16, r []byte) { // the number counts passes
			if n := binary.LittleEndian.Uint32(r[8:]); code == 0x1A31 && n == 5 {
				binary.LittleEndian.PutUint32(r[8:], 5*24)
			}
		},
		"longest order": func(code uint16, r []byte) { // it takes no more than 100
			if code == 0x1A32 && binary.LittleEndian.Uint16(r[6:]) > 100 {
				binary.LittleEndian.PutUint16(r[6:], 600)
			}
		},
		"silent entries": func(code uint16, r []byte) { // bit 0 enables
			if code == 0x1A34 {
				r[15] ^= 1
			}
		},
		"upload without replies": func(code uint16, r []byte) { // blocks are lost
			if code == 0x1A2B && r[0] == 0 {
				r[6], r[7] = 0xFF, 0xFF
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				found := met(t, controller.Quirks{}, change, func(_ *controller.Board, m *mirrors) func(context.Context, string) (string, error) {
					return func(_ context.Context, question string) (string, error) {
						if strings.Contains(question, "pulses") {
							return strconv.Itoa(len(m.shown())), nil
						}
						return "", nil
					}
				})
				if found[name].Verdict != dlpc900.Failure || found[name].Found == "" {
					t.Errorf("%+v", found[name])
				}
				if n := found[name].Value; name == "longest order" && n != 100 {
					t.Errorf("the longest order has %g entries", n)
				}
			})
		})
	}
}

func TestContactEnds(t *testing.T) {
	d, board, _ := open(t, controller.Config{DMD: controller.Custom(small)}, dlpc900.Options{})
	if _, err := d.Contact(t.Context(), dlpc900.Contact{Only: []string{"restart", "the weather"}}); !errors.Is(err, slm.ErrInput) || !strings.Contains(err.Error(), "patterns of a start") {
		t.Errorf("a question that there is not: %v", err)
	}
	tired := errors.New("gone home")
	checks, err := d.Contact(t.Context(), dlpc900.Contact{Only: []string{"status", "planes"}, Ask: func(context.Context, string) (string, error) { return "", tired }})
	if !errors.Is(err, tired) || len(checks) != 1 {
		t.Errorf("%v, %v", checks, err)
	}
	checks, err = d.Contact(t.Context(), dlpc900.Contact{Only: []string{"status", "restart"}, Tell: func(what string) {
		if what == "restart" {
			board.Unplug()
		}
	}})
	if !errors.Is(err, slm.ErrUnplugged) || len(checks) != 1 {
		t.Errorf("%v, %v", checks, err)
	}
}
