package genicam

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/camera"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(camera.Info{Model: "model", Serial: "7"})
		leave, err := g.EnterIdle(t.Context(), "arm")
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Enter(short, "stop"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "cannot stop camera model (7)") {
			t.Errorf("while another is inside: %v", err)
		}
		g.SetArmed(true)
		leave()
		if _, err := g.Enter(short, "stop"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with a context that has ended: %v", err)
		}
		for range 2 { // and the turn is given back
			if _, err := g.EnterIdle(t.Context(), "configure"); !errors.Is(err, camera.ErrArmed) {
				t.Errorf("during a run: %v", err)
			}
		}

		// Whoever is inside has a while to leave; whoever waits is told.
		leave, err = g.Enter(t.Context(), "stop")
		if err != nil {
			t.Fatal(err)
		}
		waiting := make(chan error, 1)
		go func() {
			_, err := g.Enter(t.Context(), "stop")
			waiting <- err
		}()
		time.AfterFunc(time.Second, leave)
		calls := 0
		g.Shut(time.Minute, func(armed bool) {
			if !armed {
				t.Error("there was a run")
			}
			calls++
		})
		if err := <-waiting; !errors.Is(err, camera.ErrClosed) {
			t.Errorf("after it was shut: %v", err)
		}
		if calls != 1 {
			t.Errorf("it was tidied %d times", calls)
		}
	})
}

// Whoever does not leave does not keep it from being shut.
func TestGateThatNobodyLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(camera.Info{})
		if _, err := g.Enter(t.Context(), "configure"); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		g.Shut(time.Second, func(bool) { t.Error("it was tidied while somebody is inside") })
		if d := time.Since(began); d != time.Second {
			t.Errorf("it took %v", d)
		}
	})
}
