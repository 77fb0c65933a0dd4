package genapi

import (
	"context"
	"errors"
	"fmt"
)

// device is the memory of one, and what was done with it.
type device struct {
	data          []byte
	base          uint64
	reads, writes int
	fail          error
	wrote         func(address uint64) // after each write
}

func newDevice(base uint64, size int) *device { return &device{data: make([]byte, size), base: base} }

var errUnmapped = errors.New("nothing is at that address")

func (d *device) at(p []byte, address uint64) ([]byte, error) {
	switch {
	case d.fail != nil:
		return nil, d.fail
	case address < d.base || address-d.base > uint64(len(d.data)) || uint64(len(d.data))-(address-d.base) < uint64(len(p)):
		return nil, fmt.Errorf("%d bytes at %#x: %w", len(p), address, errUnmapped)
	}
	return d.data[address-d.base:][:len(p)], nil
}

func (d *device) ReadAt(ctx context.Context, p []byte, address uint64) error {
	d.reads++
	m, err := d.at(p, address)
	copy(p, m)
	return errors.Join(err, context.Cause(ctx))
}

func (d *device) WriteAt(ctx context.Context, p []byte, address uint64) error {
	d.writes++
	m, err := d.at(p, address)
	copy(m, p)
	if d.wrote != nil && err == nil {
		d.wrote(address)
	}
	return errors.Join(err, context.Cause(ctx))
}
