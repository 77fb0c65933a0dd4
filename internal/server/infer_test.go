package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/light-in-the-loop/opu/internal/server"
)

// On the ideal bench every model gives, through both doors, to the last bit what the
// driver gives in the same process.
func TestDoorsAgree(t *testing.T) {
	b := small(t)
	x := randomRows(1, 30, -1)
	clear(x[40:50])
	y := make([]complex64, 30*outputs)
	if err := b.OPU.Project(t.Context(), y, x); err != nil {
		t.Fatal(err)
	}
	onOff := randomRows(2, 20, 0)
	light := make([]float32, 20*outputs)
	if err := b.OPU.Intensity(t.Context(), light, onOff); err != nil {
		t.Fatal(err)
	}
	var realParts []float32
	for _, z := range y {
		realParts = append(realParts, real(z))
	}
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: b.OPU}, Shutter: true})
	for _, door := range []*door{h.socket, h.tcp} {
		for _, c := range []struct {
			model string
			x     []int8
			want  []float32
			shape []int
		}{
			{"opu", x, numbers(y), []int{30, outputs, 2}},
			{"opu-real", x, realParts, []int{30, outputs}},
			{"opu-intensity", onOff, light, []int{20, outputs}},
		} {
			got, shape := door.infer(c.model, c.x, "")
			if !slices.Equal(got, c.want) || !slices.Equal(shape, c.shape) {
				t.Errorf("%s: got shape %v, want %v, or other numbers than the driver's", c.model, shape, c.shape)
			}
			row := len(c.want) / c.shape[0]
			each := row / outputs // numbers of an output
			got, _ = door.infer(c.model, c.x, `,"row_start":7,"row_count":20`)
			for r := range c.shape[0] {
				if want := c.want[r*row+7*each:][:20*each]; len(got) != c.shape[0]*20*each || !slices.Equal(got[r*20*each:][:20*each], want) {
					t.Errorf("%s: outputs 7 to 27 of row %d are not those of all", c.model, r)
				}
			}
		}
	}
}

// The body of a packed request for x, with planes of bits by hand.
func packed(x []int8, planes int) (raw []byte, shape []int) {
	bytes := (inputs + 7) / 8
	for r := range len(x) / inputs {
		for p := range planes {
			plane := make([]byte, bytes)
			for i, v := range x[r*inputs : (r+1)*inputs] {
				if v == int8(1-2*p) {
					plane[i/8] |= 0x80 >> (i % 8)
				}
			}
			raw = append(raw, plane...)
		}
	}
	return raw, []int{len(x) / inputs, planes, bytes}
}

func TestForms(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Shutter: true})
	d := h.socket
	x := []int8{1, 0, -1, 1, 0, 0, 1, -1, 0, 1} // the example of the reference, 14.1
	want := numbers(fakeRow(x))

	raw, shape := packed(x, 2)
	if !bytes.Equal(raw, []byte{146, 64, 33, 0}) {
		t.Fatalf("the example of the reference is packed to %v", raw)
	}
	text := fmt.Sprintf(`{"inputs":[{"name":"x_bits","shape":[%d,%d,%d],"datatype":"UINT8","parameters":{"binary_data_size":4}}],"parameters":{"binary_data_output":true}}`, shape[0], shape[1], shape[2])
	_, header, body := d.do("POST", "/v2/models/opu-packed/infer", append([]byte(text), raw...), headerLength, fmt.Sprint(len(text)))
	if got, _ := d.tensor(header, body); !slices.Equal(got, want) {
		t.Errorf("packed: %s", body)
	}

	// Raw bytes, packed and not.
	_, header, body = d.do("POST", "/v2/models/opu/infer", []byte("\x01\x00\xff\x01\x00\x00\x01\xff\x00\x01"), headerLength, "0")
	if got, shape := d.tensor(header, body); !slices.Equal(got, want) || !slices.Equal(shape, []int{1, outputs, 2}) {
		t.Errorf("raw: %s", body)
	}
	_, header, body = d.do("POST", "/v2/models/opu-packed/infer", raw, headerLength, "0")
	if got, _ := d.tensor(header, body); !slices.Equal(got, want) {
		t.Errorf("raw and packed: %s", body)
	}
	_, header, body = d.do("POST", "/v2/models/opu-packed/infer", []byte{146, 64}, headerLength, "0")
	if got, _ := d.tensor(header, body); !slices.Equal(got, numbers(fakeRow([]int8{1, 0, 0, 1, 0, 0, 1, 0, 0, 1}))) {
		t.Errorf("raw and one plane: %s", body)
	}

	// JSON both ways, with a window of the outputs, as an unmodified client sends it.
	status, header, body := d.do("POST", "/v2/models/opu-real/versions/"+h.server.Version()+"/infer",
		[]byte(`{"id":"a","inputs":[{"name":"x","shape":[1,10],"datatype":"INT8","data":[[1,0,-1,1,0,0,1,-1,0,1]]}],"parameters":{"row_start":3,"row_count":2}}`))
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil || status != 200 || header.Get("Content-Type") != "application/json" {
		t.Fatalf("JSON: status %d, %v: %s", status, err, body)
	}
	parameters := got["parameters"].(map[string]any)
	if parameters["epoch"] != "b-fake" || parameters["corr"] != 0.99 {
		t.Errorf("the response's parameters are %v", parameters)
	}
	delete(got, "parameters")
	if diff := cmp.Diff(map[string]any{
		"model_name": "opu-real", "model_version": h.server.Version(), "id": "a",
		"outputs": []any{map[string]any{
			"name": "y", "datatype": "FP32", "shape": []any{1.0, 2.0},
			"data": []any{float64(real(fakeRow(x)[3])), float64(real(fakeRow(x)[4]))},
		}},
	}, got); diff != "" {
		t.Errorf("JSON (-want +got):\n%s", diff)
	}

	// No rows.
	if y, shape := d.infer("opu", nil, ""); len(y) != 0 || !slices.Equal(shape, []int{0, outputs, 2}) {
		t.Errorf("no rows: shape %v", shape)
	}
}

// Windows are slices of the whole, and repeated exposures the mean of their results.
func TestParameters(t *testing.T) {
	calls := 0
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: &fake{project: func(context.Context) error { calls++; return nil }}}})
	x := randomRows(5, 7, -1)
	whole, _ := h.socket.infer("opu", x, "")
	window, shape := h.socket.infer("opu", x, `,"row_start":10,"row_count":20`)
	if !slices.Equal(shape, []int{7, 20, 2}) {
		t.Errorf("the window's shape is %v", shape)
	}
	for r := range 7 {
		if !slices.Equal(window[r*40:(r+1)*40], whole[(r*outputs+10)*2:][:40]) {
			t.Errorf("row %d of the window is not that of the whole", r)
		}
	}
	calls = 0
	repeated, _ := h.socket.infer("opu", x, `,"repeat":4`)
	if calls != 4 || !slices.Equal(repeated, whole) {
		t.Errorf("4 exposures made %d calls, or another mean", calls)
	}
}

func TestRefusals(t *testing.T) {
	h := start(t, server.Options{Matrix: &server.Matrix{OPU: new(fake)}, Limits: server.Limits{Body: 1 << 16, JSON: 1 << 12, Response: 1 << 14, Memory: 1 << 16}})
	row := `"data":[1,0,0,0,0,0,0,0,0,1]`
	x := func(shape, rest string) string {
		return `{"inputs":[{"name":"x","shape":` + shape + `,"datatype":"INT8",` + rest + `}]}`
	}
	good := x("[1,10]", row)
	infer := "/v2/models/opu/infer"
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		says                     string
	}{
		{"path", "GET", "/v2/nowhere", "", 404, "/v2/nowhere"},
		{"path outside", "GET", "/nowhere", "", 404, ""},
		{"model", "POST", "/v2/models/other/infer", good, 404, "opu-real"},
		{"version", "POST", "/v2/models/opu/versions/1/infer", good, 404, "b-fake"},
		{"version's metadata", "GET", "/v2/models/opu/versions/1", "", 404, "another matrix"},
		{"method", "GET", infer, "", 405, "POST"},
		{"method of health", "POST", "/v2/health/live", "", 405, "GET"},
		{"no body", "POST", infer, "", 400, ""},
		{"no input", "POST", infer, `{}`, 400, "one input, called x"},
		{"another input", "POST", infer, strings.Replace(good, `"x"`, `"X"`, 1), 400, "called x"},
		{"another output", "POST", infer, good[:len(good)-1] + `,"outputs":[{"name":"z"}]}`, 400, "the only one is y"},
		{"wrong length", "POST", infer, x("[1,9]", `"data":[1,0,0,0,0,0,0,0,0]`), 400, "[-1 10]"},
		{"one dimension", "POST", infer, x("[10]", row), 400, "[-1 10]"},
		{"value", "POST", infer, x("[1,10]", `"data":[1,0,0,0,0,2,0,0,0,1]`), 400, "entry 5 of row 0"},
		{"half precision", "POST", infer, strings.Replace(good, "INT8", "FP16", 1), 400, "FP16"},
		{"ternary light", "POST", "/v2/models/opu-intensity/infer", good, 501, "shutter"},
		{"packed shape", "POST", "/v2/models/opu-packed/infer", `{"inputs":[{"name":"x_bits","shape":[1,3,2],"datatype":"UINT8","data":[0,0,0,0,0,0]}]}`, 400, "planes"},
		{"both planes", "POST", "/v2/models/opu-packed/infer", `{"inputs":[{"name":"x_bits","shape":[1,2,2],"datatype":"UINT8","data":[128,0,128,0]}]}`, 400, "both planes"},
		{"spare bits", "POST", "/v2/models/opu-packed/infer", `{"inputs":[{"name":"x_bits","shape":[1,1,2],"datatype":"UINT8","data":[128,1]}]}`, 400, "beyond its 10"},
		{"unknown parameter", "POST", infer, good[:len(good)-1] + `,"parameters":{"row_cout":3}}`, 400, "row_cout"},
		{"bad window", "POST", infer, good[:len(good)-1] + `,"parameters":{"row_start":60,"row_count":10}}`, 400, "there are 64"},
		{"bad repeat", "POST", infer, good[:len(good)-1] + `,"parameters":{"repeat":0}}`, 400, "repeat"},
		{"too many rows", "POST", infer, x("[1000000,10]", row), 413, "max_batch_size"},
		{"too much JSON", "POST", infer, good + strings.Repeat(" ", 1<<12), 413, "binary"},
		{"too large", "POST", infer, strings.Repeat(" ", 1<<16+1), 413, "fewer rows"},
		{"shared memory", "POST", "/v2/systemsharedmemory/region/a/register", "{}", 501, "binary"},
	} {
		status, header, body := h.socket.do(c.method, c.path, []byte(c.body))
		var v struct{ Error string }
		if err := json.Unmarshal(body, &v); err != nil || status != c.status || header.Get("Content-Type") != "application/json" ||
			!strings.HasPrefix(v.Error, "cannot ") || !strings.Contains(v.Error, c.says) {
			t.Errorf("%s: status %d, want %d, with an error that names %q; got %s", c.name, status, c.status, c.says, body)
		}
	}
	if status, _, body := h.socket.do("POST", infer, []byte(good), "Content-Encoding", "gzip"); status != 415 {
		t.Errorf("a compressed body: status %d, %s", status, body)
	}
	if status, _, _ := h.socket.do("POST", infer, []byte(good)); status != 200 {
		t.Errorf("after all that a good request has status %d", status)
	}
}
