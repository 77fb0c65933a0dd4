package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
)

// headerLength is the HTTP header of the binary tensor extension.
const headerLength = "Inference-Header-Content-Length"

// A view is what the daemon's models give of the matrix's outputs.
type view struct {
	suffix string // of the model's name
	width  int    // numbers of an output
}

var (
	complexView   = view{"", 2}
	realView      = view{"-real", 1}
	intensityView = view{"-intensity", 1}
)

// Project computes dst = B x for a batch. x holds rows of inputs, each -1, 0 or 1, dst
// as many rows of outputs; both are row-major and the caller's. It blocks until the
// daemon has answered, or ctx ends. On an error dst may hold some of the rows, and none
// must be used. Errors: those of this package, and the context's.
func (c *OPU) Project(ctx context.Context, dst []complex64, x []int8) error {
	if err := c.shape.check(len(dst), x, -1); err != nil {
		return err
	}
	return c.project(ctx, complexView, strip{parts(dst), 2 * c.shape.outputs, 1}, x)
}

// ProjectReal is Project for the real parts: what real networks are fed with, in half
// the bytes.
func (c *OPU) ProjectReal(ctx context.Context, dst []float32, x []int8) error {
	if err := c.shape.check(len(dst), x, -1); err != nil {
		return err
	}
	return c.project(ctx, realView, strip{dst, c.shape.outputs, 1}, x)
}

// Intensity measures abs(B x)^2 with the reference beam blocked: every entry of x is 0
// or 1. A rig without a shutter cannot, which is ErrNotHere.
func (c *OPU) Intensity(ctx context.Context, dst []float32, x []int8) error {
	if err := c.shape.check(len(dst), x, 0); err != nil {
		return err
	}
	return c.project(ctx, intensityView, strip{dst, c.shape.outputs, 1}, x)
}

// shape is that of a matrix.
type shape struct{ outputs, inputs int }

// check says whether rows of x, with entries from least to 1, fit so many outputs.
func (s shape) check(outputs int, x []int8, least int8) error {
	if rows := len(x) / s.inputs; len(x)%s.inputs != 0 || outputs != rows*s.outputs {
		return fmt.Errorf("cannot project %d entries into %d outputs with a matrix of %d x %d: %w", len(x), outputs, s.outputs, s.inputs, ErrInput)
	}
	for i, v := range x {
		if v < least || v > 1 {
			allowed := "-1, 0 or 1"
			if least == 0 {
				allowed = "0 or 1"
			}
			return fmt.Errorf("cannot project entry %d of row %d: it is %d, and must be %s: %w", i%s.inputs, i/s.inputs, v, allowed, ErrInput)
		}
	}
	return nil
}

// strip is where results go: row r to dst[r*stride:], times scale.
type strip struct {
	dst    []float32
	stride int
	scale  float32
}

// from is the strip without its first rows.
func (s strip) from(row int) strip {
	s.dst = s.dst[row*s.stride:]
	return s
}

// inFlight is how many requests of one batch are under way at a time: while the result of
// one is read, the device works on the next.
const inFlight = 2

// project asks for rows, as many at a time as a request may have.
func (c *OPU) project(ctx context.Context, v view, to strip, x []int8) error {
	switch rows := len(x) / c.shape.inputs; {
	case rows == 0:
		return nil
	case rows > c.rows:
		return c.projectParts(ctx, v, to, x)
	}
	return c.daemon.patiently(ctx, func() error { return c.ask(ctx, v, to, x) })
}

// projectParts is project for more rows than a request may have. The first failure ends
// the other requests, and is returned when they have ended.
func (c *OPU) projectParts(ctx context.Context, v view, to strip, x []int8) error {
	n := c.shape.inputs
	rows := len(x) / n
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64 // row that nobody has asked for
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			for ctx.Err() == nil {
				first := int(next.Add(int64(c.rows))) - c.rows
				if first >= rows {
					return
				}
				part := x[first*n : min(rows, first+c.rows)*n]
				if err := c.project(ctx, v, to.from(first), part); err != nil {
					cancel(err)
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// request appends the JSON part of one and returns it with its length.
func (c *OPU) request(body []byte, rows int) ([]byte, int) {
	columns := c.shape.inputs + c.spare
	body = append(body, c.parameters...)
	body = append(body, `,"inputs":[{"name":"x","datatype":"INT8","shape":[`...)
	body = strconv.AppendInt(body, int64(rows), 10)
	body = append(body, ',')
	body = strconv.AppendInt(body, int64(columns), 10)
	body = append(body, `],"parameters":{"binary_data_size":`...)
	body = strconv.AppendInt(body, int64(rows*columns), 10)
	body = append(body, `}}]}`...)
	return body, len(body)
}

// ask sends one request and reads its result.
func (c *OPU) ask(ctx context.Context, v view, to strip, x []int8) error {
	s, _ := c.scratch.Get().(*scratch)
	if s == nil {
		s = new(scratch)
	}
	n := c.shape.inputs
	rows := len(x) / n
	body, header := c.request(s.body[:0], rows)
	for r := range rows {
		for _, v := range x[r*n : (r+1)*n] {
			body = append(body, byte(v))
		}
		for range c.spare {
			body = append(body, 0)
		}
	}
	s.body = body
	r, err := c.daemon.send(ctx, http.MethodPost, "/v2/models/"+c.model+v.suffix+"/versions/"+c.version+"/infer", body,
		http.Header{headerLength: {strconv.Itoa(header)}})
	if err != nil {
		return err // the transport may still read the buffer: it is not used again
	}
	defer r.Body.Close()
	defer c.scratch.Put(s)
	return c.read(ctx, v, to, rows, r, s)
}

// scratch is what requests use again.
type scratch struct {
	body   []byte // of the request
	header []byte // JSON part of the response
	answer answer
}

// answer is the JSON part of a response. Raw messages keep their memory.
type answer struct {
	Version json.RawMessage `json:"model_version"`
	Outputs []struct {
		Name       json.RawMessage `json:"name"`
		Datatype   json.RawMessage `json:"datatype"`
		Shape      []int           `json:"shape"`
		Parameters struct {
			Size int `json:"binary_data_size"`
		} `json:"parameters"`
	} `json:"outputs"`
}

// forget empties an answer and keeps its memory: whatever the next one lacks must not
// be what the last one had.
func (a *answer) forget() {
	a.Version = a.Version[:0]
	a.Outputs = a.Outputs[:cap(a.Outputs)]
	for i := range a.Outputs {
		y := &a.Outputs[i]
		y.Name, y.Datatype, y.Shape, y.Parameters.Size = y.Name[:0], y.Datatype[:0], y.Shape[:0], 0
	}
	a.Outputs = a.Outputs[:0]
}

// mostHeader bounds the JSON part of a response.
const mostHeader = 1 << 20

// read reads the result of a response for so many rows.
func (c *OPU) read(ctx context.Context, v view, to strip, rows int, r *http.Response, s *scratch) error {
	nonsense := func(format string, args ...any) error {
		return fmt.Errorf("cannot read the result: "+format+": %w", append(args, ErrProtocol)...)
	}
	n, err := strconv.Atoi(r.Header.Get(headerLength))
	if err != nil || n < 0 || n > mostHeader {
		return nonsense("its %s is %.20q", headerLength, r.Header.Get(headerLength))
	}
	if cap(s.header) < n {
		s.header = make([]byte, n)
	}
	text := s.header[:n]
	if _, err := io.ReadFull(r.Body, text); err != nil {
		return broken(ctx, err)
	}
	a := &s.answer
	a.forget()
	if err := json.Unmarshal(text, a); err != nil {
		return nonsense("%v", err)
	}
	if string(a.Version) != c.quoted {
		return fmt.Errorf("cannot use the result: it is of version %.32s, version %s is pinned: %w", a.Version, c.version, ErrOtherMatrix)
	}
	numbers := v.width * c.shape.outputs // of a row
	if !c.expected(a, v, rows) {
		return nonsense("%.300s is not the %d x %d outputs that were asked for", text, rows, c.shape.outputs)
	}
	for row := range rows {
		y := to.dst[row*to.stride:][:numbers]
		if _, err := io.ReadFull(r.Body, asBytes(y)); err != nil {
			return broken(ctx, err)
		}
		fromLittleEndian(y)
		if to.scale != 1 {
			for i := range y {
				y[i] *= to.scale
			}
		}
	}
	if n, _ := r.Body.Read(text[:1]); n > 0 { // and the connection can be used again
		return nonsense("it goes on after its end")
	}
	return nil
}

// expected says whether an answer is the one output that was asked for.
func (c *OPU) expected(a *answer, v view, rows int) bool {
	if len(a.Outputs) != 1 {
		return false
	}
	y := &a.Outputs[0]
	dims := 1 + v.width // rows, outputs, and 2 for the parts of complex ones
	return string(y.Name) == `"y"` && string(y.Datatype) == `"FP32"` && y.Parameters.Size == 4*v.width*rows*c.shape.outputs &&
		len(y.Shape) == dims && y.Shape[0] == rows && y.Shape[1] == c.shape.outputs && (dims == 2 || y.Shape[2] == 2)
}

// broken is the error of a response that broke off: asking again may help.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &unavailable{fmt.Errorf("cannot read the result: %w", err)}
}
