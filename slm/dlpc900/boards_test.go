package dlpc900

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/sim/controller"
	"github.com/light-in-the-loop/opu/slm"
)

// A board says who it is without being disturbed, even in the middle of a run; one that is
// silent is not waited for.
func TestIdentify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		board, err := controller.New(controller.Config{DMD: controller.DLP9000(), Firmware: controller.Version{Major: 6, Minor: 2, Patch: 3}, Tag: "DLP9000 X", RealTime: true})
		if err != nil {
			t.Fatal(err)
		}
		d, err := Open(t.Context(), board, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := d.Load(t.Context(), []int{0}, []*slm.Pattern{slm.NewPattern(d.Info().Geometry)}); err != nil {
			t.Fatal(err)
		}
		if err := d.Play(t.Context(), slm.Run{Order: make([]int, 100), Period: time.Second}); err != nil {
			t.Fatal(err)
		}
		want := Identity{DMD: "DLP9000", Tag: "DLP9000 X", Firmware: Version{6, 2, 3}}
		if got, err := identify(t.Context(), board); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
		if n, err := d.Wait(t.Context()); n != 100 || err != nil {
			t.Errorf("the run: %d, %v", n, err)
		}
		board.SetFaults(func(controller.Transfer) controller.FaultKind { return controller.Hang })
		began := time.Now()
		if _, err := identify(t.Context(), board); !errors.Is(err, slm.ErrTimeout) || time.Since(began) != identifyTime {
			t.Errorf("a silent board: %v after %v", err, time.Since(began))
		}
	})
	board, err := controller.New(controller.Config{DMD: controller.Custom(slm.Geometry{Width: 70, Height: 9})})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := identify(t.Context(), board); err != nil || !strings.HasPrefix(got.DMD, "type ") {
		t.Errorf("a DMD that is not listed: %+v, %v", got, err)
	}
}

// A port may say that libusb is to be used; where it is not there, or no board, OpenPort says so.
func TestOpenPort(t *testing.T) {
	for _, port := range []string{"usb-99-99", "libusb:usb-99-99"} {
		_, err := OpenPort(t.Context(), port, Options{})
		if err == nil || !strings.HasPrefix(err.Error(), "cannot ") || !errors.Is(err, slm.ErrUnplugged) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", port, err)
		}
	}
}
