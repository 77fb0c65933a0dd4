package genapi

import (
	"context"
	"fmt"
	"math"
)

// The limits of one call: of nodes that are visited, and of how deep they refer to each
// other. Circles end there.
const (
	maxVisits = 1 << 14
	maxLinks  = 64
)

// An errand is one call of a user, on its way through the nodes.
type errand struct {
	*Map
	ctx    context.Context
	visits int
	depth  int
}

// through visits a node.
func (c *errand) through(n *node, visit func() error) error {
	if n.broken != nil {
		return fmt.Errorf("node %s: %w", n.name, n.broken)
	}
	if c.visits++; c.visits > maxVisits || c.depth == maxLinks {
		return fmt.Errorf("node %s: nodes refer to each other without end: %w", n.name, ErrDescription)
	}
	c.depth++
	defer func() { c.depth-- }()
	return visit()
}

// find returns a node.
func (c *errand) find(name string) (*node, error) {
	if n := c.nodes[name]; n != nil {
		return n, nil
	}
	return nil, fmt.Errorf("node %.100q is not there: %w", name, ErrDescription)
}

// operand returns what an operand is at present.
func (c *errand) operand(o operand) (number, error) {
	if o.node == "" {
		return o.fixed, nil
	}
	n, err := c.find(o.node)
	if err != nil {
		return number{}, err
	}
	return c.read(n)
}

// chosen is where a node has its value: the operand that its index names, if it has one.
func (c *errand) chosen(n *node) (operand, error) {
	if !n.index.given {
		return n.value, nil
	}
	x, err := c.operand(n.index)
	if err != nil {
		return operand{}, err
	}
	i, err := x.int()
	if err != nil {
		return operand{}, err
	}
	if o, ok := n.indexed[i]; ok {
		return o, nil
	}
	if n.otherwise.given {
		return n.otherwise, nil
	}
	return operand{}, fmt.Errorf("node %s: it has no value for the index %d: %w", n.name, i, ErrDescription)
}

// read returns the value of a node that has a number.
func (c *errand) read(n *node) (x number, err error) {
	err = c.through(n, func() error {
		x, err = c.value(n)
		return err
	})
	if err == nil && n.kind == Float {
		x = ofFloat(x.float())
	}
	return x, err
}

func (c *errand) value(n *node) (number, error) {
	switch {
	case n.kind == String || n.kind == Bytes || n.form == port || n.form == category:
		return number{}, fmt.Errorf("node %s has no number: %w", n.name, ErrKind)
	case n.form == register:
		return c.readRegister(n)
	case n.form == knife:
		return c.compute(n, n.formula, number{})
	case n.form == converter:
		x, err := c.operand(n.value)
		if err != nil {
			return number{}, err
		}
		return c.compute(n, n.formula, x)
	}
	o, err := c.chosen(n)
	if err != nil {
		return number{}, err
	}
	x, stored := c.stored[n]
	if !stored || o.node != "" {
		if x, err = c.operand(o); err != nil {
			return number{}, err
		}
	}
	switch n.kind {
	case Boolean:
		return truth(!x.real && x.i == n.on || x.real && x.f == float64(n.on)), nil
	case Float:
		return x, nil
	}
	i, err := x.int()
	return ofInt(i), err
}

// compute evaluates a formula of a node. Argument is FROM or TO of a converter.
func (c *errand) compute(n *node, formula *expr, argument number) (number, error) {
	if formula == nil {
		return number{}, fmt.Errorf("node %s has no formula: %w", n.name, ErrDescription)
	}
	env := environment{integers: n.kind == Integer}
	env.variable = func(name string) (number, error) {
		if n.form == converter && (name == "FROM" || name == "TO") {
			return argument, nil
		}
		if v, ok := n.variables[name]; ok {
			return c.part(v.node, v.part)
		}
		if x, ok := n.constants[name]; ok {
			return x, nil
		}
		if e, ok := n.expressions[name]; ok {
			var x number
			err := c.through(n, func() (err error) {
				x, err = env.eval(e)
				return err
			})
			return x, err
		}
		for i := range name { // WIDTH.Max, where WIDTH is a variable
			if v, ok := n.variables[name[:i]]; ok && name[i] == '.' {
				return c.part(v.node, name[i+1:])
			}
		}
		switch name {
		case "PI":
			return ofFloat(math.Pi), nil
		case "E":
			return ofFloat(math.E), nil
		}
		return number{}, fmt.Errorf("node %s: its formula has an unknown name %.40q: %w", n.name, name, ErrDescription)
	}
	x, err := env.eval(formula)
	if err == nil && env.integers {
		var i int64
		i, err = x.int()
		x = ofInt(i)
	}
	if err != nil {
		err = fmt.Errorf("node %s: %w", n.name, err)
	}
	return x, err
}

// part is a variable of a formula.
func (c *errand) part(name, part string) (number, error) {
	n, err := c.find(name)
	if err != nil {
		return number{}, err
	}
	switch part {
	case "", "Value":
		return c.read(n)
	case "Min", "Max", "Inc":
		l, err := c.limits(n)
		return map[string]number{"Min": l.min, "Max": l.max, "Inc": l.inc}[part], err
	}
	for _, e := range n.entries {
		if part == "Entry."+e.name {
			return ofInt(e.value), nil
		}
	}
	return number{}, fmt.Errorf("node %s has no %.40q: %w", name, part, ErrDescription)
}

// bounds are the limits of a number. An inc of 0 is none.
type bounds struct{ min, max, inc number }

// limits returns those of a node.
func (c *errand) limits(n *node) (l bounds, err error) {
	err = c.through(n, func() error {
		l, err = c.natural(n)
		if err != nil {
			return err
		}
		for _, x := range []struct {
			own operand
			to  *number
		}{{n.min, &l.min}, {n.max, &l.max}, {n.inc, &l.inc}} {
			if x.own.given {
				if *x.to, err = c.operand(x.own); err != nil {
					return err
				}
			}
		}
		return nil
	})
	return l, err
}

// natural are the limits that a node has from where its value is.
func (c *errand) natural(n *node) (bounds, error) {
	everything := bounds{ofInt(math.MinInt64), ofInt(math.MaxInt64), ofInt(1)}
	if n.kind == Float {
		everything = bounds{ofFloat(-math.MaxFloat64), ofFloat(math.MaxFloat64), ofInt(0)}
	}
	switch {
	case n.kind == Boolean:
		return bounds{ofInt(0), ofInt(1), ofInt(1)}, nil
	case n.form == register && n.kind == Integer:
		return c.registerLimits(n)
	case n.form == converter:
		return c.convertedLimits(n, everything)
	case n.form == plain:
		o, err := c.chosen(n)
		if err != nil || o.node == "" || n.kind != Integer && n.kind != Float {
			return everything, err
		}
		of, err := c.find(o.node)
		if err != nil {
			return everything, err
		}
		l, err := c.limits(of)
		if n.kind == Float && of.kind != Float {
			l.inc = ofInt(0)
		}
		return l, err
	}
	return everything, nil
}

// convertedLimits are those of the node below, in the units of the converter.
func (c *errand) convertedLimits(n *node, everything bounds) (bounds, error) {
	if n.value.node == "" {
		return everything, nil
	}
	below, err := c.find(n.value.node)
	if err != nil {
		return everything, err
	}
	l, err := c.limits(below)
	if err != nil {
		return everything, err
	}
	a, err := c.compute(n, n.formula, l.min)
	if err != nil {
		return everything, err
	}
	b, err := c.compute(n, n.formula, l.max)
	if err != nil {
		return everything, err
	}
	if a.float() > b.float() { // it falls
		a, b = b, a
	}
	if math.IsNaN(a.float()) || math.IsNaN(b.float()) {
		return everything, nil
	}
	return bounds{a, b, everything.inc}, nil
}

// check says whether a node takes a value.
func (c *errand) check(n *node, x number) error {
	l, err := c.limits(n)
	if err != nil {
		return err
	}
	low, high := x.float() < l.min.float(), x.float() > l.max.float()
	if !x.real && !l.min.real && !l.max.real {
		low, high = x.i < l.min.i, x.i > l.max.i
	}
	if low || high || math.IsNaN(x.float()) {
		return fmt.Errorf("%s: %v is not %v to %v: %w", n.name, x, l.min, l.max, ErrRange)
	}
	if !x.real && !l.min.real && !l.inc.real && l.inc.i > 1 && uint64(x.i-l.min.i)%uint64(l.inc.i) != 0 {
		return fmt.Errorf("%s: %v is not %v plus a multiple of %v: %w", n.name, x, l.min, l.inc, ErrRange)
	}
	return nil
}

// write sets the value of a node that has a number.
func (c *errand) write(n *node, x number) error {
	return c.through(n, func() error {
		if n.kind != Float {
			i, err := x.int()
			if err != nil {
				return fmt.Errorf("%s: %w", n.name, err)
			}
			x = ofInt(i)
		}
		switch {
		case n.kind == String || n.kind == Bytes || n.form == port || n.form == category:
			return fmt.Errorf("node %s takes no number: %w", n.name, ErrKind)
		case n.form == knife:
			return fmt.Errorf("node %s is computed: %w", n.name, ErrAccess)
		case n.kind == Boolean:
			if x.isTrue() {
				x = ofInt(n.on)
			} else {
				x = ofInt(n.off)
			}
		case n.kind == Enumeration:
			if _, err := n.entry(func(e entry) bool { return e.value == x.i }); err != nil {
				return fmt.Errorf("%s: it has no entry of the value %v: %w", n.name, x, err)
			}
		case n.kind != Command:
			if err := c.check(n, x); err != nil {
				return err
			}
		}
		switch n.form {
		case register:
			return c.writeRegister(n, x)
		case converter:
			y, err := c.compute(n, n.back, x)
			if err != nil {
				return err
			}
			return c.pass(n.value, y)
		}
		o, err := c.chosen(n)
		if err != nil {
			return err
		}
		if o.node == "" {
			c.stored[n] = x
			return nil
		}
		if err := c.pass(o, x); err != nil {
			return err
		}
		for _, name := range n.copies {
			if err := c.pass(operand{node: name}, x); err != nil {
				return err
			}
		}
		return nil
	})
}

// pass writes to the node of an operand.
func (c *errand) pass(o operand, x number) error {
	if o.node == "" {
		return fmt.Errorf("%v has nowhere to be written: %w", x, ErrDescription)
	}
	n, err := c.find(o.node)
	if err != nil {
		return err
	}
	return c.write(n, x)
}

// entry returns the first entry of an enumeration that is as wanted.
func (n *node) entry(wanted func(entry) bool) (entry, error) {
	for _, e := range n.entries {
		if wanted(e) {
			return e, nil
		}
	}
	return entry{}, ErrRange
}
