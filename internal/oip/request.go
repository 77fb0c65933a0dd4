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
	"sync/atomic"
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

// Memory is how much reading a request takes before its tensors: four times the JSON
// part, as bounded has it, and the text.
// Length and header are those of ReadRequest.
func (l Limits) Memory(length int64, header string) int64 {
	size := int64(l.JSON)
	if h, err := strconv.ParseUint(header, 10, 31); err == nil {
		size = min(int64(h), MaxHeader)
	} else if length >= 0 {
		size = min(length, size)
	}
	return 5 * size
}

// MaxHeader is the bytes of the JSON part before binary tensors, at most.
const MaxHeader = 1 << 20

// Other fixed limits.
const (
	maxTensors = 16      // inputs, and outputs
	maxShape   = 8       // dimensions
	maxSize    = 1 << 40 // elements of a tensor
)

// Request is an inference request.
type Request struct {
	ID         string
	Parameters map[string]any // string, bool, json.Number, int64, uint64 or float64
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
	Shape          []int   // none is negative
	Elements       int     // their product
	Region         *Region // nil: the request holds the elements

	binary   bool // they follow the JSON part
	data     json.RawMessage
	elements []byte
}

// Output is a tensor that was asked for.
type Output struct {
	Name   string
	Binary bool
	Region *Region // where it is wanted; nil: in the response
}

// Region is a part of shared memory that the client has registered (section 8). Offset
// is relative to what was registered. Neither number is negative.
type Region struct {
	Name         string
	Offset, Size int64
}

// parameters are strings, booleans and numbers by their names; nil is as good as none.
type parameters map[string]any

// Message is a request as it was decoded, from JSON or from what another transport
// has. Its values are checked by ReadRequest, or by NewRequest.
type Message struct {
	ID         string          `json:"id"`
	Parameters parameters      `json:"parameters"`
	Inputs     []MessageInput  `json:"inputs"`
	Outputs    []MessageOutput `json:"outputs"`
}

// MessageInput is an input as it was decoded.
type MessageInput struct {
	Name       string          `json:"name"`
	Shape      []int64         `json:"shape"`
	Datatype   string          `json:"datatype"`
	Parameters parameters      `json:"parameters"`
	Data       json.RawMessage `json:"data"`

	// Bytes are the elements, one byte each, where they did not come as JSON.
	Bytes []byte `json:"-"`
}

// MessageOutput is an output as it was decoded.
type MessageOutput struct {
	Name       string     `json:"name"`
	Parameters parameters `json:"parameters"`
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("cannot read the request: "+format+": %w", append(args, ErrRequest)...)
}

// Reader reads the requests of a connection. Clients ask for the same shape again and
// again: it keeps what the last short JSON part meant, and need not decode it again. Its
// zero value is ready; it may be used from several goroutines.
type Reader struct{ last atomic.Pointer[decoded] }

// decoded is a JSON part and what it means, which is not changed any more.
type decoded struct {
	text    []byte
	message Message
}

// mostKept is the length of a JSON part that is kept.
const mostKept = 4 << 10

// ReadRequest is Reader.Read for one request.
func ReadRequest(body io.Reader, length int64, header string, limits Limits) (*Request, error) {
	return new(Reader).Read(body, length, header, limits)
}

// Read reads the JSON part of a body; the binary part is left for ReadData.
// Length is that of the body, -1 if it is not known; header is the value of
// HeaderLength, empty if there was none. Errors wrap ErrRequest or ErrTooLarge, and the
// reader's own.
func (r *Reader) Read(body io.Reader, length int64, header string, limits Limits) (*Request, error) {
	if length > int64(limits.Body) {
		return nil, fmt.Errorf("cannot read a body of %d bytes: %d are the most; send fewer rows at a time: %w", length, limits.Body, ErrTooLarge)
	}
	if header == "" {
		var text []byte
		var err error
		if length <= int64(limits.JSON) {
			text, err = io.ReadAll(io.LimitReader(body, int64(limits.JSON)+1))
		}
		if err != nil {
			return nil, fmt.Errorf("cannot read the request: %w: %w", err, ErrRequest)
		}
		if max(length, int64(len(text))) > int64(limits.JSON) {
			return nil, fmt.Errorf("cannot read more than %d bytes of JSON: send the tensor as binary data, or fewer rows at a time: %w", limits.JSON, ErrTooLarge)
		}
		return r.parse(text, bytes.NewReader(nil), 0)
	}
	h, err := strconv.ParseUint(header, 10, 31)
	if err != nil {
		return nil, refuse("%s is %.20q, not a number of bytes", HeaderLength, header)
	}
	if h > MaxHeader {
		return nil, fmt.Errorf("cannot read %d bytes of JSON before binary tensors: %d are the most: %w", h, MaxHeader, ErrTooLarge)
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
	return r.parse(text, body, rest)
}

// ended is the error about a body that ended early.
func ended(err error, n int, of int64) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return refuse("the body ended after %d of %d bytes", n, of)
	}
	return fmt.Errorf("cannot read the request: %w: %w", err, ErrRequest)
}

// parse parses the JSON part. Rest is the length of the binary part, -1 if that is
// not known.
func (r *Reader) parse(text []byte, body io.Reader, rest int64) (*Request, error) {
	if last := r.last.Load(); last != nil && bytes.Equal(last.text, text) {
		return last.message.check(body, rest)
	}
	if err := bounded(text); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var m Message
	if err := d.Decode(&m); err != nil {
		return nil, refuse("its JSON is wrong: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, refuse("there is more than one JSON object")
	}
	if len(text) <= mostKept {
		r.last.Store(&decoded{text, m})
	}
	return m.check(body, rest)
}

// NewRequest checks a message that is no JSON. Its outputs are binary.
func NewRequest(m Message) (*Request, error) {
	r, err := m.check(bytes.NewReader(nil), 0)
	if err != nil {
		return nil, err
	}
	r.Binary = true
	for i := range r.Outputs {
		r.Outputs[i].Binary = true
	}
	return r, nil
}

// check makes a request of a message.
func (m *Message) check(body io.Reader, rest int64) (*Request, error) {
	if len(m.Inputs) > maxTensors || len(m.Outputs) > maxTensors {
		return nil, refuse("it has %d inputs and %d outputs; %d of each are the most", len(m.Inputs), len(m.Outputs), maxTensors)
	}
	r := &Request{ID: m.ID, Parameters: m.Parameters, body: body}
	if err := boolean(m.Parameters, "binary_data_output", &r.Binary); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	var binary int64
	for _, in := range m.Inputs {
		if seen[in.Name] {
			return nil, refuse("input %.64q is there twice", in.Name)
		}
		seen[in.Name] = true
		input, err := in.check()
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
	for _, out := range m.Outputs {
		if seen[out.Name] {
			return nil, refuse("output %.64q is there twice", out.Name)
		}
		seen[out.Name] = true
		o := Output{Name: out.Name, Binary: r.Binary}
		if err := boolean(out.Parameters, "binary_data", &o.Binary); err != nil {
			return nil, err
		}
		if out.Parameters["classification"] != nil {
			return nil, refuse("output %.64q asks for classification, which this server does not announce", out.Name)
		}
		var err error
		if o.Region, err = out.Parameters.region(); err != nil {
			return nil, err
		}
		r.Outputs = append(r.Outputs, o)
	}
	return r, nil
}

// check makes an input of one as it was decoded.
func (m *MessageInput) check() (in Input, err error) {
	if string(m.Data) == "null" {
		m.Data = nil
	}
	in = Input{Name: m.Name, Datatype: m.Datatype, Elements: 1, data: m.Data, elements: m.Bytes}
	if !known(m.Datatype) {
		return in, refuse("input %.64q has datatype %.20q; a tensor of -1, 0 and 1 is INT8, one of 0 and 1 also UINT8 or BOOL", m.Name, m.Datatype)
	}
	if len(m.Shape) > maxShape {
		return in, refuse("input %.64q has %d dimensions, %d are the most", m.Name, len(m.Shape), maxShape)
	}
	for _, n := range m.Shape {
		if n < 0 {
			return in, refuse("input %.64q has shape %d; no dimension may be negative", m.Name, m.Shape)
		}
		if n > maxSize || n > 0 && int64(in.Elements) > maxSize/n {
			return in, refuse("input %.64q has shape %d, far too many elements", m.Name, m.Shape)
		}
		in.Shape, in.Elements = append(in.Shape, int(n)), in.Elements*int(n)
	}
	if in.Region, err = m.Parameters.region(); err != nil {
		return in, err
	}
	size := m.Parameters["binary_data_size"]
	sources := 0
	for _, is := range []bool{m.Data != nil, size != nil, m.Bytes != nil, in.Region != nil} {
		if is {
			sources++
		}
	}
	switch {
	case sources > 1:
		return in, refuse("input %.64q has its elements in more than one place: data, binary data or shared memory; one of them is needed", m.Name)
	case sources == 0 && in.Elements > 0:
		return in, refuse("input %.64q has its elements nowhere: data, binary data (with binary_data_size) or shared memory is needed", m.Name)
	case size != nil:
		n, err := Int(size)
		if err != nil || n != int64(in.Elements) { // all known datatypes have one byte
			return in, in.wrongSize("binary_data_size says", size)
		}
		in.binary = true
	case m.Bytes != nil && len(m.Bytes) != in.Elements:
		return in, in.wrongSize("there are", len(m.Bytes))
	case in.Region != nil && in.Region.Size < int64(in.Elements):
		return in, in.wrongSize("shared_memory_byte_size says", in.Region.Size)
	}
	return in, nil
}

func (in *Input) wrongSize(says string, size any) error {
	return refuse("input %.64q has shape %d and datatype %s, that is %d bytes; %s %v", in.Name, in.Shape, in.Datatype, in.Elements, says, size)
}

func boolean(p parameters, name string, dst *bool) error {
	switch v := p[name].(type) {
	case nil:
	case bool:
		*dst = v
	default:
		return refuse("%s is %v, it must be true or false", name, v)
	}
	return nil
}

// region reads the parameters that say where in shared memory a tensor is. There is
// none without them.
func (p parameters) region() (*Region, error) {
	name, size, offset := p["shared_memory_region"], p["shared_memory_byte_size"], p["shared_memory_offset"]
	if name == nil && size == nil && offset == nil {
		return nil, nil
	}
	r := new(Region)
	var ok bool
	if r.Name, ok = name.(string); !ok || size == nil {
		return nil, refuse("a tensor in shared memory needs shared_memory_region, a string, and shared_memory_byte_size; they are %v and %v", name, size)
	}
	for _, number := range []struct {
		name  string
		value any
		to    *int64
	}{{"shared_memory_byte_size", size, &r.Size}, {"shared_memory_offset", offset, &r.Offset}} {
		if number.value == nil {
			continue
		}
		n, err := Int(number.value)
		if err != nil || n < 0 {
			return nil, refuse("%s is %v, and must be a number of bytes", number.name, number.value)
		}
		*number.to = n
	}
	return r, nil
}

// Int is the value of an integer parameter.
func Int(parameter any) (int64, error) {
	switch v := parameter.(type) {
	case json.Number:
		if i, err := v.Int64(); err == nil {
			return i, nil
		}
		if f, err := v.Float64(); err == nil {
			return whole(f)
		}
	case int64:
		return v, nil
	case uint64:
		if v <= math.MaxInt64 {
			return int64(v), nil
		}
	case float64:
		return whole(v)
	}
	return 0, refuse("%v is not an integer", parameter)
}

func whole(f float64) (int64, error) {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int64(f), nil
	}
	return 0, refuse("%v is not an integer", f)
}
