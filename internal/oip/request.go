// Package oip is the wire format of the Open Inference Protocol ("KServe v2") over
// HTTP with its binary tensor extension: what a server reads and writes, and nothing
// of what its models compute.
//
//	req, err := oip.ReadRequest(body, contentLength, header, oip.Limits{JSON: 16 << 20}) // the JSON part only
//	x := make([]byte, req.Inputs[0].Elements)                                            // once the caller has agreed to the size
//	err = req.ReadData(x)
//
// Sizes are checked before anything is allocated, and the body of tensors is read
// where the caller wants it. The sections in comments are those of the project's
// reference of the protocol.
package oip

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// The conditions that callers act on.
var (
	ErrRequest  = errors.New("bad request")
	ErrTooLarge = errors.New("too large")
)

// HeaderLength is the HTTP header that says how long the JSON part of a body is.
const HeaderLength = "Inference-Header-Content-Length"

// Limits of a request (section 13).
type Limits struct {
	JSON int // bytes of a body that is JSON as a whole
	Body int // bytes of any body
}

// Fixed limits.
const (
	maxHeader  = 1 << 20 // of the JSON part before binary tensors
	maxTensors = 16      // inputs, and outputs
	maxShape   = 8       // dimensions
)

// Request is an inference request.
type Request struct {
	ID         string
	Parameters map[string]any // string, bool or json.Number
	Inputs     []Input
	Outputs    []Output // empty: all of the model
	Binary     bool     // outputs are binary where they do not say

	// Raw: there is no JSON, and the body is the bytes of the only input of the model
	// (section 4.2). RawSize is how many, -1 if that is not known.
	Raw     bool
	RawSize int64

	body io.Reader // the binary part
}

// Input is a tensor of the request.
type Input struct {
	Name, Datatype string
	Shape          []int // none is negative
	Elements       int   // their product

	binary bool // else data
	data   json.RawMessage
}

// Output is a tensor that was asked for.
type Output struct {
	Name   string
	Binary bool
}

// The objects as they are sent.
type (
	wireRequest struct {
		ID         string         `json:"id"`
		Parameters map[string]any `json:"parameters"`
		Inputs     []wireInput    `json:"inputs"`
		Outputs    []wireOutput   `json:"outputs"`
	}
	wireInput struct {
		Name       string          `json:"name"`
		Shape      []int64         `json:"shape"`
		Datatype   string          `json:"datatype"`
		Parameters map[string]any  `json:"parameters"`
		Data       json.RawMessage `json:"data"`
	}
	wireOutput struct {
		Name       string         `json:"name"`
		Parameters map[string]any `json:"parameters"`
	}
)

func refuse(format string, args ...any) error {
	return fmt.Errorf("cannot read the request: "+format+": %w", append(args, ErrRequest)...)
}

// ReadRequest reads the JSON part of a body; the binary part is left for ReadData.
// Length is that of the body, -1 if it is not known; header is the value of
// HeaderLength, empty if there was none. Errors wrap ErrRequest, ErrTooLarge or the
// reader's own.
func ReadRequest(body io.Reader, length int64, header string, limits Limits) (*Request, error) {
	if length > int64(limits.Body) {
		return nil, fmt.Errorf("cannot read a body of %d bytes: %d are the most; send fewer rows at a time: %w", length, limits.Body, ErrTooLarge)
	}
	if header == "" {
		text, err := io.ReadAll(io.LimitReader(body, int64(limits.JSON)+1))
		if err != nil {
			return nil, fmt.Errorf("cannot read the request: %w", err)
		}
		if len(text) > limits.JSON {
			return nil, fmt.Errorf("cannot read more than %d bytes of JSON: send the tensor as binary data, or fewer rows at a time: %w", limits.JSON, ErrTooLarge)
		}
		return parse(text, bytes.NewReader(nil), 0)
	}
	h, err := strconv.ParseUint(header, 10, 31)
	if err != nil {
		return nil, refuse("%s is %.20q, not a number of bytes", HeaderLength, header)
	}
	if h > maxHeader {
		return nil, fmt.Errorf("cannot read %d bytes of JSON before binary tensors: %d are the most: %w", h, maxHeader, ErrTooLarge)
	}
	if length >= 0 && int64(h) > length {
		return nil, refuse("%s is %d, more than the %d bytes of the body", HeaderLength, h, length)
	}
	rest := length - int64(h)
	if length < 0 {
		rest = -1
	}
	if h == 0 {
		return &Request{Raw: true, RawSize: rest, Binary: true, body: body}, nil
	}
	text := make([]byte, h)
	if n, err := io.ReadFull(body, text); err != nil {
		return nil, ended(err, n, int64(h))
	}
	return parse(text, body, rest)
}

// ended is the error about a body that ended early.
func ended(err error, n int, of int64) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return refuse("the body ended after %d of %d bytes", n, of)
	}
	return fmt.Errorf("cannot read the request: %w", err)
}

// parse parses the JSON part. Rest is the length of the binary part, -1 if that is
// not known.
func parse(text []byte, body io.Reader, rest int64) (*Request, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var w wireRequest
	if err := d.Decode(&w); err != nil {
		return nil, refuse("its JSON is wrong: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, refuse("there is more than one JSON object")
	}
	if len(w.Inputs) > maxTensors || len(w.Outputs) > maxTensors {
		return nil, refuse("it has %d inputs and %d outputs; %d of each are the most", len(w.Inputs), len(w.Outputs), maxTensors)
	}
	r := &Request{ID: w.ID, Parameters: w.Parameters, body: body}
	if err := boolean(w.Parameters, "binary_data_output", &r.Binary); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var binary int64
	for _, in := range w.Inputs {
		if seen[in.Name] {
			return nil, refuse("input %q is there twice", in.Name)
		}
		seen[in.Name] = true
		input, err := in.parse()
		if err != nil {
			return nil, err
		}
		if input.binary {
			binary += int64(input.Elements) // no overflow: 16 of 2^40 at most
		}
		r.Inputs = append(r.Inputs, input)
	}
	if rest >= 0 && binary != rest {
		return nil, refuse("%d bytes of binary data follow, the inputs announce %d; is %s missing?", rest, binary, HeaderLength)
	}
	clear(seen)
	for _, out := range w.Outputs {
		if seen[out.Name] {
			return nil, refuse("output %q is there twice", out.Name)
		}
		seen[out.Name] = true
		o := Output{Name: out.Name, Binary: r.Binary}
		if err := boolean(out.Parameters, "binary_data", &o.Binary); err != nil {
			return nil, err
		}
		for _, no := range []string{"shared_memory_region", "classification"} {
			if out.Parameters[no] != nil {
				return nil, refuse("output %q asks for %s, which this server does not announce", out.Name, no)
			}
		}
		r.Outputs = append(r.Outputs, o)
	}
	return r, nil
}

// parse checks an input.
func (w wireInput) parse() (in Input, err error) {
	if string(w.Data) == "null" {
		w.Data = nil
	}
	in = Input{Name: w.Name, Datatype: w.Datatype, Elements: 1, data: w.Data}
	if !known(w.Datatype) {
		return in, refuse("input %q has datatype %.20q; a tensor of -1, 0 and 1 is INT8, one of 0 and 1 also UINT8 or BOOL", w.Name, w.Datatype)
	}
	if len(w.Shape) > maxShape {
		return in, refuse("input %q has %d dimensions, %d are the most", w.Name, len(w.Shape), maxShape)
	}
	const maxElements = 1 << 40
	for _, n := range w.Shape {
		if n < 0 {
			return in, refuse("input %q has shape %d; no dimension may be negative", w.Name, w.Shape)
		}
		if n > maxElements || n > 0 && int64(in.Elements) > maxElements/n {
			return in, refuse("input %q has shape %d, far too many elements", w.Name, w.Shape)
		}
		in.Shape, in.Elements = append(in.Shape, int(n)), in.Elements*int(n)
	}
	if w.Parameters["shared_memory_region"] != nil {
		return in, refuse("input %q is in shared memory, which this server does not announce; send it as binary data", w.Name)
	}
	if size := w.Parameters["binary_data_size"]; size != nil {
		if w.Data != nil {
			return in, refuse("input %q has data and binary_data_size; one of them is needed", w.Name)
		}
		bytes, err := Int(size)
		if err != nil || bytes != int64(in.Elements) { // all known datatypes have one byte
			return in, refuse("input %q has shape %d and datatype %s, that is %d bytes; binary_data_size says %v", w.Name, w.Shape, w.Datatype, in.Elements, size)
		}
		in.binary = true
	} else if w.Data == nil && in.Elements > 0 {
		return in, refuse("input %q has neither data nor binary_data_size", w.Name)
	}
	return in, nil
}

func boolean(parameters map[string]any, name string, dst *bool) error {
	switch v := parameters[name].(type) {
	case nil:
	case bool:
		*dst = v
	default:
		return refuse("%s is %v, it must be true or false", name, v)
	}
	return nil
}

// Int is the value of an integer parameter.
func Int(parameter any) (int64, error) {
	if n, ok := parameter.(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			return i, nil
		}
		if f, err := n.Float64(); err == nil && f == math.Trunc(f) && math.Abs(f) < 1<<53 {
			return int64(f), nil
		}
	}
	return 0, refuse("%v is not an integer", parameter)
}
