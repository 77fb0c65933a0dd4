package oip_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/light-in-the-loop/opu/internal/oip"
)

var limits = oip.Limits{JSON: 1 << 16, Body: 1 << 20}

// read reads a request whose JSON part is followed by binary data. The header is
// left out if it is negative.
func read(text, data string, header int) (*oip.Request, error) {
	h := ""
	if header >= 0 {
		h = strconv.Itoa(header)
	}
	return oip.ReadRequest(strings.NewReader(text+data), int64(len(text)+len(data)), h, limits)
}

const (
	exampleRequest  = `{"id":"7","inputs":[{"name":"x","shape":[2,4],"datatype":"INT8","parameters":{"binary_data_size":8}}],"outputs":[{"name":"y","parameters":{"binary_data":true}}]}`
	exampleX        = "\x01\x00\xff\x01\x00\x00\x01\xff"
	exampleResponse = `{"model_name":"opu","model_version":"3","id":"7","outputs":[{"name":"y","datatype":"FP32","shape":[2,2,2],"parameters":{"binary_data_size":32}}]}`
	exampleY        = "\x00\x00\x80\x3f\x00\x00\x00\x3f\x00\x00\x00\xc0\x00\x00\x80\xbf\x00\x00\x80\x3e\x00\x00\x00\x00\x00\x00\x40\x40\x00\x00\x00\xbf"
)

// The worked example of the reference, section 4.1.
func TestExample(t *testing.T) {
	if len(exampleRequest) != 161 || len(exampleResponse) != 145 {
		t.Fatalf("the example has %d and %d bytes of JSON, want 161 and 145", len(exampleRequest), len(exampleResponse))
	}
	r, err := read(exampleRequest, exampleX, 161)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]byte, r.Inputs[0].Elements)
	if err := r.ReadData(x); err != nil {
		t.Fatal(err)
	}
	if string(x) != exampleX || r.ID != "7" || !slices.Equal(r.Inputs[0].Shape, []int{2, 4}) || r.Inputs[0].Datatype != oip.Int8 ||
		!slices.Equal(r.Outputs, []oip.Output{{Name: "y", Binary: true}}) {
		t.Errorf("read %+v with data %v", r, x)
	}

	var data []byte
	for _, v := range []float32{1, 0.5, -2, -1, 0.25, 0, 3, -0.5} {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	w := httptest.NewRecorder()
	response := oip.Response{Model: "opu", Version: "3", ID: "7", Name: "y", Shape: []int{2, 2, 2}, Binary: true, Data: data}
	if err := response.Write(w); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(exampleResponse+exampleY, w.Body.String()); diff != "" {
		t.Errorf("the response differs (-want +got):\n%s", diff)
	}
	if h := w.Header(); h.Get(oip.HeaderLength) != "145" || h.Get("Content-Length") != "177" || h.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("its headers are %v", h)
	}

	w = httptest.NewRecorder()
	response.Binary = false
	if err := response.Write(w); err != nil {
		t.Fatal(err)
	}
	want := `{"model_name":"opu","model_version":"3","id":"7","outputs":[{"name":"y","datatype":"FP32","shape":[2,2,2],"data":[1,0.5,-2,-1,0.25,0,3,-0.5]}]}`
	if w.Body.String() != want || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("as JSON, with headers %v: %s", w.Header(), w.Body)
	}
}

// One input in every form that is allowed.
func TestForms(t *testing.T) {
	input := func(rest string) string { return `{"inputs":[{"name":"x","shape":[2,3],` + rest + `}]}` }
	for _, c := range []struct {
		name, text string
		want       []byte
	}{
		{"flat", input(`"datatype":"INT8","data":[1,-1,0, 0,1,1]`), []byte{1, 255, 0, 0, 1, 1}},
		{"nested", input(`"datatype":"INT8","data":[ [1,-1,0] , [0,1,1] ]`), []byte{1, 255, 0, 0, 1, 1}},
		{"BOOL words", input(`"datatype":"BOOL","data":[true,false,false,true,true,false]`), []byte{1, 0, 0, 1, 1, 0}},
		{"BOOL numbers", input(`"datatype":"BOOL","data":[1,0,0,1,1,0]`), []byte{1, 0, 0, 1, 1, 0}},
		{"UINT8", input(`"datatype":"UINT8","data":[255,0,0,1,1,0]`), []byte{255, 0, 0, 1, 1, 0}},
		{"unknown fields", `{"model_name":"opu","inputs":[{"name":"x","shape":[2],"datatype":"INT8","data":[0,1],"new":{}}],"newer":[]}`, []byte{0, 1}},
		{"deeper", `{"inputs":[{"name":"x","shape":[1,2,2],"datatype":"INT8","data":[[[0,1],[1,0]]]}]}`, []byte{0, 1, 1, 0}},
		{"half as deep", `{"inputs":[{"name":"x","shape":[2,1,2],"datatype":"INT8","data":[[0,1],[1,0]]}]}`, []byte{0, 1, 1, 0}},
		{"no rows", `{"inputs":[{"name":"x","shape":[0,3],"datatype":"INT8"}]}`, []byte{}},
		{"no rows, data", `{"inputs":[{"name":"x","shape":[0,3],"datatype":"INT8","data":[]}]}`, []byte{}},
		{"null is nothing", `{"id":null,"parameters":null,"inputs":[{"name":"x","shape":[0],"datatype":"INT8","data":null,"parameters":null}],"outputs":null}`, []byte{}},
	} {
		r, err := read(c.text, "", -1)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		x := make([]byte, r.Inputs[0].Elements)
		if err := r.ReadData(x); err != nil || !slices.Equal(x, c.want) {
			t.Errorf("%s: read %v (%v), want %v", c.name, x, err, c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	binary := `{"inputs":[{"name":"x","shape":[2,2],"datatype":"INT8","parameters":{"binary_data_size":4}}]}`
	json := func(rest string) string {
		return `{"inputs":[{"name":"x","shape":[2,2],"datatype":"INT8"` + rest + `}]}`
	}
	long := strings.Repeat("x", 1<<16)
	for _, c := range []struct {
		name, text, data string
		header           int // as read; -2: as long as the text
		want             error
	}{
		{"header missing", binary, "abcd", -1, oip.ErrRequest},
		{"header too large", binary, "abcd", 1000, oip.ErrRequest},
		{"header too small", binary, "abcd", 20, oip.ErrRequest},
		{"header beyond the limit", binary, "abcd", 1 << 30, oip.ErrTooLarge},
		{"bytes missing", binary, "abc", -2, oip.ErrRequest},
		{"bytes left over", binary, "abcde", -2, oip.ErrRequest},
		{"binary size without binary data", binary, "", -1, oip.ErrRequest},
		{"two sources", json(`,"data":[1,1,1,1],"parameters":{"binary_data_size":4}`), "abcd", -2, oip.ErrRequest},
		{"no source", json(``), "", -1, oip.ErrRequest},
		{"wrong size", json(`,"parameters":{"binary_data_size":5}`), "abcde", -2, oip.ErrRequest},
		{"size is no number", json(`,"parameters":{"binary_data_size":"4"}`), "abcd", -2, oip.ErrRequest},
		{"half precision", `{"inputs":[{"name":"x","shape":[1],"datatype":"FP16","data":[1]}]}`, "", -1, oip.ErrRequest},
		{"negative dimension", `{"inputs":[{"name":"x","shape":[-1,-1],"datatype":"INT8","data":[1]}]}`, "", -1, oip.ErrRequest},
		{"overflow", `{"inputs":[{"name":"x","shape":[4294967296,4294967296],"datatype":"INT8","data":[]}]}`, "", -1, oip.ErrRequest},
		{"overflow at once", `{"inputs":[{"name":"x","shape":[9223372036854775807],"datatype":"INT8","data":[]}]}`, "", -1, oip.ErrRequest},
		{"overflow past int64", `{"inputs":[{"name":"x","shape":[92233720368547758070],"datatype":"INT8","data":[]}]}`, "", -1, oip.ErrRequest},
		{"many dimensions", `{"inputs":[{"name":"x","shape":[1,1,1,1,1,1,1,1,1],"datatype":"INT8","data":[1]}]}`, "", -1, oip.ErrRequest},
		{"the same input twice", `{"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[1]},{"name":"x","shape":[1],"datatype":"INT8","data":[1]}]}`, "", -1, oip.ErrRequest},
		{"the same output twice", `{"outputs":[{"name":"y"},{"name":"y"}]}`, "", -1, oip.ErrRequest},
		{"many outputs", `{"outputs":[` + strings.Repeat(`{"name":"y"},`, 16) + `{"name":"y"}]}`, "", -1, oip.ErrRequest},
		{"shared memory and data", json(`,"data":[1,1,1,1],"parameters":{"shared_memory_region":"r","shared_memory_byte_size":4}`), "", -1, oip.ErrRequest},
		{"shared memory too small", json(`,"parameters":{"shared_memory_region":"r","shared_memory_byte_size":3}`), "", -1, oip.ErrRequest},
		{"shared memory without a size", json(`,"parameters":{"shared_memory_region":"r"}`), "", -1, oip.ErrRequest},
		{"shared memory without a region", json(`,"parameters":{"shared_memory_byte_size":4}`), "", -1, oip.ErrRequest},
		{"shared memory before its begin", json(`,"parameters":{"shared_memory_region":"r","shared_memory_byte_size":4,"shared_memory_offset":-1}`), "", -1, oip.ErrRequest},
		{"shared memory of a number", json(`,"parameters":{"shared_memory_region":5,"shared_memory_byte_size":4}`), "", -1, oip.ErrRequest},
		{"shared memory out, without a size", `{"outputs":[{"name":"y","parameters":{"shared_memory_region":"r"}}]}`, "", -1, oip.ErrRequest},
		{"many inputs", `{"inputs":[` + strings.Repeat(`{},`, 1000) + `{}]}`, "", -1, oip.ErrRequest},
		{"many inputs that are nothing", `{"inputs":[` + strings.Repeat(`null,`, 10000) + `null]}`, "", -1, oip.ErrRequest},
		{"many parameters", `{"parameters":{` + strings.Repeat(`"a":1,`, 5000) + `"z":1}}`, "", -1, oip.ErrRequest},
		{"nested parameter", `{"parameters":{"binary_data_output":[1]}}`, "", -1, oip.ErrRequest},
		{"nested very deep", `{"new":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, "", -1, oip.ErrRequest},
		{"inputs are no array", `{"inputs":{}}`, "", -1, oip.ErrRequest},
		{"parameters are no object", `{"parameters":[]}`, "", -1, oip.ErrRequest},
		{"binary_data is no bool", `{"outputs":[{"name":"y","parameters":{"binary_data":1}}]}`, "", -1, oip.ErrRequest},
		{"no JSON", `hello`, "", -1, oip.ErrRequest},
		{"empty", ``, "", -1, oip.ErrRequest},
		{"cut short", `{"inputs":[`, "", -1, oip.ErrRequest},
		{"two objects", `{}{}`, "", -1, oip.ErrRequest},
		{"more JSON than may be", `{"id":"` + long + `"}`, "", -1, oip.ErrTooLarge},
		{"more than may be", binary, strings.Repeat(long, 17), -2, oip.ErrTooLarge},

		{"too few", json(`,"data":[1,1,1]`), "", -1, oip.ErrRequest},
		{"too many", json(`,"data":[1,1,1,1,1]`), "", -1, oip.ErrRequest},
		{"uneven", json(`,"data":[[1,1,1],[1]]`), "", -1, oip.ErrRequest},
		{"half nested", json(`,"data":[1,[1,1],1]`), "", -1, oip.ErrRequest},
		{"nested late", json(`,"data":[[1,1],1,1]`), "", -1, oip.ErrRequest},
		{"too deep", json(`,"data":[[[1],[1]],[[1],[1]]]`), "", -1, oip.ErrRequest},
		{"wrong parts", json(`,"data":[[1,1],[1,1],[]]`), "", -1, oip.ErrRequest},
		{"fraction", json(`,"data":[1,1,1,0.5]`), "", -1, oip.ErrRequest},
		{"out of range", json(`,"data":[1,1,1,128]`), "", -1, oip.ErrRequest},
		{"string", json(`,"data":[1,1,1,"]"]`), "", -1, oip.ErrRequest},
		{"a word in INT8", json(`,"data":[1,1,1,true]`), "", -1, oip.ErrRequest},
		{"object", json(`,"data":{"0":1}`), "", -1, oip.ErrRequest},
		{"scalar", json(`,"data":1`), "", -1, oip.ErrRequest},
	} {
		header := c.header
		if header == -2 {
			header = len(c.text)
		}
		r, err := read(c.text, c.data, header)
		if err == nil && len(r.Inputs) > 0 {
			err = r.ReadData(make([]byte, r.Inputs[0].Elements))
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		} else if !strings.HasPrefix(err.Error(), "cannot ") || len(err.Error()) > 300 {
			t.Errorf("%s: the error is of no use: %v", c.name, err)
		}
	}
	for _, header := range []string{"-1", "0x10", "1e3", " 1", "99999999999999999999"} {
		if _, err := oip.ReadRequest(strings.NewReader(binary), -1, header, limits); !errors.Is(err, oip.ErrRequest) {
			t.Errorf("header %q: %v, want ErrRequest", header, err)
		}
	}
}

// Without a length (a chunked body), the end is found by reading.
func TestUnknownLength(t *testing.T) {
	for _, c := range []struct {
		data string
		want error
	}{{exampleX, nil}, {exampleX[:7], oip.ErrRequest}, {exampleX + "!", oip.ErrRequest}} {
		r, err := oip.ReadRequest(strings.NewReader(exampleRequest+c.data), -1, "161", limits)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.ReadData(make([]byte, 8)); !errors.Is(err, c.want) {
			t.Errorf("%d bytes: %v, want %v", len(c.data), err, c.want)
		}
	}
}

// A tensor may be in memory that both sides see (section 8).
func TestRegions(t *testing.T) {
	r, err := read(`{"inputs":[{"name":"x","shape":[2,2],"datatype":"INT8","parameters":{"shared_memory_region":"r","shared_memory_byte_size":5,"shared_memory_offset":3}}],
		"outputs":[{"name":"y","parameters":{"shared_memory_region":"s","shared_memory_byte_size":100,"binary_data":false}}]}`, "", -1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]*oip.Region{{Name: "r", Offset: 3, Size: 5}, {Name: "s", Size: 100}}, []*oip.Region{r.Inputs[0].Region, r.Outputs[0].Region}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	w := httptest.NewRecorder()
	if err := (&oip.Response{Model: "opu", Version: "3", Name: "y", Shape: []int{2, 2}, Shared: true, Binary: true}).Write(w); err != nil {
		t.Fatal(err)
	}
	// No parameters on the output: clients take one that has them for binary (section 5).
	if want := `{"model_name":"opu","model_version":"3","outputs":[{"name":"y","datatype":"FP32","shape":[2,2]}]}`; w.Body.String() != want || w.Header().Get(oip.HeaderLength) != "" {
		t.Errorf("the response is %s with %v", w.Body, w.Header())
	}
}

// A request that is no JSON obeys the same rules.
func TestMessage(t *testing.T) {
	x := oip.MessageInput{Name: "x", Datatype: oip.Int8, Shape: []int64{2, 2}, Bytes: []byte{1, 0, 255, 1}}
	r, err := oip.NewRequest(oip.Message{ID: "7", Inputs: []oip.MessageInput{x}, Outputs: []oip.MessageOutput{{Name: "y"}}})
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if err := r.ReadData(got); err != nil || !bytes.Equal(got, x.Bytes) || !r.Binary || !r.Outputs[0].Binary {
		t.Errorf("read %v of %+v (%v)", got, r, err)
	}
	short := x
	short.Bytes = short.Bytes[:3]
	negative := x
	negative.Shape = []int64{-2, -2}
	nowhere := x
	nowhere.Bytes = nil
	for name, m := range map[string]oip.Message{
		"too few":       {Inputs: []oip.MessageInput{short}},
		"negative":      {Inputs: []oip.MessageInput{negative}},
		"nowhere":       {Inputs: []oip.MessageInput{nowhere}},
		"twice":         {Inputs: []oip.MessageInput{x, x}},
		"many":          {Inputs: make([]oip.MessageInput, 17)},
		"no boolean":    {Parameters: map[string]any{"binary_data_output": int64(1)}, Inputs: []oip.MessageInput{x}},
		"no bytes' end": {Outputs: []oip.MessageOutput{{Name: "y", Parameters: map[string]any{"shared_memory_region": "r", "shared_memory_byte_size": uint64(1 << 63)}}}},
	} {
		if _, err := oip.NewRequest(m); !errors.Is(err, oip.ErrRequest) {
			t.Errorf("%s: %v, want ErrRequest", name, err)
		}
	}
}

// A raw request is nothing but bytes (section 4.2).
func TestRaw(t *testing.T) {
	r, err := read("", "\x01\xff\x00", 0)
	if err != nil || !r.Raw || r.RawSize != 3 || !r.Binary {
		t.Fatalf("got %+v, %v", r, err)
	}
	x := make([]byte, 3)
	if err := r.ReadData(x); err != nil || string(x) != "\x01\xff\x00" {
		t.Errorf("read %v, %v", x, err)
	}
}

func TestInt(t *testing.T) {
	for text, want := range map[string]int64{"5": 5, "-3": -3, "2.0": 2, "1e3": 1000} {
		if got, err := oip.Int(json.Number(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, v := range []any{json.Number("0.5"), json.Number("1e400"), "5", true, nil} {
		if got, err := oip.Int(v); !errors.Is(err, oip.ErrRequest) {
			t.Errorf("%v: %d, %v", v, got, err)
		}
	}
}

// Whatever is sent: no panic, and what is accepted is what encoding/json reads.
func FuzzReadRequest(f *testing.F) {
	f.Add([]byte(exampleRequest), []byte(exampleX), 161)
	f.Add([]byte(`{"inputs":[{"name":"x","shape":[2,2],"datatype":"INT8","data":[[1,0],[0,-1]]}]}`), []byte(nil), -1)
	f.Add([]byte(`{"inputs":[{"name":"x","shape":[3],"datatype":"BOOL","data":[true,0, false]}],"outputs":[{"name":"y"}]}`), []byte(nil), -1)
	f.Add([]byte(`{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[1,3,2],"datatype":"UINT8","data":[[1,0,255,3,4,5]]}]}`), []byte(nil), -1)
	f.Add([]byte(``), []byte("\x01\x02"), 0)
	f.Fuzz(func(t *testing.T, text, data []byte, header int) {
		r, err := read(string(text), string(data), header)
		if again := readTwice(string(text), string(data), header); fmt.Sprint(again) != fmt.Sprint(err) {
			t.Fatalf("a reader that knows the JSON says %v, another %v", again, err)
		}
		if err != nil {
			return
		}
		if r.Raw {
			if header != 0 || r.RawSize != int64(len(text)+len(data)) {
				t.Fatalf("a raw request of %d bytes from header %d", r.RawSize, header)
			}
			return
		}
		if len(r.Inputs) != 1 || r.Inputs[0].Elements > 1<<16 {
			return
		}
		x := make([]byte, r.Inputs[0].Elements)
		if err := r.ReadData(x); err != nil {
			return
		}
		if header >= 0 {
			if all := slices.Concat(text, data); len(x) > 0 && !bytes.HasSuffix(all, x) && !bytes.Contains(all[:header], []byte("data")) {
				t.Fatalf("accepted %v, which is not the end of the body", x)
			}
			return
		}
		var plain struct {
			Inputs []struct{ Data any }
		}
		if err := json.Unmarshal(text, &plain); err != nil {
			t.Fatalf("accepted what encoding/json refuses: %v", err)
		}
		var want []byte
		flatten(plain.Inputs[0].Data, &want)
		if len(x) > 0 && !bytes.Equal(x, want) {
			t.Fatalf("read %v, want %v", x, want)
		}
	})
}

// readTwice reads a request twice with one reader and returns the second error.
func readTwice(text, data string, header int) error {
	h := ""
	if header >= 0 {
		h = strconv.Itoa(header)
	}
	var reader oip.Reader
	var err error
	for range 2 {
		_, err = reader.Read(strings.NewReader(text+data), int64(len(text)+len(data)), h, limits)
	}
	return err
}

// A reader that has seen the JSON before, or another, gives what a new one does; sizes
// are checked each time.
func TestReader(t *testing.T) {
	var reader oip.Reader
	other := strings.Replace(exampleRequest, "[2,4]", "[4,2]", 1)
	long := strings.Replace(exampleRequest, `"id"`, `"more":"`+strings.Repeat("x", 5000)+`","id"`, 1)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i, text := range []string{exampleRequest, exampleRequest, other, exampleRequest, long, long, other} {
				r, err := reader.Read(strings.NewReader(text+exampleX), int64(len(text)+8), strconv.Itoa(len(text)), limits)
				if err != nil {
					t.Error(err)
					return
				}
				want, err := read(text, exampleX, len(text))
				if err != nil {
					t.Error(err)
					return
				}
				x, y := make([]byte, 8), make([]byte, 8)
				if err := errors.Join(r.ReadData(x), want.ReadData(y)); err != nil || !bytes.Equal(x, y) {
					t.Errorf("request %d: data %v, want %v (%v)", i, x, y, err)
				}
				if !slices.Equal(r.Inputs[0].Shape, want.Inputs[0].Shape) || r.ID != want.ID || !slices.Equal(r.Outputs, want.Outputs) || r.Binary != want.Binary {
					t.Errorf("request %d: %+v, want %+v", i, r, want)
				}
			}
		})
	}
	wg.Wait()
	if _, err := reader.Read(strings.NewReader(exampleRequest+exampleX[:7]), 168, "161", limits); !errors.Is(err, oip.ErrRequest) {
		t.Errorf("a byte less than before: %v, want ErrRequest", err)
	}
}

// FuzzResponse: whatever is in it, the JSON of a response is what encoding/json reads.
func FuzzResponse(f *testing.F) {
	f.Add("opu", "7", "a device", 0.99, int64(-3), 2)
	f.Add("", "\"\\\n<&>\u2028", "\xff\x00é", math.NaN(), int64(math.MinInt64), 0)
	f.Add("opu", "", "x", 1e300, int64(0), -1)
	f.Fuzz(func(t *testing.T, model, id, text string, number float64, whole int64, dim int) {
		r := oip.Response{
			Model: model, Version: "3", ID: id, Name: "y", Shape: []int{dim, 2}, Binary: true, Data: []byte(text),
			Parameters: []oip.Parameter{{Name: "epoch", Value: text}, {Name: "corr", Value: number}, {Name: "us", Value: whole}},
		}
		w := httptest.NewRecorder()
		if err := r.Write(w); err != nil {
			t.Fatal(err)
		}
		n, _ := strconv.Atoi(w.Header().Get(oip.HeaderLength))
		body := w.Body.Bytes()
		if n > len(body) || string(body[n:]) != text {
			t.Fatalf("%d bytes of JSON, then %q; want %q", n, body[min(n, len(body)):], text)
		}
		var got struct {
			Model      string `json:"model_name"`
			ID         string `json:"id"`
			Parameters struct {
				Epoch string   `json:"epoch"`
				Corr  *float64 `json:"corr"`
				Us    int64    `json:"us"`
			} `json:"parameters"`
			Outputs []struct {
				Shape      []int `json:"shape"`
				Parameters map[string]int
			} `json:"outputs"`
		}
		if err := json.Unmarshal(body[:n], &got); err != nil {
			t.Fatalf("%v: %s", err, body[:n])
		}
		finite := !math.IsNaN(number) && !math.IsInf(number, 0)
		if got.Model != model && utf8.ValidString(model) || got.ID != id && utf8.ValidString(id) || got.Parameters.Epoch != text && utf8.ValidString(text) ||
			(got.Parameters.Corr != nil) != finite || finite && *got.Parameters.Corr != number || got.Parameters.Us != whole ||
			!slices.Equal(got.Outputs[0].Shape, []int{dim, 2}) || got.Outputs[0].Parameters["binary_data_size"] != len(text) {
			t.Fatalf("%s is read as %+v", body[:n], got)
		}
	})
}

func flatten(v any, dst *[]byte) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			flatten(e, dst)
		}
	case float64:
		*dst = append(*dst, byte(int(v)))
	case bool:
		if v {
			*dst = append(*dst, 1)
		} else {
			*dst = append(*dst, 0)
		}
	}
}
