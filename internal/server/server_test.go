package server_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/server"
)

func TestDescriptions(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Simulated: "ideal"})
	d := h.socket
	for path, want := range map[string]map[string]any{
		"/v2/health/live":      {"live": true},
		"/v2/health/ready":     {"ready": true},
		"/v2/models/opu/ready": {"name": "opu", "ready": true},
		"/v2/": {"name": "opud", "version": "1.2.3",
			"extensions": []any{"binary_tensor_data", "model_configuration", "model_repository", "parameters", "statistics"}},
		"/v2/models": {"models": []any{"opu", "opu-real", "opu-intensity", "opu-packed", "opu-real-packed", "opu-intensity-packed"}},
		"/v2/models/opu": {"name": "opu", "versions": []any{h.server.Version()}, "platform": "opu_optical",
			"inputs":     []any{map[string]any{"name": "x", "datatype": "INT8", "shape": []any{-1.0, 10.0}}},
			"outputs":    []any{map[string]any{"name": "y", "datatype": "FP32", "shape": []any{-1.0, 64.0, 2.0}}},
			"properties": map[string]any{"epoch": "b-fake", "device": "bench of the test", "simulated": "ideal"}},
		"/v2/models/opu-real-packed/versions/" + h.server.Version() + "/config": {"name": "opu-real-packed", "platform": "opu_optical", "backend": "opu",
			"max_batch_size": 4096.0,
			"input":          []any{map[string]any{"name": "x_bits", "data_type": "TYPE_UINT8", "dims": []any{-1.0, 2.0}}},
			"output":         []any{map[string]any{"name": "y", "data_type": "TYPE_FP32", "dims": []any{64.0}}},
			"parameters":     map[string]any{"epoch": map[string]any{"string_value": "b-fake"}}},
	} {
		if diff := cmp.Diff(want, d.object("GET", path)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	var index []map[string]string
	if _, _, body := d.do("POST", "/v2/repository/index", nil); json.Unmarshal(body, &index) != nil || len(index) != 6 ||
		index[0]["state"] != "READY" || index[2]["state"] != "UNAVAILABLE" || !strings.Contains(index[2]["reason"], "shutter") {
		t.Errorf("the index is %v", index)
	}
	if status, _, _ := d.do("POST", "/v2/cudasharedmemory/unregister", nil); status != 200 {
		t.Errorf("unregistering all CUDA regions has status %d; tools stop then", status)
	}
	left := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Model: "left"})
	if v := left.socket.object("GET", "/v2/models"); fmt.Sprint(v["models"]) != "[left left-real left-intensity left-packed left-real-packed left-intensity-packed]" {
		t.Errorf("models called left are %v", v["models"])
	}
	if _, err := server.New(server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Model: "left-real"}); err == nil {
		t.Error("models may be called left-real, which could be those of left")
	}
	if strings.Trim(h.server.Version(), "0123456789") != "" {
		t.Errorf("the version is %s; clients take digits only", h.server.Version())
	}
}

func TestStatistics(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Limits: server.Limits{BatchRows: 4}})
	for range 3 {
		h.socket.infer("opu", randomRows(1, 10, -1), "")
	}
	h.socket.do("POST", "/v2/models/opu/infer", []byte(`{}`))
	v := h.socket.object("GET", "/v2/models/opu/stats")["model_stats"].([]any)[0].(map[string]any)
	stats := v["inference_stats"].(map[string]any)
	count := func(name string) any { return stats[name].(map[string]any)["count"] }
	if v["version"] != h.server.Version() || v["inference_count"] != 30.0 || v["execution_count"] != 9.0 || v["last_inference"] == 0.0 {
		t.Errorf("the counts are %v", v)
	}
	for name, want := range map[string]float64{"success": 3, "fail": 1, "queue": 3, "compute_input": 3, "compute_infer": 3, "compute_output": 3, "cache_hit": 0, "cache_miss": 0} {
		if count(name) != want {
			t.Errorf("%s counts %v, want %v", name, count(name), want)
		}
	}
	if all := h.socket.object("GET", "/v2/models/stats")["model_stats"].([]any); len(all) != 6 {
		t.Errorf("statistics of all models have %d entries", len(all))
	}
}

// TCP needs the token for all but health, the socket does not.
func TestRights(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	h.tcp.header.Del("Authorization")
	for _, c := range []struct {
		path, authorization string
		status              int
	}{
		{"/v2/health/live", "", 200},
		{"/v2/health/ready", "", 200},
		{"/v2", "", 401},
		{"/v2/models/opu/ready", "", 401},
		{"/v2", "Bearer " + token, 200},
		{"/v2", "bearer " + token, 200},
		{"/v2", "Basic YW55b25lOmEtdG9rZW4tb2YtdGhpcy10ZXN0", 200}, // anyone:a-token-of-this-test
		{"/v2", "Bearer wrong", 401},
		{"/v2", "Bearer", 401},
		{"/v2", "Basic bm9ib2R5Og==", 401}, // nobody, without a password
	} {
		status, header, _ := h.tcp.do("GET", c.path, nil, "Authorization", c.authorization)
		if status != c.status || (status == 401) != (header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s with %q: status %d, want %d", c.path, c.authorization, status, c.status)
		}
	}
	if info, err := os.Stat(h.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v (%v), want 0600", info.Mode(), err)
	}
}

func TestAddresses(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:0", "example.org:0", "8000", ""} {
		if l, err := server.ListenTCP(address, nil, true); !errors.Is(err, server.ErrAddress) {
			t.Errorf("%q without TLS: %v, %v", address, l, err)
		}
	}
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	if _, err := server.ListenSocket(h.path, 0o600); !errors.Is(err, server.ErrAddress) {
		t.Errorf("a socket that is in use: %v", err)
	}
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.ListenSocket(file, 0o600); !errors.Is(err, server.ErrAddress) {
		t.Errorf("a file that is no socket: %v", err)
	}
}

// A medium that is lost ends the readiness, and says why.
func TestMatrixLost(t *testing.T) {
	f := &fake{project: func(context.Context) error { return fmt.Errorf("cannot project: %w", driver.ErrMatrixLost) }}
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: f}})
	body := []byte(`{"inputs":[{"name":"x","shape":[1,10],"datatype":"INT8","data":[1,0,0,0,0,0,0,0,0,1]}]}`)
	for range 2 {
		if status, header, got := h.socket.do("POST", "/v2/models/opu/infer", body); status != 503 || !bytes.Contains(got, []byte("no longer")) || header.Get("Retry-After") == "" {
			t.Errorf("status %d, %s", status, got)
		}
		f.project = nil // it does not come back by itself
	}
	if status, _, _ := h.socket.do("GET", "/v2/health/ready", nil); status != 503 {
		t.Errorf("readiness has status %d", status)
	}
}

// blocking is an OPU that waits until it is let go, and says when it waits.
func blocking() (f *fake, waits chan struct{}, free chan struct{}) {
	waits, free = make(chan struct{}, 100), make(chan struct{})
	return &fake{project: func(ctx context.Context) error {
		waits <- struct{}{}
		select {
		case <-free:
			return nil
		case <-ctx.Done():
			waits <- struct{}{}
			return context.Cause(ctx)
		}
	}}, waits, free
}

// The device stops working for a client that hangs up.
func TestVanishedClient(t *testing.T) {
	f, waits, _ := blocking()
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: f}})
	ctx, hangUp := context.WithCancel(t.Context())
	request, _ := http.NewRequestWithContext(ctx, "POST", "http://opu/v2/models/opu/infer", strings.NewReader("\x01\x00\xff\x01\x00\x00\x01\xff\x00\x01"))
	request.Header.Set(headerLength, "0")
	go func() {
		<-waits
		hangUp()
	}()
	if _, err := h.socket.client.Do(request); err == nil {
		t.Fatal("there was a response")
	}
	<-waits // for the end of its context
}

// Its own deadline ends a request with 503.
func TestTimeout(t *testing.T) {
	f, _, _ := blocking()
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: f}})
	status, _, body := h.socket.do("POST", "/v2/models/opu/infer",
		[]byte(`{"parameters":{"timeout":2000},"inputs":[{"name":"x","shape":[1,10],"datatype":"INT8","data":[1,0,0,0,0,0,0,0,0,1]}]}`))
	if status != 503 || !bytes.Contains(body, []byte("2ms")) {
		t.Errorf("status %d: %s", status, body)
	}
}

// When too much is under way, others hear so at once; when the server is told to end,
// what was begun is finished.
func TestBackPressureAndDrain(t *testing.T) {
	f, waits, free := blocking()
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: f}, Limits: server.Limits{Requests: 4}}) // a user may have half
	var wg sync.WaitGroup
	written := make(chan struct{}, 2)
	for range 2 {
		wg.Go(func() {
			trace := &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { written <- struct{}{} }}
			request, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST", "http://opu/v2/models/opu/infer", strings.NewReader(strings.Repeat("\x01", inputs)))
			request.Header.Set(headerLength, "0")
			response, err := h.socket.client.Do(request)
			if err != nil || response.StatusCode != 200 {
				t.Errorf("a request that was let in: %v, %v", response, err)
			}
		})
	}
	<-waits
	<-written
	<-written
	full := func() bool {
		status, header, _ := h.socket.do("POST", "/v2/models/opu/infer", []byte(strings.Repeat("\x01", inputs)), headerLength, "0")
		return status == 503 && header.Get("Retry-After") != ""
	}
	h.until("the second request does not arrive", func() bool { return h.server.Status().Queue.Requests == 2 })
	if !full() {
		t.Error("a third request was let in")
	}
	ended := make(chan error)
	go func() { ended <- h.stop() }()
	close(free)
	wg.Wait()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(h.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// With a certificate TCP is TLS.
func TestTLS(t *testing.T) {
	other := httptest.NewTLSServer(nil) // for its certificate
	defer other.Close()
	s, err := server.New(server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	l, err := server.ListenTCP("127.0.0.1:0", &tls.Config{Certificates: other.TLS.Certificates}, true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- s.Serve(ctx, l) }()
	d := &door{t, other.Client(), "https://" + l.Addr().String(), http.Header{"Authorization": {"Bearer " + token}}}
	if y, _ := d.infer("opu", randomRows(1, 2, -1), ""); len(y) != 2*2*outputs {
		t.Errorf("got %d numbers", len(y))
	}
	other.Client().CloseIdleConnections()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
