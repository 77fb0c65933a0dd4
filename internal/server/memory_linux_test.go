package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/internal/server"
)

// sharedMemory makes memory as a client does; it goes with the test.
func sharedMemory(t testing.TB, size int) (key string, f *os.File) {
	t.Helper()
	if info, err := os.Stat("/dev/shm"); err != nil || !info.IsDir() {
		t.Skip("SKIPPED: this machine has no /dev/shm, so shared memory is not tested")
	}
	key = fmt.Sprintf("opu-test-%016x", rand.Uint64())
	f, err := os.OpenFile("/dev/shm/"+key, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		os.Remove(f.Name())
	})
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	return key, f
}

// register registers memory and returns the status of the answer.
func (d *door) register(name, key string, offset, size int) (status int, body []byte) {
	d.t.Helper()
	status, _, body = d.do("POST", "/v2/systemsharedmemory/region/"+name+"/register", fmt.Appendf(nil, `{"key":%q,"offset":%d,"byte_size":%d}`, key, offset, size))
	return status, body
}

// inferShared has x and y in the regions "x" and "y", as clients write it.
func (d *door) inferShared(model string, rows, xOffset, yOffset, ySize int, parameters string) (status int, body []byte) {
	d.t.Helper()
	status, _, body = d.do("POST", "/v2/models/"+model+"/infer", fmt.Appendf(nil,
		`{"parameters":{%s},"inputs":[{"name":"x","shape":[%d,%d],"datatype":"INT8","parameters":{"shared_memory_region":"x","shared_memory_byte_size":%d,"shared_memory_offset":%d}}],
		"outputs":[{"name":"y","parameters":{"shared_memory_region":"y","shared_memory_byte_size":%d,"shared_memory_offset":%d,"binary_data":false}}]}`,
		parameters, rows, inputs, rows*inputs, xOffset, ySize, yOffset))
	return status, body
}

var shared = server.SharedMemory{Enabled: true}

// Every form of result in shared memory is what the socket carries.
func TestSharedMemory(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Shutter: true, SharedMemory: shared, Limits: server.Limits{BatchRows: 3}})
	const rows = 7
	size := rows * outputs * 8
	xKey, xMemory := sharedMemory(t, 1000)
	yKey, yMemory := sharedMemory(t, 100+size)
	x := randomRows(1, rows, 0)
	for i, v := range x {
		if _, err := xMemory.WriteAt([]byte{byte(v)}, int64(200+i)); err != nil {
			t.Fatal(err)
		}
	}
	if status, body := h.socket.register("x", "/"+xKey, 100, 900); status != 200 || len(body) > 0 {
		t.Fatalf("registering: status %d, %s", status, body)
	}
	if status, body := h.socket.register("y", yKey, 0, 100+size); status != 200 {
		t.Fatalf("registering: status %d, %s", status, body)
	}
	for _, c := range []struct{ model, parameters string }{
		{"opu", ""}, {"opu", `"repeat":3`}, {"opu", `"row_start":5,"row_count":7`}, {"opu-real", ""}, {"opu-real", `"row_start":5`}, {"opu-intensity", ""},
	} {
		comma := ""
		if c.parameters != "" {
			comma = ","
		}
		want, shape := h.socket.infer(c.model, x, comma+c.parameters)
		if err := yMemory.Truncate(0); err != nil { // zeros
			t.Fatal(err)
		}
		if err := yMemory.Truncate(int64(100 + size)); err != nil {
			t.Fatal(err)
		}
		status, body := h.socket.inferShared(c.model, rows, 100, 60, size, c.parameters)
		var v struct{ Outputs []map[string]any }
		if err := json.Unmarshal(body, &v); err != nil || status != 200 || len(v.Outputs) != 1 {
			t.Errorf("%s, %s: status %d, %s", c.model, c.parameters, status, body)
			continue
		}
		out := v.Outputs[0]
		if out["data"] != nil || out["parameters"] != nil || fmt.Sprint(out["shape"]) != fmt.Sprint(shape) {
			t.Errorf("%s, %s: the output is %v, want name, datatype and shape %v", c.model, c.parameters, out, shape)
		}
		raw := make([]byte, 4*len(want))
		if _, err := yMemory.ReadAt(raw, 60); err != nil {
			t.Fatal(err)
		}
		var got []float32
		for at := 0; at < len(raw); at += 4 {
			got = append(got, math.Float32frombits(binary.LittleEndian.Uint32(raw[at:])))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, %s: other numbers than the socket's", c.model, c.parameters)
		}
	}
	if held := h.server.Status().Memory; held != 0 {
		t.Errorf("%d bytes are held when all is done", held)
	}
}

func TestRegions(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, SharedMemory: shared})
	d := h.socket
	if e := d.object("GET", "/v2")["extensions"]; !strings.Contains(fmt.Sprint(e), "system_shared_memory") {
		t.Errorf("the extensions are %v", e)
	}
	if e := h.tcp.object("GET", "/v2")["extensions"]; strings.Contains(fmt.Sprint(e), "system_shared_memory") {
		t.Errorf("over TCP, where it is not allowed, the extensions are %v", e)
	}
	key, memory := sharedMemory(t, 8192)
	list := func(path string) string {
		t.Helper()
		status, _, body := d.do("GET", "/v2/systemsharedmemory"+path+"/status", nil)
		if status != 200 {
			return fmt.Sprint(status)
		}
		return strings.TrimSpace(string(body))
	}
	if got := list(""); got != "[]" {
		t.Errorf("before all, the regions are %s", got)
	}
	for _, c := range []struct {
		name, key    string
		offset, size int
		status       int
		says         string
	}{
		{"b", key, 4096, 4096, 200, ""},
		{"a", "/" + key, 0, 100, 200, ""},
		{"a", key, 0, 100, 400, "unregister it first"},
		{"c", key, 0, 8193, 400, "within its 8192"},
		{"c", key, 0, 0, 400, "must have some"},
		{"c", key, -1, 10, 400, ""},
		{"c", key + "-missing", 0, 10, 403, "not there, or"},
		{"c", "///", 0, 10, 400, "one name"},
		{"c", "../opu-x", 0, 10, 400, "one name"},
		{"c", "other-" + key, 0, 10, 400, "begin with"},
		{strings.Repeat("c", 256), key, 0, 10, 400, "255"},
	} {
		status, body := d.register(c.name, c.key, c.offset, c.size)
		if status != c.status || !bytes.Contains(body, []byte(c.says)) {
			t.Errorf("registering %.5s of %s, %d from %d on: status %d, want %d and %q: %s", c.name, c.key, c.size, c.offset, status, c.status, c.says, body)
		}
	}
	if want := fmt.Sprintf(`[{"name":"a","key":"/%s","offset":0,"byte_size":100},{"name":"b","key":"%s","offset":4096,"byte_size":4096}]`, key, key); list("") != want {
		t.Errorf("the regions are %s, want %s", list(""), want)
	}
	if got := list("/region/b"); !strings.HasPrefix(got, `[{"name":"b"`) {
		t.Errorf("region b is %s", got)
	}
	if got := list("/region/c"); got != "404" {
		t.Errorf("a region that is not there: %s", got)
	}

	// Another user, here the one with the token, neither sees nor touches them.
	for _, path := range []string{"/unregister", "/region/b/unregister"} {
		if status, _, _ := h.tcp.do("POST", "/v2/systemsharedmemory"+path, nil); status != 200 {
			t.Errorf("%s over TCP has status %d; tools stop then", path, status)
		}
	}
	if _, _, body := h.tcp.do("GET", "/v2/systemsharedmemory/status", nil); strings.TrimSpace(string(body)) != "[]" {
		t.Errorf("over TCP there are %s", body)
	}
	if status, body := h.tcp.register("a", key, 0, 100); status != 403 {
		t.Errorf("registering over TCP: status %d, %s", status, body)
	}
	if status, body := h.tcp.inferShared("opu", 1, 0, 0, 512, ""); status != 403 {
		t.Errorf("using a region over TCP: status %d, %s", status, body)
	}
	if got := list("/region/b"); got == "404" {
		t.Error("unregistering all took another user's region")
	}

	// What is asked of regions.
	d.do("POST", "/v2/systemsharedmemory/unregister", nil)
	if got := list(""); got != "[]" {
		t.Errorf("after unregistering all there are %s", got)
	}
	d.register("x", key, 0, 100)
	d.register("y", key, 4096, 4096)
	for _, c := range []struct {
		name                           string
		rows, xOffset, yOffset, yBytes int
		parameters                     string
		status                         int
	}{
		{"right", 2, 0, 0, 1024, "", 200},
		{"output too large", 2, 0, 0, 1023, "", 400},
		{"a window of the output", 2, 0, 0, 16, `"row_count":1`, 200},
		{"input beyond the region", 2, 81, 0, 1024, "", 400},
		{"output beyond the region", 2, 0, 4000, 1024, "", 400},
		{"offset near overflow", 2, 0, math.MaxInt64, 1024, "", 400},
	} {
		if status, body := d.inferShared("opu", c.rows, c.xOffset, c.yOffset, c.yBytes, c.parameters); status != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.name, status, c.status, body)
		}
	}
	d.do("POST", "/v2/systemsharedmemory/region/y/unregister", nil)
	if status, body := d.inferShared("opu", 1, 0, 0, 512, ""); status != 404 {
		t.Errorf("a region that is unregistered: status %d, %s", status, body)
	}
	d.register("y", key, 4096, 4096)

	// Its owner cuts the memory short.
	if err := memory.Truncate(5000); err != nil {
		t.Fatal(err)
	}
	if status, body := d.inferShared("opu", 4, 0, 0, 2048, ""); status != 400 || !bytes.Contains(body, []byte("cut short")) {
		t.Errorf("output cut short: status %d, %s", status, body)
	}
	if err := memory.Truncate(5); err != nil {
		t.Fatal(err)
	}
	if status, body := d.inferShared("opu", 1, 0, 0, 512, ""); status != 400 || !bytes.Contains(body, []byte("cut short")) {
		t.Errorf("input cut short: status %d, %s", status, body)
	}
	if info, err := memory.Stat(); err != nil || info.Size() != 5 {
		t.Errorf("the server has made it longer: %v, %v", info.Size(), err)
	}
	if y, _ := d.infer("opu", randomRows(1, 1, -1), ""); len(y) != 2*outputs {
		t.Error("the server is not what it was")
	}

	// There is an end to registering.
	if err := memory.Truncate(8192); err != nil {
		t.Fatal(err)
	}
	d.do("POST", "/v2/systemsharedmemory/unregister", nil)
	for i := range 64 {
		d.register(fmt.Sprint(i), key, 0, 1)
	}
	if status, body := d.register("more", key, 0, 1); status != 503 {
		t.Errorf("the 65th region: status %d, %s", status, body)
	}
}

// Without the extension nothing is announced or registered, and tools that forget all
// their regions first can go on.
func TestNoSharedMemory(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}})
	if e := h.socket.object("GET", "/v2")["extensions"]; strings.Contains(fmt.Sprint(e), "shared") {
		t.Errorf("the extensions are %v", e)
	}
	if status, body := h.socket.register("x", "opu-x", 0, 1); status != 501 {
		t.Errorf("registering: status %d, %s", status, body)
	}
	if status, body := h.socket.inferShared("opu", 1, 0, 0, 512, ""); status != 501 {
		t.Errorf("using a region: status %d, %s", status, body)
	}
	for _, kind := range []string{"systemsharedmemory", "cudasharedmemory"} {
		if status, _, body := h.socket.do("POST", "/v2/"+kind+"/unregister", nil); status != 200 || len(body) > 0 {
			t.Errorf("unregistering all of %s: status %d, %s", kind, status, body)
		}
		if status, _, body := h.socket.do("GET", "/v2/"+kind+"/status", nil); status != 200 || strings.TrimSpace(string(body)) != "[]" {
			t.Errorf("the status of %s: %d, %s", kind, status, body)
		}
	}
	if status, _, _ := h.socket.do("POST", "/v2/cudasharedmemory/region/x/register", []byte("{}")); status != 501 {
		t.Errorf("registering CUDA memory has status %d", status)
	}
}

// Where TCP is allowed, memory must belong to the device's group or the server's own
// user, since nobody knows which user asks.
func TestSharedMemoryOverTCP(t *testing.T) {
	group := os.Getgid()
	if group == 0 {
		group = 4242 // root can give the memory to any
	}
	o := shared
	o.TCP, o.Group = true, group
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, SharedMemory: o})
	key, memory := sharedMemory(t, 8192)
	if status, body := h.tcp.register("x", key, 0, 8192); os.Getuid() == 0 && status != 403 {
		t.Errorf("memory of root: status %d, %s", status, body)
	}
	h.tcp.do("POST", "/v2/systemsharedmemory/unregister", nil)
	if err := memory.Chown(-1, group); err != nil {
		t.Fatal(err)
	}
	if err := memory.Chmod(0o660); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x", "y"} {
		if status, body := h.tcp.register(name, key, 0, 8192); status != 200 {
			t.Errorf("memory of the group: status %d, %s", status, body)
		}
	}
	if status, body := h.tcp.inferShared("opu", 1, 0, 1024, 512, ""); status != 200 {
		t.Errorf("status %d, %s", status, body)
	}
}

// A request ends while it waits for the device, since its region has gone.
func TestUnregisterDuringUse(t *testing.T) {
	f := new(fake)
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: f}, SharedMemory: shared})
	key, _ := sharedMemory(t, 8192)
	h.socket.register("x", key, 0, 8192)
	h.socket.register("y", key, 0, 8192)
	f.project = func(context.Context) error {
		h.socket.do("POST", "/v2/systemsharedmemory/unregister", nil)
		return nil
	}
	if status, body := h.socket.inferShared("opu", 1, 0, 1024, 512, ""); status != 400 || !bytes.Contains(body, []byte("unregistered")) {
		t.Errorf("status %d, %s", status, body)
	}
}
