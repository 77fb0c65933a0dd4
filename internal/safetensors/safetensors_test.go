package safetensors

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func example() File {
	return File{
		Metadata: map[string]string{"seed": "1"},
		Tensors: []Tensor{
			{"layers.0.weight", []int{2, 3}, []float32{1, 2, 3, -4, float32(math.Inf(1)), 6}},
			{"layers.0.bias", []int{2}, []float32{0.5, -0.5}},
			{"z empty", []int{0, 4}, []float32{}}, // where the next one begins
			{"scalar", []int{}, []float32{7}},
			{"a empty at the end", []int{0}, []float32{}},
		},
	}
}

func encode(t testing.TB, f File) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, f); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestRoundTrip(t *testing.T) {
	want := example()
	got, err := Read(bytes.NewReader(encode(t, want)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if data, err := got.Tensor("scalar"); err != nil || len(data) != 1 || data[0] != 7 {
		t.Errorf("the scalar is %v, %v", data, err)
	}
	if _, err := got.Tensor("layers.0.weight", 3, 2); !errors.Is(err, ErrFormat) {
		t.Errorf("a wrong shape: %v", err)
	}
	if _, err := got.Tensor("none", 1); !errors.Is(err, ErrFormat) {
		t.Errorf("a missing tensor: %v", err)
	}
}

// The bytes are those of the format's definition, written here by hand.
func TestBytes(t *testing.T) {
	head := `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}  `
	want := append([]byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}, head...)
	want = append(want, 0, 0, 0x80, 0x3f)
	if got := encode(t, File{Tensors: []Tensor{{"a", []int{1}, []float32{1}}}}); !bytes.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// A file cut at any length, or longer than it says, is refused.
func TestTruncated(t *testing.T) {
	whole := encode(t, example())
	for n := range whole {
		if _, err := Read(bytes.NewReader(whole[:n])); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := Read(bytes.NewReader(append(whole, 0))); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte too many: %v", err)
	}
}

func TestRefused(t *testing.T) {
	for name, head := range map[string]string{
		"huge shape":   `{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}`,
		"huge data":    `{"a":{"dtype":"F32","shape":[1073741823],"data_offsets":[0,4294967292]}}`,
		"gap":          `{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}`,
		"overlap":      `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
		"wrong length": `{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`,
		"other type":   `{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}`,
		"negative":     `{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}`,
		"backwards":    `{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}`,
		"far offsets":  `{"a":{"dtype":"F32","shape":[1],"data_offsets":[-9223372036854775808,9223372036854775807]}}`,
		"no shape":     `{"a":{"dtype":"F32","data_offsets":[0,4]}}`,
		"shape null":   `{"a":{"dtype":"F32","shape":null,"data_offsets":[0,4]}}`,
		"one offset":   `{"a":{"dtype":"F32","shape":[0],"data_offsets":[0]}}`,
		"many offsets": `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`,
		"odd field":    `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"stride":[1]}}`,
		"no object":    `[1,2]`,
		"nothing":      ``,
		"no end":       `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}`,
		"two objects":  `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}{}`,
		"blank first":  ` {"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
		"metadata":     `{"__metadata__":{"a":1}}`,
		"the same name twice": `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},
			"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
		"metadata twice": `{"__metadata__":{},"__metadata__":{},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`,
	} {
		file := append([]byte{byte(len(head)), 0, 0, 0, 0, 0, 0, 0}, head...)
		if _, err := Read(bytes.NewReader(append(file, 0, 0, 0, 0))); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What Read would refuse is not written.
func TestWriteRefused(t *testing.T) {
	one := []float32{1}
	for name, f := range map[string]File{
		"shape":         {Tensors: []Tensor{{"a", []int{2}, one}}},
		"negative":      {Tensors: []Tensor{{"a", []int{-1, -1}, one}}},
		"the same name": {Tensors: []Tensor{{"a", []int{1}, one}, {"a", []int{1}, one}}},
		"metadata":      {Tensors: []Tensor{{"__metadata__", []int{1}, one}}},
		"long header":   {Metadata: map[string]string{"a": strings.Repeat("x", maxHeader)}},
	} {
		var buf bytes.Buffer
		if err := Write(&buf, f); err == nil || buf.Len() != 0 {
			t.Errorf("%s: %v, and %d bytes were written", name, err, buf.Len())
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(encode(f, example()))
	f.Add([]byte{2, 0, 0, 0, 0, 0, 0, 0, '{', '}'})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Read(bytes.NewReader(data))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		whole := encode(t, *got)
		again, err := Read(bytes.NewReader(whole))
		if err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
		if !bytes.Equal(encode(t, *again), whole) {
			t.Fatal("what was written and read again is something else")
		}
	})
}
