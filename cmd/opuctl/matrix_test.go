package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/light-in-the-loop/opu/driver"
	"github.com/light-in-the-loop/opu/internal/bench"
	"github.com/light-in-the-loop/opu/slm"
)

// noisyMatrix is a projector of known entries with noise of standard deviation sigma on
// every result.
type noisyMatrix struct {
	outputs, inputs int
	b               []complex64 // column by column
	sigma           float64
	random          *rand.Rand
	vectors         int
}

func newNoisyMatrix(outputs, inputs int, sigma float64) *noisyMatrix {
	m := &noisyMatrix{outputs: outputs, inputs: inputs, b: make([]complex64, outputs*inputs), sigma: sigma, random: rand.New(rand.NewPCG(1, 2))}
	for i := range m.b {
		m.b[i] = m.normal()
	}
	return m
}

func (m *noisyMatrix) normal() complex64 {
	return complex(float32(m.random.NormFloat64()/math.Sqrt2), float32(m.random.NormFloat64()/math.Sqrt2))
}

func (m *noisyMatrix) Shape() (int, int) { return m.outputs, m.inputs }

func (m *noisyMatrix) Project(_ context.Context, dst []complex64, x []int8) error {
	for r := range len(x) / m.inputs {
		m.vectors++
		for i := range m.outputs {
			z := m.normal() * complex(float32(m.sigma), 0)
			for j, v := range x[r*m.inputs : (r+1)*m.inputs] {
				z += complex(float32(v), 0) * m.b[j*m.outputs+i]
			}
			dst[r*m.outputs+i] = z
		}
	}
	return nil
}

// measureAll measures all groups.
func measureAll(t *testing.T, c *columnMeter) (b []complex64, errs []float32) {
	t.Helper()
	firsts, shown := c.groups(), 0
	for g, first := range firsts[:len(firsts)-1] {
		mean, e, err := c.measure(t.Context(), first, firsts[g+1], func(n int) { shown += n })
		if err != nil {
			t.Fatal(err)
		}
		b, errs = append(b, mean...), append(errs, e...)
	}
	if shown != c.projections() {
		t.Errorf("%d vectors were shown, %d announced", shown, c.projections())
	}
	return b, errs
}

// agreement is the mean square of the differences over that of their standard errors: 1
// if the errors are right.
func agreement(a, b []complex64, errs ...[]float32) float64 {
	var d, e float64
	for i := range a {
		d += sq(a[i] - b[i])
		for _, s := range errs {
			e += float64(s[i]) * float64(s[i])
		}
	}
	return d / e
}

// The columns are those of the matrix, however many groups they are measured in, and
// the error bars are those of their errors.
func TestColumnMeter(t *testing.T) {
	for _, x := range []struct{ outputs, inputs, memory, groups int }{
		{100, 1, 1 << 20, 1}, {100, 2, 1 << 20, 1}, {70, 10, 1 << 20, 1}, {50, 64, 1 << 20, 1},
		{90, 37, 20 * 90 * 8, 5}, {40, 100, 20 * 40 * 17, 7}, {30, 9, 1, 9},
	} {
		m := newNoisyMatrix(x.outputs, x.inputs, 0)
		c := newColumnMeter(m, 2, 5, x.memory)
		if n := len(c.groups()) - 1; n != x.groups {
			t.Errorf("%+v: %d groups", x, n)
		}
		b, errs := measureAll(t, c)
		for i, z := range b {
			if cmplx.Abs(complex128(z-m.b[i])) > 1e-5 || errs[i] > 1e-5 {
				t.Fatalf("%+v: entry %d is %v +- %g, want %v", x, i, z, errs[i], m.b[i])
			}
		}

		noisy := newNoisyMatrix(x.outputs, x.inputs, 0.1)
		c = newColumnMeter(noisy, 8, 5, x.memory)
		b, errs = measureAll(t, c)
		if ratio := agreement(b, noisy.b, errs); ratio < 0.8 || ratio > 1.25 {
			t.Errorf("%+v: the squared errors are %.3f of what the bars say", x, ratio)
		}
		if noisy.vectors != c.projections() {
			t.Errorf("%+v: %d vectors, %d announced", x, noisy.vectors, c.projections())
		}
	}
	// What the codes gain: a column has the noise of one vector over their number.
	m := newNoisyMatrix(200, 32, 0.5)
	b, _ := measureAll(t, newColumnMeter(m, 4, 5, 1<<20))
	sum := 0.0
	for i := range b {
		sum += sq(b[i] - m.b[i])
	}
	if ratio := sum / float64(len(b)) / (0.25 / 32 / 4); ratio < 0.9 || ratio > 1.1 {
		t.Errorf("the noise's power is %.3f of that of 128 averages", ratio)
	}
}

// Two measurements of one bench differ by what their error bars say, and are the
// bench's truth up to one complex factor.
func TestMatrixOfBench(t *testing.T) {
	if testing.Short() {
		t.Skip("it calibrates a bench of full size")
	}
	b := benchFlags{sim: "good", seed: 5, usb: bench.USBFast, layout: "blocks", drift: "frame"}
	opu, bench, err := b.opu(t.Context(), io.Discard, need{6, 0}, newProgress(io.Discard, 1), driver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer bench.rig.Close()
	first, e1 := measureAll(t, newColumnMeter(opu, 4, 1, meterBytes))
	second, e2 := measureAll(t, newColumnMeter(opu, 4, 1, meterBytes))
	ratio := agreement(first, second, e1, e2)
	t.Logf("squared differences over squared error bars: %.3f", ratio)
	if ratio < 0.9 || ratio > 1.1 {
		t.Errorf("two measurements differ by %.3f of their error bars (squared)", ratio)
	}

	// The true field of each feature at the outputs' places. Between pixels it is the
	// mean of the four around; each output has its own phase.
	cal := opu.Calibration()
	d, err := cal.Demodulator(cal.Outputs)
	if err != nil {
		t.Fatal(err)
	}
	spec, err := cal.LayoutSpec()
	if err != nil {
		t.Fatal(err)
	}
	layout, err := slm.NewLayout(spec)
	if err != nil {
		t.Fatal(err)
	}
	truth := make([]complex64, 0, len(first))
	for j := range layout.Features() {
		x := make([]int8, layout.Features())
		x[j] = 1
		p := slm.NewPattern(layout.Chip())
		layout.Encode(p, x, 1)
		field := bench.bench.Sim.Field(p)
		for i := range d.Outputs() {
			u, v := d.Position(i)
			at := int(v)*cal.Settings.ROI.Width + int(u)
			s := field[at] + field[at+1] + field[at+cal.Settings.ROI.Width] + field[at+cal.Settings.ROI.Width+1]
			sin, cos := math.Sincos(-2 * math.Pi * (cal.Carrier.Fu*u + cal.Carrier.Fv*v))
			truth = append(truth, s*complex64(complex(cos, sin)))
		}
	}
	var cross complex128
	var p, q float64
	for i := range truth {
		cross += complex128(first[i]) * cmplx.Conj(complex128(truth[i]))
		p += sq(first[i])
		q += sq(truth[i])
	}
	correlation := cmplx.Abs(cross) / math.Sqrt(p*q)
	t.Logf("correlation with the true fields: %.4f", correlation)
	if correlation < 0.95 {
		t.Errorf("the matrix correlates with the true fields by %.3f", correlation)
	}

	// One-hot projections see the same columns, with more noise.
	y, x := make([]complex64, 6*cal.Outputs), make([]int8, 6*6)
	for j := range 6 {
		x[j*6+j] = 1
	}
	if err := opu.Project(t.Context(), y, x); err != nil {
		t.Fatal(err)
	}
	var wrong float64
	for i := range y {
		wrong += sq(y[i] - first[i])
	}
	snr := 10 * math.Log10(p/wrong)
	t.Logf("one-hot projections agree to %.1f dB", snr)
	if snr < 18 {
		t.Errorf("one-hot projections agree to %.1f dB", snr)
	}
}

// columns reads a matrix in Fortran order, by hand.
func columns(t *testing.T, path, descr string, rows, columns int) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 10 + int(binary.LittleEndian.Uint16(data[8:]))
	want := fmt.Sprintf("{'descr': '%s', 'fortran_order': True, 'shape': (%d, %d), }", descr, rows, columns)
	if got := strings.TrimSpace(string(data[10:n])); got != want {
		t.Fatalf("%s: header %s, want %s", path, got, want)
	}
	return data[n:]
}

// The command writes what project multiplies with.
func TestMatrixCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	var r struct {
		EpochOfB  string `json:"epoch_of_b"`
		Shape     [2]int
		RMS       float64
		RMSError  *float64 `json:"rms_error"`
		SNRDB     *float64 `json:"snr_db"`
		Simulated string
		Exposures int
	}
	must(t, &r, "calibrate", "--sim", "--features", "3", "--outputs", "80", "--out", "a.opucal")
	epoch := r.EpochOfB
	must(t, &r, "matrix", "--sim", "--calibration", "a.opucal", "--out", "B.npy", "--repeats", "3")
	if r.EpochOfB != epoch || r.Shape != [2]int{80, 3} || r.RMS < 0.8 || r.RMS > 1.2 || r.RMSError == nil || *r.RMSError <= 0 || r.SNRDB == nil ||
		*r.SNRDB < 25 || r.Simulated != "good" || r.Exposures < 24 {
		t.Errorf("result %+v", r)
	}
	raw, rawErrors := columns(t, "B.npy", "<c8", 80, 3), columns(t, "B-errors.npy", "<f4", 80, 3)
	if len(raw) != 8*240 || len(rawErrors) != 4*240 {
		t.Fatalf("%d and %d bytes", len(raw), len(rawErrors))
	}
	f32 := func(b []byte, i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])) }
	x := writeArray(t, "x.npy", []int8{1, -1, 1}, 1, 3)
	must(t, &r, "project", "--sim", "--calibration", "a.opucal", "--in", x, "--out", "y.npy")
	data, err := os.ReadFile("y.npy")
	if err != nil {
		t.Fatal(err)
	}
	var wrong, power float64
	for i, y := range readComplex(t, data) {
		var sum complex64
		for j, sign := range []float32{1, -1, 1} {
			at := j*80 + i
			sum += complex(sign*f32(raw, 2*at), sign*f32(raw, 2*at+1))
			if e := f32(rawErrors, at); !(e > 0 && e < 0.3) {
				t.Fatalf("the error of entry (%d, %d) is %g", i, j, e)
			}
		}
		wrong, power = wrong+sq(y-sum), power+sq(y)
	}
	if wrong > power/100 {
		t.Errorf("B x is off by %.1f dB from what project gives", 10*math.Log10(power/wrong))
	}

	text := writeArray(t, "text.npy", []byte("x"), 1)
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitInput, "--out is needed", []string{"matrix", "--sim"}},
		{exitNoDevice, "use --sim", []string{"matrix", "--out", "c.npy"}},
		{exitInput, "--repeats 1", []string{"matrix", "--sim", "--out", "c.npy", "--repeats", "1"}},
		{exitInput, "at least one feature", []string{"matrix", "--sim", "--out", "c.npy", "--features", "0"}},
		{exitInput, "same file", []string{"matrix", "--sim", "--out", "c.npy", "--errors", "./c.npy"}},
		{exitInput, "is a folder", []string{"matrix", "--sim", "--out", "."}},
		{exitInput, "no calibration's", []string{"matrix", "--sim", "--out", "c.npy", "--calibration", text}},
		{exitInput, "calibrate anew", []string{"matrix", "--sim", "--out", "c.npy", "--calibration", "a.opucal", "--features", "4"}},
		{exitInput, "calibrate anew", []string{"matrix", "--sim", "--seed", "9", "--out", "c.npy", "--calibration", "a.opucal"}},
	} {
		code, stdout, stderr := opuctl(t, c.args...)
		if code != c.code || !strings.Contains(stderr, c.says) || stdout != "" {
			t.Errorf("opuctl %v: exit code %d, want %d with %q:\n%s%s", c.args, code, c.code, c.says, stdout, stderr)
		}
	}
	if left, err := filepath.Glob("c*.npy"); err != nil || len(left) > 0 {
		t.Errorf("files were left behind: %v, %v", left, err)
	}
	// Stopped in the middle: neither of the files is touched.
	before, err := os.ReadFile("B.npy")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(ctx, []string{"matrix", "--sim", "--calibration", "a.opucal", "--out", "B.npy"}, io.Discard, io.Discard); code != exitInterrupt {
		t.Errorf("stopped: exit code %d", code)
	}
	if after, err := os.ReadFile("B.npy"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed by a run that was stopped (%v)", err)
	}
}
