package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"

	"github.com/light-in-the-loop/opu/internal/atomicfile"
)

// Manifest says of which matrices of which OPUs a stacked one is made. As a file it is
// JSON; the Python client reads the same.
type Manifest struct {
	Stack int    `json:"stack"` // version of the format: 1
	Parts []Part `json:"parts"` // one below the other, without gaps
}

// Part is what one OPU gives to a stack. Row r of the stacked matrix, for r from
// Rows[0] to Rows[1]-1, is row r-Rows[0] of the OPU's, times Scale.
type Part struct {
	URL     string  `json:"url"`     // address as Dial takes it
	Model   string  `json:"model"`   // base name, as Options has it
	Version string  `json:"version"` // of the model
	Epoch   string  `json:"epoch"`   // of the OPU's matrix
	Rows    [2]int  `json:"rows"`
	Scale   float64 `json:"scale"`
}

// manifestVersion is that of the format.
const manifestVersion = 1

// Limits of a manifest.
const (
	mostManifest = 1 << 20 // bytes
	mostParts    = 1024
	mostRows     = 1 << 30
	mostScale    = 1e15 // its square fits 32 bits, as does that of 1 over it
)

// LoadManifest reads the file of a manifest. What is wrong with it is ErrInput.
func LoadManifest(path string) (*Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the stack: %w", err)
	}
	defer f.Close()
	m, err := ReadManifest(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// ReadManifest reads a manifest. Unknown fields, and whatever Check refuses, are errors
// that wrap ErrInput.
func ReadManifest(r io.Reader) (*Manifest, error) {
	bad := func(err error) (*Manifest, error) {
		return nil, fmt.Errorf("cannot read the stack: %v: %w", err, ErrInput)
	}
	limited := &io.LimitedReader{R: r, N: mostManifest + 1}
	d := json.NewDecoder(limited)
	d.DisallowUnknownFields()
	var m struct {
		Stack int `json:"stack"`
		Parts []struct {
			Part
			Rows []int `json:"rows"` // of any length: an array would hide a wrong one
		} `json:"parts"`
	}
	if err := d.Decode(&m); err != nil {
		return bad(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) || limited.N == 0 {
		return bad(fmt.Errorf("it goes on after its object, or has more than %d bytes", mostManifest))
	}
	result := &Manifest{Stack: m.Stack}
	for i, p := range m.Parts {
		if len(p.Rows) != 2 {
			return bad(fmt.Errorf("the rows of part %d are %d numbers, not [first, end]", i, len(p.Rows)))
		}
		copy(p.Part.Rows[:], p.Rows)
		result.Parts = append(result.Parts, p.Part)
	}
	return result, result.Check()
}

// Names that become part of a path.
var name = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// Check says whether the manifest describes a stack; errors wrap ErrInput and name the
// part, from 0.
func (m *Manifest) Check() error {
	if m.Stack != manifestVersion {
		return fmt.Errorf("cannot use the stack: its format is %d, and %d is known: %w", m.Stack, manifestVersion, ErrInput)
	}
	if len(m.Parts) < 1 || len(m.Parts) > mostParts {
		return fmt.Errorf("cannot use the stack: it has %d parts, and 1 to %d are possible: %w", len(m.Parts), mostParts, ErrInput)
	}
	matrices := map[string]int{}
	next := 0
	for i, p := range m.Parts {
		bad := func(format string, args ...any) error {
			return fmt.Errorf("cannot use part %d of the stack: %s: %w", i, fmt.Sprintf(format, args...), ErrInput)
		}
		twin, known := matrices[p.Version]
		switch {
		case p.URL == "":
			return bad("its url is missing")
		case !name.MatchString(p.Model):
			return bad("its model is %.64q, and must be a name of letters, digits, '.', '_' and '-'", p.Model)
		case !name.MatchString(p.Version):
			return bad("its version is %.64q, and must be that of the model", p.Version)
		case p.Epoch == "":
			return bad("its epoch is missing")
		case known:
			return bad("it is the matrix of part %d, version %s, so both would give the same rows", twin, p.Version)
		case p.Rows[0] != next:
			return bad("its rows begin with %d, and must with %d, where those before it end", p.Rows[0], next)
		case p.Rows[1] <= p.Rows[0] || p.Rows[1] > mostRows:
			return bad("its rows are %d to before %d, and must be at least one and end by %d", p.Rows[0], p.Rows[1], mostRows)
		case !(math.Abs(p.Scale) >= 1/mostScale && math.Abs(p.Scale) <= mostScale):
			return bad("its scale is %g, and must be a number other than 0, from %g to %g or its negative", p.Scale, 1/mostScale, mostScale)
		}
		if _, err := Connect(p.URL, Options{}); err != nil {
			return bad("%v", err)
		}
		matrices[p.Version] = i
		next = p.Rows[1]
	}
	return nil
}

// Write writes the manifest as JSON.
func (m *Manifest) Write(w io.Writer) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("cannot write the stack: %w", err)
	}
	if _, err := w.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("cannot write the stack: %w", err)
	}
	return nil
}

// Save writes the manifest to a file, which is the old or the new one whatever happens.
func (m *Manifest) Save(path string) error {
	if err := m.Check(); err != nil {
		return err
	}
	return atomicfile.Write(path, m.Write)
}

// NewManifest makes the manifest of OPUs as they are now. Parts need a URL; what else
// they leave out is asked for: model opu, the version and epoch that are served, all of
// the outputs below those of the part before, and scale 1.
func NewManifest(ctx context.Context, parts []Part, o Options) (*Manifest, error) {
	m := &Manifest{Stack: manifestVersion}
	next := 0
	for i, p := range parts {
		o.Model, o.Version = p.Model, p.Version
		opu, err := Dial(ctx, p.URL, o)
		if err != nil {
			return nil, fmt.Errorf("cannot use part %d of the stack, %s: %w", i, p.URL, err)
		}
		opu.Close()
		if p.Epoch != "" && p.Epoch != opu.epoch {
			return nil, fmt.Errorf("cannot use part %d of the stack, %s: its matrix is of epoch %s, not %s: %w", i, p.URL, opu.epoch, p.Epoch, ErrOtherMatrix)
		}
		p.Model, p.Version, p.Epoch = opu.model, opu.version, opu.epoch
		if p.Rows == [2]int{} {
			p.Rows = [2]int{next, next + opu.shape.outputs}
		}
		if p.Scale == 0 {
			p.Scale = 1
		}
		next = p.Rows[1]
		m.Parts = append(m.Parts, p)
	}
	return m, m.Check()
}
