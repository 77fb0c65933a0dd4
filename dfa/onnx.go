package dfa

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/onnx"
)

// onnxOps are ONNX's names of the activations; "linear" needs none.
var onnxOps = map[string]string{"tanh": "Tanh", "relu": "Relu", "sigmoid": "Sigmoid"}

// ExportONNX writes the model as an ONNX file, old or new, never half. Its input "x" is
// batch x Features floats, raw as the data set has them: their scaling is part of the
// graph. Its outputs are "class" (int64, batch), as Predict finds it, "probabilities" and
// "logits" (floats, batch x Classes). The provenance is in the metadata.
func (m *Model) ExportONNX(path string) error {
	return atomicfile.Write(path, m.writeONNX)
}

func (m *Model) writeONNX(w io.Writer) error {
	provenance, err := json.Marshal(m.Provenance)
	if err != nil {
		return err
	}
	g := onnx.Graph{Name: "network"}
	g.Inputs = []onnx.Value{{Name: "x", Type: onnx.Float, Shape: []any{"batch", m.Features}}}
	last := "x"
	add := func(op, output string, attributes map[string]int64, others ...string) {
		g.Nodes = append(g.Nodes, onnx.Node{Op: op, Inputs: append([]string{last}, others...), Outputs: []string{output}, Attributes: attributes})
		last = output
	}
	constant := func(name string, data []float32, shape ...int) string {
		g.Constants = append(g.Constants, onnx.Tensor{Name: name, Shape: shape, Data: data})
		return name
	}
	// The same two roundings as scaling.apply.
	add("Sub", "centred", nil, constant("input_mean", []float32{float32(m.scale.Mean)}))
	add("Mul", "scaled", nil, constant("input_factor", []float32{float32(1 / m.scale.Std)}))
	for i, l := range m.net.layers {
		name := fmt.Sprintf("layers.%d", i)
		weight := constant(name+".weight", transpose(l.weight, l.in, l.out), l.out, l.in)
		bias := constant(name+".bias", l.bias, l.out)
		output := name
		if i == len(m.net.layers)-1 {
			output = "logits"
		}
		add("Gemm", output, map[string]int64{"transB": 1}, weight, bias)
		if op := onnxOps[m.net.act.name]; op != "" && output != "logits" {
			add(op, name+".active", nil)
		}
	}
	add("Softmax", "probabilities", map[string]int64{"axis": 1})
	last = "logits"
	add("ArgMax", "class", map[string]int64{"axis": 1, "keepdims": 0})
	g.Outputs = []onnx.Value{
		{Name: "class", Type: onnx.Int64, Shape: []any{"batch"}},
		{Name: "probabilities", Type: onnx.Float, Shape: []any{"batch", m.Classes}},
		{Name: "logits", Type: onnx.Float, Shape: []any{"batch", m.Classes}},
	}
	return onnx.Write(w, onnx.Model{
		Producer: "opu", ProducerVersion: m.Provenance.Version, Metadata: map[string]string{provenanceKey: string(provenance)}, Graph: g,
	})
}
