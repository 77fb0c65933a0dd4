// Package onnx writes networks as ONNX files: a graph of operators with its constant
// tensors, as a message of protocol buffers (onnx.proto of the ONNX project, whose field
// numbers are in the code). It writes the little that a dense network needs, and reads
// nothing.
//
//	err := onnx.Write(w, onnx.Model{Producer: "opuctl", Graph: onnx.Graph{
//		Name:   "network",
//		Inputs: []onnx.Value{{Name: "x", Type: onnx.Float, Shape: []any{"batch", 784}}},
//		...
//	}})
package onnx

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Versions of what is written: old enough for every runtime of today, and new enough for
// the operators' present form (Softmax 13, ArgMax 13, Gemm 13).
const (
	irVersion    = 7
	opsetVersion = 13
)

// Type is that of a tensor's elements.
type Type int

// The types in use (TensorProto.DataType).
const (
	Float Type = 1 // 32 bits
	Int64 Type = 7
)

// Model is a file.
type Model struct {
	Producer, ProducerVersion string
	Metadata                  map[string]string
	Graph                     Graph
}

// Graph is a network: nodes in an order in which each only takes what is there already.
type Graph struct {
	Name            string
	Nodes           []Node
	Constants       []Tensor
	Inputs, Outputs []Value
}

// Node is an operator of ONNX's standard set, applied to named values.
type Node struct {
	Op              string
	Inputs, Outputs []string
	Attributes      map[string]int64
}

// Tensor is a constant of 32-bit floats; no shape means a single number.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// Value is an input or output of the graph. A dimension is an int, or a string that
// names one that is not fixed.
type Value struct {
	Name  string
	Type  Type
	Shape []any
}

// maxFile is how large a message of protocol buffers may be.
const maxFile = math.MaxInt32

// Write writes the model. A graph in which a name is missing or there twice, and a tensor
// whose shape does not fit, are errors, found before anything is written.
func Write(w io.Writer, m Model) error {
	if err := m.Graph.check(); err != nil {
		return err
	}
	var b message
	b.integer(1, irVersion)
	b.text(2, m.Producer)
	b.text(3, m.ProducerVersion)
	b.message(7, m.Graph.encode())
	var opset message
	opset.text(1, "") // the standard operators
	opset.integer(2, opsetVersion)
	b.message(8, opset)
	for _, key := range slices.Sorted(maps.Keys(m.Metadata)) {
		var entry message
		entry.text(1, key)
		entry.text(2, m.Metadata[key])
		b.message(14, entry)
	}
	_, err := w.Write(b)
	return err
}

// check says whether the graph can be run.
func (g *Graph) check() error {
	known, size := map[string]bool{}, 0
	define := func(name string) error {
		if name == "" || known[name] {
			return fmt.Errorf("cannot write the network: the name %q is empty or taken", name)
		}
		known[name] = true
		return nil
	}
	for _, t := range g.Constants {
		n := 1
		for _, s := range t.Shape {
			if s < 0 || s > 0 && n > maxFile/s {
				return fmt.Errorf("cannot write tensor %q: its shape is %v", t.Name, t.Shape)
			}
			n *= s
		}
		if n != len(t.Data) {
			return fmt.Errorf("cannot write tensor %q: its shape %v does not fit %d values", t.Name, t.Shape, len(t.Data))
		}
		if size += 4 * n; size > maxFile-1<<20 {
			return fmt.Errorf("cannot write the network: an ONNX file holds 2 GiB, and it has more")
		}
		if err := define(t.Name); err != nil {
			return err
		}
	}
	for _, v := range g.Inputs {
		if err := define(v.Name); err != nil {
			return err
		}
	}
	for _, n := range g.Nodes {
		for _, name := range n.Inputs {
			if !known[name] {
				return fmt.Errorf("cannot write the network: %s takes %q, which is not there before", n.Op, name)
			}
		}
		for _, name := range n.Outputs {
			if err := define(name); err != nil {
				return err
			}
		}
	}
	for _, v := range g.Outputs {
		if !known[v.Name] {
			return fmt.Errorf("cannot write the network: its output %q is not there", v.Name)
		}
	}
	return nil
}

// encode makes a GraphProto.
func (g *Graph) encode() (b message) {
	for _, n := range g.Nodes {
		b.message(1, n.encode())
	}
	b.text(2, g.Name)
	for _, t := range g.Constants {
		b.message(5, t.encode())
	}
	for _, v := range g.Inputs {
		b.message(11, v.encode())
	}
	for _, v := range g.Outputs {
		b.message(12, v.encode())
	}
	return b
}

// encode makes a NodeProto.
func (n *Node) encode() (b message) {
	for _, name := range n.Inputs {
		b.text(1, name)
	}
	for _, name := range n.Outputs {
		b.text(2, name)
	}
	b.text(3, n.Outputs[0])
	b.text(4, n.Op)
	const integer = 2 // AttributeProto.INT
	for _, key := range slices.Sorted(maps.Keys(n.Attributes)) {
		var a message
		a.text(1, key)
		a.integer(3, n.Attributes[key])
		a.integer(20, integer)
		b.message(5, a)
	}
	return b
}

// encode makes a TensorProto.
func (t *Tensor) encode() (b message) {
	for _, n := range t.Shape {
		b.integer(1, int64(n))
	}
	b.integer(2, int64(Float))
	b.text(8, t.Name)
	b = protowire.AppendTag(b, 9, protowire.BytesType) // raw_data, little-endian
	b = protowire.AppendVarint(b, uint64(4*len(t.Data)))
	b = slices.Grow(b, 4*len(t.Data))
	for _, x := range t.Data {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// encode makes a ValueInfoProto.
func (v *Value) encode() (b message) {
	var shape message
	for _, n := range v.Shape {
		var d message
		switch n := n.(type) {
		case int:
			d.integer(1, int64(n))
		case string:
			d.text(2, n)
		}
		shape.message(1, d)
	}
	var tensor, t message
	tensor.integer(1, int64(v.Type))
	tensor.message(2, shape)
	t.message(1, tensor)
	b.text(1, v.Name)
	b.message(2, t)
	return b
}

// message is one of protocol buffers, in the making.
type message []byte

func (m *message) integer(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), uint64(v))
}

func (m *message) text(field protowire.Number, s string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, field, protowire.BytesType), s)
}

func (m *message) message(field protowire.Number, inner message) {
	*m = protowire.AppendBytes(protowire.AppendTag(*m, field, protowire.BytesType), inner)
}
