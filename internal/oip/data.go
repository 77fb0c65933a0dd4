package oip

import (
	"io"
	"strconv"
)

// Datatypes of inputs. All have one byte: that is what vectors for mirrors are.
const (
	Bool  = "BOOL"
	Int8  = "INT8"
	Uint8 = "UINT8"
)

func known(datatype string) bool { return datatype == Bool || datatype == Int8 || datatype == Uint8 }

// ReadData reads the elements of the only input, one byte each (two's complement for
// INT8), wherever they are in the request; for a Raw request dst is as long as the
// model says. The body must end with them. It is not for inputs in a Region.
func (r *Request) ReadData(dst []byte) error {
	if r.Raw || r.Inputs[0].binary {
		if n, err := io.ReadFull(r.body, dst); err != nil {
			return ended(err, n, int64(len(dst)))
		}
		var more [1]byte
		if n, err := io.ReadFull(r.body, more[:]); n > 0 {
			return refuse("the body goes on after the %d bytes of the input", len(dst))
		} else if err != io.EOF {
			return ended(err, len(dst), int64(len(dst)))
		}
		return nil
	}
	in := &r.Inputs[0]
	if in.elements != nil {
		copy(dst, in.elements)
		return nil
	}
	if len(dst) == 0 {
		return nil
	}
	p := elements{text: in.data, datatype: in.Datatype, shape: in.Shape, dst: dst}
	if err := p.array(0); err != nil {
		return err
	}
	if p.skip(); p.at != len(p.text) || len(p.dst) > 0 {
		return refuse("data of input %q has fewer elements than its shape %d", in.Name, in.Shape)
	}
	return nil
}

// elements reads the numbers of a JSON array that is valid JSON: flat, or nested as
// the shape says to any depth.
type elements struct {
	text     []byte
	at       int
	datatype string
	shape    []int
	dst      []byte // what is still to be filled
}

func (e *elements) skip() {
	for e.at < len(e.text) && (e.text[e.at] == ' ' || e.text[e.at] == '\n' || e.text[e.at] == '\t' || e.text[e.at] == '\r') {
		e.at++
	}
}

// next is the next character that is no space, 0 at the end.
func (e *elements) next() byte {
	e.skip()
	if e.at == len(e.text) {
		return 0
	}
	return e.text[e.at]
}

// array reads an array whose elements are of the given depth.
func (e *elements) array(depth int) error {
	if e.next() != '[' {
		return refuse("data is not an array as deep everywhere")
	}
	e.at++
	before, count := len(e.dst), 0
	nested := e.next() == '['
	for e.next() != ']' {
		if count > 0 {
			if e.next() != ',' {
				return refuse("data is not an array")
			}
			e.at++
		}
		count++
		if nested && depth+1 >= len(e.shape) {
			return refuse("data is nested deeper than the %d dimensions of the shape", len(e.shape))
		}
		var err error
		if nested {
			err = e.array(depth + 1)
		} else {
			err = e.number()
		}
		if err != nil {
			return err
		}
	}
	e.at++
	if nested {
		if count != e.shape[depth] {
			return refuse("data has %d parts in dimension %d, the shape is %d", count, depth, e.shape)
		}
		return nil
	}
	elements := 1
	for _, n := range e.shape[min(depth, len(e.shape)):] {
		elements *= n
	}
	if before-len(e.dst) != elements {
		return refuse("data has %d elements where the shape %d has %d", before-len(e.dst), e.shape, elements)
	}
	return nil
}

// number reads an element.
func (e *elements) number() error {
	if e.next() == 0 {
		return refuse("data is not an array")
	}
	start := e.at
	for e.at < len(e.text) && e.text[e.at] != ',' && e.text[e.at] != ']' && e.text[e.at] > ' ' {
		e.at++
	}
	text := string(e.text[start:e.at])
	if len(e.dst) == 0 {
		return refuse("data has more elements than the shape %d", e.shape)
	}
	least, most := 0, 1
	switch e.datatype {
	case Int8:
		least, most = -128, 127
	case Uint8:
		most = 255
	case Bool:
		if text == "true" {
			text = "1"
		} else if text == "false" {
			text = "0"
		}
	}
	v, err := strconv.Atoi(text)
	if err != nil || v < least || v > most {
		return refuse("data has %.20q, which is not of datatype %s", text, e.datatype)
	}
	e.dst[0], e.dst = byte(v), e.dst[1:]
	return nil
}
