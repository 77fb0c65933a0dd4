// Package safetensors reads and writes the safetensors format: eight bytes with
// the length of a JSON header, the header, and the tensors' bytes behind it.
// PyTorch, NumPy and others load it without running any code.
//
// Only 32-bit floats are supported, which is what networks here are made of. The
// reader is strict: the header must describe the data exactly, without gaps or
// overlaps, and nothing is allocated for data that is not there.
package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
)

// ErrFormat is wrapped by every error about a file's content.
var ErrFormat = errors.New("not a usable safetensors file")

// Limits on what Read takes.
const (
	maxHeader = 16 << 20
	maxData   = 4 << 30
)

// Tensor is a named array, row-major.
type Tensor struct {
	Name  string
	Shape []int
	Data  []float32
}

// File is what a safetensors file holds.
type File struct {
	Metadata map[string]string
	Tensors  []Tensor // in the order of their data
}

// Tensor finds a tensor by name and checks its shape.
func (f *File) Tensor(name string, shape ...int) ([]float32, error) {
	for _, t := range f.Tensors {
		if t.Name != name {
			continue
		}
		if !slices.Equal(t.Shape, shape) {
			return nil, fmt.Errorf("tensor %q has the shape %v, want %v: %w", name, t.Shape, shape, ErrFormat)
		}
		return t.Data, nil
	}
	return nil, fmt.Errorf("tensor %q is missing: %w", name, ErrFormat)
}

// entry is a tensor as the header describes it.
type entry struct {
	DType   string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

const metadataKey = "__metadata__"

// Write writes the tensors in their order.
func Write(w io.Writer, f File) error {
	header := map[string]any{}
	if len(f.Metadata) > 0 {
		header[metadataKey] = f.Metadata
	}
	var at int64
	for _, t := range f.Tensors {
		if n, err := count(t.Shape); err != nil || n != int64(len(t.Data)) {
			return fmt.Errorf("cannot write tensor %q: its shape %v does not fit %d values", t.Name, t.Shape, len(t.Data))
		}
		if _, twice := header[t.Name]; twice || t.Name == metadataKey {
			return fmt.Errorf("cannot write tensor %q: the name is taken", t.Name)
		}
		end := at + 4*int64(len(t.Data))
		header[t.Name] = entry{"F32", append([]int{}, t.Shape...), [2]int64{at, end}}
		at = end
	}
	text, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("cannot write the header: %w", err)
	}
	text = append(text, strings.Repeat(" ", (8-len(text)%8)%8)...) // data begins at a multiple of eight
	if _, err := w.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text...)); err != nil {
		return err
	}
	buf := make([]byte, 0, 1<<16)
	for _, t := range f.Tensors {
		for part := range slices.Chunk(t.Data, cap(buf)/4) {
			buf = buf[:0]
			for _, x := range part {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
	}
	return nil
}

// count is the number of values of a shape.
func count(shape []int) (int64, error) {
	n := int64(1)
	for _, s := range shape {
		if s < 0 || s > 0 && n > maxData/int64(s) {
			return 0, fmt.Errorf("shape %v is too large: %w", shape, ErrFormat)
		}
		n *= int64(s)
	}
	return n, nil
}

// Read reads a whole file. Errors about its content wrap ErrFormat.
func Read(r io.Reader) (*File, error) {
	var length [8]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, fmt.Errorf("it is too short for a header (%v): %w", err, ErrFormat)
	}
	size := binary.LittleEndian.Uint64(length[:])
	if size > maxHeader {
		return nil, fmt.Errorf("it claims a header of %d bytes, at most %d are read: %w", size, maxHeader, ErrFormat)
	}
	text, err := readGrowing(r, int64(size))
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("its header is no JSON object (%v): %w", err, ErrFormat)
	}
	f := &File{}
	var entries []entry
	for name, message := range raw {
		if name == metadataKey {
			if err := json.Unmarshal(message, &f.Metadata); err != nil {
				return nil, fmt.Errorf("its metadata are not strings (%v): %w", err, ErrFormat)
			}
			continue
		}
		var e entry
		if err := json.Unmarshal(message, &e); err != nil {
			return nil, fmt.Errorf("tensor %q is badly described (%v): %w", name, err, ErrFormat)
		}
		n, err := count(e.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if e.DType != "F32" {
			return nil, fmt.Errorf("tensor %q has the type %q, only F32 is read: %w", name, e.DType, ErrFormat)
		}
		if e.Offsets[0] < 0 || e.Offsets[1]-e.Offsets[0] != 4*n || e.Offsets[1] > maxData {
			return nil, fmt.Errorf("tensor %q with shape %v cannot lie at bytes %v: %w", name, e.Shape, e.Offsets, ErrFormat)
		}
		entries = append(entries, e)
		f.Tensors = append(f.Tensors, Tensor{Name: name, Shape: e.Shape})
	}
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		if c := entries[a].Offsets[0] - entries[b].Offsets[0]; c != 0 {
			return int(c)
		}
		return strings.Compare(f.Tensors[a].Name, f.Tensors[b].Name)
	})
	sorted := make([]Tensor, len(order))
	var at int64
	for i, j := range order {
		t := f.Tensors[j]
		if entries[j].Offsets[0] != at {
			return nil, fmt.Errorf("tensor %q begins at byte %d instead of %d: %w", t.Name, entries[j].Offsets[0], at, ErrFormat)
		}
		data, err := readGrowing(r, entries[j].Offsets[1]-at)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		t.Data = make([]float32, len(data)/4)
		for k := range t.Data {
			t.Data[k] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*k:]))
		}
		sorted[i] = t
		at = entries[j].Offsets[1]
	}
	f.Tensors = sorted
	if n, _ := r.Read(length[:1]); n != 0 {
		return nil, fmt.Errorf("there is data behind its last tensor: %w", ErrFormat)
	}
	return f, nil
}

// readGrowing reads n bytes into memory that grows with what is really there.
func readGrowing(r io.Reader, n int64) ([]byte, error) {
	var buf bytes.Buffer
	got, err := io.CopyN(&buf, r, n)
	if err != nil {
		return nil, fmt.Errorf("it ends after %d of %d bytes: %w", got, n, ErrFormat)
	}
	return buf.Bytes(), nil
}
