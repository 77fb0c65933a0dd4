package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/png"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/calib"
	"github.com/light-in-the-loop/opu/internal/npy"
	"github.com/light-in-the-loop/opu/internal/server"
)

// What people look at, on a real bench.
func TestViews(t *testing.T) {
	b := small(t)
	looks := 0
	cal := b.OPU.Calibration()
	h := start(t, server.Options{
		Simulated: "ideal",
		Matrix: &server.Matrix{
			OPU: b.OPU, Calibration: cal, Verdict: b.Verdict,
			View: func(ctx context.Context) (*calib.View, error) { looks++; return cal.View(ctx, b.Rig, 1) },
		},
	})
	for _, path := range []string{"frame", "spectrum"} {
		status, header, body := h.socket.do("GET", "/opu/v1/"+path+".png", nil)
		if _, err := png.Decode(bytes.NewReader(body)); status != 200 || header.Get("Content-Type") != "image/png" || err != nil {
			t.Errorf("%s.png: status %d, %v", path, status, err)
		}
		_, _, body = h.socket.do("GET", "/opu/v1/"+path+".npy", nil)
		a, err := npy.NewReader(bytes.NewReader(body))
		if err != nil || fmt.Sprint(a.Shape) != "[96 96]" {
			t.Fatalf("%s.npy: %v", path, err)
		}
		values, err := npy.ReadAll[float64](a, 96*96)
		if err != nil {
			t.Fatal(err)
		}
		varies := false
		for _, v := range values {
			varies = varies || v != values[0]
		}
		if !varies {
			t.Errorf("%s.npy is the same everywhere", path)
		}
	}
	if looks > 3 { // one for all four, but for a slow machine
		t.Errorf("the rig was looked at %d times within a second", looks)
	}

	c := h.socket.object("GET", "/opu/v1/calibration")
	if c["epoch"] != b.OPU.Epoch() || c["verdict"].(map[string]any)["verdict"] != "good" || c["outputs"] != float64(outputs) {
		t.Errorf("the calibration is %v", c)
	}
	if before := h.socket.object("GET", "/opu/v1/status")["stats"].(map[string]any); before["health"].(float64) < 0 || before["frames"].(float64) == 0 {
		t.Errorf("the status has the counters %v", before)
	}
}

func TestStatus(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Config: map[string]int{"limit": 5}})
	h.socket.infer("opu", randomRows(1, 6, -1), "")
	s := h.socket.object("GET", "/opu/v1/status")
	if s["ready"] != true || s["epoch"] != "b-fake" || s["model_version"] != h.server.Version() || s["outputs"] != 64.0 || s["lease"] != nil ||
		s["queue"].(map[string]any)["batch_rows"] != 6.0 || s["memory_bytes"] != 0.0 {
		t.Errorf("the status is %v", s)
	}
	if v := h.socket.object("GET", "/opu/v1/version"); v["version"] != "1.2.3" {
		t.Errorf("the version is %v", v)
	}
	if v := h.socket.object("GET", "/opu/v1/config"); v["limit"] != 5.0 {
		t.Errorf("the configuration is %v", v)
	}
	if status, _, body := h.socket.do("GET", "/opu/v1/frame.png", nil); status != 501 {
		t.Errorf("a frame of a device without frames: status %d, %s", status, body)
	}
	h.tcp.header.Del("Authorization")
	for _, path := range []string{"/opu/v1/status", "/opu/v1/events", "/opu/v1/frame.npy", "/metrics"} {
		if status, _, _ := h.tcp.do("GET", path, nil); status != 401 {
			t.Errorf("%s without the token: status %d", path, status)
		}
	}
}

// Events come by themselves, and end with the server.
func TestEvents(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	response, err := h.socket.client.Get("http://opu/opu/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for n := 0; n < 2; {
		if !lines.Scan() {
			t.Fatalf("the events ended after %d: %v", n, lines.Err())
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var s server.Status
		if err := json.Unmarshal([]byte(data), &s); err != nil || s.Epoch != "b-fake" {
			t.Errorf("an event is %s (%v)", data, err)
		}
		n++
	}
	ended := make(chan error)
	go func() { ended <- h.stop() }()
	for lines.Scan() { // until the end
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// lease asks for one and returns its id.
func (d *door) lease(request string) (status int, id string) {
	d.t.Helper()
	status, _, body := d.do("POST", "/opu/v1/leases", []byte(request))
	var v struct{ ID string }
	if err := json.Unmarshal(body, &v); err != nil {
		d.t.Errorf("the lease is %s", body)
	}
	return status, v.ID
}

func TestLeases(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	request := func(lease string) (int, []byte) {
		if lease != "" {
			lease = `"parameters":{"lease":"` + lease + `"},`
		}
		status, _, body := h.tcp.do("POST", "/v2/models/opu/infer", []byte(`{`+lease+`"inputs":[{"name":"x","shape":[1,10],"datatype":"INT8","data":[1,0,0,0,0,0,0,0,0,1]}]}`))
		return status, body
	}
	want := func(when, lease string, status int) {
		t.Helper()
		if got, body := request(lease); got != status {
			t.Errorf("%s: status %d, want %d: %s", when, got, status, body)
		}
	}
	status, id := h.tcp.lease(`{"seconds":3600,"who":"Ada"}`)
	if status != 200 || id == "" {
		t.Fatalf("no lease: status %d", status)
	}
	want("with the lease", id, 200)
	want("without", "", 503)
	want("with another", "other", 503)
	if _, body := request(""); !bytes.Contains(body, []byte("Ada")) {
		t.Errorf("the refusal does not say who: %s", body)
	}
	if s := h.tcp.object("GET", "/opu/v1/status"); s["lease"].(map[string]any)["who"] != "Ada" || bytes.Contains([]byte(fmt.Sprint(s)), []byte(id)) {
		t.Errorf("the status says %v", s["lease"])
	}
	if status, _ := h.tcp.lease(`{}`); status != 503 {
		t.Errorf("a second lease: status %d", status)
	}
	for path, want := range map[string]int{"other": 404, "current": 404} {
		if status, _, _ := h.tcp.do("DELETE", "/opu/v1/leases/"+path, nil); status != want {
			t.Errorf("ending %s over TCP: status %d, want %d", path, status, want)
		}
	}
	if status, _, _ := h.tcp.do("DELETE", "/opu/v1/leases/"+id, nil); status != 200 {
		t.Errorf("ending it: status %d", status)
	}
	want("after its end", "", 200)
	want("with an ended lease", id, 404)

	h.tcp.lease(`{}`)
	if status, _, body := h.socket.do("DELETE", "/opu/v1/leases/current", nil); status != 200 {
		t.Errorf("whoever runs the server cannot end a lease: status %d, %s", status, body)
	}
	for _, bad := range []string{`{"seconds":-1}`, `{"seconds":1e9}`, `{"secs":5}`, `[]`, `{"who":"` + strings.Repeat("x", 101) + `"}`} {
		if status, _ := h.tcp.lease(bad); status != 400 {
			t.Errorf("%.30s: status %d", bad, status)
		}
	}

	// Its time ends it.
	h.tcp.lease(`{"seconds":0.001}`)
	h.until("the lease's time does not end", func() bool { return h.server.Status().Lease == nil })

	// A held one ends with its connection.
	ctx, hangUp := context.WithCancel(t.Context())
	q, _ := http.NewRequestWithContext(ctx, "POST", "http://opu/opu/v1/leases", strings.NewReader(`{"hold":true,"seconds":3600}`))
	response, err := h.socket.client.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(response.Body).ReadString('\n'); err != nil || !strings.Contains(line, `"id"`) {
		t.Errorf("a held lease begins with %q, %v", line, err)
	}
	want("while it is held", "", 503)
	hangUp()
	response.Body.Close()
	h.until("a held lease outlives its connection", func() bool { return h.server.Status().Lease == nil })
	want("after it was held", "", 200)
}

// until waits for something that other goroutines do.
func (h *house) until(failure string, done func() bool) {
	h.socket.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			h.socket.t.Fatal(failure)
		}
		h.socket.do("GET", "/v2/health/live", nil)
	}
}

// Every line is one that Prometheus reads, and the counters are those of what was done.
func TestMetrics(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Simulated: `a "b" \`})
	h.socket.infer("opu", randomRows(1, 6, -1), "")
	h.socket.do("GET", "/nowhere", nil)
	_, header, body := h.socket.do("GET", "/metrics", nil)
	if !strings.HasPrefix(header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("the type is %q", header.Get("Content-Type"))
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) opu_[a-z_]+ .+|opu_[a-z_]+(\{[a-z_]+="([^"\\]|\\["\\n])*"(,[a-z_]+="([^"\\]|\\["\\n])*")*\})? [-+.e0-9]+)$`)
	for l := range strings.Lines(string(body)) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("not a line of the format: %s", l)
		}
	}
	for _, want := range []string{
		`simulated="a \"b\" \\"`, "\nopu_ready 1\n", "\nopu_batch_rows_total 6\n", "\nopu_requests_total{model=\"opu\",result=\"success\"} 1\n",
		"\nopu_request_rows_total{model=\"opu\"} 6\n", "\nopu_http_refused_total{status=\"404\"} 1\n", "\nopu_probe_health 0.99\n",
	} {
		if !strings.Contains(string(body), want) {
			t.Errorf("there is no %q in\n%s", want, body)
		}
	}
}
