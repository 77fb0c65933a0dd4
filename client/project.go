package client

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
)

// headerLength is the HTTP header of the binary tensor extension.
const headerLength = "Inference-Header-Content-Length"

// Project computes dst = B x for a batch. x holds rows of inputs, each -1, 0 or 1, dst
// as many rows of outputs; both are row-major and the caller's. It blocks until the
// daemon has answered, or ctx ends. On an error dst may hold some of the rows, and none
// must be used. Errors: those of this package, and the context's.
func (c *OPU) Project(ctx context.Context, dst []complex64, x []int8) error {
	rows := len(x) / c.inputs
	if len(x)%c.inputs != 0 || len(dst) != rows*c.outputs {
		return fmt.Errorf("cannot project %d entries into %d outputs with a matrix of %d x %d: %w", len(x), len(dst), c.outputs, c.inputs, ErrInput)
	}
	for i, v := range x {
		if v < -1 || v > 1 {
			return fmt.Errorf("cannot project entry %d of row %d: it is %d, and must be -1, 0 or 1: %w", i%c.inputs, i/c.inputs, v, ErrInput)
		}
	}
	for first := 0; first < rows; first += c.rows {
		end := min(rows, first+c.rows)
		err := c.daemon.patiently(ctx, func() error {
			return c.ask(ctx, dst[first*c.outputs:end*c.outputs], x[first*c.inputs:end*c.inputs])
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// request is the JSON part of one.
type request struct {
	Parameters map[string]any `json:"parameters"`
	Inputs     [1]struct {
		Name       string         `json:"name"`
		Shape      [2]int         `json:"shape"`
		Datatype   string         `json:"datatype"`
		Parameters map[string]int `json:"parameters"`
	} `json:"inputs"`
}

// ask sends one request and reads its result into dst.
func (c *OPU) ask(ctx context.Context, dst []complex64, x []int8) error {
	var q request
	q.Parameters = map[string]any{"binary_data_output": true}
	if c.daemon.o.Lease != "" {
		q.Parameters["lease"] = c.daemon.o.Lease
	}
	in := &q.Inputs[0]
	in.Name, in.Shape, in.Datatype = "x", [2]int{len(x) / c.inputs, c.inputs}, "INT8"
	in.Parameters = map[string]int{"binary_data_size": len(x)}
	text, err := json.Marshal(&q)
	if err != nil {
		return fmt.Errorf("cannot make the request: %w", err)
	}
	buffer, _ := c.buffers.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	body := append((*buffer)[:0], text...)
	for _, v := range x {
		body = append(body, byte(v))
	}
	*buffer = body
	r, err := c.daemon.send(ctx, http.MethodPost, "/v2/models/"+c.model+"/versions/"+c.version+"/infer", body, http.Header{headerLength: {strconv.Itoa(len(text))}})
	if err != nil {
		return err // the transport may still read the buffer: it is not used again
	}
	defer r.Body.Close()
	defer c.buffers.Put(buffer)
	return c.read(ctx, dst, r)
}

// mostHeader bounds the JSON part of a response.
const mostHeader = 1 << 20

// read reads the result of a response into dst.
func (c *OPU) read(ctx context.Context, dst []complex64, r *http.Response) error {
	nonsense := func(format string, args ...any) error {
		return fmt.Errorf("cannot read the result: "+format+": %w", append(args, ErrProtocol)...)
	}
	n, err := strconv.Atoi(r.Header.Get(headerLength))
	if err != nil || n < 0 || n > mostHeader {
		return nonsense("its %s is %.20q", headerLength, r.Header.Get(headerLength))
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r.Body, text); err != nil {
		return broken(ctx, err)
	}
	var v struct {
		Version string `json:"model_version"`
		Outputs []struct {
			tensor
			Datatype   string `json:"datatype"`
			Parameters struct {
				Size int `json:"binary_data_size"`
			} `json:"parameters"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return nonsense("%v", err)
	}
	if v.Version != c.version {
		return fmt.Errorf("cannot use the result: it is of version %.32q, version %s is pinned: %w", v.Version, c.version, ErrOtherMatrix)
	}
	if len(v.Outputs) != 1 || !v.Outputs[0].is("y", len(dst)/c.outputs, c.outputs, 2) || v.Outputs[0].Datatype != "FP32" || v.Outputs[0].Parameters.Size != 8*len(dst) {
		return nonsense("%.300s is not the %d x %d outputs that were asked for", text, len(dst)/c.outputs, c.outputs)
	}
	var piece [32 << 10]byte
	for len(dst) > 0 {
		raw := piece[:min(len(piece), 8*len(dst))]
		if _, err := io.ReadFull(r.Body, raw); err != nil {
			return broken(ctx, err)
		}
		for i := range len(raw) / 8 {
			bits := binary.LittleEndian.Uint64(raw[8*i:])
			dst[i] = complex(math.Float32frombits(uint32(bits)), math.Float32frombits(uint32(bits>>32)))
		}
		dst = dst[len(raw)/8:]
	}
	if n, _ := r.Body.Read(piece[:1]); n > 0 { // and the connection can be used again
		return nonsense("it goes on after its end")
	}
	return nil
}

// broken is the error of a response that broke off: asking again may help.
func broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return &unavailable{fmt.Errorf("cannot read the result: %w", err)}
}
