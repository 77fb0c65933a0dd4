//go:build libusb

package dlpc900

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/gousb"

	"github.com/light-in-the-loop/opu/internal/usb"
	"github.com/light-in-the-loop/opu/slm"
)

func TestPortName(t *testing.T) {
	if got := portName(&gousb.DeviceDesc{Bus: 1, Path: []int{2, 4}}); got != "usb-1-2.4" {
		t.Errorf("got %s", got)
	}
}

// Where no board is, libusb finds none, and says so.
func TestLibUSBWithoutBoard(t *testing.T) {
	if _, err := usb.Library(); err != nil {
		t.Skip(err)
	}
	if _, err := OpenLibUSB("usb-99-1"); !errors.Is(err, slm.ErrUnplugged) {
		t.Errorf("got %v", err)
	}
}

func TestUSBErrors(t *testing.T) {
	for cause, want := range map[error]error{
		gousb.ErrorNoDevice: slm.ErrUnplugged, gousb.TransferNoDevice: slm.ErrUnplugged, gousb.ErrorTimeout: slm.ErrTimeout,
		gousb.TransferStall: slm.ErrProtocol, gousb.TransferOverflow: slm.ErrProtocol,
	} {
		if err := usbError(cause); !errors.Is(err, want) {
			t.Errorf("%v is %v, want %v", cause, err, want)
		}
	}
}

// Transfers end with their context, whether the library lets go of them or not.
func TestLibUSBTransferEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := new(libusb)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, slm.ErrTimeout)
		defer cancel()
		cancelled := func(ctx context.Context, _ []byte) (int, error) {
			<-ctx.Done()
			return 0, gousb.TransferCancelled
		}
		if err := l.transfer(ctx, cancelled, nil); err != slm.ErrTimeout {
			t.Errorf("a cancelled transfer: %v", err)
		}
		stuck := make(chan struct{})
		never := func(context.Context, []byte) (int, error) {
			<-stuck
			return 0, nil
		}
		began := time.Now()
		if err := l.transfer(ctx, never, nil); err != slm.ErrTimeout || time.Since(began) != usb.AbandonTime {
			t.Errorf("a transfer that never ends: %v after %v", err, time.Since(began))
		}
		if err := l.transfer(t.Context(), never, nil); !errors.Is(err, slm.ErrUnplugged) {
			t.Errorf("after it: %v", err)
		}
		if err := l.Close(); err != nil { // it has no device to close
			t.Error(err)
		}
		close(stuck)
	})
}
