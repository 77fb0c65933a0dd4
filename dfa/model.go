package dfa

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/light-in-the-loop/opu/dfa/dataset"
	"github.com/light-in-the-loop/opu/internal/safetensors"
)

// Provenance says where a network comes from.
type Provenance struct {
	Config
	Dataset      string  `json:"dataset"`
	EpochOfB     string  `json:"epoch_of_b"`
	Calibration  string  `json:"calibration"`
	TestAccuracy float64 `json:"test_accuracy"`
	Version      string  `json:"version"` // of this module, in the program that trained
}

// Model is a trained network. It runs without any OPU.
type Model struct {
	Provenance Provenance
	Classes    int
	Features   int

	net   *network
	scale scaling
}

func (t *trainer) model() *Model {
	return &Model{
		Provenance: Provenance{
			Config: t.config, Dataset: t.data.Name, EpochOfB: t.result.EpochOfB,
			Calibration: t.options.Calibration, TestAccuracy: t.result.TestAccuracy, Version: version(),
		},
		Classes: t.data.Classes, Features: t.data.Train.Features,
		net: t.net, scale: t.scale,
	}
}

// version is that of this module, as the program's build information has it:
// "(devel)" for a build that knows of no revision.
func version() string {
	const module = "github.com/light-in-the-loop/opu"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module && m.Version != "" {
				return m.Version
			}
		}
	}
	return "(devel)"
}

// Metadata keys of a model file.
const (
	provenanceKey = "provenance"
	meanKey       = "input_mean"
	stdKey        = "input_std"

	modelFormat = "opu-model 1"
)

// Save writes the model as safetensors, old or new, never half: tensors
// "layers.0.weight" [out, in] and "layers.0.bias" as PyTorch has them, and in the
// metadata the provenance, the scaling of the inputs, (x - input_mean)/input_std, and
// a checksum.
func (m *Model) Save(path string) error {
	f, err := m.encode()
	if err != nil {
		return fmt.Errorf("cannot save the model: %w", err)
	}
	return writeFile(path, modelFormat, f)
}

func (m *Model) encode() (*safetensors.File, error) {
	provenance, err := json.Marshal(m.Provenance)
	if err != nil {
		return nil, err
	}
	f := &safetensors.File{Metadata: map[string]string{
		provenanceKey: string(provenance),
		meanKey:       strconv.FormatFloat(m.scale.Mean, 'g', -1, 64), stdKey: strconv.FormatFloat(m.scale.Std, 'g', -1, 64),
	}}
	for i, l := range m.net.layers {
		f.Tensors = append(f.Tensors,
			safetensors.Tensor{Name: fmt.Sprintf("layers.%d.weight", i), Shape: []int{l.out, l.in}, Data: transpose(l.weight, l.in, l.out)},
			safetensors.Tensor{Name: fmt.Sprintf("layers.%d.bias", i), Shape: []int{l.out}, Data: l.bias})
	}
	return f, nil
}

func transpose(a []float32, rows, cols int) []float32 {
	b := make([]float32, len(a))
	for i := range rows {
		for j := range cols {
			b[j*rows+i] = a[i*cols+j]
		}
	}
	return b
}

// LoadModel reads a model that Save wrote. Errors about its content wrap ErrFile.
func LoadModel(path string) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot load a model: %w", err)
	}
	defer f.Close()
	m, err := readModel(f)
	if err != nil {
		return nil, fmt.Errorf("cannot load the model %s: %w", path, err)
	}
	return m, nil
}

func readModel(r io.Reader) (*Model, error) {
	f, err := readFile(r, modelFormat)
	if err != nil {
		return nil, err
	}
	return decodeModel(f)
}

func decodeModel(f *safetensors.File) (*Model, error) {
	m := &Model{net: &network{}}
	if err := json.Unmarshal([]byte(f.Metadata[provenanceKey]), &m.Provenance); err != nil {
		return nil, fmt.Errorf("its provenance cannot be read (%v): %w", err, ErrFile)
	}
	mean, err1 := strconv.ParseFloat(f.Metadata[meanKey], 64)
	std, err2 := strconv.ParseFloat(f.Metadata[stdKey], 64)
	if err := errors.Join(err1, err2); err != nil || math.IsNaN(mean) || math.IsInf(mean, 0) || !(std > 0) || math.IsInf(std, 0) {
		return nil, fmt.Errorf("its input scaling is (x - %q)/%q: %w", f.Metadata[meanKey], f.Metadata[stdKey], ErrFile)
	}
	m.scale = scaling{mean, std}
	act, err := findActivation(m.Provenance.Activation)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrFile)
	}
	m.net.act = act
	if len(f.Tensors) == 0 || len(f.Tensors)%2 != 0 {
		return nil, fmt.Errorf("it has %d tensors instead of two for each layer: %w", len(f.Tensors), ErrFile)
	}
	shapes := map[string][]int{}
	for _, t := range f.Tensors {
		shapes[t.Name] = t.Shape
	}
	for i := range len(f.Tensors) / 2 {
		name := fmt.Sprintf("layers.%d.weight", i)
		shape := shapes[name]
		if len(shape) != 2 || shape[0] < 1 || shape[1] < 1 || i > 0 && shape[1] != m.net.layers[i-1].out {
			return nil, fmt.Errorf("tensor %q has the shape %v, which does not fit the layer below: %w", name, shape, ErrFile)
		}
		weight, err := f.Tensor(name, shape...)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrFile)
		}
		bias, err := f.Tensor(fmt.Sprintf("layers.%d.bias", i), shape[0])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", err, ErrFile)
		}
		m.net.layers = append(m.net.layers, layer{in: shape[1], out: shape[0], weight: transpose(weight, shape[0], shape[1]), bias: bias})
	}
	m.Features, m.Classes = m.net.layers[0].in, m.net.layers[len(m.net.layers)-1].out
	return m, nil
}

// Accuracy is the share (0 to 1) of samples whose class the model finds. It is safe
// for concurrent use, as Predict is.
func (m *Model) Accuracy(s *dataset.Split) (float64, error) {
	if err := m.check(s); err != nil {
		return 0, err
	}
	if len(s.Y)*s.Features != len(s.X) {
		return 0, fmt.Errorf("cannot judge the model by %d labels: there are %d samples: %w", len(s.Y), len(s.X)/s.Features, ErrInput)
	}
	return m.net.accuracy(s, m.scale), nil
}

// Predict finds the class of each sample; labels (s.Y) are not needed. Samples of
// another number of features than the model's are ErrInput.
func (m *Model) Predict(s *dataset.Split) ([]int, error) {
	if err := m.check(s); err != nil {
		return nil, err
	}
	return m.net.classify(s, m.scale), nil
}

func (m *Model) check(s *dataset.Split) error {
	if s.Features != m.Features {
		return fmt.Errorf("cannot classify samples of %d features: the model takes %d: %w", s.Features, m.Features, ErrInput)
	}
	if len(s.X)%s.Features != 0 {
		return fmt.Errorf("cannot classify %d values: they are no whole number of samples of %d features: %w", len(s.X), s.Features, ErrInput)
	}
	return nil
}

// evaluationBatch is how many samples are classified at a time.
const evaluationBatch = 500

func (n *network) classify(s *dataset.Split, scale scaling) []int {
	samples := len(s.X) / s.Features
	found := make([]int, samples)
	x, o := make([]float32, evaluationBatch*s.Features), n.newOutputs(evaluationBatch)
	classes := n.layers[len(n.layers)-1].out
	for first := 0; first < samples; first += evaluationBatch {
		rows := min(evaluationBatch, samples-first)
		for r := range rows {
			scale.apply(x[r*s.Features:(r+1)*s.Features], s, first+r)
		}
		n.forward(o, x, rows)
		for r := range rows {
			found[first+r] = argmax(o[len(o)-1][r*classes : (r+1)*classes])
		}
	}
	return found
}

func (n *network) accuracy(s *dataset.Split, scale scaling) float64 {
	right := 0
	for i, class := range n.classify(s, scale) {
		if class == s.Y[i] {
			right++
		}
	}
	return float64(right) / float64(max(1, len(s.Y)))
}
