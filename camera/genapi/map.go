package genapi

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Map is a description and the memory of the device that it describes. Its methods may be
// called from any goroutine; they wait for each other. A call ends when its context does.
//
// Features are named as the description names them, such as ExposureTime. The errors of
// calls wrap one of this package's, or what the port returned.
type Map struct {
	nodes map[string]*node
	port  Port
	turn  chan struct{} // holds a token while nobody calls

	// What follows belongs to whoever has the turn.
	stored map[*node]number // values that nodes have for themselves
	texts  map[*node]string
	seen   map[span]memory
}

// memory is what a register held when it was read.
type memory struct {
	data  []byte
	fresh bool // nothing has been written since
}

// New reads a description. It fails with ErrDescription for what is no description at all;
// what is wrong with single nodes is found when they are used.
func New(text []byte, port Port) (*Map, error) {
	root, err := parseXML(text)
	if err != nil {
		return nil, err
	}
	m := &Map{
		nodes: map[string]*node{}, port: port, turn: make(chan struct{}, 1),
		stored: map[*node]number{}, texts: map[*node]string{}, seen: map[span]memory{},
	}
	m.turn <- struct{}{}
	collect(root, func(n *node) {
		if n.name != "" && m.nodes[n.name] == nil {
			m.nodes[n.name] = n
		}
	})
	if len(m.nodes) == 0 {
		return nil, fmt.Errorf("cannot use the camera's description: it describes nothing: %w", ErrDescription)
	}
	for _, n := range m.nodes {
		for _, name := range n.invalidators {
			m.doubt(name)
		}
	}
	return m, nil
}

// doubt marks the register in which a node has its value.
func (m *Map) doubt(name string) {
	for range maxLinks {
		n := m.nodes[name]
		if n == nil {
			return
		}
		n.doubtful = n.form == register
		name = n.value.node
	}
}

// forget trusts nothing any more that was read.
func (m *Map) forget() {
	for at, x := range m.seen {
		x.fresh = false
		m.seen[at] = x
	}
}

// Forget has every register read again. It is for who knows that the camera has changed: it
// was reset, or is another one.
func (m *Map) Forget(ctx context.Context) error {
	return m.call(ctx, "forget", "what was read", func(c *errand) error {
		clear(m.seen)
		return nil
	})
}

// call lets a call have its turn.
func (m *Map) call(ctx context.Context, what, name string, f func(c *errand) error) error {
	select {
	case <-m.turn:
		defer func() { m.turn <- struct{}{} }()
	case <-ctx.Done():
	}
	err := context.Cause(ctx)
	if err == nil {
		err = f(&errand{Map: m, ctx: ctx})
	}
	if err != nil {
		return fmt.Errorf("cannot %s %s: %w", what, name, err)
	}
	return nil
}

// feature has a call on a feature that may be read or written.
func (m *Map) feature(ctx context.Context, what, name string, need mode, f func(c *errand, n *node) error) error {
	return m.call(ctx, what, name, func(c *errand) error {
		n, access, err := c.open(name)
		switch {
		case err != nil:
			return err
		case access == Absent:
			return ErrAbsent
		case access == Unavailable:
			return fmt.Errorf("it is not available at present: %w", ErrAccess)
		case need == readable && access == WriteOnly:
			return fmt.Errorf("it can only be written: %w", ErrAccess)
		case need == writable && access == ReadOnly:
			return fmt.Errorf("it can only be read, or is locked at present: %w", ErrAccess)
		}
		return f(c, n)
	})
}

// Access is what can be done with a feature at present.
type Access uint8

const (
	Absent      Access = iota // it is not described, or this camera does not implement it
	Unavailable               // it cannot be used with the other settings as they are
	ReadOnly
	WriteOnly
	ReadWrite
)

func (a Access) String() string {
	if names := [...]string{"absent", "unavailable", "read-only", "write-only", "read-write"}; int(a) < len(names) {
		return names[a]
	}
	return fmt.Sprintf("Access(%d)", uint8(a))
}

// Access says what can be done with a feature. One that is not there is Absent, and no error.
func (m *Map) Access(ctx context.Context, name string) (a Access, err error) {
	err = m.call(ctx, "look at", name, func(c *errand) error {
		_, a, err = c.open(name)
		return err
	})
	return a, err
}

// open finds a node and what can be done with it.
func (c *errand) open(name string) (*node, Access, error) {
	n := c.nodes[name]
	if n == nil {
		return nil, Absent, nil
	}
	a, err := c.access(n)
	return n, a, err
}

func (c *errand) access(n *node) (a Access, err error) {
	err = c.through(n, func() error {
		if ok, err := c.allowed(n.implemented); err != nil || !ok {
			a = Absent
			return err
		}
		if ok, err := c.allowed(n.available); err != nil || !ok {
			a = Unavailable
			return err
		}
		m := n.mode
		if n.form == knife || n.form == category {
			m &= readable
		}
		if p := c.nodes[n.port]; n.form == register && p != nil && p.chunk {
			a = Unavailable
			return nil
		}
		below := ""
		switch n.form {
		case plain:
			o, err := c.chosen(n)
			if err != nil {
				return err
			}
			below = o.node
		case converter:
			below = n.value.node
		}
		if below != "" {
			of, err := c.find(below)
			if err != nil {
				return err
			}
			b, err := c.access(of)
			if err != nil || b < ReadOnly {
				a = b
				return err
			}
			m &= map[Access]mode{ReadOnly: readable, WriteOnly: writable, ReadWrite: readable | writable}[b]
		}
		if n.locked.given && m&writable != 0 {
			locked, err := c.operand(n.locked)
			if err != nil {
				return err
			}
			if locked.isTrue() {
				m &^= writable
			}
		}
		a = [...]Access{Unavailable, ReadOnly, WriteOnly, ReadWrite}[m]
		return nil
	})
	return a, err
}

// allowed says whether a condition holds, or is none.
func (c *errand) allowed(condition operand) (bool, error) {
	if !condition.given {
		return true, nil
	}
	x, err := c.operand(condition)
	return x.isTrue(), err
}

// Int reads a number, a boolean (0 or 1) or the value of an enumeration's entry. Reals are
// rounded.
func (m *Map) Int(ctx context.Context, name string) (i int64, err error) {
	err = m.feature(ctx, "read", name, readable, func(c *errand, n *node) error {
		x, err := c.read(n)
		if err != nil {
			return err
		}
		i, err = x.int()
		return err
	})
	return i, err
}

// SetInt writes a number, a boolean or the value of an enumeration's entry. It fails with
// ErrRange, writing nothing, for what is not within the limits.
func (m *Map) SetInt(ctx context.Context, name string, i int64) error {
	return m.feature(ctx, "write", name, writable, func(c *errand, n *node) error { return c.write(n, ofInt(i)) })
}

// Float reads any number, as Int does.
func (m *Map) Float(ctx context.Context, name string) (f float64, err error) {
	err = m.feature(ctx, "read", name, readable, func(c *errand, n *node) error {
		x, err := c.read(n)
		f = x.float()
		return err
	})
	return f, err
}

// SetFloat writes any number, as SetInt does; for features that are integers it is rounded.
func (m *Map) SetFloat(ctx context.Context, name string, f float64) error {
	return m.feature(ctx, "write", name, writable, func(c *errand, n *node) error { return c.write(n, ofFloat(f)) })
}

// Limits are those of a number at present: other features may change them.
type Limits struct {
	Min, Max float64
	Inc      int64 // values are Min and multiples of Inc more; 0: all values between
}

// Limits returns those of a feature that is a number.
func (m *Map) Limits(ctx context.Context, name string) (l Limits, err error) {
	err = m.feature(ctx, "find the limits of", name, readable|writable, func(c *errand, n *node) error {
		if n.kind != Integer && n.kind != Float && n.kind != Boolean {
			return fmt.Errorf("it is of the kind %v: %w", n.kind, ErrKind)
		}
		b, err := c.limits(n)
		if err != nil {
			return err
		}
		l = Limits{Min: b.min.float(), Max: b.max.float()}
		if n.kind != Float {
			l.Inc, err = b.inc.int()
			l.Inc = max(l.Inc, 1)
		}
		return err
	})
	return l, err
}

// Text reads any feature as people write it: the name of an enumeration's entry, true and
// false, a number, or a text. Bytes are hexadecimal.
func (m *Map) Text(ctx context.Context, name string) (s string, err error) {
	err = m.feature(ctx, "read", name, readable, func(c *errand, n *node) error {
		s, err = c.text(n)
		return err
	})
	return s, err
}

func (c *errand) text(n *node) (s string, err error) {
	switch n.kind {
	case String, Bytes:
		err = c.through(n, func() error {
			switch {
			case n.form == register:
				data, err := c.load(n)
				if err != nil {
					return err
				}
				if s = fmt.Sprintf("%x", data); n.kind == String {
					data, _, _ = bytes.Cut(data, []byte{0})
					s = string(data)
				}
				return nil
			case n.value.node == "":
				s = n.text
				if own, ok := c.texts[n]; ok {
					s = own
				}
				return nil
			}
			of, err := c.find(n.value.node)
			if err == nil {
				s, err = c.text(of)
			}
			return err
		})
		return s, err
	case Category, Other:
		return "", fmt.Errorf("it is of the kind %v: %w", n.kind, ErrKind)
	}
	x, err := c.read(n)
	if err != nil {
		return "", err
	}
	switch n.kind {
	case Enumeration:
		e, err := n.entry(func(e entry) bool { return e.value == x.i })
		if err != nil {
			return "", fmt.Errorf("it is %v, which is none of its entries: %w", x, err)
		}
		return e.name, nil
	case Boolean:
		return fmt.Sprint(x.isTrue()), nil
	}
	return x.String(), nil
}

// SetText writes any feature as people write it. An entry that an enumeration does not have,
// or not at present, is ErrRange.
func (m *Map) SetText(ctx context.Context, name, s string) error {
	return m.feature(ctx, "write", name, writable, func(c *errand, n *node) error {
		switch n.kind {
		case Enumeration:
			e, err := n.entry(func(e entry) bool { return e.name == s })
			if err == nil {
				var ok bool
				if ok, err = c.offered(e); err == nil && !ok {
					err = ErrRange
				}
			}
			if err != nil {
				choices, _ := c.choices(n)
				return fmt.Errorf("%.100q is none of %s: %w", s, strings.Join(choices, ", "), err)
			}
			return c.write(n, ofInt(e.value))
		case Boolean:
			if s != "true" && s != "false" {
				return fmt.Errorf("%.100q is neither true nor false: %w", s, ErrRange)
			}
			return c.write(n, truth(s == "true"))
		case String:
			return c.setText(n, s)
		case Integer, Float, Command:
			x, err := parseNumber(s)
			if err != nil {
				return fmt.Errorf("%w: %w", err, ErrRange)
			}
			return c.write(n, x)
		}
		return fmt.Errorf("it is of the kind %v: %w", n.kind, ErrKind)
	})
}

// setText writes a text.
func (c *errand) setText(n *node, s string) error {
	return c.through(n, func() error {
		switch {
		case n.kind != String:
			return fmt.Errorf("node %s is of the kind %v: %w", n.name, n.kind, ErrKind)
		case n.form == register:
			at, err := c.place(n)
			if err != nil {
				return err
			}
			if len(s) > at.length || strings.Contains(s, "\x00") {
				return fmt.Errorf("%.100q has no room in %d bytes: %w", s, at.length, ErrRange)
			}
			data := make([]byte, at.length)
			copy(data, s)
			return c.store(n, data)
		case n.value.node == "":
			c.texts[n] = s
			return nil
		}
		of, err := c.find(n.value.node)
		if err != nil {
			return err
		}
		return c.setText(of, s)
	})
}

// Choices are the entries of an enumeration that it offers at present.
func (m *Map) Choices(ctx context.Context, name string) (names []string, err error) {
	err = m.feature(ctx, "find the choices of", name, readable|writable, func(c *errand, n *node) error {
		if n.kind != Enumeration {
			return fmt.Errorf("it is of the kind %v: %w", n.kind, ErrKind)
		}
		names, err = c.choices(n)
		return err
	})
	return names, err
}

func (c *errand) choices(n *node) ([]string, error) {
	var names []string
	for _, e := range n.entries {
		ok, err := c.offered(e)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, e.name)
		}
	}
	return names, nil
}

// offered says whether an entry can be chosen at present.
func (c *errand) offered(e entry) (bool, error) {
	ok, err := c.allowed(e.implemented)
	if err != nil || !ok {
		return false, err
	}
	return c.allowed(e.available)
}

// Execute gives a command. It does not wait until the camera has carried it out.
func (m *Map) Execute(ctx context.Context, name string) error {
	return m.feature(ctx, "execute", name, writable, func(c *errand, n *node) error {
		if n.kind != Command {
			return fmt.Errorf("it is of the kind %v: %w", n.kind, ErrKind)
		}
		x := ofInt(1)
		if n.command.given {
			var err error
			if x, err = c.operand(n.command); err != nil {
				return err
			}
		}
		return c.write(n, x)
	})
}

// Feature is a feature, for lists.
type Feature struct {
	Name     string
	Category string
	Kind     Kind
	Unit     string
}

// Features lists what the description has for its user, as it is ordered there, from the
// category Root on. It says nothing of the camera at hand: see Access.
func (m *Map) Features() []Feature {
	var list []Feature
	visited := map[string]bool{}
	var visit func(name, category string)
	visit = func(name, category string) {
		n := m.nodes[name]
		if n == nil || visited[name] {
			return
		}
		visited[name] = true
		if n.kind != Category {
			list = append(list, Feature{n.name, category, n.kind, n.unit})
			return
		}
		for _, f := range n.features {
			visit(f, name)
		}
	}
	visit("Root", "")
	return slices.Clip(list)
}
