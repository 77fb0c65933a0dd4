package genapi

import (
	"bytes"
	"fmt"
	"math"
)

// maxRegister bounds a register, in bytes.
const maxRegister = 1 << 16

// maxRemembered bounds what is remembered, in registers.
const maxRemembered = 1 << 14

// A span is a place in memory.
type span struct {
	address uint64
	length  int
}

// place returns where a register is.
func (c *errand) place(n *node) (span, error) {
	l, err := c.operand(n.length)
	if err != nil {
		return span{}, err
	}
	length, err := l.int()
	most := int64(maxRegister)
	if n.kind == Integer || n.kind == Float {
		most = 8
	}
	if err != nil || length < 1 || length > most || n.kind == Float && length != 4 && length != 8 {
		return span{}, fmt.Errorf("node %s: a register cannot have %v bytes: %w", n.name, l, ErrDescription)
	}
	if p := c.nodes[n.port]; p != nil && p.chunk {
		return span{}, fmt.Errorf("node %s is of the data after frames: %w", n.name, ErrAccess)
	}
	var address int64
	for _, t := range n.address {
		x, err := c.operand(t.value)
		if err != nil {
			return span{}, err
		}
		i, err := x.int()
		if err != nil {
			return span{}, fmt.Errorf("node %s: %w", n.name, err)
		}
		if t.index {
			times := length
			if t.times.given {
				if x, err = c.operand(t.times); err != nil {
					return span{}, err
				}
				if times, err = x.int(); err != nil {
					return span{}, fmt.Errorf("node %s: %w", n.name, err)
				}
			}
			i *= times
		}
		address += i
	}
	return span{uint64(address), int(length)}, nil
}

// load returns the bytes of a register, which must not be changed.
func (c *errand) load(n *node) ([]byte, error) {
	at, err := c.place(n)
	if err != nil {
		return nil, err
	}
	before, seen := c.seen[at]
	if seen && before.fresh && !n.volatile {
		return before.data, nil
	}
	data := make([]byte, at.length)
	if err := c.port.ReadAt(c.ctx, data, at.address); err != nil {
		return nil, fmt.Errorf("node %s: %w", n.name, err)
	}
	if seen && n.doubtful && !bytes.Equal(before.data, data) {
		c.forget()
	}
	if len(c.seen) >= maxRemembered {
		clear(c.seen)
	}
	c.seen[at] = memory{data: data, fresh: true}
	return data, nil
}

// store writes the bytes of a register. Whatever happens, nothing that was read before is
// trusted any more.
func (c *errand) store(n *node, data []byte) error {
	at, err := c.place(n)
	if err != nil {
		return err
	}
	defer c.forget()
	if err := c.port.WriteAt(c.ctx, data, at.address); err != nil {
		return fmt.Errorf("node %s: %w", n.name, err)
	}
	return nil
}

// bits returns the range of bits of a register of so many bytes, counted from the least
// significant. In big-endian registers descriptions count from the most significant one.
func (n *node) bits(length int) (low, high int, err error) {
	low, high = 0, 8*length-1
	if !n.masked {
		return low, high, nil
	}
	first, last := n.first, n.last
	if n.big {
		first, last = high-first, high-last
	}
	if min(first, last) < 0 || max(first, last) > high {
		return 0, 0, fmt.Errorf("node %s: bits %d to %d are not in a register of %d bytes: %w", n.name, n.first, n.last, length, ErrDescription)
	}
	return min(first, last), max(first, last), nil
}

// word is the number in up to eight bytes.
func (n *node) word(data []byte) (x uint64) {
	for i := range data {
		k := i
		if !n.big {
			k = len(data) - 1 - i
		}
		x = x<<8 | uint64(data[k])
	}
	return x
}

// putWord is its opposite.
func (n *node) putWord(data []byte, x uint64) {
	for i := range data {
		k := i
		if n.big {
			k = len(data) - 1 - i
		}
		data[k] = byte(x)
		x >>= 8
	}
}

func (c *errand) readRegister(n *node) (number, error) {
	data, err := c.load(n)
	if err != nil {
		return number{}, err
	}
	x := n.word(data)
	if n.kind == Float {
		if len(data) == 4 {
			return ofFloat(float64(math.Float32frombits(uint32(x)))), nil
		}
		return ofFloat(math.Float64frombits(x)), nil
	}
	low, high, err := n.bits(len(data))
	if err != nil {
		return number{}, err
	}
	x <<= 63 - high
	if n.signed {
		return ofInt(int64(x) >> (63 - high + low)), nil
	}
	return ofInt(int64(x >> (63 - high + low))), nil
}

// registerLimits are those of the bits of an integer register. One of 64 bits without sign
// is limited by what an int64 holds.
func (c *errand) registerLimits(n *node) (bounds, error) {
	at, err := c.place(n)
	if err != nil {
		return bounds{}, err
	}
	low, high, err := n.bits(at.length)
	width := high - low + 1
	l := bounds{ofInt(0), ofInt(math.MaxInt64), ofInt(1)}
	if n.signed {
		width--
		l.min = ofInt(-1 << width)
	}
	if width < 63 {
		l.max = ofInt(1<<width - 1)
	}
	return l, err
}

func (c *errand) writeRegister(n *node, x number) error {
	at, err := c.place(n)
	if err != nil {
		return err
	}
	data := make([]byte, at.length)
	switch {
	case n.kind == Float && at.length == 4:
		n.putWord(data, uint64(math.Float32bits(float32(x.float()))))
		return c.store(n, data)
	case n.kind == Float:
		n.putWord(data, math.Float64bits(x.float()))
		return c.store(n, data)
	}
	low, high, err := n.bits(at.length)
	if err != nil {
		return err
	}
	word := uint64(x.i)
	if n.masked && n.mode&readable != 0 { // the other bits stay
		c.forget() // they may have changed
		now, err := c.load(n)
		if err != nil {
			return err
		}
		mask := ^uint64(0) >> (63 - high + low) << low
		word = n.word(now)&^mask | word<<low&mask
	} else {
		word <<= low
	}
	n.putWord(data, word)
	return c.store(n, data)
}
