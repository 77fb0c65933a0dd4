package oip

import (
	"bytes"
	"encoding/json"
)

// The lists of a request, as JSON that is decoded no further than they may be long: a
// megabyte of "{},{}," would be a hundred in memory.
type (
	inputList  []MessageInput
	outputList []MessageOutput
	dimensions []int64
	parameters map[string]any // string, bool or a number; nil values are as good as none
)

// UnmarshalJSON is for encoding/json.
func (l *inputList) UnmarshalJSON(text []byte) error {
	return list((*[]MessageInput)(l), text, maxTensors, "inputs")
}

// UnmarshalJSON is for encoding/json.
func (l *outputList) UnmarshalJSON(text []byte) error {
	return list((*[]MessageOutput)(l), text, maxTensors, "outputs")
}

// UnmarshalJSON is for encoding/json.
func (l *dimensions) UnmarshalJSON(text []byte) error {
	return list((*[]int64)(l), text, maxShape, "dimensions")
}

// list decodes an array of at most so many values.
func list[T any](dst *[]T, text []byte, most int, what string) error {
	if string(text) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return refuse("its %s are not an array", what)
	}
	*dst = nil
	for d.More() {
		if len(*dst) == most {
			return refuse("it has more than %d %s", most, what)
		}
		var v T
		if err := d.Decode(&v); err != nil {
			return err
		}
		*dst = append(*dst, v)
	}
	return nil
}

// UnmarshalJSON is for encoding/json.
func (p *parameters) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return refuse("its parameters are not an object")
	}
	*p = parameters{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		value, err := d.Token()
		if err != nil {
			return err
		}
		if _, nested := value.(json.Delim); nested {
			return refuse("parameter %.64q is neither a string nor a number nor true or false", name)
		}
		if (*p)[name.(string)] = value; len(*p) > maxParameters { // a key is a string
			return refuse("it has more than %d parameters in one place", maxParameters)
		}
	}
	return nil
}

// shallow refuses JSON that is nested deeper than any request is, whether it is right
// or not.
func shallow(text []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return refuse("its JSON is nested deeper than %d", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
