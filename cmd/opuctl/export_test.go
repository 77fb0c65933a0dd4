package main

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/dfa"
	"github.com/light-in-the-loop/opu/dfa/dataset"
	"github.com/light-in-the-loop/opu/internal/npy"
)

// runtimeFolder is where ONNX Runtime lies, or the test is skipped: a copy of
// testdata/onnxruntime in which `npm ci` has run.
func runtimeFolder(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("OPU_ONNXRUNTIME")
	if folder == "" {
		t.Skip("NOT TESTED: whether ONNX Runtime finds the same as opuctl; run `npm ci` in a copy of cmd/opuctl/testdata/onnxruntime and name it with OPU_ONNXRUNTIME")
	}
	return folder
}

// An unmodified ONNX Runtime finds the same classes as opuctl infer, for every sample and
// activation.
func TestExportedNetworkRuns(t *testing.T) {
	folder := runtimeFolder(t)
	dir := t.TempDir()
	digits := dataset.Digits(3, 3000, 1500)
	data, samples := saveDigits(t, dir, digits)
	for _, activation := range []string{"tanh", "relu", "sigmoid", "linear"} {
		t.Run(activation, func(t *testing.T) {
			out := filepath.Join(dir, activation)
			onnx, predictions := filepath.Join(out, "network.onnx"), filepath.Join(out, "classes.npy")
			network := filepath.Join(out, "network.safetensors")
			must(t, new(any), "train", "--data", data, "--feedback", "bp", "--epochs", "4", "--batch", "32", "--rate", "0.002", "--layers", "64,32", "--activation", activation, "--out", out)
			must(t, new(any), "export", "--in", network, "--onnx", onnx)
			var inferred struct {
				Accuracy float64 `json:"test_accuracy"`
			}
			must(t, &inferred, "infer", "--model", network, "--data", data, "--predictions", predictions)
			want := readClasses(t, predictions)

			text, err := exec.CommandContext(t.Context(), "node", filepath.Join(folder, "run.mjs"), onnx, samples, strconv.Itoa(digits.Test.Features)).Output()
			if err != nil {
				t.Fatalf("node: %v\n%s", err, stderrOf(err))
			}
			var got struct {
				Inputs, Outputs       []string
				Class                 []int64
				Logits, Probabilities []float64
			}
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if s := strings.Join(append(got.Inputs, got.Outputs...), " "); s != "x class probabilities logits" {
				t.Errorf("the network's inputs and outputs are %s", s)
			}
			if len(got.Class) != len(want) || len(got.Logits) != 10*len(want) || len(got.Probabilities) != 10*len(want) {
				t.Fatalf("%d classes and %d logits of %d samples", len(got.Class), len(got.Logits), len(want))
			}
			right, equal := 0, 0
			for i, class := range got.Class {
				if class != want[i] {
					t.Errorf("sample %d: ONNX Runtime finds %d, opuctl %d; logits %.6g", i, class, want[i], got.Logits[10*i:10*i+10])
				} else {
					equal++
				}
				if int(class) == digits.Test.Y[i] {
					right++
				}
				sum := 0.0
				for _, p := range got.Probabilities[10*i : 10*i+10] {
					sum += p
				}
				if math.Abs(sum-1) > 1e-5 {
					t.Errorf("sample %d: its probabilities sum to %g", i, sum)
				}
			}
			accuracy := float64(right) / float64(len(want))
			t.Logf("%s: %d of %d classes equal, accuracy %.4f in ONNX Runtime, %.4f in opuctl", activation, equal, len(want), accuracy, inferred.Accuracy)
			if math.Abs(accuracy-inferred.Accuracy) > 1e-9 || accuracy < 0.8 {
				t.Errorf("accuracy %g, and %g in opuctl", accuracy, inferred.Accuracy)
			}
		})
	}
}

// saveDigits writes digits as a data set's folder, and the test samples as floats.
func saveDigits(t *testing.T, dir string, d dataset.Data) (folder, samples string) {
	t.Helper()
	folder = filepath.Join(dir, "data")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	for suffix, s := range map[string]dataset.Split{"": d.Train, "_test": d.Test} {
		y := make([]int64, len(s.Y))
		for i, class := range s.Y {
			y[i] = int64(class)
		}
		writeArray(t, filepath.Join(folder, "x"+suffix+".npy"), s.X, len(y), s.Features)
		writeArray(t, filepath.Join(folder, "y"+suffix+".npy"), y, len(y))
	}
	var raw []byte
	for _, x := range d.Test.X {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	samples = filepath.Join(dir, "samples.f32")
	if err := os.WriteFile(samples, raw, 0o666); err != nil {
		t.Fatal(err)
	}
	return folder, samples
}

func readClasses(t *testing.T, path string) []int64 {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := npy.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	classes, err := npy.ReadAll[int64](r, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return classes
}

func stderrOf(err error) []byte {
	if e, ok := err.(*exec.ExitError); ok {
		return e.Stderr
	}
	return nil
}

// What is exported without a runtime at hand, and what is refused.
func TestExport(t *testing.T) {
	dir := t.TempDir()
	d := dataset.Digits(1, 300, 60)
	c := dfa.Default()
	c.Epochs, c.Layers, c.Batch = 1, []int{8}, 50
	_, model, err := dfa.Train(t.Context(), c, &d, nil, dfa.Options{})
	if err != nil {
		t.Fatal(err)
	}
	network, onnx := filepath.Join(dir, "network.safetensors"), filepath.Join(dir, "a", "network.onnx")
	if err := model.Save(network); err != nil {
		t.Fatal(err)
	}
	var result struct {
		Out               string
		Features, Classes int
		Provenance        dfa.Provenance
	}
	must(t, &result, "export", "--in", network, "--onnx", onnx)
	if result.Out != onnx || result.Features != 784 || result.Classes != 10 || result.Provenance.Dataset != d.Name {
		t.Errorf("it says %+v", result)
	}
	written, err := os.ReadFile(onnx)
	if err != nil {
		t.Fatal(err)
	}
	if weights := 4 * (784*8 + 8 + 8*10 + 10); len(written) < weights || len(written) > weights+3000 {
		t.Errorf("the file has %d bytes, its weights alone %d", len(written), weights)
	}
	must(t, new(any), "infer", "--model", network, "--predictions", filepath.Join(dir, "classes.npy"))
	if n := len(readClasses(t, filepath.Join(dir, "classes.npy"))); n != drawnTest {
		t.Errorf("%d predictions of %d samples", n, drawnTest)
	}
	for _, args := range [][]string{
		{"export"}, {"export", "--in", network}, {"export", "--onnx", onnx}, {"export", "--in", onnx, "--onnx", onnx},
		{"export", "--in", filepath.Join(dir, "missing"), "--onnx", onnx}, {"export", "--in", network, "--onnx", dir},
		{"export", "--in", network, "--onnx", filepath.Join(network, "x")}, {"infer", "--model", network, "--predictions", dir},
	} {
		if code, stdout, stderr := opuctl(t, args...); code != exitInput || stdout != "" || stderr == "" {
			t.Errorf("opuctl %v: exit code %d, %q, %q", args, code, stdout, stderr)
		}
	}
}
