package oip

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
)

// Response is an inference response with one output of datatype FP32.
type Response struct {
	Model, Version string
	ID             string
	Parameters     []Parameter

	Name   string
	Shape  []int
	Shared bool   // the output is in shared memory, and no part of the response
	Binary bool   // of the output, else JSON
	Data   []byte // little-endian, row-major, whatever Binary is
}

// Parameter is one of a response: a fact about it. Value is a string, an int64 or a
// float64; one that is no number is left out, since JSON has none.
type Parameter struct {
	Name  string
	Value any
}

// head is the JSON part of the response, up to where the data of its output would be.
// It is written by hand: marshalling it took a tenth of the time of a small request.
func (r *Response) head() []byte {
	b := append(make([]byte, 0, 512), `{"model_name":`...)
	b = appendString(b, r.Model)
	b = append(b, `,"model_version":`...)
	b = appendString(b, r.Version)
	if r.ID != "" {
		b = append(b, `,"id":`...)
		b = appendString(b, r.ID)
	}
	separator := `,"parameters":{`
	for _, p := range r.Parameters {
		f, isFloat := p.Value.(float64)
		if isFloat && (math.IsNaN(f) || math.IsInf(f, 0)) {
			continue
		}
		b = append(b, separator...)
		separator = ","
		b = append(appendString(b, p.Name), ':')
		switch v := p.Value.(type) {
		case string:
			b = appendString(b, v)
		case int64:
			b = strconv.AppendInt(b, v, 10)
		case float64:
			b = strconv.AppendFloat(b, v, 'g', -1, 64)
		default:
			panic(fmt.Sprintf("oip: parameter %s of a response is a %T", p.Name, v))
		}
	}
	if separator == "," {
		b = append(b, '}')
	}
	b = append(b, `,"outputs":[{"name":`...)
	b = appendString(b, r.Name)
	b = append(b, `,"datatype":"`+FP32+`","shape":[`...)
	for i, n := range r.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	b = append(b, ']')
	if r.Binary && !r.Shared { // parameters with binary data only (section 5)
		b = append(b, `,"parameters":{"binary_data_size":`...)
		b = strconv.AppendInt(b, int64(len(r.Data)), 10)
		b = append(b, '}')
	}
	return b
}

// tail is the JSON behind the data.
const tail = "}]}"

// appendString appends a string as JSON.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string is never refused
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// Write writes the response, with its headers.
func (r *Response) Write(w http.ResponseWriter) error {
	text := r.head()
	h := w.Header()
	if r.Shared {
		h.Set("Content-Type", "application/json")
		_, err := w.Write(append(text, tail...))
		return err
	}
	if r.Binary {
		text = append(text, tail...)
		h.Set("Content-Type", "application/octet-stream")
		h.Set(HeaderLength, strconv.Itoa(len(text)))
		h.Set("Content-Length", strconv.Itoa(len(text)+len(r.Data)))
		if _, err := w.Write(text); err != nil {
			return err
		}
		_, err := w.Write(r.Data)
		return err
	}
	h.Set("Content-Type", "application/json")
	b := bufio.NewWriterSize(w, 1<<16)
	b.Write(text) // the first error stays until Flush
	b.WriteString(`,"data":[`)
	r.writeNumbers(b)
	b.WriteString("]" + tail)
	return b.Flush()
}

// FP32 is the datatype of outputs.
const FP32 = "FP32"

// writeNumbers writes the data as JSON, each number with as many digits as it takes
// to read the same one.
func (r *Response) writeNumbers(w io.Writer) {
	var digits []byte
	for at := 0; at+4 <= len(r.Data); at += 4 {
		digits = digits[:0]
		if at > 0 {
			digits = append(digits, ',')
		}
		v := math.Float32frombits(binary.LittleEndian.Uint32(r.Data[at:]))
		digits = strconv.AppendFloat(digits, float64(v), 'g', -1, 32)
		w.Write(digits)
	}
}
