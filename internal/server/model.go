package server

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"

	"github.com/light-in-the-loop/opu/internal/oip"
)

// model is a view of the matrix: how x comes, and what of y goes.
type model struct {
	name   string
	work   int
	packed bool  // x comes as bits
	width  int   // numbers of an output: 2 for complex ones
	broken error // why it cannot be used on this rig

	stats modelStats
}

// The platform and backend of the models, as tools show them.
const (
	platform = "opu_optical"
	backend  = "opu"
)

// mostRows is the largest batch that a request may have.
const mostRows = 4096

var (
	errUnknown       = errors.New("not found")
	errNotHere       = errors.New("not possible on this rig")
	errTooLarge      = oip.ErrTooLarge
	errOtherMatrix   = fmt.Errorf("another matrix: %w", errUnknown)
	errTernaryLight  = fmt.Errorf("light has no negative side: %w", oip.ErrRequest)
	errNotTernary    = fmt.Errorf("not a value that mirrors can show: %w", oip.ErrRequest)
	errUnknownTensor = fmt.Errorf("no such tensor: %w", oip.ErrRequest)
)

// DefaultModel is the base name of the models, unless Options names another.
const DefaultModel = "opu"

// modelName is what base names look like.
var modelName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,31}$`)

// CheckModel says whether a name can be the base of the models' names. What the models
// put behind it may not be its end, so that no two OPUs behind one proxy are mistaken for
// each other.
func CheckModel(name string) error {
	if !modelName.MatchString(name) {
		return fmt.Errorf("cannot call models %.64q: the name must be 1 to 32 of a-z, 0-9, '_', '.' and '-', and begin with a letter or a digit", name)
	}
	for _, end := range []string{"-real", "-intensity", "-packed"} {
		if strings.HasSuffix(name, end) {
			return fmt.Errorf("cannot call models %s: %s is the end of a model's name already", name, end)
		}
	}
	return nil
}

func (s *Server) newModels() (models []*model) {
	var broken error
	if !s.o.Shutter {
		broken = fmt.Errorf("cannot measure intensities: the rig has no shutter for its reference beam; take abs(y)^2 of model %s: %w", s.o.Model, errNotHere)
	}
	for _, packed := range []bool{false, true} {
		suffix := ""
		if packed {
			suffix = "-packed"
		}
		models = append(models,
			&model{name: s.o.Model + suffix, work: workProject, packed: packed, width: 2},
			&model{name: s.o.Model + "-real" + suffix, work: workProject, packed: packed, width: 1},
			&model{name: s.o.Model + "-intensity" + suffix, work: workIntensity, packed: packed, width: 1, broken: broken})
	}
	return models
}

// find returns a model. An empty version is the one that is there.
func (s *Server) find(name, version string) (*model, error) {
	for _, m := range s.models {
		if m.name != name {
			continue
		}
		if matrix := s.matrix.Load(); matrix != nil {
			return m, matrix.check(version)
		}
		return m, nil
	}
	return nil, fmt.Errorf("cannot find model %.64q: there are %s: %w", name, s.modelNames(), errUnknown)
}

// findServed is find, and returns the matrix as well.
func (s *Server) findServed(name, version string) (*model, *live, error) {
	m, err := s.find(name, version)
	if err != nil {
		return nil, nil, err
	}
	matrix, err := s.served()
	return m, matrix, err
}

func (s *Server) modelNames() (names []string) {
	for _, m := range s.models {
		names = append(names, m.name)
	}
	return names
}

// maxBatch is the number of rows whose results a response may hold.
func (s *Server) maxBatch(m *model) int {
	return max(1, min(mostRows, s.limits().Response/(4*m.width*s.outputs)))
}

// input is the name of x and its shape without the batch; -1 is one or two planes.
func (s *Server) input(m *model) (name, datatype string, shape []int) {
	if m.packed {
		return "x_bits", oip.Uint8, []int{-1, s.rowBytes()}
	}
	return "x", oip.Int8, []int{s.inputs}
}

// rowBytes is the length of a plane of bits.
func (s *Server) rowBytes() int { return (s.inputs + 7) / 8 }

// outputShape is the shape of one row of y, of which a request wants some outputs.
func (m *model) outputShape(outputs int) []int {
	if m.width == 2 {
		return []int{outputs, 2}
	}
	return []int{outputs}
}

// encode writes outputs as the model gives them, little-endian FP32, to dst.
func (m *model) encode(dst []byte, y []complex64) {
	if m.width == 2 {
		copy(dst, oip.ComplexBytes(y))
		return
	}
	for i, z := range y {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(real(z)))
	}
}

// decode makes rows of x from the bytes of an input, and checks every value.
func (s *Server) decode(m *model, x []int8, raw []byte, datatype string, planes int) error {
	if m.packed {
		if err := s.unpack(x, raw, planes); err != nil {
			return err
		}
	} else {
		for i, v := range raw {
			x[i] = int8(v)
			if v > 1 && (v != 0xff || datatype != oip.Int8) {
				allowed := "0 or 1"
				if datatype == oip.Int8 {
					allowed = "-1, 0 or 1"
				}
				return fmt.Errorf("cannot show entry %d of row %d: it is %d as %s, and must be %s: %w", i%s.inputs, i/s.inputs, v, datatype, allowed, errNotTernary)
			}
		}
	}
	if m.work != workIntensity {
		return nil
	}
	for i, v := range x {
		if v < 0 {
			return fmt.Errorf("cannot measure the intensity of row %d: its entry %d is -1, only 0 and 1 can be shown: %w", i/s.inputs, i%s.inputs, errTernaryLight)
		}
	}
	return nil
}

// unpack reads planes of bits, the most significant one first: plane 0 is +1, plane 1,
// if there is one, -1.
func (s *Server) unpack(x []int8, raw []byte, planes int) error {
	bytes, n := s.rowBytes(), s.inputs
	for r := range len(x) / n {
		row := x[r*n : (r+1)*n]
		plus := raw[r*planes*bytes:][:bytes]
		for i := range row {
			row[i] = int8(plus[i/8] >> (7 - i%8) & 1)
		}
		spare := plus[bytes-1]
		if planes == 2 {
			minus := raw[(r*planes+1)*bytes:][:bytes]
			for i := range row {
				if minus[i/8]>>(7-i%8)&1 == 0 {
					continue
				}
				if row[i] != 0 {
					return fmt.Errorf("cannot show entry %d of row %d: its bit is set in both planes, +1 and -1: %w", i, r, errNotTernary)
				}
				row[i] = -1
			}
			spare |= minus[bytes-1]
		}
		if spare<<((n-1)%8+1) != 0 {
			return fmt.Errorf("cannot show row %d: bits beyond its %d entries are set; they must be 0: %w", r, n, errNotTernary)
		}
	}
	return nil
}
