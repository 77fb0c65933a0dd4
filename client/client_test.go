package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/dfa"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

var _ dfa.Projector = (*client.OPU)(nil)

const token = "a-token-of-this-test"

// ready is an OPU whose results are there at once: each is made of its row.
type ready struct {
	outputs, inputs int
	epoch           string
}

func (r *ready) Shape() (int, int)   { return r.outputs, r.inputs }
func (r *ready) Epoch() string       { return r.epoch }
func (r *ready) Stats() driver.Stats { return driver.Stats{} }

func (r *ready) Project(_ context.Context, dst []complex64, x []int8) error {
	for i := range len(x) / r.inputs {
		sum := 0
		for j, v := range x[i*r.inputs : (i+1)*r.inputs] {
			sum = 3*sum%1000 + int(v)*(j+1)
		}
		dst[i*r.outputs] = complex(float32(sum), 1)
		dst[(i+1)*r.outputs-1] = complex(1, float32(sum))
	}
	return nil
}

func (r *ready) ProjectWindow(ctx context.Context, dst []complex64, x []int8, first, outputs int) error {
	whole := make([]complex64, len(x)/r.inputs*r.outputs)
	err := r.Project(ctx, whole, x)
	for i := range len(x) / r.inputs {
		copy(dst[i*outputs:(i+1)*outputs], whole[i*r.outputs+first:])
	}
	return err
}

func (r *ready) Intensity(ctx context.Context, dst []float32, x []int8) error {
	y := make([]complex64, len(dst))
	err := r.Project(ctx, y, x)
	for i, z := range y {
		dst[i] = real(z)*real(z) + imag(z)*imag(z)
	}
	return err
}

// serve serves an OPU on a socket and on TCP until the returned function is called.
func serve(t testing.TB, opu server.OPU, path string) (tcp string, stop func()) {
	t.Helper()
	_, shutter := opu.(*driver.OPU)
	s, err := server.New(server.Options{Matrix: &server.Matrix{OPU: opu}, Token: token, Shutter: shutter})
	if err != nil {
		t.Fatal(err)
	}
	l, err := server.ListenSocket(path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	m, err := server.ListenTCP("127.0.0.1:0", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l, m) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return "http://" + m.Addr().String(), stop
}

func dial(t testing.TB, address string, o client.Options) *client.OPU {
	t.Helper()
	c, err := client.Dial(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func randomRows(seed uint64, rows, n int) []int8 {
	random := rand.New(rand.NewPCG(seed, 4))
	x := make([]int8, rows*n)
	for i := range x {
		x[i] = int8(random.IntN(3) - 1)
	}
	return x
}

// On the ideal bench results are the same to the last bit in the process, over the
// socket and over TCP.
func TestDoorsAgree(t *testing.T) {
	c := sim.Ideal(4)
	c.Width, c.Height, c.Chip = 96, 96, slm.Geometry{Width: 40, Height: 30}
	b, err := bench.Open(t.Context(), c, bench.Options{Features: 10, Outputs: 64, Seed: 4}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	path := filepath.Join(t.TempDir(), "opud.sock")
	tcp, _ := serve(t, b.OPU, path)
	x := randomRows(1, 40, 10)
	clear(x[30:40])
	want := make([]complex64, 40*64)
	if err := b.OPU.Project(t.Context(), want, x); err != nil {
		t.Fatal(err)
	}
	binary, light := randomRows(2, 40, 10), make([]float32, len(want))
	for i := range binary {
		binary[i] &= 1
	}
	if err := b.OPU.Intensity(t.Context(), light, binary); err != nil {
		t.Fatal(err)
	}
	for address, o := range map[string]client.Options{path: {}, "unix://" + path: {}, tcp: {Token: token}, tcp + "/": {Token: token}} {
		remote := dial(t, address, o)
		if m, n := remote.Shape(); m != 64 || n != 10 || remote.Epoch() != b.OPU.Epoch() {
			t.Errorf("%s: %d x %d of epoch %s", address, m, n, remote.Epoch())
		}
		got := make([]complex64, len(want))
		if err := remote.Project(t.Context(), got, x); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: not what the process gives itself (%v)", address, err)
		}
		seen := make([]float32, len(light))
		if err := remote.Intensity(t.Context(), seen, binary); err != nil || !slices.Equal(seen, light) {
			t.Errorf("%s: not the intensities that the process measures itself (%v)", address, err)
		}
	}
	var status server.Status
	if err := dial(t, path, client.Options{}).Status(t.Context(), &status); err != nil || status.Epoch != b.OPU.Epoch() || status.Stats.Frames == 0 {
		t.Errorf("the status is %+v, %v", status, err)
	}
}

// Batches larger than a request, from several goroutines.
func TestManyRows(t *testing.T) {
	opu := &ready{outputs: 64, inputs: 7, epoch: "b-1"}
	path := filepath.Join(t.TempDir(), "opud.sock")
	serve(t, opu, path)
	remote := dial(t, path, client.Options{})
	var wg sync.WaitGroup
	for k, rows := range []int{0, 1, 100, 4096, 4097, 9000} {
		wg.Go(func() {
			x := randomRows(uint64(k), rows, 7)
			got, want := make([]complex64, rows*64), make([]complex64, rows*64)
			opu.Project(t.Context(), want, x)
			if err := remote.Project(t.Context(), got, x); err != nil || !slices.Equal(got, want) {
				t.Errorf("%d rows: %v, or other results", rows, err)
			}
		})
	}
	wg.Wait()
}

// Real parts, intensities, and a part of the matrix.
func TestViews(t *testing.T) {
	const outputs, inputs, rows = 6, 7, 5
	opu := &ready{outputs: outputs, inputs: inputs, epoch: "b-1"}
	path := filepath.Join(t.TempDir(), "opud.sock")
	serve(t, opu, path)
	whole, part := dial(t, path, client.Options{}), dial(t, path, client.Options{Inputs: 4, Outputs: 3})
	if m, n := part.Shape(); m != 3 || n != 4 {
		t.Errorf("the part is %d x %d", m, n)
	}
	x := randomRows(2, rows, inputs)
	for r := range rows {
		clear(x[r*inputs+4 : (r+1)*inputs])
	}
	want := make([]complex64, rows*outputs)
	opu.Project(t.Context(), want, x)
	got := make([]float32, rows*outputs)
	if err := whole.ProjectReal(t.Context(), got, x); err != nil {
		t.Fatal(err)
	}
	for i, z := range want {
		if got[i] != real(z) {
			t.Fatalf("real part %d is %v, want that of %v", i, got[i], z)
		}
	}
	var short []int8
	for r := range rows {
		short = append(short, x[r*inputs:r*inputs+4]...)
	}
	few := make([]complex64, rows*3)
	if err := part.Project(t.Context(), few, short); err != nil {
		t.Fatal(err)
	}
	for i, z := range few {
		if z != want[i/3*outputs+i%3] {
			t.Fatalf("output %d of row %d of the part is %v, want %v", i%3, i/3, z, want[i/3*outputs+i%3])
		}
	}
	for i := range x {
		x[i] &= 1
	}
	opu.Intensity(t.Context(), got, x)
	light := make([]float32, len(got))
	// This server has no shutter.
	if err := whole.Intensity(t.Context(), light, x); !errors.Is(err, client.ErrNotHere) {
		t.Errorf("intensities without a shutter: %v, want ErrNotHere", err)
	}
	if err := whole.Intensity(t.Context(), light, slices.Repeat([]int8{-1}, len(x))); !errors.Is(err, client.ErrInput) {
		t.Errorf("the intensity of -1: %v, want ErrInput", err)
	}
	for _, o := range []client.Options{{Inputs: 8}, {Outputs: 7}, {Outputs: -1}} {
		if _, err := client.Dial(t.Context(), path, o); !errors.Is(err, client.ErrInput) {
			t.Errorf("%+v of %d x %d: %v, want ErrInput", o, outputs, inputs, err)
		}
	}
}

// A daemon that comes back with the same matrix is used on, one with another is not.
func TestReconnect(t *testing.T) {
	path := filepath.Join(t.TempDir(), "opud.sock")
	opu := &ready{outputs: 5, inputs: 7, epoch: "b-1"}
	_, stop := serve(t, opu, path)
	remote := dial(t, path, client.Options{})
	project := func() error { return remote.Project(t.Context(), make([]complex64, 5), randomRows(1, 1, 7)) }
	if err := project(); err != nil {
		t.Fatal(err)
	}
	stop()
	done := make(chan error)
	go func() { done <- project() }() // while nobody is there, or a little later
	_, stop = serve(t, opu, path)
	if err := <-done; err != nil {
		t.Errorf("after a restart: %v", err)
	}
	stop()
	serve(t, &ready{outputs: 5, inputs: 7, epoch: "b-2"}, path)
	if err := project(); !errors.Is(err, client.ErrOtherMatrix) {
		t.Errorf("with another matrix: %v, want ErrOtherMatrix", err)
	}
	if _, err := client.Dial(t.Context(), path, client.Options{Version: remote.Version()}); !errors.Is(err, client.ErrOtherMatrix) {
		t.Errorf("dialling for the old matrix: %v, want ErrOtherMatrix", err)
	}
}

func TestRefusals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "opud.sock")
	tcp, stop := serve(t, &ready{outputs: 5, inputs: 7, epoch: "b-1"}, path)
	hasty := client.Options{Patience: -1}
	for _, c := range []struct {
		address string
		o       client.Options
		want    error
	}{
		{"localhost:8000", hasty, client.ErrInput},
		{"opud.sock", hasty, client.ErrInput},
		{path + "-missing", hasty, client.ErrUnavailable},
		{"http://127.0.0.1:1", hasty, client.ErrUnavailable},
		{tcp, hasty, client.ErrUnauthorised},
		{tcp, client.Options{Token: "wrong"}, client.ErrUnauthorised},
		{path, client.Options{Model: "opu-real"}, client.ErrProtocol},
		{path, client.Options{Model: "other"}, client.ErrInput},
	} {
		if _, err := client.Dial(t.Context(), c.address, c.o); !errors.Is(err, c.want) || !strings.HasPrefix(fmt.Sprint(err), "cannot") && !strings.HasPrefix(fmt.Sprint(err), "the server says") {
			t.Errorf("%s, %+v: %v, want %v", c.address, c.o, err, c.want)
		}
	}
	remote := dial(t, path, hasty)
	for _, c := range []struct{ outputs, inputs int }{{5, 6}, {4, 7}, {10, 7}, {0, 7}} {
		if err := remote.Project(t.Context(), make([]complex64, c.outputs), make([]int8, c.inputs)); !errors.Is(err, client.ErrInput) {
			t.Errorf("%+v: %v, want ErrInput", c, err)
		}
	}
	if err := remote.Project(t.Context(), make([]complex64, 5), []int8{0, 0, 0, 2, 0, 0, 0}); !errors.Is(err, client.ErrInput) || !strings.Contains(err.Error(), "entry 3") {
		t.Errorf("a 2: %v, want ErrInput", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := remote.Project(ctx, make([]complex64, 5), make([]int8, 7)); !errors.Is(err, cause) {
		t.Errorf("with an ended context: %v", err)
	}
	stop()
	if err := remote.Project(t.Context(), make([]complex64, 5), make([]int8, 7)); !errors.Is(err, client.ErrUnavailable) {
		t.Errorf("without a server: %v, want ErrUnavailable", err)
	}
}

// Waiting for a daemon ends with the context.
func TestImpatience(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 80*time.Millisecond)
	defer cancel()
	_, err := client.Dial(ctx, filepath.Join(t.TempDir(), "opud.sock"), client.Options{Patience: time.Hour})
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// calibrates is a daemon that calibrates for a while, and then has no matrix or one.
type calibrates struct {
	until time.Time
	then  string // code; empty: it is ready
}

func (c calibrates) RoundTrip(*http.Request) (*http.Response, error) {
	body, code := `{"live":true}`, ""
	if left := time.Until(c.until); left > 0 {
		body, code = fmt.Sprintf(`{"error":"being calibrated (stage %d)","code":"calibrating"}`, int(left/time.Minute)), "calibrating"
	} else if c.then != "" {
		body, code = `{"error":"the last one was refused","code":"`+c.then+`"}`, c.then
	}
	r := &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}
	if code != "" {
		r.StatusCode = 503
	}
	return r, nil
}

// A daemon that calibrates, and says so, is waited for until it is done, however short
// patience is, and each stage is told once. One that ends without a matrix is waited for
// no longer than others, and without patience nobody is.
func TestCalibrationIsWaitedFor(t *testing.T) {
	for _, c := range []struct {
		name     string
		patience time.Duration
		then     string
		want     error
		took     time.Duration // at least, and no more than a second over
		told     int
	}{
		{"well", 10 * time.Second, "", nil, 5 * time.Minute, 6},
		{"refused", 10 * time.Second, "no_matrix", client.ErrUnavailable, 5*time.Minute + 8*time.Second, 7},
		{"impatient", -1, "", client.ErrCalibrating, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var told []string
				d, err := client.Connect("http://opu:8000", client.Options{
					Patience: c.patience, Transport: calibrates{began.Add(5 * time.Minute), c.then},
					Waiting: func(why error) { told = append(told, why.Error()) },
				})
				if err != nil {
					t.Fatal(err)
				}
				err = d.Call(t.Context(), "GET", "/v2/models/opu", nil, nil)
				took := time.Since(began)
				if !errors.Is(err, c.want) || took < c.took || took > c.took+3*time.Second || len(told) != c.told {
					t.Errorf("%v after %v, want %v after %v; told %q, want %d", err, took, c.want, c.took, told, c.told)
				}
			})
		})
	}
}

// BenchmarkTransport is what the way to the daemon costs: 1e5 outputs a row that are
// there at once.
func BenchmarkTransport(b *testing.B) {
	const outputs, inputs = 100_000, 1000
	path := filepath.Join(b.TempDir(), "opud.sock")
	tcp, _ := serve(b, &ready{outputs: outputs, inputs: inputs, epoch: "b-1"}, path)
	for name, address := range map[string]string{"unix": path, "tcp": tcp} {
		remote := dial(b, address, client.Options{Token: token})
		for _, rows := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/rows=%d", name, rows), func(b *testing.B) {
				x, y := randomRows(1, rows, inputs), make([]complex64, rows*outputs)
				for b.Loop() {
					if err := remote.Project(b.Context(), y, x); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "projections/s")
			})
		}
	}
}
