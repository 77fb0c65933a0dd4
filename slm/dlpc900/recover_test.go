package dlpc900_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
	"github.com/light-in-the-loop/opu/slm/dlpc900"
)

// A board that answers no more, whatever is opened, comes back when its port is reset; each
// rung is logged and counted. Where that does not help either the call says so in time, and a
// later one tries again.
func TestRecovery(t *testing.T) {
	for _, c := range []struct {
		name         string
		fault        controller.FaultKind
		cure         string // "open", "reset"; "": none, until it is mended by hand
		resets       uint64
		logged, told string
	}{
		{"opening is enough", controller.Hang, "open", 0, "opening the link", ""},
		{"silence", controller.Hang, "reset", 1, "resetting the USB port", ""},
		{"stall", controller.Stall, "reset", 1, "resetting the USB port", ""},
		{"garbage", controller.Garbage, "reset", 1, "resetting the USB port", ""},
		{"beyond help", controller.Stall, "", 1, "does not come back", "power"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				var board *controller.Board
				mend := func(by string) {
					if by == c.cure {
						board.SetFaults(nil)
					}
				}
				d, b, m := open(t, controller.Config{DMD: controller.Custom(small), RealTime: true}, dlpc900.Options{
					Reopen: func(context.Context) (dlpc900.Link, error) {
						board.Plug()
						mend("open")
						return board, nil
					},
					Reset: func(context.Context) error {
						mend("reset")
						return nil
					},
					Log: slog.New(slog.NewTextHandler(&log, nil)),
				})
				board = b
				p := someDifferent(1)[0]
				show(t, d, m, p, slm.Run{})
				board.SetFaults(func(controller.Transfer) controller.FaultKind { return c.fault })
				use := func() error {
					began := time.Now()
					err := d.Play(t.Context(), slm.Run{Order: []int{0}})
					if err == nil {
						_, err = d.Wait(t.Context())
					}
					if took := time.Since(began); took > 30*time.Second {
						t.Errorf("Play took %v", took)
					}
					return err
				}
				if err := use(); err == nil {
					t.Fatal("Play on a board that does not answer")
				}
				err := use()
				if told := err != nil; told != (c.told != "") {
					t.Fatalf("the next Play: %v", err)
				}
				if c.told != "" {
					if !errors.Is(err, slm.ErrProtocol) || !strings.Contains(err.Error(), "command 0x") {
						t.Errorf("Play: %v", err)
					}
					mend("")
				}
				if !show(t, d, m, p, slm.Run{}).Equal(p) {
					t.Error("a wrong pattern afterwards")
				}
				s := stats(t, d)
				if s.Line.Resets != c.resets || s.Line.Reopened != 1 {
					t.Errorf("%d resets, %d times opened again", s.Line.Resets, s.Line.Reopened)
				}
				if !strings.Contains(log.String(), c.logged) || !strings.Contains(log.String(), "is back") {
					t.Errorf("the log: %s", &log)
				}
				if reset := strings.Contains(log.String(), "resetting"); reset != (c.resets > 0) {
					t.Errorf("the log: %s", &log)
				}
			})
		})
	}
}
