package dfa

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/safetensors"
)

// ErrFile is wrapped by errors about the content of model and checkpoint files.
var ErrFile = errors.New("damaged or foreign file")

// Metadata keys of every file.
const (
	formatKey   = "format"
	checksumKey = "sha256" // see checksum
)

// writeFile seals f and writes it, old or new, never half.
func writeFile(path, format string, f *safetensors.File) error {
	seal(f, format)
	return atomicfile.Write(path, func(w io.Writer) error { return safetensors.Write(w, *f) })
}

// seal gives f its format and checksum.
func seal(f *safetensors.File, format string) {
	f.Metadata[formatKey] = format
	f.Metadata[checksumKey] = checksum(f)
}

// readFile reads and verifies what writeFile wrote. Errors wrap ErrFile.
func readFile(r io.Reader, format string) (*safetensors.File, error) {
	f, err := safetensors.Read(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrFile)
	}
	if got := f.Metadata[formatKey]; got != format {
		return nil, fmt.Errorf("its format is %q, this program reads %q: %w", got, format, ErrFile)
	}
	if checksum(f) != f.Metadata[checksumKey] {
		return nil, fmt.Errorf("its checksum is wrong: %w", ErrFile)
	}
	return f, nil
}

// checksum covers all of a file but itself: a flipped bit in a weight would go
// unnoticed otherwise.
func checksum(f *safetensors.File) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(f.Metadata)) {
		if key != checksumKey {
			fmt.Fprintf(h, "%q: %q\n", key, f.Metadata[key])
		}
	}
	buf := make([]byte, 0, 1<<14)
	for _, t := range f.Tensors {
		fmt.Fprintf(h, "%q: %v\n", t.Name, t.Shape)
		for part := range slices.Chunk(t.Data, cap(buf)/4) {
			buf = buf[:0]
			for _, x := range part {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
			}
			h.Write(buf)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
