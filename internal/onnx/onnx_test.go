package onnx

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// The bytes of a small file, written by hand from onnx.proto.
func TestBytes(t *testing.T) {
	var got bytes.Buffer
	err := Write(&got, Model{
		Producer: "p", ProducerVersion: "v", Metadata: map[string]string{"k": "m"},
		Graph: Graph{
			Name:      "g",
			Nodes:     []Node{{Op: "Sub", Inputs: []string{"x", "c"}, Outputs: []string{"y"}, Attributes: map[string]int64{"a": 300}}},
			Constants: []Tensor{{Name: "c", Shape: []int{2}, Data: []float32{1, -2}}},
			Inputs:    []Value{{Name: "x", Type: Float, Shape: []any{"n", 2}}},
			Outputs:   []Value{{Name: "y", Type: Int64}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "\x08\x07" + // ir_version
		"\x12\x01p" + "\x1a\x01v" + // producer
		"\x3a\x57" + // graph
		"\x0a\x1c" + "\x0a\x01x" + "\x0a\x01c" + "\x12\x01y" + "\x1a\x01y" + "\x22\x03Sub" + // node
		"\x2a\x09" + "\x0a\x01a" + "\x18\xac\x02" + "\xa0\x01\x02" + // attribute
		"\x12\x01g" + // name
		"\x2a\x11" + "\x08\x02" + "\x10\x01" + "\x42\x01c" + "\x4a\x08\x00\x00\x80\x3f\x00\x00\x00\xc0" + // initializer
		"\x5a\x14" + "\x0a\x01x" + "\x12\x0f\x0a\x0d\x08\x01\x12\x09" + "\x0a\x03\x12\x01n" + "\x0a\x02\x08\x02" + // input
		"\x62\x0b" + "\x0a\x01y" + "\x12\x06\x0a\x04\x08\x07\x12\x00" + // output
		"\x42\x04" + "\x0a\x00" + "\x10\x0d" + // opset_import
		"\x72\x06" + "\x0a\x01k" + "\x12\x01m" // metadata_props
	if got.String() != want {
		t.Errorf("got\n%q\nwant\n%q", got.String(), want)
	}
}

func TestRefusals(t *testing.T) {
	x := []Value{{Name: "x"}}
	for _, c := range []struct {
		graph Graph
		want  string
	}{
		{Graph{Constants: []Tensor{{Name: "c", Shape: []int{2}, Data: []float32{1}}}}, "does not fit"},
		{Graph{Constants: []Tensor{{Name: "c", Shape: []int{1 << 20, 1 << 20}}}}, "shape"},
		{Graph{Constants: []Tensor{{Name: "c", Shape: []int{-1}}}}, "shape"},
		{Graph{Inputs: []Value{{Name: "x"}, {Name: "x"}}}, "taken"},
		{Graph{Inputs: []Value{{}}}, "empty"},
		{Graph{Inputs: x, Nodes: []Node{{Op: "Tanh", Inputs: []string{"y"}, Outputs: []string{"z"}}}}, "not there before"},
		{Graph{Inputs: x, Nodes: []Node{{Op: "Tanh", Inputs: []string{"x"}, Outputs: []string{"x"}}}}, "taken"},
		{Graph{Inputs: x, Outputs: []Value{{Name: "y"}}}, "output"},
	} {
		if err := Write(io.Discard, Model{Graph: c.graph}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "cannot ") {
			t.Errorf("%+v: %v, want %q", c.graph, err, c.want)
		}
	}
}
