package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/internal/oip/oippb"
	"github.com/light-in-the-loop/opu/internal/server"
)

// ready is an OPU whose results are there at once: what is left is the way to them.
type ready struct{ outputs, inputs int }

func (r ready) Shape() (int, int)   { return r.outputs, r.inputs }
func (r ready) Epoch() string       { return "b-ready" }
func (r ready) Stats() driver.Stats { return driver.Stats{} }

func (r ready) ProjectWindow(context.Context, []complex64, []int8, int, int) error { return nil }

func (r ready) Intensity(context.Context, []float32, []int8) error {
	return errors.New("not asked for")
}

// BenchmarkDoors is what a projection costs through each door, and, in the same run,
// what it costs to move its bytes through a socket and nothing else: x/raw is how many
// times as long as that it takes. CPU is that of client and server together.
//
// The results of "ready" are there at once, those of "bench" come from the simulated
// bench, with as many outputs as its usual sensor gives.
func BenchmarkDoors(b *testing.B) {
	b.Run("ready", func(b *testing.B) { doors(b, ready{100_000, 1000}, []int{1, 64}) })
	b.Run("bench", func(b *testing.B) {
		table, err := bench.Fit("good", 1, 100, 0)
		if err != nil {
			b.Fatal(err)
		}
		sim, err := bench.Open(b.Context(), table, bench.Options{Features: 100, Seed: 1}, func(string) {})
		if err != nil {
			b.Fatal(err)
		}
		defer sim.Close()
		doors(b, sim.OPU, []int{16})
	})
}

// doors measures an OPU through every door.
func doors(b *testing.B, opu server.OPU, batches []int) {
	m, n := opu.Shape()
	h := start(b, server.Options{Matrix: &server.Matrix{OPU: opu}, SharedMemory: shared})
	for _, rows := range batches {
		x, y := make([]int8, rows*n), make([]complex64, rows*m)
		for i := range x {
			x[i] = int8(i%3 - 1)
		}
		raw := 0.0 // seconds of a projection
		for _, way := range []struct {
			name string
			open func(b *testing.B) (project func() error)
		}{
			{"raw", func(b *testing.B) func() error { return rawCopy(b, len(x), 8*len(y)) }},
			{"process", func(b *testing.B) func() error {
				return func() error { return opu.ProjectWindow(b.Context(), y, x, 0, m) }
			}},
			{"unix", func(b *testing.B) func() error { return remote(b, h.path, client.Options{}, y, x) }},
			{"tcp", func(b *testing.B) func() error {
				return remote(b, h.tcp.url, client.Options{Token: token}, y, x)
			}},
			{"shm", func(b *testing.B) func() error { return overMemory(b, h.socket, m, n, x) }},
			{"grpc", func(b *testing.B) func() error { return overGRPC(b, h.grpcSocket, n, x) }},
		} {
			b.Run(fmt.Sprintf("rows=%d/%s", rows, way.name), func(b *testing.B) {
				project := way.open(b)
				if err := project(); err != nil { // buffers are made
					b.Fatal(err)
				}
				began := cpuTime()
				for b.Loop() {
					if err := project(); err != nil {
						b.Fatal(err)
					}
				}
				projections := float64(b.N * rows)
				took := b.Elapsed().Seconds() / projections
				if way.name == "raw" {
					raw = took
				}
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(1/took, "projections/s")
				b.ReportMetric((cpuTime()-began).Seconds()*1e6/projections, "µs-CPU/projection")
				b.ReportMetric(took/raw, "x/raw")
			})
		}
	}
}

// rawCopy moves a request of so many bytes to a server and the answer back, through a
// Unix socket, between buffers that are there.
func rawCopy(b *testing.B, request, response int) func() error {
	l, err := net.Listen("unix", filepath.Join(b.TempDir(), "raw.sock"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		in, out := make([]byte, request), make([]byte, response)
		for {
			if _, err := io.ReadFull(c, in); err != nil {
				return
			}
			if _, err := c.Write(out); err != nil {
				return
			}
		}
	}()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	in, out := make([]byte, request), make([]byte, response)
	return func() error {
		if _, err := c.Write(in); err != nil {
			return err
		}
		_, err := io.ReadFull(c, out)
		return err
	}
}

func remote(b *testing.B, address string, o client.Options, y []complex64, x []int8) func() error {
	c, err := client.Dial(b.Context(), address, o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return func() error { return c.Project(b.Context(), y, x) }
}

// overMemory has x read from and y written to memory that client and server share. The
// client looks at it where it is.
func overMemory(b *testing.B, d *door, m, n int, x []int8) func() error {
	size := len(x) + 8*m*len(x)/n
	key, f := sharedMemory(b, size)
	raw := make([]byte, len(x))
	for i, v := range x {
		raw[i] = byte(v)
	}
	d.do("POST", "/v2/systemsharedmemory/unregister", nil)
	d.register("x", key, 0, len(x))
	d.register("y", key, len(x), size-len(x))
	body := fmt.Appendf(nil, `{"inputs":[{"name":"x","shape":[%d,%d],"datatype":"INT8","parameters":{"shared_memory_region":"x","shared_memory_byte_size":%d}}],
		"outputs":[{"name":"y","parameters":{"shared_memory_region":"y","shared_memory_byte_size":%d}}]}`, len(x)/n, n, len(x), size-len(x))
	return func() error {
		if _, err := f.WriteAt(raw, 0); err != nil {
			return err
		}
		if status, _, answer := d.do("POST", "/v2/models/opu/infer", body); status != 200 {
			return fmt.Errorf("status %d: %s", status, answer)
		}
		return nil
	}
}

func overGRPC(b *testing.B, target string, n int, x []int8) func() error {
	c := oippb.NewGRPCInferenceServiceClient(dialGRPC(b, target))
	raw := make([]byte, len(x))
	q := &oippb.ModelInferRequest{ModelName: "opu", Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "INT8", Shape: []int64{int64(len(x) / n), int64(n)}}}}
	return func() error {
		for i, v := range x {
			raw[i] = byte(v)
		}
		q.RawInputContents = [][]byte{raw}
		r, err := c.ModelInfer(b.Context(), q)
		if err == nil {
			runtime.KeepAlive(r)
		}
		return err
	}
}
