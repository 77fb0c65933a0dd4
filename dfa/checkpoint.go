package dfa

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/light-in-the-loop/opu/dfa/dataset"
	"github.com/light-in-the-loop/opu/internal/safetensors"
)

// CheckpointName is the file in Options.Dir.
const CheckpointName = "checkpoint.safetensors"

const (
	checkpointFormat = "opu-checkpoint 1"
	stateKey         = "state"
)

// state is what a checkpoint holds beside weights and moments. Random numbers need
// none: their streams are named by seed, epoch and step.
type state struct {
	Result Result      `json:"result"`
	Data   fingerprint `json:"data"`
	Epoch  int         `json:"epoch"` // next step to make
	Step   int         `json:"step"`
	Sums   sums        `json:"sums"` // of the epoch so far
}

// fingerprint tells data sets of the same name apart, by what is learnt from: the
// order counts, since the shuffles go by it.
type fingerprint struct {
	Samples   int
	Mean, Std float64
	Sum       uint32 // CRC-32C of features and labels
}

func fingerprintOf(d *dataset.Data) fingerprint {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum, buf := uint32(0), make([]byte, 0, 1<<14)
	for part := range slices.Chunk(d.Train.X, cap(buf)/4) {
		buf = buf[:0]
		for _, x := range part {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(x))
		}
		sum = crc32.Update(sum, table, buf)
	}
	for part := range slices.Chunk(d.Train.Y, cap(buf)/4) {
		buf = buf[:0]
		for _, y := range part {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(y))
		}
		sum = crc32.Update(sum, table, buf)
	}
	return fingerprint{len(d.Train.Y), d.Mean, d.Std, sum}
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

// save writes a checkpoint, if there is a place for it.
func (t *trainer) save() error {
	if t.options.Dir == "" {
		return nil
	}
	f, err := t.encode()
	if err != nil {
		return fmt.Errorf("cannot save a checkpoint: %w", err)
	}
	return writeFile(filepath.Join(t.options.Dir, CheckpointName), checkpointFormat, f)
}

// encode makes a checkpoint, which shares memory with the trainer.
func (t *trainer) encode() (*safetensors.File, error) {
	text, err := json.Marshal(state{t.result, t.fingerprint, t.epoch, t.step, t.sums})
	if err != nil {
		return nil, err
	}
	return &safetensors.File{Metadata: map[string]string{stateKey: string(text)}, Tensors: t.arrays()}, nil
}

// decodeState finds the state in a verified checkpoint. Errors wrap ErrFile.
func decodeState(f *safetensors.File) (*state, error) {
	s := new(state)
	if err := json.Unmarshal([]byte(f.Metadata[stateKey]), s); err != nil {
		return nil, fmt.Errorf("its state cannot be read (%v): %w", err, ErrFile)
	}
	return s, nil
}

// LoadState returns the result so far of the checkpoint in a folder: what a
// program needs to know to resume it. Errors about the file's content wrap ErrFile.
func LoadState(dir string) (*Result, error) {
	s, _, err := loadCheckpoint(dir)
	if err != nil {
		return nil, err
	}
	return &s.Result, nil
}

func loadCheckpoint(dir string) (*state, *safetensors.File, error) {
	if dir == "" {
		return nil, nil, fmt.Errorf("cannot resume: no folder with a checkpoint was named: %w", ErrInput)
	}
	path := filepath.Join(dir, CheckpointName)
	r, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot resume: %w", err)
	}
	defer r.Close()
	f, err := readFile(r, checkpointFormat)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot resume from %s: %w", path, err)
	}
	s, err := decodeState(f)
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
	return t.takeOver(s, f)
}

// takeOver continues from s and f if they belong to this run. After an error the
// trainer is of no use.
func (t *trainer) takeOver(s *state, f *safetensors.File) error {
	if s.Result.EpochOfB != t.result.EpochOfB {
		return fmt.Errorf("cannot resume: the run was trained with the matrix %q, this one is %q; use the calibration of that run: %w",
			s.Result.EpochOfB, t.result.EpochOfB, ErrOtherMatrix)
	}
	if err := sameRun(s.Result.Config, t.config); err != nil {
		return err
	}
	if s.Result.Dataset != t.data.Name || s.Data != t.fingerprint {
		return fmt.Errorf("cannot resume: the run was trained on %s %+v, this is %s %+v; give the same data: %w",
			s.Result.Dataset, s.Data, t.data.Name, t.fingerprint, ErrInput)
	}
	steps := t.stepsPerEpoch()
	if s.Epoch < 0 || s.Step < 0 || s.Step >= steps || len(s.Result.History) != s.Epoch {
		return fmt.Errorf("cannot resume: the checkpoint stands at epoch %d, step %d of %d, with %d epochs behind it: %w",
			s.Epoch, s.Step, steps, len(s.Result.History), ErrFile)
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
	t.epoch, t.step, t.sums = s.Epoch, s.Step, s.Sums
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
