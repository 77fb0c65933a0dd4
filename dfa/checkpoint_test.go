package dfa

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/light-in-the-loop/opu/internal/safetensors"
)

var errStopped = errors.New("stopped by the test")

// stopAfter makes a context and options that end the run after so many steps.
func stopAfter(t *testing.T, steps int, o Options) (context.Context, Options) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	made := 0
	o.Progress = func(Progress) {
		if made++; made == steps {
			cancel(errStopped)
		}
	}
	return ctx, o
}

// A run of 3 epochs of 7 steps, stopped anywhere and resumed, ends with the same bits.
func TestResume(t *testing.T) {
	d := blobs(1, 128, 32, 3)
	for name, c := range map[string]Config{
		"ternary": small(Ternary), "stochastic": small(Ternary), "float": small(Float), "bp": small(Backprop),
		"frozen": small(Frozen), "optical": small(Optical), "cosine": small(Ternary),
	} {
		t.Run(name, func(t *testing.T) {
			c.Val, c.Alignment = 16, true
			switch name {
			case "stochastic":
				c.Error = Stochastic
			case "cosine":
				c.Schedule = Cosine
			}
			p, err := NewDigital(c.outputsNeeded(), d.Classes, 5)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{EpochOfB: "five"}
			want, model := train(t, c, d, p, o)
			check := func(r *Result, m *Model) {
				t.Helper()
				if !slices.Equal(parameters(m.net), parameters(model.net)) {
					t.Error("the weights are others than those of the uninterrupted run")
				}
				if diff := cmp.Diff(want, r, cmpopts.IgnoreFields(Result{}, "Seconds"), cmpopts.IgnoreFields(Epoch{}, "Seconds")); diff != "" {
					t.Errorf("the result is another one (-uninterrupted +resumed):\n%s", diff)
				}
			}
			stops := []int{3, 7} // within and at the end of an epoch
			if name == "stochastic" {
				stops = []int{1, 3, 6, 7, 8, 14, 20}
			}
			for _, stop := range stops {
				o := Options{EpochOfB: "five", Dir: t.TempDir()}
				ctx, stopping := stopAfter(t, stop, o)
				r, m, err := Train(ctx, c, d, p, stopping)
				if !errors.Is(err, errStopped) || r == nil || m == nil || r.Samples != stop*c.Batch {
					t.Fatalf("stopped after %d steps: %v, %+v", stop, err, r)
				}
				if saved, err := LoadState(o.Dir); err != nil || saved.Samples != r.Samples {
					t.Fatalf("stopped after %d steps, saved: %+v, %v", stop, saved, err)
				}
				o.Resume = true
				check(train(t, c, d, p, o))
			}
			if name != "stochastic" {
				return // every file is synced to the disk, which takes its time
			}
			// after every step, and once more when all is done
			o.Dir = t.TempDir()
			for step := range 20 {
				ctx, stopping := stopAfter(t, 1, o)
				if _, _, err := Train(ctx, c, d, p, stopping); !errors.Is(err, errStopped) {
					t.Fatalf("step %d: %v", step, err)
				}
				o.Resume = true
			}
			check(train(t, c, d, p, o))
			check(train(t, c, d, p, o))
		})
	}
}

// A context that has ended before the start is noticed, and the run can be resumed.
func TestCancelledBeforeTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, _, err := Train(ctx, small(Ternary), blobs(1, 128, 32, 3), nil, Options{Dir: t.TempDir()})
	if !errors.Is(err, context.Canceled) || r.Samples != 0 {
		t.Errorf("%v, %d samples", err, r.Samples)
	}
}

// At a constant rate, a run may go on for longer than was planned.
func TestMoreEpochs(t *testing.T) {
	d := blobs(1, 128, 32, 3)
	c := small(Ternary)
	o := Options{Dir: t.TempDir()}
	train(t, c, d, nil, o)
	c.Epochs, o.Resume = 5, true
	_, got := train(t, c, d, nil, o)
	_, want := train(t, c, d, nil, Options{})
	if !slices.Equal(parameters(got.net), parameters(want.net)) {
		t.Error("3 and 2 epochs are not 5")
	}
	c.Epochs = 4
	if _, _, err := Train(t.Context(), c, d, nil, o); !errors.Is(err, ErrInput) {
		t.Errorf("fewer epochs than before: %v", err)
	}
}

func TestResumeRefused(t *testing.T) {
	d := blobs(1, 128, 32, 3)
	c := small(Optical)
	p, err := NewDigital(c.outputsNeeded(), d.Classes, 5)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{EpochOfB: "five", Dir: t.TempDir()}
	ctx, stopping := stopAfter(t, 5, o)
	if _, _, err := Train(ctx, c, d, p, stopping); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	before := readCheckpointFile(t, o.Dir)
	o.Resume = true
	refused := func(name string, c Config, data int, o Options, want error) {
		t.Helper()
		d := blobs(1, 128, 32, 3)
		switch data {
		case 1:
			d.Name = "other"
		case 2:
			d = blobs(2, 128, 32, 3)
		case 3:
			d = blobs(1, 132, 32, 3)
		case 4: // of the same mean and deviation
			d.Train.Y[0], d.Train.Y[1] = d.Train.Y[1], d.Train.Y[0]
		case 5:
			d.Train.X[0], d.Train.X[1] = d.Train.X[1], d.Train.X[0]
		}
		if _, _, err := Train(t.Context(), c, d, p, o); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if o.Dir != "" && o.EpochOfB != "" && !bytes.Equal(readCheckpointFile(t, stopping.Dir), before) {
			t.Fatalf("%s: the checkpoint was changed", name)
		}
	}
	other := o
	other.EpochOfB = "six"
	refused("another matrix", c, 0, other, ErrOtherMatrix)
	for name, change := range map[string]func(*Config){
		"rate": func(c *Config) { c.Rate *= 2 }, "batch": func(c *Config) { c.Batch = 8 },
		"seed": func(c *Config) { c.Seed++ }, "layers": func(c *Config) { c.Layers = []int{30, 20} },
		"threshold": func(c *Config) { c.Threshold = 0.2 }, "coding": func(c *Config) { c.Error = Gain },
		"activation": func(c *Config) { c.Activation = "relu" }, "schedule": func(c *Config) { c.Schedule = Cosine },
		"validation": func(c *Config) { c.Val = 16 }, "scale": func(c *Config) { c.InputScale = Unit },
		"fewer epochs": func(c *Config) { c.Epochs-- },
	} {
		changed := c
		change(&changed)
		refused(name, changed, 0, o, ErrInput)
	}
	refused("data of another name", c, 1, o, ErrInput)
	refused("other data of the same name", c, 2, o, ErrInput)
	refused("more data of the same name", c, 3, o, ErrInput)
	refused("two labels exchanged", c, 4, o, ErrInput)
	refused("two features exchanged", c, 5, o, ErrInput)
	nowhere := o
	nowhere.Dir = ""
	refused("no folder", c, 0, nowhere, ErrInput)
	nowhere.Dir = t.TempDir()
	refused("no checkpoint", c, 0, nowhere, fs.ErrNotExist)
	if _, err := LoadState(nowhere.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("state of an empty folder: %v", err)
	}
	train(t, c, d, p, o) // after all this it still works
}

// With a cosine, more epochs would be another schedule from the first step on.
func TestMoreEpochsOfCosine(t *testing.T) {
	d := blobs(1, 128, 32, 3)
	c := small(Ternary)
	c.Schedule = Cosine
	o := Options{Dir: t.TempDir()}
	train(t, c, d, nil, o)
	c.Epochs, o.Resume = 5, true
	if _, _, err := Train(t.Context(), c, d, nil, o); !errors.Is(err, ErrInput) {
		t.Errorf("%v, want ErrInput", err)
	}
}

func readCheckpointFile(t testing.TB, dir string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, CheckpointName))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// failing fails its n-th call.
type failing struct {
	Projector
	n int
}

var errCable = errors.New("the cable is out")

func (f *failing) Project(ctx context.Context, dst []complex64, x []int8) error {
	if f.n--; f.n == 0 {
		for i := range dst { // half a result, as a broken connection leaves it
			dst[i] = 1e9
		}
		return errCable
	}
	return f.Projector.Project(ctx, dst, x)
}

// A projector that fails ends the run, which can be resumed as if nothing had been.
func TestProjectorFails(t *testing.T) {
	d := blobs(1, 128, 32, 3)
	c := small(Optical)
	p, err := NewDigital(c.outputsNeeded(), d.Classes, 5)
	if err != nil {
		t.Fatal(err)
	}
	_, want := train(t, c, d, p, Options{})
	for _, call := range []int{1, 8, 9, 13, 24} {
		o := Options{EpochOfB: "five", Dir: t.TempDir()}
		r, m, err := Train(t.Context(), c, d, &failing{p, call}, o)
		if !errors.Is(err, errCable) || r == nil || m == nil || r.Samples != (call-1)*c.Batch {
			t.Fatalf("call %d failing: %v, %+v", call, err, r)
		}
		if where := fmt.Sprintf("cannot make step %d of epoch %d: the cable is out", (call-1)%8+1, (call-1)/8+1); err.Error() != where {
			t.Errorf("the error is %q, want %q", err, where)
		}
		o.Resume = true
		_, got := train(t, c, d, p, o)
		if !slices.Equal(parameters(got.net), parameters(want.net)) {
			t.Errorf("call %d failing: after resuming, the weights are others", call)
		}
	}
}

// odd returns one number that is none in its n-th call.
type odd struct {
	Projector
	n    int
	part complex64
}

func (o *odd) Project(ctx context.Context, dst []complex64, x []int8) error {
	err := o.Projector.Project(ctx, dst, x)
	if o.n--; o.n == 0 {
		outputs, inputs := o.Shape()
		row := slices.IndexFunc(x, func(v int8) bool { return v != 0 }) / inputs
		dst[(row+1)*outputs-1] = o.part
	}
	return err
}

// A projection that is no number never reaches a weight: the run ends before the
// step, and goes on as if nothing had been. The 8th step is the last of its epoch.
func TestProjectionIsNoNumber(t *testing.T) {
	d := blobs(1, 128, 32, 3)
	c := small(Optical)
	p, err := NewDigital(c.outputsNeeded(), d.Classes, 5)
	if err != nil {
		t.Fatal(err)
	}
	_, want := train(t, c, d, p, Options{})
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, part := range []complex64{complex(nan, 0), complex(0, nan), complex(inf, 1), complex(1, inf)} {
		o := Options{EpochOfB: "five", Dir: t.TempDir()}
		r, _, err := Train(t.Context(), c, d, &odd{p, 8, part}, o)
		if !errors.Is(err, ErrProjection) || errors.Is(err, ErrDiverged) || r.Samples != 7*c.Batch {
			t.Fatalf("%v: %v, %d samples", part, err, r.Samples)
		}
		o.Resume = true
		_, got := train(t, c, d, p, o)
		if !slices.Equal(parameters(got.net), parameters(want.net)) {
			t.Errorf("%v: after resuming, the weights are others", part)
		}
	}
}

// A folder that cannot be written is found out before the first step.
func TestUnwritableFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	taken := t.TempDir()
	if err := os.Mkdir(filepath.Join(taken, CheckpointName), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Join(t.TempDir(), "missing"), file, taken} {
		_, _, err := Train(t.Context(), small(Ternary), blobs(1, 128, 32, 3), nil, Options{
			Dir: dir, Progress: func(Progress) { t.Error("a step was made") },
		})
		if err == nil {
			t.Errorf("%s: no error", dir)
		}
	}
	// one that vanishes later ends the run with an error, too
	dir := filepath.Join(t.TempDir(), "vanishing")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, _, err := Train(t.Context(), small(Ternary), blobs(1, 128, 32, 3), nil, Options{
		Dir: dir, Progress: func(Progress) { os.RemoveAll(dir) },
	})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder vanished: %v", err)
	}
}

// A checkpoint that is cut or has a flipped byte anywhere is refused, or is still the
// same to the bit (case and blanks in its header).
func TestDamagedCheckpoint(t *testing.T) {
	d := blobs(1, 32, 4, 3)
	c := small(Ternary)
	c.Epochs, c.Layers = 1, []int{8, 6}
	o := Options{Dir: t.TempDir()}
	_, model := train(t, c, d, nil, o)
	whole := readCheckpointFile(t, o.Dir)
	o.Resume = true
	check := func(what string, damaged []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(o.Dir, CheckpointName), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, m, err := Train(t.Context(), c, d, nil, o); err == nil {
			if !slices.Equal(parameters(m.net), parameters(model.net)) {
				t.Fatalf("%s: goes unnoticed", what)
			}
		} else if !errors.Is(err, ErrFile) {
			t.Fatalf("%s: %v, want ErrFile", what, err)
		}
	}
	for i := range 100 {
		n := i * len(whole) / 100
		check(fmt.Sprintf("cut at %d of %d bytes", n, len(whole)), whole[:n])
		for _, mask := range []byte{1, 0x20, 0x80, 0xff} {
			damaged := bytes.Clone(whole)
			damaged[n] ^= mask
			check(fmt.Sprintf("byte %d of %d xor %#x", n, len(whole), mask), damaged)
		}
	}
	check("one byte missing", whole[:len(whole)-1])
	check("one byte too many", append(bytes.Clone(whole), 0))
	if err := writeFile(filepath.Join(o.Dir, CheckpointName), modelFormat, &safetensors.File{Metadata: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadState(o.Dir); !errors.Is(err, ErrFile) {
		t.Errorf("a model as checkpoint: %v", err)
	}
}

// resealed gives what can be read as safetensors a right format and checksum, so that
// fuzzing comes past them.
func resealed(data []byte, format string) *safetensors.File {
	f, err := safetensors.Read(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	if f.Metadata == nil {
		f.Metadata = map[string]string{}
	}
	seal(f, format)
	return f
}

// sealedBytes is a whole file.
func sealedBytes(t testing.TB, f *safetensors.File, format string) []byte {
	t.Helper()
	seal(f, format)
	var buf bytes.Buffer
	if err := safetensors.Write(&buf, *f); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// Most of these inputs are long, and the fuzzer's search for the shortest takes
// longer than anything else: give it -fuzzminimizetime 10x.
func FuzzReadCheckpoint(f *testing.F) {
	c := small(Ternary)
	c.Layers, c.Epochs = []int{2}, 1
	d := blobs(1, 16, 4, 3)
	fresh := func(t testing.TB) *trainer {
		return newTrainer(newSmallStepper(t, c, d), d, nil, Options{})
	}
	file, err := fresh(f).encode()
	if err != nil {
		f.Fatal(err)
	}
	whole := sealedBytes(f, file, checkpointFormat)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(bytes.Replace(whole, []byte(`\"step\":0`), []byte(`\"step\":9`), 1))
	f.Add(bytes.Replace(whole, []byte(`\"epoch\":0`), []byte(`\"epoch\":1`), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := readFile(bytes.NewReader(data), checkpointFormat); err != nil && !errors.Is(err, ErrFile) {
			t.Fatal(err)
		}
		file := resealed(data, checkpointFormat)
		if file == nil {
			return
		}
		s, err := decodeState(file)
		if err == nil {
			err = fresh(t).takeOver(s, file)
		}
		if err != nil && !errors.Is(err, ErrFile) && !errors.Is(err, ErrInput) && !errors.Is(err, ErrOtherMatrix) {
			t.Fatal(err)
		}
	})
}
