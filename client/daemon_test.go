package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/client"
)

// What is not projecting: JSON, files and events of a real daemon.
func TestDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "opud.sock")
	tcp, stop := serve(t, &ready{outputs: 4, inputs: 3, epoch: "b-1"}, path)
	d, err := client.Connect(tcp, client.Options{Token: token})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var lease struct{ ID, Who string }
	if err := d.Call(t.Context(), http.MethodPost, "/opu/v1/leases", map[string]any{"who": "Ada"}, &lease); err != nil || lease.ID == "" || lease.Who != "Ada" {
		t.Errorf("the lease is %+v (%v)", lease, err)
	}
	if err := d.Call(t.Context(), http.MethodDelete, "/opu/v1/leases/"+lease.ID, nil, nil); err != nil {
		t.Error(err)
	}
	if err := d.Call(t.Context(), http.MethodDelete, "/opu/v1/leases/"+lease.ID, nil, nil); !errors.Is(err, client.ErrInput) {
		t.Errorf("ending it again: %v", err)
	}
	body, err := d.Fetch(t.Context(), "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	body.Close()
	if err != nil || !strings.Contains(string(text), "opu_ready 1") {
		t.Errorf("the metrics are %s (%v)", text, err)
	}

	enough := errors.New("enough")
	err = d.Events(t.Context(), "/opu/v1/events", func(name string, data []byte) error {
		var s struct{ Epoch string }
		if err := json.Unmarshal(data, &s); err != nil || name != "status" || s.Epoch != "b-1" {
			t.Errorf("event %s is %s (%v)", name, data, err)
		}
		return enough
	})
	if err != enough {
		t.Errorf("the events ended with %v", err)
	}
	err = d.Events(t.Context(), "/opu/v1/events", func(string, []byte) error {
		go stop()
		return nil
	})
	if err != nil {
		t.Errorf("the daemon's end is %v for whoever reads events, want nil", err)
	}
	if err := d.Call(t.Context(), http.MethodPost, "/opu/v1/leases", nil, nil); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("a daemon that has gone: %v", err)
	}
}

// A lease shuts others out until it ends: by its holder, by its time, or with the
// connection.
func TestLease(t *testing.T) {
	path := filepath.Join(t.TempDir(), "opud.sock")
	serve(t, &ready{outputs: 4, inputs: 3, epoch: "b-1"}, path)
	hasty := client.Options{Patience: -1}
	d, err := client.Connect(path, hasty)
	if err != nil {
		t.Fatal(err)
	}
	x, y := make([]int8, 3), make([]complex64, 4)
	other := dial(t, path, hasty)
	free := func() bool { return other.Project(t.Context(), y, x) == nil }

	l, err := d.TakeLease(t.Context(), "Ada", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if l.Who != "Ada" || time.Until(l.Until) < 59*time.Minute || free() {
		t.Errorf("the lease is %+v, and others get in: %t", l, free())
	}
	holder := dial(t, path, client.Options{Lease: l.ID})
	if err := holder.Project(t.Context(), y, x); err != nil {
		t.Errorf("its holder: %v", err)
	}
	if _, err := d.TakeLease(t.Context(), "Bob", time.Hour); !errors.Is(err, client.ErrBusy) || !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("a second lease: %v, want ErrBusy", err)
	}
	if err := other.Project(t.Context(), y, x); !errors.Is(err, client.ErrBusy) || !strings.Contains(err.Error(), "Ada") {
		t.Errorf("another's projection: %v, want ErrBusy and who has it", err)
	}
	// Whoever waits has it next.
	patient, err := client.Connect(path, client.Options{Waiting: func(error) { l.End() }})
	if err != nil {
		t.Fatal(err)
	}
	next, err := patient.TakeLease(t.Context(), "Bob", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	<-l.Ended()
	l.End()
	if err := patient.EndLease(t.Context(), next.ID); err != nil {
		t.Error(err)
	}
	<-next.Ended()
	ctx, cancel := context.WithCancel(t.Context())
	short, err := d.TakeLease(ctx, "", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-short.Ended()
	brief, err := d.TakeLease(t.Context(), "", 50*time.Millisecond)
	if err != nil { // the server may notice a little later that the connection has ended
		if brief, err = patient.TakeLease(t.Context(), "", 50*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	<-brief.Ended()
	if _, err := d.TakeLease(t.Context(), "", 48*time.Hour); !errors.Is(err, client.ErrInput) {
		t.Errorf("two days: %v, want ErrInput", err)
	}
}
