package client_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/client"
)

// A script answers requests without a network.
type script struct {
	length string // header of the response to an inference request
	body   []byte
	status int

	outputs int // 0: 2
}

func (s *script) RoundTrip(q *http.Request) (*http.Response, error) {
	status, body, header := 200, []byte(nil), http.Header{}
	switch {
	case q.Method == http.MethodPost:
		status, body = s.status, s.body
		header.Set("Inference-Header-Content-Length", s.length)
	case strings.HasSuffix(q.URL.Path, "/config"):
		body = []byte(`{"max_batch_size":4}`)
	default:
		body = fmt.Appendf(nil, `{"versions":["3"],"inputs":[{"name":"x","shape":[-1,4]}],"outputs":[{"name":"y","shape":[-1,%d,2]}]}`, cmp.Or(s.outputs, 2))
	}
	if q.Body != nil {
		io.Copy(io.Discard, q.Body)
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body))}, nil
}

// The response of the protocol's worked example (reference, section 4.1), and ones that
// are not it.
const (
	example  = `{"model_name":"opu","model_version":"3","id":"7","outputs":[{"name":"y","datatype":"FP32","shape":[2,2,2],"parameters":{"binary_data_size":32}}]}`
	exampleY = "\x00\x00\x80\x3f\x00\x00\x00\x3f\x00\x00\x00\xc0\x00\x00\x80\xbf\x00\x00\x80\x3e\x00\x00\x00\x00\x00\x00\x40\x40\x00\x00\x00\xbf"
)

func TestResponses(t *testing.T) {
	want := []complex64{1 + 0.5i, -2 - 1i, 0.25, 3 - 0.5i}
	for _, c := range []struct {
		name, length, body string
		status             int
		want               error
	}{
		{"example", "145", example + exampleY, 200, nil},
		{"cut short", "145", example + exampleY[:31], 200, client.ErrUnavailable},
		{"cut in the header", "145", example[:100], 200, client.ErrUnavailable},
		{"goes on", "145", example + exampleY + "!", 200, client.ErrProtocol},
		{"no header", "", example + exampleY, 200, client.ErrProtocol},
		{"huge header", "99999999999", example, 200, client.ErrProtocol},
		{"negative header", "-1", example, 200, client.ErrProtocol},
		{"not JSON", "5", "hello" + exampleY, 200, client.ErrProtocol},
		{"another version", "145", strings.Replace(example, `"3"`, `"4"`, 1) + exampleY, 200, client.ErrOtherMatrix},
		{"another shape", "145", strings.Replace(example, `[2,2,2]`, `[2,4,1]`, 1) + exampleY, 200, client.ErrProtocol},
		{"another type", "145", strings.Replace(example, `FP32`, `FP64`, 1) + exampleY, 200, client.ErrProtocol},
		{"another size", "145", strings.Replace(example, `:32`, `:24`, 1) + exampleY, 200, client.ErrProtocol},
		{"lost", "", `{"error":"cannot","code":"matrix_lost"}`, 503, client.ErrOtherMatrix},
		{"busy", "", `{"error":"cannot","code":"busy"}`, 503, client.ErrUnavailable},
		{"no reason", "", `<html>`, 418, client.ErrInput},
		{"moved", "", ``, 301, client.ErrProtocol},
	} {
		s := &script{length: c.length, body: []byte(c.body), status: c.status}
		opu, err := client.Dial(t.Context(), "http://opu", client.Options{Transport: s, Patience: -1})
		if err != nil {
			t.Fatal(err)
		}
		y := make([]complex64, 4)
		err = opu.Project(t.Context(), y, make([]int8, 8))
		if !errors.Is(err, c.want) || err == nil && !slices.Equal(y, want) {
			t.Errorf("%s: %v with %v, want %v", c.name, err, y, c.want)
		}
	}
}

// Whatever a server answers: no panic, and only what has all its bytes is a result.
func FuzzResponse(f *testing.F) {
	f.Add("145", []byte(example+exampleY), 200)
	f.Add("0", []byte(""), 200)
	f.Add("", []byte(`{"error":"cannot"}`), 503)
	f.Fuzz(func(t *testing.T, length string, body []byte, status int) {
		opu, err := client.Dial(t.Context(), "http://opu", client.Options{Transport: &script{length: length, body: body, status: status}, Patience: -1})
		if err != nil {
			t.Fatal(err)
		}
		y := make([]complex64, 4)
		if opu.Project(t.Context(), y, make([]int8, 8)) == nil && (status/100 != 2 || fmt.Sprint(len(body)-32) != strings.TrimLeft(strings.TrimPrefix(length, "+"), "0")) {
			t.Errorf("status %d and %d bytes after %q are taken for a result", status, len(body), length)
		}
	})
}

// A projection allocates what net/http does for a request, and a little for the two
// pieces of JSON; nothing grows with rows or results.
func TestAllocations(t *testing.T) {
	if testing.Short() {
		t.Skip("left out: the race detector, with which short tests are run, allocates as well")
	}
	measure := func(rows, outputs int) (opu, plain float64) {
		text := fmt.Sprintf(`{"model_version":"3","outputs":[{"name":"y","datatype":"FP32","shape":[%d,%d,2],"parameters":{"binary_data_size":%d}}]}`, rows, outputs, 8*rows*outputs)
		s := &script{length: fmt.Sprint(len(text)), body: append([]byte(text), make([]byte, 8*rows*outputs)...), status: 200, outputs: outputs}
		remote, err := client.Dial(t.Context(), "http://opu", client.Options{Transport: s})
		if err != nil {
			t.Fatal(err)
		}
		x, y := make([]int8, 4*rows), make([]complex64, rows*outputs)
		opu = testing.AllocsPerRun(100, func() {
			if err := remote.Project(t.Context(), y, x); err != nil {
				t.Fatal(err)
			}
		})
		body, sink, http1 := make([]byte, 100+4*rows), make([]byte, 32<<10), http.Client{Transport: s}
		plain = testing.AllocsPerRun(100, func() {
			q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://opu/v2/models/opu/infer", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			q.Header.Set("Inference-Header-Content-Length", "100")
			r, err := http1.Do(q)
			for err == nil {
				_, err = r.Body.Read(sink)
			}
			r.Body.Close()
		})
		return opu, plain
	}
	for _, c := range []struct{ rows, outputs int }{{1, 2}, {4, 10_000}} {
		opu, plain := measure(c.rows, c.outputs)
		t.Logf("%+v: a projection allocates %g times, a request of net/http %g", c, opu, plain)
		if opu > plain+12 {
			t.Errorf("%+v: a projection allocates %g times, a request of net/http %g", c, opu, plain)
		}
	}
}
