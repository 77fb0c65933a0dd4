package dfa

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/light-in-the-loop/opu/internal/atomicfile"
	"github.com/light-in-the-loop/opu/internal/safetensors"
)

// CheckpointName is the file in Options.Dir.
const CheckpointName = "checkpoint.safetensors"

const (
	checkpointFormat = "opu-checkpoint 1"
	stateKey         = "state"
	checksumKey      = "sha256" // of the state and all tensors
)

// state is what a checkpoint holds beside weights and moments. Random numbers need
// none: their streams are named by seed, epoch and step.
type state struct {
	Result Result  `json:"result"`
	Epoch  int     `json:"epoch"` // next step to make
	Step   int     `json:"step"`
	Loss   float64 `json:"loss"` // of the epoch so far
	Right  int     `json:"right"`
}

// arrays are the arrays of a checkpoint, in the order of the file.
func (t *trainer) arrays() []safetensors.Tensor {
	var all []safetensors.Tensor
	for i, l := range t.net.layers {
		u := &t.updates[i]
		add := func(name string, data []float32) {
			all = append(all, safetensors.Tensor{Name: fmt.Sprintf("layers.%d.%s", i, name), Shape: []int{len(data)}, Data: data})
		}
		add("weight", l.weight)
		add("weight.first", u.moments[0].first)
		add("weight.second", u.moments[0].second)
		add("bias", l.bias)
		add("bias.first", u.moments[1].first)
		add("bias.second", u.moments[1].second)
	}
	return all
}

func checksum(state string, arrays []safetensors.Tensor) string {
	h := sha256.New()
	io.WriteString(h, state)
	buf := make([]byte, 0, 1<<14)
	for _, a := range arrays {
		for part := range slices.Chunk(a.Data, cap(buf)/4) {
			buf = buf[:0]
			for _, x := range part {
				buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
			}
			h.Write(buf)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// save writes a checkpoint, if there is a place for it.
func (t *trainer) save() error {
	if t.options.Dir == "" {
		return nil
	}
	text, err := json.Marshal(state{t.result, t.epoch, t.step, t.loss, t.right})
	if err != nil {
		return fmt.Errorf("cannot save a checkpoint: %w", err)
	}
	arrays := t.arrays()
	f := safetensors.File{
		Metadata: map[string]string{formatKey: checkpointFormat, stateKey: string(text), checksumKey: checksum(string(text), arrays)},
		Tensors:  arrays,
	}
	return atomicfile.Write(filepath.Join(t.options.Dir, CheckpointName), func(w io.Writer) error { return safetensors.Write(w, f) })
}

// readCheckpoint reads and verifies a checkpoint.
func readCheckpoint(r io.Reader) (*state, *safetensors.File, error) {
	f, err := safetensors.Read(r)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", err, ErrFile)
	}
	if got := f.Metadata[formatKey]; got != checkpointFormat {
		return nil, nil, fmt.Errorf("its format is %q, this program reads %q: %w", got, checkpointFormat, ErrFile)
	}
	if checksum(f.Metadata[stateKey], f.Tensors) != f.Metadata[checksumKey] {
		return nil, nil, fmt.Errorf("its checksum is wrong: %w", ErrFile)
	}
	s := new(state)
	if err := json.Unmarshal([]byte(f.Metadata[stateKey]), s); err != nil {
		return nil, nil, fmt.Errorf("its state cannot be read (%v): %w", err, ErrFile)
	}
	return s, f, nil
}

// LoadState returns the result so far of the checkpoint in a folder: what a
// program needs to know to resume it.
func LoadState(dir string) (*Result, error) {
	s, _, err := loadCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	return &s.Result, nil
}

func loadCheckpoint(dir string) (*state, *safetensors.File, error) {
	path := filepath.Join(dir, CheckpointName)
	r, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot resume: %w", err)
	}
	defer r.Close()
	s, f, err := readCheckpoint(r)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot resume from %s: %w", path, err)
	}
	return s, f, nil
}

// resume takes over the state of the checkpoint in Options.Dir.
func (t *trainer) resume() error {
	s, f, err := loadCheckpoint(t.options.Dir)
	if err != nil {
		return err
	}
	if s.Result.EpochOfB != t.result.EpochOfB {
		return fmt.Errorf("cannot resume: the run was trained with the matrix %s, this one is %s; use the calibration of that run: %w",
			s.Result.EpochOfB, t.result.EpochOfB, ErrOtherMatrix)
	}
	if err := sameRun(s.Result.Config, t.config); err != nil {
		return err
	}
	if s.Result.Dataset != t.data.Name {
		return fmt.Errorf("cannot resume: the run was trained on %s, this is %s: %w", s.Result.Dataset, t.data.Name, ErrInput)
	}
	perEpoch := len(t.train.Y) / t.config.Batch
	if s.Epoch < 0 || s.Step < 0 || s.Step >= perEpoch || len(s.Result.History) != s.Epoch {
		return fmt.Errorf("cannot resume: the checkpoint stands at epoch %d, step %d of %d, with %d epochs behind it: %w",
			s.Epoch, s.Step, perEpoch, len(s.Result.History), ErrFile)
	}
	for _, a := range t.arrays() {
		data, err := f.Tensor(a.Name, a.Shape...)
		if err != nil {
			return fmt.Errorf("cannot resume: %w: %w", err, ErrFile)
		}
		copy(a.Data, data)
	}
	config := t.config
	t.result = s.Result
	t.result.Config = config
	t.epoch, t.step, t.loss, t.right = s.Epoch, s.Step, s.Loss, s.Right
	return nil
}

// sameRun says whether a run with settings b may continue one with settings a.
func sameRun(a, b Config) error {
	if a.Schedule == Constant && b.Epochs > a.Epochs {
		b.Epochs = a.Epochs
	}
	a.Alignment, b.Alignment = false, false
	was, _ := json.Marshal(a)
	is, _ := json.Marshal(b)
	if string(was) != string(is) {
		return fmt.Errorf("cannot resume: the run was begun with other settings: %s, not %s; give the same flags: %w", was, is, ErrInput)
	}
	return nil
}
