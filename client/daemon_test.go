package client_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

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
