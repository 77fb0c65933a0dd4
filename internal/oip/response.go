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
	Parameters     map[string]any

	Name   string
	Shape  []int
	Shared bool   // the output is in shared memory, and no part of the response
	Binary bool   // of the output, else JSON
	Data   []byte // little-endian, row-major, whatever Binary is
}

// The objects as they are sent, in this order.
type (
	wireResponse struct {
		Model      string         `json:"model_name"`
		Version    string         `json:"model_version"`
		ID         string         `json:"id,omitempty"`
		Parameters map[string]any `json:"parameters,omitempty"`
		Outputs    []wireResult   `json:"outputs"`
	}
	wireResult struct {
		Name       string         `json:"name"`
		Datatype   string         `json:"datatype"`
		Shape      []int          `json:"shape"`
		Parameters map[string]int `json:"parameters,omitempty"` // with binary data only (section 5)
	}
)

// Write writes the response, with its headers.
func (r *Response) Write(w http.ResponseWriter) error {
	result := wireResult{Name: r.Name, Datatype: FP32, Shape: r.Shape}
	if r.Binary && !r.Shared {
		result.Parameters = map[string]int{"binary_data_size": len(r.Data)}
	}
	text, err := json.Marshal(wireResponse{r.Model, r.Version, r.ID, r.Parameters, []wireResult{result}})
	if err != nil {
		return fmt.Errorf("cannot write the response: %w", err)
	}
	h := w.Header()
	if r.Shared {
		h.Set("Content-Type", "application/json")
		_, err := w.Write(text)
		return err
	}
	if r.Binary {
		h.Set("Content-Type", "application/octet-stream")
		h.Set(HeaderLength, strconv.Itoa(len(text)))
		h.Set("Content-Length", strconv.Itoa(len(text)+len(r.Data)))
		if _, err := w.Write(text); err != nil {
			return err
		}
		_, err = w.Write(r.Data)
		return err
	}
	h.Set("Content-Type", "application/json")
	b := bufio.NewWriterSize(w, 1<<16)
	b.Write(text[:len(text)-len("}]}")]) // the first error stays until Flush
	b.WriteString(`,"data":[`)
	r.writeNumbers(b)
	b.WriteString("]}]}")
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
