package server_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/cmplx"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/oip/oippb"
	"github.com/light-in-the-loop/opu/internal/server"
	"github.com/light-in-the-loop/opu/sim"
	"github.com/light-in-the-loop/opu/slm"
)

// projector is one way to the OPU.
type projector func(x []int8) ([]complex64, error)

// ways are all of them, each with connections of its own.
func (h *house) ways(t testing.TB) map[string]projector {
	overClient := func(address string, o client.Options) projector {
		c, err := client.Dial(t.Context(), address, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return func(x []int8) ([]complex64, error) {
			y := make([]complex64, len(x)/inputs*outputs)
			return y, c.Project(t.Context(), y, x)
		}
	}
	overGRPC := func(target string) projector {
		c := oippb.NewGRPCInferenceServiceClient(dialGRPC(t, target))
		return func(x []int8) ([]complex64, error) {
			r, err := c.ModelInfer(withToken(t), message("opu", x))
			if err != nil {
				return nil, err
			}
			return complexOf(r.RawOutputContents[0]), nil
		}
	}
	return map[string]projector{
		"socket": overClient(h.path, client.Options{}), "TCP": overClient(h.tcp.url, client.Options{Token: token}),
		"gRPC socket": overGRPC(h.grpcSocket), "gRPC TCP": overGRPC(h.grpcTCP), "shared memory": h.overMemory(t),
	}
}

// overMemory has room for 512 rows.
func (h *house) overMemory(t testing.TB) projector {
	const rows = 512
	key, f := sharedMemory(t, rows*(inputs+8*outputs))
	for name, part := range map[string][2]int{"x": {0, rows * inputs}, "y": {rows * inputs, rows * 8 * outputs}} {
		if status, body := h.socket.register(name, key, part[0], part[1]); status != 200 {
			t.Fatalf("registering: status %d, %s", status, body)
		}
	}
	return func(x []int8) ([]complex64, error) {
		raw := make([]byte, len(x))
		for i, v := range x {
			raw[i] = byte(v)
		}
		if _, err := f.WriteAt(raw, 0); err != nil {
			return nil, err
		}
		size := len(x) / inputs * outputs * 8
		if status, body := h.socket.inferShared("opu", len(x)/inputs, 0, 0, size, ""); status != 200 {
			return nil, fmt.Errorf("status %d: %s", status, body)
		}
		y := make([]byte, size)
		_, err := f.ReadAt(y, rows*inputs)
		return complexOf(y), err
	}
}

func complexOf(raw []byte) (y []complex64) {
	for ; len(raw) > 0; raw = raw[8:] {
		y = append(y, complex(math.Float32frombits(binary.LittleEndian.Uint32(raw)), math.Float32frombits(binary.LittleEndian.Uint32(raw[4:]))))
	}
	return y
}

// noisy is like small, with the noise of the preset good, and the mean power of the
// noise of a ternary row that its calibration predicts: that of two half-on patterns.
func noisy(t testing.TB) (b *bench.Bench, noise float64) {
	t.Helper()
	c := sim.Good(3)
	c.Width, c.Height, c.Chip = 96, 96, slm.Geometry{Width: 40, Height: 30}
	b, err := bench.Open(t.Context(), c, bench.Options{Features: inputs, Outputs: outputs, Seed: 3}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b, 2 * (inputs / 2.0) / math.Pow(10, b.OPU.Calibration().Quality.SNR/10)
}

// meanPower of what two results differ by.
func meanPower(a, b []complex64) (p float64) {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	for i := range a {
		d := cmplx.Abs(complex128(a[i] - b[i]))
		p += d * d
	}
	return p / float64(len(a))
}

// The same rows give, to the last bit, the same numbers in the process and through
// every door where there is no noise; where there is, they differ by that of two
// measurements.
func TestEveryWay(t *testing.T) {
	x := randomRows(1, 30, -1)
	clear(x[40:50])
	t.Run("ideal", func(t *testing.T) {
		b := small(t)
		want := make([]complex64, 30*outputs)
		if err := b.OPU.Project(t.Context(), want, x); err != nil {
			t.Fatal(err)
		}
		h := start(t, server.Options{Matrix: &server.Matrix{OPU: b.OPU}, SharedMemory: shared, Limits: server.Limits{BatchRows: 7}})
		for name, project := range h.ways(t) {
			if y, err := project(x); err != nil || !slices.Equal(y, want) {
				t.Errorf("%s: other numbers than in the process (%v)", name, err)
			}
		}
	})
	t.Run("good", func(t *testing.T) {
		b, noise := noisy(t)
		want := make([]complex64, 30*outputs)
		if err := b.OPU.Project(t.Context(), want, x); err != nil {
			t.Fatal(err)
		}
		h := start(t, server.Options{Matrix: &server.Matrix{OPU: b.OPU}, SharedMemory: shared, Limits: server.Limits{BatchRows: 7}})
		for name, project := range h.ways(t) {
			y, err := project(x)
			if p := meanPower(y, want); err != nil || !(p > 0 && p < 2*2*noise) {
				t.Errorf("%s: differs by a power of %.3g, two measurements should by about %.3g (%v)", name, p, 2*noise, err)
			}
		}
	})
}

// Eight clients at once, through every door and with batches of 1 to 200 rows, get what
// each would get alone; small requests do not wait for large ones to end; and memory
// and goroutines are no more at the end than at the beginning. OPU_LONG=1: a minute.
func TestEightClients(t *testing.T) {
	for name, open := range map[string]func(testing.TB) (*bench.Bench, float64){
		"ideal": func(t testing.TB) (*bench.Bench, float64) { return small(t), 0 }, "good": noisy,
	} {
		t.Run(name, func(t *testing.T) {
			b, noise := open(t)
			const rows = 200
			x := randomRows(9, rows, -1)
			want := make([]complex64, rows*outputs)
			if err := b.OPU.Project(t.Context(), want, x); err != nil {
				t.Fatal(err)
			}
			h := start(t, server.Options{Matrix: &server.Matrix{OPU: b.OPU}, SharedMemory: shared, Limits: server.Limits{BatchRows: 16}})
			ways := h.ways(t)
			h.socket.do("POST", "/v2/systemsharedmemory/unregister", nil) // the names are taken anew
			more := h.ways(t)
			clients := []struct {
				project projector
				rows    int
			}{
				{ways["socket"], 1}, {ways["TCP"], rows}, {ways["gRPC socket"], 3}, {ways["gRPC TCP"], 17},
				{more["shared memory"], 64}, {more["socket"], 50}, {more["TCP"], 1}, {more["gRPC TCP"], 5},
			}
			round := func(until time.Time) (took [][]time.Duration) {
				took = make([][]time.Duration, len(clients))
				var wg sync.WaitGroup
				for i, c := range clients {
					wg.Go(func() {
						for first := 0; len(took[i]) == 0 || time.Now().Before(until); first = (first + 7) % (rows - c.rows + 1) {
							began := time.Now()
							y, err := c.project(x[first*inputs : (first+c.rows)*inputs])
							took[i] = append(took[i], time.Since(began))
							alone := want[first*outputs : (first+c.rows)*outputs]
							if noise == 0 && !slices.Equal(y, alone) || noise > 0 && !(meanPower(y, alone) < 4*2*noise) || err != nil {
								t.Errorf("client %d: rows %d to %d are not those it would get alone (%v)", i, first, first+c.rows, err)
								return
							}
						}
					})
				}
				wg.Wait()
				return took
			}
			round(time.Now()) // whatever is made once is made
			heap, goroutines := inUse()
			length := time.Second
			if os.Getenv("OPU_LONG") == "1" {
				length = time.Minute
			}
			took := round(time.Now().Add(length))
			median := func(of []time.Duration) time.Duration {
				slices.Sort(of)
				return of[len(of)/2]
			}
			if small, large := median(took[0]), median(took[1]); small > large/2 {
				t.Errorf("requests of 1 row took %v while those of %d rows took %v", small, rows, large)
			}
			heap2, goroutines2 := inUse()
			if heap2 > heap+4<<20 || goroutines2 > goroutines+8 {
				t.Errorf("after %d requests: %d bytes and %d goroutines, before %d and %d", len(slices.Concat(took...)), heap2, goroutines2, heap, goroutines)
			}
			if held := h.server.Status().Memory; held != 0 {
				t.Errorf("%d bytes are held when all is done", held)
			}
			t.Logf("%d requests; of 1 row %v, of %d rows %v", len(slices.Concat(took...)), median(took[0]), rows, median(took[1]))
		})
	}
}

func inUse() (heap uint64, goroutines int) {
	for range 2 { // pools keep what they have for one collection
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// Clients that send nonsense, too little, too much, too slowly or go away get an answer
// if they wait for one, and nobody else notices.
func TestBadClients(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Limits: server.Limits{Body: 1 << 20}})
	post := "POST /v2/models/opu/infer HTTP/1.1\r\nHost: opu\r\n"
	dial := func(text string) net.Conn {
		c, err := net.Dial("unix", h.path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, text); err != nil && !strings.Contains(err.Error(), "broken pipe") {
			t.Fatal(err)
		}
		return c
	}
	for name, c := range map[string]struct {
		text string
		want string // the beginning of the answer
	}{
		"no HTTP":             {"hello\r\n\r\n", "HTTP/1.1 400"},
		"long header":         {"GET /v2 HTTP/1.1\r\nHost: opu\r\nX: " + strings.Repeat("x", 100<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		"too large":           {post + "Content-Length: 2000000\r\n\r\n", "HTTP/1.1 413"},
		"absurd length":       {post + "Content-Length: 99999999999999999999\r\n\r\n", "HTTP/1.1 400"},
		"negative length":     {post + "Content-Length: -1\r\n\r\n", "HTTP/1.1 400"},
		"header too long":     {post + "Content-Length: 10\r\nInference-Header-Content-Length: 11\r\n\r\n0123456789", "HTTP/1.1 400"},
		"header no number":    {post + "Content-Length: 1\r\nInference-Header-Content-Length: x\r\n\r\n0", "HTTP/1.1 400"},
		"binary cut short":    {post + "Transfer-Encoding: chunked\r\nInference-Header-Content-Length: 0\r\n\r\n3\r\n\x00\x00\x00\r\n0\r\n\r\n", "HTTP/1.1 400"},
		"chunks of nonsense":  {post + "Transfer-Encoding: chunked\r\n\r\nzzz\r\n", "HTTP/1.1 400"},
		"chunks without end":  {post + "Transfer-Encoding: chunked\r\nInference-Header-Content-Length: 0\r\n\r\n20\r\n" + strings.Repeat("\x00", 32) + "\r\n", "HTTP/1.1 400"},
		"JSON of many chunks": {post + "Transfer-Encoding: chunked\r\n\r\n" + strings.Repeat("8\r\n        \r\n", 100) + "0\r\n\r\n", "HTTP/1.1 400"},
	} {
		conn := dial(c.text)
		answer := make([]byte, len(c.want))
		conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != c.want {
			t.Errorf("%s: the answer begins with %q (%v), want %q", name, answer, err, c.want)
		}
		conn.Close()
	}

	// Many who have sent a part, or all and take no answer.
	part := post + "Content-Length: 1000\r\nInference-Header-Content-Length: 900\r\n\r\n{"
	whole := post + "Content-Length: 10\r\nInference-Header-Content-Length: 0\r\n\r\n" + strings.Repeat("\x01", inputs)
	var idle []net.Conn
	for range 20 {
		idle = append(idle, dial(""), dial("POST /v2/mod"), dial(part), dial(whole))
	}
	x := randomRows(1, 3, -1)
	if y, _ := h.socket.infer("opu", x, ""); len(y) != 3*2*outputs {
		t.Error("somebody else cannot project meanwhile")
	}
	for _, c := range idle {
		c.Close()
	}
	h.until("memory is held for clients that have gone", func() bool { return h.server.Status().Memory == 0 })
	if y, _ := h.socket.infer("opu", x, ""); len(y) != 3*2*outputs {
		t.Error("somebody else cannot project after them")
	}
}
