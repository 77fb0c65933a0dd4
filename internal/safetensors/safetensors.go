// Package safetensors reads and writes the safetensors format: eight bytes with
// the length of a JSON header, the header, and the tensors' bytes behind it.
// PyTorch, NumPy and others load it without running any code.
//
// Only 32-bit floats are supported, which is what networks here are made of. The
// reader is strict: the header must describe the data exactly and each tensor once,
// without gaps, overlaps or fields it does not know, and nothing is allocated for
// data that is not there. What Write writes, Read reads.
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
	DType   string  `json:"dtype"`
	Shape   []int   `json:"shape"`
	Offsets []int64 `json:"data_offsets"` // of its first byte, and of the one behind its last

	name string
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
		if end > maxData {
			return fmt.Errorf("cannot write tensor %q: it ends at byte %d, and files hold %d", t.Name, end, int64(maxData))
		}
		header[t.Name] = entry{DType: "F32", Shape: append([]int{}, t.Shape...), Offsets: []int64{at, end}}
		at = end
	}
	text, err := json.Marshal(header)
	if err != nil {
		return fmt.Errorf("cannot write the header: %w", err)
	}
	text = append(text, strings.Repeat(" ", (8-len(text)%8)%8)...) // data begins at a multiple of eight
	if len(text) > maxHeader {
		return fmt.Errorf("cannot write a header of %d bytes, at most %d are read; shorten the metadata", len(text), maxHeader)
	}
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
			return 0, fmt.Errorf("shape %v cannot be held: %w", shape, ErrFormat)
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
	f, entries, err := readHeader(text)
	if err != nil {
		return nil, err
	}
	var at int64
	for i, e := range entries {
		t := &f.Tensors[i]
		if e.Offsets[0] != at {
			return nil, fmt.Errorf("tensor %q begins at byte %d instead of %d: %w", t.Name, e.Offsets[0], at, ErrFormat)
		}
		at = e.Offsets[1]
		data, err := readGrowing(r, at-e.Offsets[0])
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		t.Data = make([]float32, len(data)/4)
		for k := range t.Data {
			t.Data[k] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*k:]))
		}
	}
	if _, err := io.ReadFull(r, length[:1]); err != io.EOF {
		return nil, fmt.Errorf("there is data behind its last tensor: %w", ErrFormat)
	}
	return f, nil
}

// readHeader returns the file without its data, and where each tensor's lies, in
// the order of the data. It goes through the header key by key: a map would let a
// second tensor of the same name replace the first.
func readHeader(text []byte) (*File, []entry, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if open, err := d.Token(); err != nil || open != json.Delim('{') || text[0] != '{' {
		return nil, nil, fmt.Errorf("its header does not begin with a JSON object: %w", ErrFormat)
	}
	f := &File{}
	var entries []entry
	seen := map[string]bool{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("its header is no JSON object (%v): %w", err, ErrFormat)
		}
		name, _ := key.(string) // the decoder has seen that it is one
		if seen[name] {
			return nil, nil, fmt.Errorf("its header describes %q twice: %w", name, ErrFormat)
		}
		seen[name] = true
		if name == metadataKey {
			if err := d.Decode(&f.Metadata); err != nil {
				return nil, nil, fmt.Errorf("its metadata are not strings (%v): %w", err, ErrFormat)
			}
			continue
		}
		var e entry
		if err := d.Decode(&e); err != nil {
			return nil, nil, fmt.Errorf("tensor %q is badly described (%v): %w", name, err, ErrFormat)
		}
		if err := e.check(); err != nil {
			return nil, nil, fmt.Errorf("tensor %q %w", name, err)
		}
		e.name = name
		entries = append(entries, e)
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, fmt.Errorf("its header has no end (%v): %w", err, ErrFormat)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, nil, fmt.Errorf("there is more than a JSON object in its header: %w", ErrFormat)
	}
	// An empty tensor lies where the next one begins, and comes before it.
	slices.SortStableFunc(entries, func(a, b entry) int { return slices.Compare(a.Offsets, b.Offsets) })
	for _, e := range entries {
		f.Tensors = append(f.Tensors, Tensor{Name: e.name, Shape: e.Shape})
	}
	return f, entries, nil
}

// check says whether e can describe a tensor, whatever the others are.
func (e entry) check() error {
	if e.DType != "F32" {
		return fmt.Errorf("has the type %q, only F32 is read: %w", e.DType, ErrFormat)
	}
	if e.Shape == nil || len(e.Offsets) != 2 {
		return fmt.Errorf("has the shape %v and the offsets %v, which must be a list and a pair: %w", e.Shape, e.Offsets, ErrFormat)
	}
	n, err := count(e.Shape)
	if err != nil {
		return fmt.Errorf("is too large: %w", err)
	}
	if e.Offsets[0] < 0 || e.Offsets[1] > maxData || e.Offsets[0] > e.Offsets[1] || e.Offsets[1]-e.Offsets[0] != 4*n {
		return fmt.Errorf("with shape %v cannot lie at bytes %v: %w", e.Shape, e.Offsets, ErrFormat)
	}
	return nil
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
