package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/light-in-the-loop/opu/client"
	"github.com/light-in-the-loop/opu/dfa"
)

var _ dfa.Projector = (*client.Stack)(nil)

// A tower is several daemons whose OPUs are stacked.
type tower struct {
	opus     []*ready
	paths    []string
	stops    []func()
	manifest *client.Manifest
}

// build serves OPUs of different sizes, and makes their manifest.
func build(t testing.TB) *tower {
	t.Helper()
	w := &tower{}
	var parts []client.Part
	for i, outputs := range []int{5, 9, 2} {
		opu := &ready{outputs: outputs, inputs: 7, epoch: fmt.Sprint("b-", i)}
		path := filepath.Join(t.TempDir(), "opud.sock")
		_, stop := serve(t, opu, path)
		w.opus, w.paths, w.stops = append(w.opus, opu), append(w.paths, path), append(w.stops, stop)
		parts = append(parts, client.Part{URL: path})
	}
	parts[1].Rows, parts[1].Scale = [2]int{5, 11}, -0.5 // six of its nine outputs
	var err error
	if w.manifest, err = client.NewManifest(t.Context(), parts, client.Options{}); err != nil {
		t.Fatal(err)
	}
	return w
}

// want is what the stack gives for rows of x, put together slowly.
func (w *tower) want(t testing.TB, x []int8) (y []complex64) {
	t.Helper()
	rows := len(x) / 7
	for r := range rows {
		for i, opu := range w.opus {
			own := make([]complex64, opu.outputs)
			opu.Project(t.Context(), own, x[r*7:(r+1)*7])
			p := w.manifest.Parts[i]
			for _, z := range own[:p.Rows[1]-p.Rows[0]] {
				y = append(y, z*complex(float32(p.Scale), 0))
			}
		}
	}
	return y
}

func dialStack(t testing.TB, m *client.Manifest, o client.Options) *client.Stack {
	t.Helper()
	s, err := client.DialStack(t.Context(), m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStack(t *testing.T) {
	w := build(t)
	s := dialStack(t, w.manifest, client.Options{})
	if m, n := s.Shape(); m != 13 || n != 7 {
		t.Fatalf("the stack is %d x %d, want 13 x 7", m, n)
	}
	const rows = 4100 // more than a request has
	x := randomRows(3, rows, 7)
	want, got := w.want(t, x), make([]complex64, rows*13)
	if err := s.Project(t.Context(), got, x); err != nil || !slices.Equal(got, want) {
		t.Errorf("not the parts one below the other (%v)", err)
	}
	real32 := make([]float32, rows*13)
	if err := s.ProjectReal(t.Context(), real32, x); err != nil {
		t.Error(err)
	}
	for i, z := range want {
		if real32[i] != real(z) {
			t.Fatalf("real part %d is %v, want that of %v", i, real32[i], z)
		}
	}
	// The first ten outputs, of the first four inputs.
	part := dialStack(t, w.manifest, client.Options{Outputs: 10, Inputs: 4})
	few := make([]complex64, 10)
	if err := part.Project(t.Context(), few, []int8{1, 0, -1, 1}); err != nil || !slices.Equal(few, w.want(t, []int8{1, 0, -1, 1, 0, 0, 0})[:10]) {
		t.Errorf("a part of the stack: %v (%v)", few, err)
	}
	if err := s.Project(t.Context(), nil, nil); err != nil {
		t.Errorf("no rows: %v", err)
	}
	if err := s.Project(t.Context(), few, x[:7]); !errors.Is(err, client.ErrInput) {
		t.Errorf("outputs that do not fit: %v, want ErrInput", err)
	}
}

// The name of the stacked matrix is that of all that makes it, and of nothing else.
func TestStackEpoch(t *testing.T) {
	w := build(t)
	epoch := dialStack(t, w.manifest, client.Options{}).Epoch()
	moved := *w.manifest
	moved.Parts = slices.Clone(moved.Parts)
	moved.Parts[0].URL = "unix://" + moved.Parts[0].URL
	if e := dialStack(t, &moved, client.Options{}).Epoch(); e != epoch {
		t.Errorf("another address makes %s of %s", e, epoch)
	}
	moved.Parts[1].Scale = 1
	if e := dialStack(t, &moved, client.Options{}).Epoch(); e == epoch {
		t.Errorf("another scale leaves it %s", e)
	}
}

// Every part must be what the manifest says, and the error names the one that is not.
func TestStackRefusals(t *testing.T) {
	w := build(t)
	other := &ready{outputs: 2, inputs: 6, epoch: "b-narrow"}
	path := filepath.Join(t.TempDir(), "opud.sock")
	serve(t, other, path)
	narrow, err := client.NewManifest(t.Context(), []client.Part{{URL: path}}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hasty := client.Options{Patience: -1}
	for _, c := range []struct {
		name   string
		change func(parts []client.Part)
		want   error
		says   string
	}{
		{"another version", func(p []client.Part) { p[1].Version = "17" }, client.ErrOtherMatrix, "part 1"},
		{"another epoch", func(p []client.Part) { p[2].Epoch = "b-9" }, client.ErrOtherMatrix, "part 2"},
		{"another model", func(p []client.Part) { p[0].Model = "left" }, client.ErrInput, "part 0"},
		{"nobody there", func(p []client.Part) { p[1].URL += "-missing" }, client.ErrUnavailable, "part 1"},
		{"too many rows", func(p []client.Part) { p[2].Rows[1]++ }, client.ErrInput, "part 2"},
		{"other inputs", func(p []client.Part) { p[2] = narrow.Parts[0]; p[2].Rows = [2]int{11, 13} }, client.ErrInput, "part 2"},
	} {
		m := *w.manifest
		m.Parts = slices.Clone(m.Parts)
		c.change(m.Parts)
		if _, err := client.DialStack(t.Context(), &m, hasty); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %v and %q", c.name, err, c.want, c.says)
		}
	}
	for _, o := range []client.Options{{Outputs: 14}, {Outputs: -1}, {Inputs: 8}, {Lease: "a,b"}} {
		if _, err := client.DialStack(t.Context(), w.manifest, o); !errors.Is(err, client.ErrInput) {
			t.Errorf("%+v: %v, want ErrInput", o, err)
		}
	}
}

// When one daemon goes, the whole fails and names it; when it is back with its matrix
// the stack goes on, and with another matrix never.
func TestStackReconnects(t *testing.T) {
	w := build(t)
	hasty, patient := dialStack(t, w.manifest, client.Options{Patience: -1}), dialStack(t, w.manifest, client.Options{})
	x := randomRows(5, 3, 7)
	y := make([]complex64, 3*13)
	w.stops[1]()
	if err := hasty.Project(t.Context(), y, x); !errors.Is(err, client.ErrUnavailable) || !strings.Contains(err.Error(), "part 1") {
		t.Errorf("without part 1: %v, want ErrUnavailable that names it", err)
	}
	done := make(chan error)
	go func() { done <- patient.Project(t.Context(), y, x) }()
	_, stop := serve(t, w.opus[1], w.paths[1])
	if err := <-done; err != nil || !slices.Equal(y, w.want(t, x)) {
		t.Errorf("with part 1 back: %v, or other results", err)
	}
	stop()
	serve(t, &ready{outputs: 9, inputs: 7, epoch: "b-new"}, w.paths[1])
	if err := patient.Project(t.Context(), y, x); !errors.Is(err, client.ErrOtherMatrix) || !strings.Contains(err.Error(), "part 1") {
		t.Errorf("with another matrix: %v, want ErrOtherMatrix that names part 1", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := patient.Project(ctx, y, x); !errors.Is(err, cause) {
		t.Errorf("with an ended context: %v", err)
	}
}

const exampleManifest = `{
  "stack": 1,
  "parts": [
    {
      "url": "/run/opud/opud.sock",
      "model": "opu",
      "version": "4215",
      "epoch": "b-0123456789abcdef",
      "rows": [
        0,
        2304
      ],
      "scale": 1
    },
    {
      "url": "https://lab.example:8000",
      "model": "left",
      "version": "7",
      "epoch": "b-fedcba9876543210",
      "rows": [
        2304,
        3000
      ],
      "scale": 0.5
    }
  ]
}
`

func TestManifest(t *testing.T) {
	m, err := client.ReadManifest(strings.NewReader(exampleManifest))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "stack.json")
	if err := m.Save(path); err != nil {
		t.Fatal(err)
	}
	again, err := client.LoadManifest(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, again); diff != "" {
		t.Errorf("saved and loaded it differs (-want +got):\n%s", diff)
	}
	var text bytes.Buffer
	if err := m.Write(&text); err != nil || text.String() != exampleManifest {
		t.Errorf("written it is (%v)\n%s", err, &text)
	}
	for _, c := range []struct{ old, new, says string }{
		{`"stack": 1`, `"stack": 2`, "format is 2"},
		{`"stack": 1,`, ``, "format is 0"},
		{`"parts"`, `"part"`, "unknown field"},
		{`"epoch"`, `"epoh"`, "unknown field"},
		{"  ]\n}\n", "  ]\n}\n{}", "goes on"},
		{`"url": "/run/opud/opud.sock"`, `"url": ""`, "part 0"},
		{`"url": "/run/opud/opud.sock"`, `"url": "opud.sock"`, "part 0"},
		{`"model": "left"`, `"model": "left/right"`, "part 1"},
		{`"version": "7"`, `"version": ""`, "part 1"},
		{`"version": "7"`, `"version": "4215"`, "the matrix of part 0"},
		{`"version": "7"`, `"version": 7`, "cannot unmarshal"},
		{`"epoch": "b-fedcba9876543210"`, `"epoch": ""`, "part 1"},
		{"2304,\n        3000", "2305,\n        3000", "begin with 2305"},
		{"2304,\n        3000", "2304,\n        2304", "part 1"},
		{"2304,\n        3000", "2304,\n        30000000000", "part 1"},
		{"2304,\n        3000", "2304", "[first, end]"},
		{"2304,\n        3000", "2304,\n        3000, 5", "[first, end]"},
		{"0,\n        2304", "-1,\n        2304", "part 0"},
		{`"scale": 0.5`, `"scale": 0`, "part 1"},
		{`"scale": 0.5`, `"scale": 1e300`, "part 1"},
		{`"scale": 1`, `"scale": null`, "part 0"},
		{"  \"parts\"", strings.Repeat(" ", 1<<20) + `"parts"`, "cannot read the stack"},
	} {
		text := strings.Replace(exampleManifest, c.old, c.new, 1)
		if _, err := client.ReadManifest(strings.NewReader(text)); !errors.Is(err, client.ErrInput) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q for %q: %v; want ErrInput and %q", c.new, c.old, err, c.says)
		}
	}
	if _, err := client.LoadManifest(path + "-missing"); err == nil {
		t.Error("a missing file is read")
	}
}

// What is read without an error is a stack, and is the same when it is written and read
// again.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(exampleManifest))
	f.Add([]byte(`{"stack":1,"parts":[{"url":"http://a","model":"b","version":"1","epoch":"c","rows":[0,1],"scale":-1e-15}]}`))
	f.Add([]byte(`{"stack":1,"parts":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := client.ReadManifest(bytes.NewReader(text))
		if err != nil {
			if !errors.Is(err, client.ErrInput) {
				t.Errorf("%v is not ErrInput", err)
			}
			return
		}
		var b bytes.Buffer
		if err := m.Write(&b); err != nil {
			t.Fatal(err)
		}
		again, err := client.ReadManifest(&b)
		if diff := cmp.Diff(m, again); err != nil || diff != "" {
			t.Errorf("written and read again it is another (%v):\n%s", err, diff)
		}
	})
}
