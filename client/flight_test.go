package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/internal/oip"
)

// second is a daemon that takes a second for each request, four rows at a time, and
// answers with x: four inputs, two outputs that are pairs of them.
type second struct {
	script
	fail          int32 // the request that fails; 0: none
	asked, inside atomic.Int32
	most          atomic.Int32 // that were under way at a time
}

func (s *second) RoundTrip(q *http.Request) (*http.Response, error) {
	if q.Method != http.MethodPost {
		return s.script.RoundTrip(q)
	}
	n := s.inside.Add(1)
	defer s.inside.Add(-1)
	if n > s.most.Load() {
		s.most.Store(n)
	}
	number := s.asked.Add(1)
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(time.Second):
	case <-q.Context().Done():
		return nil, q.Context().Err()
	}
	if number == s.fail {
		return &http.Response{StatusCode: 500, Body: io.NopCloser(bytes.NewReader([]byte(`{"error":"the laser is off","code":"device"}`)))}, nil
	}
	length, _ := strconv.Atoi(q.Header.Get("Inference-Header-Content-Length"))
	x := body[length:]
	rows := len(x) / 4
	answer := fmt.Appendf(nil, `{"model_version":"3","outputs":[{"name":"y","datatype":"FP32","shape":[%d,2,2],"parameters":{"binary_data_size":%d}}]}`, rows, 16*rows)
	header := http.Header{"Inference-Header-Content-Length": {strconv.Itoa(len(answer))}}
	y := make([]complex64, 2*rows)
	for i := range y {
		y[i] = complex(float32(int8(x[2*i])), float32(int8(x[2*i+1])))
	}
	return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(bytes.NewReader(append(answer, oip.ComplexBytes(y)...)))}, nil
}

// Of a large batch two requests are under way at a time, every row comes to its place,
// and the first failure ends it all.
func TestTwoInFlight(t *testing.T) {
	const rows = 38
	for _, c := range []struct {
		fail int32
		took time.Duration
	}{{0, 5 * time.Second}, {3, 2 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			d := &second{fail: c.fail}
			remote, err := client.Dial(t.Context(), "http://opu:8000", client.Options{Transport: d})
			if err != nil {
				t.Fatal(err)
			}
			x, y := randomRows(3, rows, 4), make([]complex64, 2*rows)
			began := time.Now()
			err = remote.Project(t.Context(), y, x)
			if (err != nil) != (c.fail > 0) || time.Since(began) != c.took || d.most.Load() != 2 {
				t.Errorf("failing at %d: %v after %v with %d under way; want %v with 2", c.fail, err, time.Since(began), d.most.Load(), c.took)
			}
			for i, z := range y {
				if want := complex(float32(x[2*i]), float32(x[2*i+1])); err == nil && z != want {
					t.Fatalf("output %d is %v, want %v", i, z, want)
				}
			}
			synctest.Wait()
			if n := d.inside.Load(); n != 0 {
				t.Errorf("%d requests are under way when Project has returned", n)
			}
			ctx, cancel := context.WithTimeoutCause(t.Context(), 1500*time.Millisecond, errors.New("enough"))
			defer cancel()
			d.fail = -1
			if err := remote.Project(ctx, y, x); err == nil || err.Error() != "enough" {
				t.Errorf("with a context that ends meanwhile: %v, want its cause", err)
			}
		})
	}
}

// slow is an OPU that takes a time for each row, and none of the processor's.
type slow struct {
	ready
	row time.Duration
}

func (s *slow) ProjectWindow(ctx context.Context, dst []complex64, x []int8, first, outputs int) error {
	select {
	case <-time.After(time.Duration(len(x)/s.inputs) * s.row):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// BenchmarkInFlight is 64 rows of 1e5 outputs, that is 6.4 requests of 8 MiB, from a device
// that makes 1500 rows a second, the paper's: at once, and, for the ratio, one request
// after the other.
func BenchmarkInFlight(b *testing.B) {
	const outputs, inputs, rows, piece = 100_000, 1000, 64, 10
	path := filepath.Join(b.TempDir(), "opud.sock")
	serve(b, &slow{ready{outputs: outputs, inputs: inputs, epoch: "b-1"}, time.Second / 1500}, path)
	remote := dial(b, path, client.Options{})
	x, y := randomRows(1, rows, inputs), make([]complex64, rows*outputs)
	alone := 0.0
	for _, size := range []int{piece, rows} {
		name := map[int]string{piece: "one after the other", rows: "two in flight"}[size]
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				for first := 0; first < rows; first += size {
					end := min(rows, first+size)
					if err := remote.Project(b.Context(), y[first*outputs:end*outputs], x[first*inputs:end*inputs]); err != nil {
						b.Fatal(err)
					}
				}
			}
			took := b.Elapsed().Seconds() / float64(b.N*rows)
			if size == piece {
				alone = took
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(1/took, "projections/s")
			b.ReportMetric(alone/took, "x/one")
		})
	}
}
