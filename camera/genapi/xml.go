package genapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The limits of a description.
const (
	maxElements = 1 << 20
	maxDepth    = 20
)

// An element of the XML.
type element struct {
	tag      string
	body     []byte // its text, as far as it was read
	text     string
	attr     []xml.Attr
	children []*element
}

func (e *element) attribute(name string) string {
	for _, a := range e.attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// parseXML reads a description.
func parseXML(text []byte) (*element, error) {
	root, err := readXML(text)
	if err != nil {
		return nil, fmt.Errorf("cannot use the camera's description: %w: %w", err, ErrDescription)
	}
	return root, nil
}

func readXML(text []byte) (*element, error) {
	if len(text) > maxText {
		return nil, fmt.Errorf("it has %d bytes; the most are %d", len(text), maxText)
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	d.CharsetReader = charset
	var open []*element // from the root to where we are
	count := 0
	for {
		token, err := d.Token()
		if err == io.EOF {
			return nil, errors.New("it has no root")
		}
		if err != nil {
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if count++; count > maxElements || len(open) == maxDepth {
				return nil, fmt.Errorf("it has more than %d elements, or more than %d within each other", maxElements, maxDepth)
			}
			e := &element{tag: t.Name.Local, attr: t.Copy().Attr}
			if len(open) > 0 {
				parent := open[len(open)-1]
				parent.children = append(parent.children, e)
			}
			open = append(open, e)
		case xml.CharData:
			if len(open) > 0 {
				e := open[len(open)-1]
				e.body = append(e.body, t...)
			}
		case xml.EndElement:
			e := open[len(open)-1]
			e.text, e.body = strings.TrimSpace(string(e.body)), nil
			if open = open[:len(open)-1]; len(open) == 0 {
				return e, nil
			}
		}
	}
}

// charset takes the encodings that descriptions are in beside UTF-8: bytes that are
// characters.
func charset(name string, input io.Reader) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252":
	default:
		return nil, fmt.Errorf("it is encoded as %q", name)
	}
	data, err := io.ReadAll(input)
	if err != nil {
		return nil, err
	}
	runes := make([]rune, len(data))
	for i, b := range data {
		runes[i] = rune(b)
	}
	return strings.NewReader(string(runes)), nil
}
