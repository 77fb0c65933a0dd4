package dfa

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/dfa/dataset"
)

// What cannot be trained is refused before anything is done, with the thing, the
// limit and the remedy.
func TestRefusedSettings(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(c *Config)
		says   []string
	}{
		{"feedback", func(c *Config) { c.Feedback = "light" }, []string{`feedback "light"`, Optical, Backprop}},
		{"error", func(c *Config) { c.Error = "int8" }, []string{`error coding "int8"`, Stochastic}},
		{"schedule", func(c *Config) { c.Schedule = "linear" }, []string{`schedule "linear"`, Cosine}},
		{"scale", func(c *Config) { c.InputScale = "" }, []string{`input scale ""`, Unit}},
		{"activation", func(c *Config) { c.Activation = "gelu" }, []string{`activation "gelu"`, "relu"}},
		{"optical float", func(c *Config) { c.Feedback, c.Error = Optical, Float }, []string{"DMD", Gain}},
		{"float ternary", func(c *Config) { c.Feedback = Float }, []string{"unquantised", "use feedback ternary"}},
		{"ternary float", func(c *Config) { c.Error = Float }, []string{"use feedback float"}},
		{"no epochs", func(c *Config) { c.Epochs = 0 }, []string{"0 epochs", "1 to"}},
		{"too many epochs", func(c *Config) { c.Epochs = math.MaxInt }, []string{"epochs", "1048576"}},
		{"batch 0", func(c *Config) { c.Batch = 0 }, []string{"batch of 0", "65536"}},
		{"huge batch", func(c *Config) { c.Batch = 1 << 20 }, []string{"batch of 1048576", "65536"}},
		{"batch beyond data", func(c *Config) { c.Batch = 129 }, []string{"128 samples", "batch of 129", "smaller batch"}},
		{"rate 0", func(c *Config) { c.Rate = 0 }, []string{"rate 0", "10"}},
		{"rate 11", func(c *Config) { c.Rate = 11 }, []string{"rate 11", "10"}},
		{"rate nan", func(c *Config) { c.Rate = math.NaN() }, []string{"rate NaN"}},
		{"threshold", func(c *Config) { c.Threshold = 1 }, []string{"threshold 1", "below 1"}},
		{"threshold below", func(c *Config) { c.Threshold = -0.1 }, []string{"threshold -0.1"}},
		{"threshold nan", func(c *Config) { c.Threshold = math.NaN() }, []string{"threshold NaN"}},
		{"no layers", func(c *Config) { c.Layers = nil }, []string{"no hidden layers"}},
		{"empty layer", func(c *Config) { c.Layers = []int{30, 0} }, []string{"0 neurons", "1048576"}},
		{"wide layer", func(c *Config) { c.Layers = []int{1 << 21} }, []string{"2097152 neurons", "1048576"}},
		{"terabytes", func(c *Config) { c.Layers = []int{1 << 20, 1 << 20} }, []string{"268435456", "narrower"}},
		{"terabytes by the batch", func(c *Config) { c.Batch, c.Layers = 128, []int{1 << 20, 1, 1 << 20, 1, 1 << 20} }, []string{"smaller batch"}},
		{"holding out less than none", func(c *Config) { c.Val = -1 }, []string{"-1 samples"}},
		{"holding out all", func(c *Config) { c.Val = 128 }, []string{"128 of them held out"}},
		{"no projector", func(c *Config) { c.Feedback = Optical }, []string{"no projector"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := small(Ternary)
			test.change(&c)
			r, m, err := Train(t.Context(), c, blobs(1, 128, 4, 3), nil, Options{Dir: "/nowhere"})
			checkRefusal(t, err, test.says)
			if r != nil || m != nil {
				t.Error("there is a result")
			}
		})
	}
}

func TestRefusedData(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, test := range []struct {
		name   string
		change func(d *dataset.Data)
		says   []string
	}{
		{"nothing to learn from", func(d *dataset.Data) { d.Train = dataset.Split{Features: 20} }, []string{"0 samples to learn"}},
		{"nothing to test on", func(d *dataset.Data) { d.Test = dataset.Split{Features: 20} }, []string{"0 to test"}},
		{"no features", func(d *dataset.Data) { d.Train.Features = 0 }, []string{"0 features"}},
		{"other features", func(d *dataset.Data) { d.Test.Features = 5 }, []string{"20 features", "5 to test"}},
		{"one class", func(d *dataset.Data) { d.Classes = 1 }, []string{"1 classes"}},
		{"label beyond", func(d *dataset.Data) { d.Train.Y[77] = 4 }, []string{"label of sample 77 is 4", "0 to 3"}},
		{"negative label", func(d *dataset.Data) { d.Test.Y[2] = -1 }, []string{"test on", "label of sample 2 is -1"}},
		{"values missing", func(d *dataset.Data) { d.Train.X = d.Train.X[:100] }, []string{"100 values are not 128 samples"}},
		{"nan", func(d *dataset.Data) { d.Train.X[20*3+7] = nan }, []string{"feature 7 of sample 3 is NaN"}},
		{"infinite", func(d *dataset.Data) { d.Test.X[0] = inf }, []string{"feature 0 of sample 0 is -Inf"}},
		{"constant", func(d *dataset.Data) { d.Std = 0 }, []string{"deviation 0", "input scale unit"}},
		{"mean nan", func(d *dataset.Data) { d.Mean = math.NaN() }, []string{"mean NaN"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := blobs(1, 128, 4, 3)
			test.change(d)
			_, _, err := Train(t.Context(), small(Ternary), d, nil, Options{})
			checkRefusal(t, err, test.says)
		})
	}
	if _, _, err := Train(t.Context(), small(Ternary), nil, nil, Options{}); !errors.Is(err, ErrInput) {
		t.Errorf("no data: %v", err)
	}
}

func TestRefusedProjector(t *testing.T) {
	for _, test := range []struct {
		outputs, inputs int
		says            []string
	}{
		{29, 4, []string{"29 outputs", "need 30 to"}},
		{30, 5, []string{"5 inputs", "4 classes"}},
	} {
		p, err := NewDigital(test.outputs, test.inputs, 1)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = Train(t.Context(), small(Optical), blobs(1, 128, 4, 3), p, Options{EpochOfB: "x"})
		checkRefusal(t, err, test.says)
	}
	p, err := NewDigital(30, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Train(t.Context(), small(Optical), blobs(1, 128, 4, 3), p, Options{Dir: t.TempDir()})
	checkRefusal(t, err, []string{"no name", "EpochOfB"})
}

func checkRefusal(t *testing.T, err error, says []string) {
	t.Helper()
	if !errors.Is(err, ErrInput) || !strings.HasPrefix(err.Error(), "cannot ") {
		t.Fatalf("%v, want ErrInput beginning with \"cannot\"", err)
	}
	for _, part := range says {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestNeedsProjector(t *testing.T) {
	c := small(Optical)
	c.Layers = []int{30, 7} // 37 reals
	if outputs, inputs, needed := c.NeedsProjector(4); outputs != 19 || inputs != 4 || !needed {
		t.Errorf("%d x %d, %v; want 19 x 4, true", outputs, inputs, needed)
	}
	c.Feedback = Ternary
	if _, _, needed := c.NeedsProjector(4); needed {
		t.Error("digital feedback needs no projector")
	}
}
