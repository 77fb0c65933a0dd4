package server_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// The shape of the matrices in these tests.
const outputs, inputs = 64, 10

const token = "a-token-of-this-test"

// fake is an OPU that computes B x for B_ij = (i+1) + j i, at once.
type fake struct {
	project func(ctx context.Context) error // nil: nothing happens before
	rows    atomic.Uint64                   // projected
}

func (f *fake) Shape() (int, int) { return outputs, inputs }
func (f *fake) Epoch() string     { return "b-fake" }

func (f *fake) Stats() driver.Stats {
	return driver.Stats{Projections: f.rows.Load(), Health: 0.99}
}

func (f *fake) ProjectWindow(ctx context.Context, dst []complex64, x []int8, first, count int) error {
	if f.project != nil {
		if err := f.project(ctx); err != nil {
			return err
		}
	}
	for r := range len(x) / inputs {
		copy(dst[r*count:(r+1)*count], fakeRow(x[r*inputs : (r+1)*inputs])[first:])
		f.rows.Add(1)
	}
	return nil
}

func (f *fake) Intensity(ctx context.Context, dst []float32, x []int8) error {
	for r := range len(x) / inputs {
		for i, z := range fakeRow(x[r*inputs : (r+1)*inputs]) {
			dst[r*outputs+i] = real(z)*real(z) + imag(z)*imag(z)
		}
	}
	return nil
}

func fakeRow(x []int8) []complex64 {
	y := make([]complex64, outputs)
	for i := range y {
		for j, v := range x {
			y[i] += complex(float32(v)*float32(i+1), float32(v)*float32(j))
		}
	}
	return y
}

// small is an ideal bench that is quick to simulate, calibrated.
func small(t testing.TB) *bench.Bench {
	t.Helper()
	c := sim.Ideal(3)
	c.Width, c.Height, c.Chip = 96, 96, slm.Geometry{Width: 40, Height: 30}
	b, err := bench.Open(t.Context(), c, bench.Options{Features: inputs, Outputs: outputs, Seed: 3}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// door is a way to a server.
type door struct {
	t      testing.TB
	client *http.Client
	url    string
	header http.Header
}

// house is a server with its doors.
type house struct {
	server      *server.Server
	socket, tcp *door
	path        string // of the socket
	grpcSocket  string // targets of gRPC clients
	grpcTCP     string
	stop        func() error
}

// start starts a server on a Unix socket and on TCP. It ends, and must end well, with
// the test.
func start(t testing.TB, o server.Options) *house {
	t.Helper()
	return startAt(t, "127.0.0.1:0", o)
}

// startAt does so on a TCP address.
func startAt(t testing.TB, address string, o server.Options) *house {
	t.Helper()
	o.Token, o.Device, o.Version = token, "bench of the test", "1.2.3"
	s, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "opud.sock")
	socket, err := server.ListenSocket(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := server.ListenTCP(address, nil, true)
	if err != nil {
		t.Fatal(err)
	}
	grpcSocket, err := server.ListenSocket(path+"-grpc", 0o600)
	if err != nil {
		t.Fatal(err)
	}
	grpcTCP, err := server.ListenTCP("127.0.0.1:0", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, socket, tcp, server.ForGRPC(grpcSocket), server.ForGRPC(grpcTCP)) }()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	h := &house{
		server: s, path: path, grpcSocket: "unix://" + path + "-grpc", grpcTCP: grpcTCP.Addr().String(),
		socket: &door{t, &http.Client{Transport: &http.Transport{DialContext: dial}}, "http://opu", http.Header{}},
		tcp:    &door{t, &http.Client{Transport: &http.Transport{}}, "http://" + tcp.Addr().String(), http.Header{"Authorization": {"Bearer " + token}}},
	}
	stopped := false
	h.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		h.socket.client.CloseIdleConnections()
		h.tcp.client.CloseIdleConnections()
		return <-served
	}
	t.Cleanup(func() {
		if err := h.stop(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return h
}

// do sends a request and returns status, headers and body.
func (d *door) do(method, path string, body []byte, header ...string) (int, http.Header, []byte) {
	d.t.Helper()
	request, err := http.NewRequest(method, d.url+path, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header = d.header.Clone()
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := d.client.Do(request)
	if err != nil {
		d.t.Error(err)
		return 0, nil, nil
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Error(err)
	}
	return response.StatusCode, response.Header, got
}

// object asks for JSON, which must come with status 200.
func (d *door) object(method, path string) map[string]any {
	d.t.Helper()
	status, header, body := d.do(method, path, nil)
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil || status != 200 || header.Get("Content-Type") != "application/json" {
		d.t.Errorf("%s %s: status %d, %q, %v: %s", method, path, status, header.Get("Content-Type"), err, body)
	}
	return v
}

const headerLength = "Inference-Header-Content-Length"

// infer asks for a projection by binary tensors and returns the numbers of y.
func (d *door) infer(model string, x []int8, parameters string) ([]float32, []int) {
	d.t.Helper()
	raw := make([]byte, len(x))
	for i, v := range x {
		raw[i] = byte(v)
	}
	text := fmt.Sprintf(`{"parameters":{"binary_data_output":true%s},"inputs":[{"name":"x","shape":[%d,%d],"datatype":"INT8","parameters":{"binary_data_size":%d}}]}`,
		parameters, len(x)/inputs, inputs, len(x))
	status, header, body := d.do("POST", "/v2/models/"+model+"/infer", append([]byte(text), raw...), headerLength, strconv.Itoa(len(text)))
	if status != 200 {
		d.t.Errorf("%s: status %d: %s", model, status, body)
		return nil, nil
	}
	return d.tensor(header, body)
}

// tensor reads the binary output of a response.
func (d *door) tensor(header http.Header, body []byte) (y []float32, shape []int) {
	d.t.Helper()
	n, err := strconv.Atoi(header.Get(headerLength))
	if err != nil {
		d.t.Errorf("the response has no %s: %s", headerLength, body)
		return nil, nil
	}
	var v struct {
		Outputs []struct {
			Name, Datatype string
			Shape          []int
			Parameters     struct {
				Size int `json:"binary_data_size"`
			}
		}
	}
	if err := json.Unmarshal(body[:n], &v); err != nil || len(v.Outputs) != 1 || v.Outputs[0].Parameters.Size != len(body)-n || v.Outputs[0].Datatype != "FP32" {
		d.t.Errorf("the response is %s, then %d bytes (%v)", body[:n], len(body)-n, err)
		return nil, nil
	}
	for at := n; at < len(body); at += 4 {
		y = append(y, math.Float32frombits(binary.LittleEndian.Uint32(body[at:])))
	}
	return y, v.Outputs[0].Shape
}

// numbers are complex ones in pairs.
func numbers(y []complex64) (f []float32) {
	for _, z := range y {
		f = append(f, real(z), imag(z))
	}
	return f
}

func randomRows(seed uint64, rows, least int) []int8 {
	random := rand.New(rand.NewPCG(seed, 3))
	x := make([]int8, rows*inputs)
	for i := range x {
		x[i] = int8(random.IntN(2-least) + least)
	}
	return x
}
