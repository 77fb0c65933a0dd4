package dfa

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/light-in-the-loop/opu/dfa/dataset"
	"github.com/light-in-the-loop/opu/internal/safetensors"
)

// savedModel trains a small optical model and saves it.
func savedModel(t testing.TB, layers ...int) (m *Model, d *dataset.Data, path string) {
	t.Helper()
	d = blobs(1, 128, 700, 2) // more than one evaluation batch
	c := small(Optical)
	c.Layers = layers
	p, err := NewDigital(c.outputsNeeded(), d.Classes, 5)
	if err != nil {
		t.Fatal(err)
	}
	_, m = train(t, c, d, p, Options{EpochOfB: "epoch five", Calibration: "bench.opucal"})
	path = filepath.Join(t.TempDir(), "network.safetensors")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	return m, d, path
}

func TestModelRoundTrip(t *testing.T) {
	m, d, path := savedModel(t, 11, 7)
	got, err := LoadModel(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m.Provenance, got.Provenance); diff != "" {
		t.Errorf("provenance (-saved +loaded):\n%s", diff)
	}
	if p := got.Provenance; p.EpochOfB != "epoch five" || p.Calibration != "bench.opucal" || p.Dataset != "blobs" || p.TestAccuracy == 0 || p.Seed != 1 || p.Version == "" {
		t.Errorf("provenance: %+v", p)
	}
	if got.Features != 20 || got.Classes != 4 || got.scale != m.scale || !slices.Equal(parameters(m.net), parameters(got.net)) {
		t.Errorf("%d features, %d classes, scaling %v: not what was saved", got.Features, got.Classes, got.scale)
	}
	want, err1 := m.Predict(&d.Test)
	classes, err2 := got.Predict(&d.Test)
	if err := errors.Join(err1, err2); err != nil || !slices.Equal(want, classes) {
		t.Errorf("the loaded model predicts otherwise (%v)", err)
	}
	// as the oracle does
	s := &stepper{net: m.net, train: &d.Test, scale: m.scale}
	o := newOracle(s)
	x, labels := s.inputsOf(indices(len(d.Test.Y)))
	right := 0
	for r := range x {
		_, outs := o.forward(x[r])
		p := outs[len(outs)-1]
		if best := slices.Index(p, slices.Max(p)); best != classes[r] {
			t.Fatalf("sample %d: class %d, want %d (%v)", r, classes[r], best, p)
		}
		if classes[r] == labels[r] {
			right++
		}
	}
	if a, err := got.Accuracy(&d.Test); err != nil || a != float64(right)/700 {
		t.Errorf("accuracy %g (%v), want %g", a, err, float64(right)/700)
	}
}

func indices(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// The layout is PyTorch's: weight [out, in].
func TestModelLayout(t *testing.T) {
	m, _, path := savedModel(t, 11, 7)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range m.net.layers {
		weight, err := f.Tensor(fmt.Sprintf("layers.%d.weight", i), l.out, l.in)
		if err != nil {
			t.Fatal(err)
		}
		for o := range l.out {
			for j := range l.in {
				if weight[o*l.in+j] != l.weight[j*l.out+o] {
					t.Fatalf("layer %d: the weight from input %d to output %d is not at [%d, %d]", i, j, o, o, j)
				}
			}
		}
		bias, err := f.Tensor(fmt.Sprintf("layers.%d.bias", i), l.out)
		if err != nil || !slices.Equal(bias, l.bias) {
			t.Errorf("layer %d: the bias is another one (%v)", i, err)
		}
	}
}

func TestModelWrongInput(t *testing.T) {
	m, d, _ := savedModel(t, 5)
	for name, s := range map[string]*dataset.Split{
		"other features": {X: make([]float32, 38), Y: []int{0, 0}, Features: 19},
		"no features":    {},
		"half a sample":  {X: make([]float32, 30), Y: []int{0}, Features: 20},
	} {
		if _, err := m.Predict(s); !errors.Is(err, ErrInput) {
			t.Errorf("predict %s: %v", name, err)
		}
		if _, err := m.Accuracy(s); !errors.Is(err, ErrInput) {
			t.Errorf("accuracy, %s: %v", name, err)
		}
	}
	unlabelled := &dataset.Split{X: d.Test.X, Features: 20}
	if classes, err := m.Predict(unlabelled); err != nil || len(classes) != 700 {
		t.Errorf("without labels: %d classes, %v", len(classes), err)
	}
	if _, err := m.Accuracy(unlabelled); !errors.Is(err, ErrInput) {
		t.Errorf("accuracy without labels: %v", err)
	}
}

func TestModelFileErrors(t *testing.T) {
	if _, err := LoadModel(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	m, _, path := savedModel(t, 5, 3)
	if err := m.Save(filepath.Join(path, "below a file")); err == nil {
		t.Error("saved below a file")
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(whole); n += 7 {
		if _, err := readModel(bytes.NewReader(whole[:n])); !errors.Is(err, ErrFile) {
			t.Fatalf("cut at %d of %d bytes: %v", n, len(whole), err)
		}
		damaged := bytes.Clone(whole)
		damaged[n] ^= 0x81
		if _, err := readModel(bytes.NewReader(damaged)); !errors.Is(err, ErrFile) {
			t.Fatalf("byte %d of %d changed: %v", n, len(whole), err)
		}
	}
	// right checksums, wrong content
	for name, change := range map[string]func(f *safetensors.File){
		"no provenance":     func(f *safetensors.File) { delete(f.Metadata, provenanceKey) },
		"no mean":           func(f *safetensors.File) { delete(f.Metadata, meanKey) },
		"mean NaN":          func(f *safetensors.File) { f.Metadata[meanKey] = "NaN" },
		"deviation 0":       func(f *safetensors.File) { f.Metadata[stdKey] = "0" },
		"deviation endless": func(f *safetensors.File) { f.Metadata[stdKey] = "Inf" },
		"activation": func(f *safetensors.File) {
			f.Metadata[provenanceKey] = `{"activation":"gelu"}`
		},
		"no tensors":  func(f *safetensors.File) { f.Tensors = nil },
		"odd tensors": func(f *safetensors.File) { f.Tensors = f.Tensors[:3] },
		"name":        func(f *safetensors.File) { f.Tensors[2].Name = "layers.7.weight" },
		"bias":        func(f *safetensors.File) { f.Tensors[1].Name = "layers.0.offset" },
		"layers do not fit": func(f *safetensors.File) {
			f.Tensors[2].Shape = []int{5, 3}
			f.Tensors[3].Shape, f.Tensors[3].Data = []int{5}, make([]float32, 5)
		},
		"flat": func(f *safetensors.File) { f.Tensors[0].Shape = []int{100} },
		"empty": func(f *safetensors.File) {
			f.Tensors[0].Shape, f.Tensors[0].Data = []int{0, 20}, nil
		},
	} {
		f, err := safetensors.Read(bytes.NewReader(whole))
		if err != nil {
			t.Fatal(err)
		}
		if f.Tensors[0].Name != "layers.0.weight" || f.Tensors[3].Name != "layers.1.bias" {
			t.Fatal("the tensors are in another order")
		}
		change(f)
		f.Metadata[checksumKey] = checksum(f)
		var buf bytes.Buffer
		if err := safetensors.Write(&buf, *f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := readModel(&buf); !errors.Is(err, ErrFile) {
			t.Errorf("%s: %v, want ErrFile", name, err)
		}
	}
}

func FuzzReadModel(f *testing.F) {
	c := small(Ternary)
	c.Layers = []int{2}
	_, m := train(f, c, blobs(1, 32, 4, 3), nil, Options{})
	file, err := m.encode()
	if err != nil {
		f.Fatal(err)
	}
	whole := sealedBytes(f, file, modelFormat)
	f.Add(whole)
	f.Add(whole[:len(whole)-100])
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := readModel(bytes.NewReader(data)); err != nil && !errors.Is(err, ErrFile) {
			t.Fatal(err)
		}
		file := resealed(data, modelFormat)
		if file == nil {
			return
		}
		m, err := decodeModel(file)
		if err != nil {
			if !errors.Is(err, ErrFile) {
				t.Fatal(err)
			}
			return
		}
		if _, err := m.Predict(&dataset.Split{X: make([]float32, m.Features), Features: m.Features}); err != nil {
			t.Fatalf("a model that was read cannot predict: %v", err)
		}
	})
}
