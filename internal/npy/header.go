package npy

import (
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// maxHeader bounds the header of version 2, whose length field would allow 4 GB.
// NumPy itself reads at most 10000 bytes.
const maxHeader = 1 << 16

// readHeader reads up to the first element.
func readHeader(r io.Reader) (shape []int, dtype DType, order binary.ByteOrder, err error) {
	var preamble [12]byte // magic, version, length as 2 or 4 bytes
	if _, err := io.ReadFull(r, preamble[:8]); err != nil {
		return nil, 0, nil, shortFile(err)
	}
	if string(preamble[:6]) != magic {
		return nil, 0, nil, fmt.Errorf("%w: it begins with %q; save it with numpy.save", ErrFormat, preamble[:6])
	}
	lengthSize := 2
	switch major, minor := preamble[6], preamble[7]; {
	case major == 1 && minor == 0:
	case major == 2 && minor == 0:
		lengthSize = 4
	default:
		return nil, 0, nil, fmt.Errorf("%w: format version %d.%d; versions 1.0 and 2.0 are supported, save a plain numeric array", ErrFormat, major, minor)
	}
	if _, err := io.ReadFull(r, preamble[8:8+lengthSize]); err != nil {
		return nil, 0, nil, shortFile(err)
	}
	n := binary.LittleEndian.Uint32(preamble[8:]) // the two upper bytes are zero in version 1
	if n > maxHeader {
		return nil, 0, nil, fmt.Errorf("%w: the header claims %d bytes, at most %d are supported", ErrFormat, n, maxHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, 0, nil, shortFile(err)
	}
	descr, fortran, shape, err := parseHeader(string(text))
	if err != nil {
		return nil, 0, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	dtype, order, err = parseDescr(descr)
	if err != nil {
		return nil, 0, nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if fortran {
		return nil, 0, nil, fmt.Errorf("%w: the array is stored column by column (fortran_order); save numpy.ascontiguousarray(a)", ErrFormat)
	}
	return shape, dtype, order, nil
}

func shortFile(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: it ends within the header", ErrFormat)
	}
	return err
}

// parseDescr understands type codes such as "<f4": byte order, kind, bytes.
func parseDescr(descr string) (DType, binary.ByteOrder, error) {
	if len(descr) > 1 {
		for d := Bool; d.valid(); d++ {
			if descr[1:] != dtypes[d].code {
				continue
			}
			switch order := descr[0]; {
			case order == '<', order == '|' && d.Size() == 1:
				return d, binary.LittleEndian, nil
			case order == '>':
				return d, binary.BigEndian, nil
			}
		}
	}
	return 0, nil, fmt.Errorf("element type %q; convert it with astype to one of %s", descr, dtypeNames())
}

func dtypeNames() string {
	var names []string
	for _, t := range dtypes[Bool:] {
		names = append(names, t.name)
	}
	return strings.Join(names, ", ")
}

// parseHeader parses the header, a Python dictionary literal of exactly three keys:
//
//	{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
func parseHeader(text string) (descr string, fortran bool, shape []int, err error) {
	p := &parser{rest: text}
	seen := map[string]bool{}
	p.expect("{")
	for p.err == nil && !p.accept("}") {
		key := p.string()
		if seen[key] && p.err == nil {
			p.fail("key %q twice", key)
		}
		seen[key] = true
		p.expect(":")
		switch key {
		case "descr":
			if p.next() == '[' {
				p.fail("a structured element type; save its fields one by one")
			}
			descr = p.string()
		case "fortran_order":
			fortran = p.bool()
		case "shape":
			shape = p.tuple()
		default:
			p.fail("unknown key %q", key)
		}
		if !p.accept(",") && p.next() != '}' {
			p.fail("expected , or }")
		}
	}
	if p.skipSpace(); p.err == nil && p.rest != "" {
		p.fail("text after the closing brace")
	}
	if p.err == nil && len(seen) != 3 {
		p.fail("descr, fortran_order and shape are not all there")
	}
	return descr, fortran, shape, p.err
}

// A parser eats its rest from the left. After the first error it eats nothing.
type parser struct {
	rest string
	err  error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("broken header: %s, before %.20q", fmt.Sprintf(format, args...), p.rest)
	}
}

func (p *parser) skipSpace() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// next returns the next character without eating it, 0 at the end.
func (p *parser) next() byte {
	if p.skipSpace(); p.rest == "" || p.err != nil {
		return 0
	}
	return p.rest[0]
}

func (p *parser) accept(s string) bool {
	p.skipSpace()
	rest, ok := strings.CutPrefix(p.rest, s)
	if !ok || p.err != nil {
		return false
	}
	p.rest = rest
	return true
}

func (p *parser) expect(s string) {
	if !p.accept(s) {
		p.fail("expected %s", s)
	}
}

func (p *parser) string() string {
	quote := p.next()
	if quote != '\'' && quote != '"' {
		p.fail("expected a string")
		return ""
	}
	s, rest, ok := strings.Cut(p.rest[1:], string(quote))
	if !ok || strings.ContainsAny(s, "\\\n") {
		p.fail("a string that does not end or has escapes")
		return ""
	}
	p.rest = rest
	return s
}

func (p *parser) bool() bool {
	if p.accept("True") {
		return true
	}
	p.expect("False")
	return false
}

// tuple parses (), (3,), (3, 4) and (3, 4,).
func (p *parser) tuple() []int {
	shape := []int{}
	p.expect("(")
	for p.err == nil && !p.accept(")") {
		p.skipSpace()
		digits := len(p.rest) - len(strings.TrimLeft(p.rest, "0123456789"))
		d, err := strconv.Atoi(p.rest[:digits])
		if err != nil {
			p.fail("expected a dimension that fits an integer")
			break
		}
		p.rest = p.rest[digits:]
		if shape = append(shape, d); len(shape) > maxDims {
			p.fail("more than %d dimensions", maxDims)
		}
		if !p.accept(",") && (p.next() != ')' || len(shape) == 1) {
			p.fail("expected a comma") // (3) is a number in Python, not a tuple
		}
	}
	return shape
}

// formatHeader returns everything up to the first element, padded as NumPy pads
// it: to a multiple of 64 bytes, so that a memory-mapped array is aligned.
func formatHeader(shape []int, dtype DType, fortran bool) []byte {
	order := "<"
	if dtype.Size() == 1 {
		order = "|"
	}
	var dims strings.Builder
	for i, d := range shape {
		if i > 0 {
			dims.WriteString(", ")
		}
		dims.WriteString(strconv.Itoa(d))
	}
	if len(shape) == 1 {
		dims.WriteString(",")
	}
	byColumns := "False"
	if fortran {
		byColumns = "True"
	}
	text := fmt.Sprintf("{'descr': '%s%s', 'fortran_order': %s, 'shape': (%s), }", order, dtypes[dtype].code, byColumns, dims.String())
	const preamble = len(magic) + 2 + 2
	total := (preamble + len(text) + 1 + 63) / 64 * 64
	b := append([]byte(magic), 1, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(total-preamble)) // 32 dimensions make 700 bytes at most
	b = append(b, text...)
	for len(b) < total-1 {
		b = append(b, ' ')
	}
	return append(b, '\n')
}
