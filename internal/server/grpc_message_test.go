package server

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/light-in-the-loop/opu/internal/oip"
	"github.com/light-in-the-loop/opu/internal/oip/oippb"
)

// What would take much more memory decoded than it has bytes is refused before.
func TestEncoded(t *testing.T) {
	wire := func(q *oippb.ModelInferRequest) encoded {
		text, err := proto.Marshal(q)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	tensor := func(c *oippb.InferTensorContents) *oippb.ModelInferRequest {
		return &oippb.ModelInferRequest{Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Contents: c}}}
	}
	many := new(oippb.ModelInferRequest)
	for range mostFields + 1 {
		many.Inputs = append(many.Inputs, new(oippb.ModelInferRequest_InferInputTensor))
	}
	right := wire(tensor(&oippb.InferTensorContents{IntContents: []int32{1, -1}}))
	for name, c := range map[string]struct {
		text encoded
		want error
	}{
		"right":            {right, nil},
		"empty":            {nil, nil},
		"cut short":        {right[:len(right)-1], oip.ErrRequest},
		"nonsense":         {encoded("\xff\xff\xff"), oip.ErrRequest},
		"no text":          {encoded("\x0a\x01\xff"), oip.ErrRequest},
		"many inputs":      {wire(many), oip.ErrRequest},
		"many parameters":  {encoded(strings.Repeat("\x22\x00", mostFields+1)), oip.ErrRequest},
		"typed contents":   {wire(tensor(&oippb.InferTensorContents{Int64Contents: make([]int64, mostContents+1)})), oip.ErrTooLarge},
		"much raw content": {wire(&oippb.ModelInferRequest{RawInputContents: [][]byte{make([]byte, 4*mostContents)}}), nil},
	} {
		if _, err := c.text.decode(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// Whatever comes: no panic, and what is let through is what protobuf reads, by the
// rules of requests.
func FuzzMessage(f *testing.F) {
	text, err := proto.Marshal(&oippb.ModelInferRequest{
		ModelName: "opu", Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "INT8", Shape: []int64{1, 3}}},
		RawInputContents: [][]byte{{1, 0, 255}},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("\x2a\x02\x0a\x00"))
	f.Fuzz(func(t *testing.T, text []byte) {
		q, err := encoded(text).decode()
		if err != nil {
			if proto.Unmarshal(text, new(oippb.ModelInferRequest)) == nil && len(text) < mostFields {
				t.Fatalf("refused what protobuf reads: %v", err)
			}
			return
		}
		r, err := readMessage(q)()
		if err != nil {
			return
		}
		for _, in := range r.Inputs {
			if in.Region == nil && in.Elements > 0 && in.Elements > len(text) {
				t.Fatalf("input %q has %d elements in %d bytes", in.Name, in.Elements, len(text))
			}
		}
	})
}
