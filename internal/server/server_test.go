package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/server"
)

// On the ideal bench every model gives, through both doors, to the last bit what the
// driver gives in the same process.
func TestDoorsAgree(t *testing.T) {
	b := small(t)
	x := randomRows(1, 30, -1)
	clear(x[40:50])
	y := make([]complex64, 30*outputs)
	if err := b.OPU.Project(t.Context(), y, x); err != nil {
		t.Fatal(err)
	}
	onOff := randomRows(2, 20, 0)
	light := make([]float32, 20*outputs)
	if err := b.OPU.Intensity(t.Context(), light, onOff); err != nil {
		t.Fatal(err)
	}
	var realParts []float32
	for _, z := range y {
		realParts = append(realParts, real(z))
	}
	h := start(t, server.Options{OPU: b.OPU, Shutter: true})
	for _, door := range []*door{h.socket, h.tcp} {
		for _, c := range []struct {
			model string
			x     []int8
			want  []float32
			shape []int
		}{
			{"opu", x, numbers(y), []int{30, outputs, 2}},
			{"opu-real", x, realParts, []int{30, outputs}},
			{"opu-intensity", onOff, light, []int{20, outputs}},
		} {
			got, shape := door.infer(c.model, c.x, "")
			if !slices.Equal(got, c.want) || !slices.Equal(shape, c.shape) {
				t.Errorf("%s: got shape %v, want %v, or other numbers than the driver's", c.model, shape, c.shape)
			}
		}
	}
}

// The body of a packed request for x, with planes of bits by hand.
func packed(x []int8, planes int) (raw []byte, shape []int) {
	bytes := (inputs + 7) / 8
	for r := range len(x) / inputs {
		for p := range planes {
			plane := make([]byte, bytes)
			for i, v := range x[r*inputs : (r+1)*inputs] {
				if v == int8(1-2*p) {
					plane[i/8] |= 0x80 >> (i % 8)
				}
			}
			raw = append(raw, plane...)
		}
	}
	return raw, []int{len(x) / inputs, planes, bytes}
}

func TestForms(t *testing.T) {
	h := start(t, server.Options{OPU: new(fake), Shutter: true})
	d := h.socket
	x := []int8{1, 0, -1, 1, 0, 0, 1, -1, 0, 1} // the example of the reference, 14.1
	want := numbers(fakeRow(x))

	raw, shape := packed(x, 2)
	if !bytes.Equal(raw, []byte{146, 64, 33, 0}) {
		t.Fatalf("the example of the reference is packed to %v", raw)
	}
	text := fmt.Sprintf(`{"inputs":[{"name":"x_bits","shape":[%d,%d,%d],"datatype":"UINT8","parameters":{"binary_data_size":4}}],"parameters":{"binary_data_output":true}}`, shape[0], shape[1], shape[2])
	_, header, body := d.do("POST", "/v2/models/opu-packed/infer", append([]byte(text), raw...), headerLength, fmt.Sprint(len(text)))
	if got, _ := d.tensor(header, body); !slices.Equal(got, want) {
		t.Errorf("packed: %s", body)
	}

	// Raw bytes, packed and not.
	_, header, body = d.do("POST", "/v2/models/opu/infer", []byte("\x01\x00\xff\x01\x00\x00\x01\xff\x00\x01"), headerLength, "0")
	if got, shape := d.tensor(header, body); !slices.Equal(got, want) || !slices.Equal(shape, []int{1, outputs, 2}) {
		t.Errorf("raw: %s", body)
	}
	_, header, body = d.do("POST", "/v2/models/opu-packed/infer", raw, headerLength, "0")
	if got, _ := d.tensor(header, body); !slices.Equal(got, want) {
		t.Errorf("raw and packed: %s", body)
	}
	_, header, body = d.do("POST", "/v2/models/opu-packed/infer", []byte{146, 64}, headerLength, "0")
	if got, _ := d.tensor(header, body); !slices.Equal(got, numbers(fakeRow([]int8{1, 0, 0, 1, 0, 0, 1, 0, 0, 1}))) {
		t.Errorf("raw and one plane: %s", body)
	}

	// JSON both ways, with a window of the outputs, as an unmodified client sends it.
	status, header, body := d.do("POST", "/v2/models/opu-real/versions/"+h.server.Version()+"/infer",
		[]byte(`{"id":"a","inputs":[{"name":"x","shape":[1,10],"datatype":"INT8","data":[[1,0,-1,1,0,0,1,-1,0,1]]}],"parameters":{"row_start":3,"row_count":2}}`))
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil || status != 200 || header.Get("Content-Type") != "application/json" {
		t.Fatalf("JSON: status %d, %v: %s", status, err, body)
	}
	parameters := got["parameters"].(map[string]any)
	if parameters["epoch"] != "b-fake" || parameters["corr"] != 0.99 {
		t.Errorf("the response's parameters are %v", parameters)
	}
	delete(got, "parameters")
	if diff := cmp.Diff(map[string]any{
		"model_name": "opu-real", "model_version": h.server.Version(), "id": "a",
		"outputs": []any{map[string]any{
			"name": "y", "datatype": "FP32", "shape": []any{1.0, 2.0},
			"data": []any{float64(real(fakeRow(x)[3])), float64(real(fakeRow(x)[4]))},
		}},
	}, got); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}

	// No rows.
	if y, shape := d.infer("opu", nil, ""); len(y) != 0 || !slices.Equal(shape, []int{0, outputs, 2}) {
		t.Errorf("no rows: shape %v", shape)
	}
}

// Windows are slices of the whole, and repeated exposures the mean of their results.
func TestParameters(t *testing.T) {
	calls := 0
	h := start(t, server.Options{OPU: &fake{project: func(context.Context) error { calls++; return nil }}})
	x := randomRows(5, 7, -1)
	whole, _ := h.socket.infer("opu", x, "")
	window, shape := h.socket.infer("opu", x, `,"row_start":10,"row_count":20`)
	if !slices.Equal(shape, []int{7, 20, 2}) {
		t.Errorf("the window's shape is %v", shape)
	}
	for r := range 7 {
		if !slices.Equal(window[r*40:(r+1)*40], whole[(r*outputs+10)*2:][:40]) {
			t.Errorf("row %d of the window is not that of the whole", r)
		}
	}
	calls = 0
	repeated, _ := h.socket.infer("opu", x, `,"repeat":4`)
	if calls != 4 || !slices.Equal(repeated, whole) {
		t.Errorf("4 exposures made %d calls, or another mean", calls)
	}
}

func TestRefusals(t *testing.T) {
	h := start(t, server.Options{OPU: new(fake), Limits: server.Limits{Body: 1 << 16, JSON: 1 << 12, Response: 1 << 14, Memory: 1 << 16}})
	row := `"data":[1,0,0,0,0,0,0,0,0,1]`
	x := func(shape, rest string) string {
		return `{"inputs":[{"name":"x","shape":` + shape + `,"datatype":"INT8",` + rest + `}]}`
	}
	good := x("[1,10]", row)
	infer := "/v2/models/opu/infer"
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"path", "GET", "/v2/nowhere", "", 404, "/v2/nowhere"},
		{"path outside", "GET", "/nowhere", "", 404, ""},
		{"model", "POST", "/v2/models/other/infer", good, 404, "opu-real"},
		{"version", "POST", "/v2/models/opu/versions/1/infer", good, 404, "b-fake"},
		{"version's metadata", "GET", "/v2/models/opu/versions/1", "", 404, "another matrix"},
		{"method", "GET", infer, "", 405, "POST"},
		{"method of health", "POST", "/v2/health/live", "", 405, "GET"},
		{"no body", "POST", infer, "", 400, ""},
		{"no input", "POST", infer, `{}`, 400, "one input, called x"},
		{"another input", "POST", infer, strings.Replace(good, `"x"`, `"X"`, 1), 400, "called x"},
		{"another output", "POST", infer, good[:len(good)-1] + `,"outputs":[{"name":"z"}]}`, 400, "the only one is y"},
		{"wrong length", "POST", infer, x("[1,9]", `"data":[1,0,0,0,0,0,0,0,0]`), 400, "[-1 10]"},
		{"one dimension", "POST", infer, x("[10]", row), 400, "[-1 10]"},
		{"value", "POST", infer, x("[1,10]", `"data":[1,0,0,0,0,2,0,0,0,1]`), 400, "entry 5 of row 0"},
		{"half precision", "POST", infer, strings.Replace(good, "INT8", "FP16", 1), 400, "FP16"},
		{"ternary light", "POST", "/v2/models/opu-intensity/infer", good, 501, "shutter"},
		{"packed shape", "POST", "/v2/models/opu-packed/infer", `{"inputs":[{"name":"x_bits","shape":[1,3,2],"datatype":"UINT8","data":[0,0,0,0,0,0]}]}`, 400, "planes"},
		{"both planes", "POST", "/v2/models/opu-packed/infer", `{"inputs":[{"name":"x_bits","shape":[1,2,2],"datatype":"UINT8","data":[128,0,128,0]}]}`, 400, "both planes"},
		{"spare bits", "POST", "/v2/models/opu-packed/infer", `{"inputs":[{"name":"x_bits","shape":[1,1,2],"datatype":"UINT8","data":[128,1]}]}`, 400, "beyond its 10"},
		{"unknown parameter", "POST", infer, good[:len(good)-1] + `,"parameters":{"row_cout":3}}`, 400, "row_cout"},
		{"bad window", "POST", infer, good[:len(good)-1] + `,"parameters":{"row_start":60,"row_count":10}}`, 400, "there are 64"},
		{"bad repeat", "POST", infer, good[:len(good)-1] + `,"parameters":{"repeat":0}}`, 400, "repeat"},
		{"too many rows", "POST", infer, x("[1000000,10]", row), 413, "max_batch_size"},
		{"too much JSON", "POST", infer, good + strings.Repeat(" ", 1<<12), 413, "binary"},
		{"too large", "POST", infer, strings.Repeat(" ", 1<<16+1), 413, "fewer rows"},
		{"shared memory", "POST", "/v2/systemsharedmemory/region/a/register", "{}", 501, "binary"},
	} {
		status, header, body := h.socket.do(c.method, c.path, []byte(c.body))
		var v struct{ Error string }
		if err := json.Unmarshal(body, &v); err != nil || status != c.status || header.Get("Content-Type") != "application/json" ||
			!strings.HasPrefix(v.Error, "cannot ") || !strings.Contains(v.Error, c.says) {
			t.Errorf("%s: status %d, want %d, with an error that names %q; got %s", c.name, status, c.status, c.says, body)
		}
	}
	if status, _, body := h.socket.do("POST", infer, []byte(good), "Content-Encoding", "gzip"); status != 415 {
		t.Errorf("a compressed body: status %d, %s", status, body)
	}
	if status, _, _ := h.socket.do("POST", infer, []byte(good)); status != 200 {
		t.Errorf("after all that a good request has status %d", status)
	}
}

func TestDescriptions(t *testing.T) {
	h := start(t, server.Options{OPU: new(fake), Simulated: "ideal"})
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
	if strings.Trim(h.server.Version(), "0123456789") != "" {
		t.Errorf("the version is %s; clients take digits only", h.server.Version())
	}
}

func TestStatistics(t *testing.T) {
	h := start(t, server.Options{OPU: new(fake), Limits: server.Limits{BatchRows: 4}})
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
	h := start(t, server.Options{OPU: new(fake)})
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
	h := start(t, server.Options{OPU: new(fake)})
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
	h := start(t, server.Options{OPU: f})
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
	h := start(t, server.Options{OPU: f})
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
	h := start(t, server.Options{OPU: f})
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
	h := start(t, server.Options{OPU: f, Limits: server.Limits{Requests: 2}})
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
	deadline := time.Now().Add(10 * time.Second)
	for s := h.server.Queue(); s.Requests < 2; s = h.server.Queue() {
		if time.Now().After(deadline) {
			t.Fatal("the second request does not arrive")
		}
		runtime.Gosched()
	}
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

// Eight clients at once on a real bench get what each would get alone.
func TestEightClients(t *testing.T) {
	b := small(t)
	x := randomRows(9, 60, -1)
	want := make([]complex64, 60*outputs)
	if err := b.OPU.Project(t.Context(), want, x); err != nil {
		t.Fatal(err)
	}
	h := start(t, server.Options{OPU: b.OPU, Limits: server.Limits{BatchRows: 20}})
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			d := []*door{h.socket, h.tcp}[client%2]
			for first := client; first+1<<(client%6) <= 60; first += 7 {
				rows := 1 << (client % 6)
				got, _ := d.infer("opu", x[first*inputs:(first+rows)*inputs], "")
				if !slices.Equal(got, numbers(want[first*outputs:(first+rows)*outputs])) {
					t.Errorf("client %d: rows %d to %d are not those it would get alone", client, first, first+rows)
				}
			}
		})
	}
	wg.Wait()
}
