package server

import (
	"fmt"
	"math"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // the codec that newCodec looks up
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/light-in-the-loop/opu/internal/oip"
	"github.com/light-in-the-loop/opu/internal/oip/oippb"
)

// encoded is a ModelInferRequest as it came.
type encoded []byte

// What a message may have of things that take much more memory decoded than encoded:
// far more than requests need.
const (
	mostFields   = 4096    // of a message and of its tensors, together
	mostContents = 1 << 20 // bytes of typed contents, each of which may be a number of eight
)

// decode decodes a request, if it takes not much more memory than its bytes.
func (e encoded) decode() (*oippb.ModelInferRequest, error) {
	fields, contents := 0, 0
	tensors := func(n protowire.Number) bool { return n == 5 || n == 6 } // inputs, outputs
	err := eachField(e, func(n protowire.Number, value []byte) error {
		if fields++; !tensors(n) {
			return nil
		}
		return eachField(value, func(m protowire.Number, value []byte) error {
			if fields++; n == 5 && m == 5 {
				contents += len(value)
			}
			return nil
		})
	})
	switch {
	case err != nil:
		return nil, err
	case fields > mostFields:
		return nil, fmt.Errorf("cannot read a message of %d fields: %d are the most: %w", fields, mostFields, oip.ErrRequest)
	case contents > mostContents:
		return nil, fmt.Errorf("cannot read %d bytes of typed contents: %d are the most; send raw_input_contents: %w", contents, mostContents, oip.ErrTooLarge)
	}
	q := new(oippb.ModelInferRequest)
	if err := proto.Unmarshal(e, q); err != nil {
		return nil, fmt.Errorf("cannot read the message: %v: %w", err, oip.ErrRequest)
	}
	return q, nil
}

// eachField calls f with every field of a message; the value is that of bytes and
// messages.
func eachField(text []byte, f func(n protowire.Number, value []byte) error) error {
	for len(text) > 0 {
		n, kind, size := protowire.ConsumeTag(text)
		if size < 0 {
			return fmt.Errorf("cannot read the message: %v: %w", protowire.ParseError(size), oip.ErrRequest)
		}
		text = text[size:]
		if size = protowire.ConsumeFieldValue(n, kind, text); size < 0 {
			return fmt.Errorf("cannot read the message: %v: %w", protowire.ParseError(size), oip.ErrRequest)
		}
		var value []byte
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(text)
		}
		if err := f(n, value); err != nil {
			return err
		}
		text = text[size:]
	}
	return nil
}

// readMessage makes a request of a message, by the rules of section 11.
func readMessage(q *oippb.ModelInferRequest) func() (*oip.Request, error) {
	return func() (*oip.Request, error) {
		m := oip.Message{ID: q.Id, Parameters: parametersOf(q.Parameters)}
		raw := q.RawInputContents
		for _, in := range q.Inputs {
			t := oip.MessageInput{Name: in.Name, Datatype: in.Datatype, Shape: in.Shape, Parameters: parametersOf(in.Parameters)}
			switch shared := in.Parameters["shared_memory_region"] != nil; {
			case in.Contents != nil && (shared || len(q.RawInputContents) > 0):
				return nil, fmt.Errorf("cannot read input %.64q: it has typed contents, and the request raw ones or shared memory; one of them is needed: %w", in.Name, oip.ErrRequest)
			case in.Contents != nil:
				var err error
				if t.Bytes, err = elements(in); err != nil {
					return nil, err
				}
			case !shared && len(raw) > 0:
				t.Bytes, raw = raw[0], raw[1:]
			}
			m.Inputs = append(m.Inputs, t)
		}
		if len(raw) > 0 {
			return nil, fmt.Errorf("cannot read the request: it has %d raw contents more than inputs that take one: %w", len(raw), oip.ErrRequest)
		}
		for _, out := range q.Outputs {
			m.Outputs = append(m.Outputs, oip.MessageOutput{Name: out.Name, Parameters: parametersOf(out.Parameters)})
		}
		return oip.NewRequest(m)
	}
}

// elements are typed contents, one byte each.
func elements(in *oippb.ModelInferRequest_InferInputTensor) ([]byte, error) {
	c := in.Contents
	bytes := []byte{}
	var bad error
	put := func(v, least, most int64) {
		if (v < least || v > most) && bad == nil {
			bad = fmt.Errorf("cannot read input %.64q: element %d is %d, which is not of datatype %s: %w", in.Name, len(bytes), v, in.Datatype, oip.ErrRequest)
		}
		bytes = append(bytes, byte(v))
	}
	switch in.Datatype {
	case oip.Bool:
		for _, v := range c.BoolContents {
			bytes = append(bytes, map[bool]byte{true: 1}[v])
		}
	case oip.Int8:
		for _, v := range c.IntContents {
			put(int64(v), math.MinInt8, math.MaxInt8)
		}
	case oip.Uint8:
		for _, v := range c.UintContents {
			put(int64(v), 0, math.MaxUint8)
		}
	}
	return bytes, bad
}

// parametersOf are parameters as JSON would have them.
func parametersOf(of map[string]*oippb.InferParameter) map[string]any {
	p := make(map[string]any, len(of))
	for name, v := range of {
		switch v := v.GetParameterChoice().(type) {
		case *oippb.InferParameter_BoolParam:
			p[name] = v.BoolParam
		case *oippb.InferParameter_Int64Param:
			p[name] = v.Int64Param
		case *oippb.InferParameter_StringParam:
			p[name] = v.StringParam
		case *oippb.InferParameter_DoubleParam:
			p[name] = v.DoubleParam
		case *oippb.InferParameter_Uint64Param:
			p[name] = v.Uint64Param
		default:
			p[name] = nil
		}
	}
	return p
}

// parameter is a value of a response's parameters.
func parameter(v any) *oippb.InferParameter {
	switch v := v.(type) {
	case string:
		return &oippb.InferParameter{ParameterChoice: &oippb.InferParameter_StringParam{StringParam: v}}
	case int64:
		return &oippb.InferParameter{ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: v}}
	case float64:
		return &oippb.InferParameter{ParameterChoice: &oippb.InferParameter_DoubleParam{DoubleParam: v}}
	}
	return &oippb.InferParameter{ParameterChoice: &oippb.InferParameter_StringParam{StringParam: fmt.Sprint(v)}}
}

// wide makes dimensions those of a message.
func wide(shape []int) (dims []int64) {
	for _, n := range shape {
		dims = append(dims, int64(n))
	}
	return dims
}

// reply is a ModelInferResponse whose raw contents are the server's memory, not copied.
type reply struct {
	*oippb.ModelInferResponse
	data []byte
	sent chan struct{} // closed when data is no longer needed
}

func newReply(r *result) *reply {
	p := make(map[string]*oippb.InferParameter, len(r.Parameters))
	for _, fact := range r.Parameters {
		p[fact.Name] = parameter(fact.Value)
	}
	return &reply{&oippb.ModelInferResponse{
		ModelName: r.Model, ModelVersion: r.Version, Id: r.ID, Parameters: p,
		Outputs: []*oippb.ModelInferResponse_InferOutputTensor{{Name: r.Name, Datatype: oip.FP32, Shape: wide(r.Shape)}},
	}, r.Data, make(chan struct{})}
}

// rawOutputContents is the number of that field.
const rawOutputContents = 6

// codec is the usual one, but for requests and results of inference.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2("proto")} }

// Marshal is for grpc.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	r, ok := v.(*reply)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	head, err := proto.Marshal(r.ModelInferResponse)
	if err != nil {
		return nil, err
	}
	// Fields may come in any order; this one is the last.
	head = protowire.AppendTag(head, rawOutputContents, protowire.BytesType)
	head = protowire.AppendVarint(head, uint64(len(r.data)))
	if mem.IsBelowBufferPoolingThreshold(cap(r.data)) { // grpc would not say when it has been sent
		head = append(head, r.data...)
		close(r.sent)
		return mem.BufferSlice{mem.SliceBuffer(head)}, nil
	}
	return mem.BufferSlice{mem.SliceBuffer(head), mem.NewBuffer(&r.data, (*sentPool)(r))}, nil
}

// Unmarshal is for grpc.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	if e, ok := v.(*encoded); ok {
		*e = data.Materialize()
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

// sentPool notes that a reply's data is no longer needed.
type sentPool reply

// Get is never called: nothing is taken from here.
func (p *sentPool) Get(length int) *[]byte {
	b := make([]byte, length)
	return &b
}

// Put is called once, for the data.
func (p *sentPool) Put(*[]byte) { close(p.sent) }
