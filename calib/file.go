package calib

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/light-in-the-loop/opu/internal/atomicfile"
)

// ErrFile is wrapped by every error about a calibration's content.
var ErrFile = errors.New("damaged or foreign calibration")

// A calibration file is one line of text and a JSON object:
//
//	opu-calibration 2 <sha256 of the object, in hex> <its length in bytes>
//	{"created": ...
//
// The number after the name is the version of the format.
const (
	magic   = "opu-calibration"
	version = 2

	// maxFile bounds what Load reads: the probe's field of a million outputs in
	// base64, ten times over.
	maxFile = 128 << 20
)

// Save writes the calibration to a file, old or new, never half.
func (c *Calibration) Save(path string) error {
	if err := c.Check(); err != nil {
		return err
	}
	return atomicfile.Write(path, c.Write)
}

// Write writes the calibration in the format of Save.
func (c *Calibration) Write(w io.Writer) error {
	if err := c.Check(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		return fmt.Errorf("cannot write the calibration: %w", err)
	}
	text = append(text, '\n')
	_, err = fmt.Fprintf(w, "%s %d %x %d\n%s", magic, version, sha256.Sum256(text), len(text), text)
	return err
}

// Load reads a calibration file. What is cut short, altered or of another version
// is refused with the reason (ErrFile).
func Load(path string) (*Calibration, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot load a calibration: %w", err)
	}
	defer f.Close()
	c, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("cannot load %s: %w", path, err)
	}
	return c, nil
}

// Read reads a calibration as Write writes it.
func Read(r io.Reader) (*Calibration, error) {
	in := bufio.NewReader(r)
	head, err := in.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("its first line is no calibration's: %w", ErrFile)
	}
	var name, sum string
	var v, size int
	if n, _ := fmt.Sscanf(string(head), "%s %d %s %d\n", &name, &v, &sum, &size); n < 2 || name != magic {
		return nil, fmt.Errorf("its first line is no calibration's: %w", ErrFile)
	}
	switch {
	case v != version:
		return nil, fmt.Errorf("it has version %d, this program reads version %d; calibrate anew: %w", v, version, ErrFile)
	case size < 0 || size > maxFile:
		return nil, fmt.Errorf("it claims %d bytes, at most %d are read: %w", size, maxFile, ErrFile)
	}
	var text bytes.Buffer // grows with what is really there, whatever the file claims
	if n, err := io.Copy(&text, io.LimitReader(in, int64(size)+1)); err != nil {
		return nil, err
	} else if n != int64(size) {
		return nil, fmt.Errorf("it has %d bytes or more, its first line says %d: %w", n, size, ErrFile)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(text.Bytes())); got != sum {
		return nil, fmt.Errorf("its checksum is wrong, the file was altered: %w", ErrFile)
	}
	c := new(Calibration)
	decoder := json.NewDecoder(&text)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(c); err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrFile)
	}
	return c, c.Check()
}

// Field is a complex field. In JSON it is base64 of little-endian pairs of
// 32-bit floats, real part first.
type Field []complex64

// MarshalText implements encoding.TextMarshaler.
func (f Field) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 8*len(f))
	for _, z := range f {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(real(z)))
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(imag(z)))
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Field) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return err
	}
	if len(raw)%8 != 0 {
		return fmt.Errorf("a field of %d bytes is not a number of complex64", len(raw))
	}
	*f = make(Field, len(raw)/8)
	for i := range *f {
		re := math.Float32frombits(binary.LittleEndian.Uint32(raw[8*i:]))
		im := math.Float32frombits(binary.LittleEndian.Uint32(raw[8*i+4:]))
		(*f)[i] = complex(re, im)
	}
	return nil
}
