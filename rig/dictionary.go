package rig

import (
	"context"
	"fmt"

	"github.com/light-in-the-loop/opu/slm"
)

// dictionary knows which patterns are on the device, and in which slots, so that
// none is uploaded twice. When the slots are full, the pattern that was used
// least recently goes first.
type dictionary struct {
	slots  []slot
	byHash map[uint64]int // slot of a pattern's hash
	now    uint64         // counts requests
	used   int            // slots ever used
}

type slot struct {
	pattern *slm.Pattern // nil: unknown content
	hash    uint64
	lastUse uint64
}

func newDictionary(info slm.Info) *dictionary {
	return &dictionary{slots: make([]slot, info.Capacity), byHash: map[uint64]int{}}
}

// place finds or makes a slot for each pattern of a run and uploads what is
// missing. The patterns of one run must fit the device together. It appends the
// slots to order and returns how many patterns were sent.
func (d *dictionary) place(ctx context.Context, dev slm.Device, order []int, patterns []*slm.Pattern) ([]int, int, error) {
	d.now++
	var slots []int
	var missing []*slm.Pattern
	for _, p := range patterns {
		hash := p.Hash()
		i, known := d.byHash[hash]
		if !known || !d.slots[i].pattern.Equal(p) {
			i = d.free()
			if i < 0 {
				d.forget(slots)
				return nil, 0, fmt.Errorf("cannot keep %d patterns on %s: it has %d slots", len(patterns), dev.Info().Model, len(d.slots))
			}
			if old := &d.slots[i]; old.pattern != nil && d.byHash[old.hash] == i {
				delete(d.byHash, old.hash)
			}
			d.slots[i] = slot{pattern: p.Clone(), hash: hash}
			d.byHash[hash] = i
			slots, missing = append(slots, i), append(missing, d.slots[i].pattern)
		}
		d.slots[i].lastUse = d.now
		order = append(order, i)
	}
	if len(slots) > 0 {
		if err := dev.Load(ctx, slots, missing); err != nil {
			d.forget(slots)
			return nil, 0, err
		}
	}
	return order, len(slots), nil
}

// free is a slot that the present run does not use, or -1.
func (d *dictionary) free() int {
	if d.used < len(d.slots) {
		d.used++
		return d.used - 1
	}
	oldest := 0
	for i := range d.slots {
		if d.slots[i].lastUse < d.slots[oldest].lastUse {
			oldest = i
		}
	}
	if d.slots[oldest].lastUse == d.now {
		return -1
	}
	return oldest
}

// forget says that the slots may hold anything.
func (d *dictionary) forget(slots []int) {
	for _, i := range slots {
		if d.byHash[d.slots[i].hash] == i {
			delete(d.byHash, d.slots[i].hash)
		}
		d.slots[i] = slot{}
	}
}
