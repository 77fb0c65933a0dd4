package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// unavailable is an error that may pass.
type unavailable struct{ err error }

func (u *unavailable) Error() string   { return u.err.Error() }
func (u *unavailable) Unwrap() []error { return []error{u.err, ErrUnavailable} }

// refused makes the error of a response that is no success.
func refused(r *http.Response) error {
	var v struct {
		Error string `json:"error"`
		Code  string `json:"code"`
	}
	const most = 64 << 10
	if err := json.NewDecoder(io.LimitReader(r.Body, most)).Decode(&v); err != nil || v.Error == "" {
		v.Error = "it does not say why"
	}
	kind := ErrProtocol
	switch {
	case v.Code == "other_matrix" || v.Code == "matrix_lost":
		kind = ErrOtherMatrix
	case v.Code == "calibrating":
		return &unavailable{fmt.Errorf("the server says: %s: %w", v.Error, ErrCalibrating)}
	case v.Code == "busy" || v.Code == "leased":
		return &unavailable{fmt.Errorf("the server says: %s: %w", v.Error, ErrBusy)}
	case r.StatusCode == http.StatusServiceUnavailable, r.StatusCode == http.StatusBadGateway, r.StatusCode == http.StatusGatewayTimeout:
		return &unavailable{fmt.Errorf("the server says: %s", v.Error)} // it, or a proxy before it
	case v.Code == "not_here":
		kind = ErrNotHere
	case r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden:
		kind = ErrUnauthorised
	case r.StatusCode >= 400 && r.StatusCode < 500:
		kind = ErrInput
	case r.StatusCode == http.StatusInternalServerError: // the device failed, and may not next time
		return fmt.Errorf("the server says: %s", v.Error)
	}
	return fmt.Errorf("the server says (status %d): %s: %w", r.StatusCode, v.Error, kind)
}

// Pauses between attempts.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = time.Second
)

// patiently tries until it works, fails for good, or patience ends.
func (d *Daemon) patiently(ctx context.Context, try func() error) error {
	deadline := time.Now().Add(d.o.Patience)
	why := ""
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := try()
		passing, ok := err.(*unavailable)
		if !ok {
			return err
		}
		if d.o.Patience > 0 && errors.Is(passing, ErrCalibrating) {
			deadline = time.Now().Add(max(d.o.Patience, pause))
		}
		if time.Now().Add(pause).After(deadline) {
			return passing
		}
		if now := passing.Error(); now != why && d.o.Waiting != nil {
			why = now
			d.o.Waiting(passing)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fmt.Errorf("%w; meanwhile: %w", context.Cause(ctx), passing)
		}
	}
}
