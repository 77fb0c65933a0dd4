package genapi

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what a feature is for its user.
type Kind uint8

const (
	Other Kind = iota // nothing that has a value: a port, say
	Integer
	Float
	Boolean
	Enumeration
	Command
	String
	Bytes
	Category
)

func (k Kind) String() string {
	if names := [...]string{"other", "integer", "float", "boolean", "enumeration", "command", "string", "bytes", "category"}; int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// A form is how a node has its value.
type form uint8

const (
	plain     form = iota // itself, or another node has it
	register              // it stands in memory
	knife                 // it is computed, and cannot be written
	converter             // it is computed from another node's, and back
	port
	category
)

// The nodes that are understood. MaskedIntReg, IntReg and StructEntry are one.
var forms = map[string]struct {
	form form
	kind Kind
}{
	"Integer": {plain, Integer}, "Float": {plain, Float}, "Boolean": {plain, Boolean},
	"Enumeration": {plain, Enumeration}, "Command": {plain, Command}, "String": {plain, String},
	"IntReg": {register, Integer}, "MaskedIntReg": {register, Integer}, "StructEntry": {register, Integer},
	"FloatReg": {register, Float}, "StringReg": {register, String}, "Register": {register, Bytes},
	"IntSwissKnife": {knife, Integer}, "SwissKnife": {knife, Float},
	"IntConverter": {converter, Integer}, "Converter": {converter, Float},
	"Category": {category, Category}, "Port": {port, Other},
}

// An operand is a number of the description, or the name of the node that has it.
type operand struct {
	given bool
	fixed number
	node  string
}

// A term is a part of a register's address: a number, or an index times an offset.
type term struct {
	value operand
	index bool
	times operand // of an index; not given: the register's length
}

// A variable of a formula. Part is what it is of the node: its value, or "Min", "Max",
// "Inc", "Entry.NAME".
type variable struct{ node, part string }

// An entry of an enumeration.
type entry struct {
	name                   string
	value                  int64
	implemented, available operand
}

// A node of the description.
type node struct {
	name   string
	kind   Kind
	form   form
	broken error // what is wrong with it; told when it is used
	unit   string

	implemented, available, locked operand
	mode                           mode // imposed, and of a register

	value         operand
	text          string // of String without a node
	copies        []string
	min, max, inc operand
	index         operand
	indexed       map[int64]operand
	otherwise     operand // where the index has no value

	on, off  int64
	command  operand
	entries  []entry
	features []string

	// Of registers.
	address     []term
	length      operand
	big         bool // big-endian
	signed      bool
	masked      bool // it is a range of bits alone:
	first, last int  // in the numbering of the description
	port        string
	volatile    bool // changes by itself
	doubtful    bool // if it changes by itself, others have, too

	// Of what is computed.
	formula, back *expr // back: what is written, of converters
	variables     map[string]variable
	constants     map[string]number
	expressions   map[string]*expr

	chunk bool // of a port: not the camera's memory

	invalidators []string
}

// mode is what may be done with a node.
type mode uint8

const (
	readable mode = 1 << iota
	writable
)

func parseMode(s string) (mode, error) {
	switch s {
	case "RW":
		return readable | writable, nil
	case "RO":
		return readable, nil
	case "WO":
		return writable, nil
	}
	return 0, fmt.Errorf("the access mode %.20q is not RO, WO or RW", s)
}

// collect makes nodes of elements, those within groups and structures, too.
func collect(parent *element, add func(*node)) {
	for _, e := range parent.children {
		switch e.tag {
		case "Group":
			collect(e, add)
		case "StructReg":
			common := slices.DeleteFunc(slices.Clone(e.children), func(c *element) bool { return c.tag == "StructEntry" })
			for _, c := range e.children {
				if c.tag == "StructEntry" {
					whole := *c
					whole.children = append(slices.Clone(common), c.children...)
					add(newNode(&whole, add))
				}
			}
		default:
			if _, ok := forms[e.tag]; ok {
				add(newNode(e, add))
			}
		}
	}
}

// newNode reads a node; nodes that stand within it are added.
func newNode(e *element, add func(*node)) *node {
	f := forms[e.tag]
	n := &node{name: e.attribute("Name"), kind: f.kind, form: f.form, mode: readable | writable, on: 1}
	if n.form == register {
		n.mode = readable // of one that does not say
	}
	for i, c := range e.children {
		if err := n.property(c, i, add); err != nil && n.broken == nil {
			n.broken = fmt.Errorf("its %s: %w: %w", c.tag, err, ErrDescription)
		}
	}
	return n
}

// property reads one child of a node's element.
func (n *node) property(c *element, i int, add func(*node)) (err error) {
	number := func(to *operand) {
		to.given, to.node = true, ""
		to.fixed, err = parseNumber(c.text)
	}
	reference := func(to *operand) { *to = operand{given: true, node: c.text} }
	whole := func(to *int64) { *to, err = parseInteger(c.text) }
	bit := func() int {
		var x int64
		if whole(&x); err == nil && (x < 0 || x > 63) {
			err = fmt.Errorf("%d is no bit", x)
		}
		n.masked = true
		return int(x)
	}
	switch c.tag {
	case "Unit":
		n.unit = c.text
	case "pIsImplemented":
		reference(&n.implemented)
	case "pIsAvailable":
		reference(&n.available)
	case "pIsLocked":
		reference(&n.locked)
	case "ImposedAccessMode":
		var m mode
		m, err = parseMode(c.text)
		n.mode &= m
	case "AccessMode":
		var m mode
		m, err = parseMode(c.text)
		n.mode = m
	case "pInvalidator":
		n.invalidators = append(n.invalidators, c.text)

	case "Value":
		if n.kind == String {
			n.text = c.text
		} else if number(&n.value); n.kind == Boolean && err != nil {
			n.value.fixed, err = truth(c.text == "true"), nil
		}
	case "pValue":
		reference(&n.value)
	case "pValueCopy":
		n.copies = append(n.copies, c.text)
	case "Min":
		number(&n.min)
	case "pMin":
		reference(&n.min)
	case "Max":
		number(&n.max)
	case "pMax":
		reference(&n.max)
	case "Inc":
		number(&n.inc)
	case "pInc":
		reference(&n.inc)
	case "ValueIndexed", "pValueIndexed":
		var x operand
		if c.tag[0] == 'p' {
			reference(&x)
		} else if number(&x); err != nil {
			return err
		}
		var at int64
		if at, err = parseInteger(c.attribute("Index")); err == nil {
			if n.indexed == nil {
				n.indexed = map[int64]operand{}
			}
			n.indexed[at] = x
		}
	case "ValueDefault":
		number(&n.otherwise)
	case "pValueDefault":
		reference(&n.otherwise)

	case "OnValue":
		whole(&n.on)
	case "OffValue":
		whole(&n.off)
	case "CommandValue":
		number(&n.command)
	case "pCommandValue":
		reference(&n.command)
	case "EnumEntry":
		err = n.enumerate(c)
	case "pFeature":
		n.features = append(n.features, c.text)

	case "Address":
		var t term
		number(&t.value)
		n.address = append(n.address, t)
	case "pAddress":
		var t term
		reference(&t.value)
		n.address = append(n.address, t)
	case "pIndex":
		if n.form != register {
			reference(&n.index)
			break
		}
		t := term{index: true}
		reference(&t.value)
		if offset := c.attribute("Offset"); offset != "" {
			t.times.given = true
			t.times.fixed, err = parseNumber(offset)
		} else if offset := c.attribute("pOffset"); offset != "" {
			t.times = operand{given: true, node: offset}
		}
		n.address = append(n.address, t)
	case "IntSwissKnife", "IntConverter", "SwissKnife", "Converter":
		if n.form != register {
			break
		}
		// A part of the address that has no name of its own, or one that others may use.
		inner := newNode(c, add)
		if inner.name == "" {
			inner.name = fmt.Sprintf("%s/%d", n.name, i)
		}
		add(inner)
		n.address = append(n.address, term{value: operand{given: true, node: inner.name}})
	case "Length":
		number(&n.length)
	case "pLength":
		reference(&n.length)
	case "Endianess":
		n.big = c.text == "BigEndian"
	case "Sign":
		n.signed = c.text == "Signed"
	case "LSB":
		n.first = bit()
	case "MSB":
		n.last = bit()
	case "Bit":
		n.first = bit()
		n.last = n.first
	case "pPort":
		n.port = c.text
	case "Cachable":
		n.volatile = n.volatile || c.text == "NoCache"
	case "PollingTime":
		n.volatile = true

	case "Formula", "FormulaFrom":
		n.formula, err = parseFormula(c.text)
	case "FormulaTo":
		n.back, err = parseFormula(c.text)
	case "pVariable":
		name := c.attribute("Name")
		_, part, _ := strings.Cut(name, ".")
		put(&n.variables, name, variable{c.text, part})
	case "Constant":
		var x operand
		number(&x)
		put(&n.constants, c.attribute("Name"), x.fixed)
	case "Expression":
		var e *expr
		if e, err = parseFormula(c.text); err == nil {
			put(&n.expressions, c.attribute("Name"), e)
		}

	case "ChunkID":
		n.chunk = n.form == port
	}
	return err
}

func put[V any](m *map[string]V, key string, value V) {
	if *m == nil {
		*m = map[string]V{}
	}
	(*m)[key] = value
}

// enumerate reads an entry of an enumeration.
func (n *node) enumerate(e *element) error {
	x := entry{name: e.attribute("Name")}
	var err error
	for _, c := range e.children {
		switch c.tag {
		case "Value":
			x.value, err = parseInteger(c.text)
		case "pIsImplemented":
			x.implemented = operand{given: true, node: c.text}
		case "pIsAvailable":
			x.available = operand{given: true, node: c.text}
		}
		if err != nil {
			return fmt.Errorf("its entry %s: %w", x.name, err)
		}
	}
	n.entries = append(n.entries, x)
	return nil
}
