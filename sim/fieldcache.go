package sim

import (
	"container/list"

	"github.com/light-in-the-loop/opu/slm"
)

// fieldCache keeps the fields of the patterns used last. It stores light before
// the camera: every exposure of a cached field is still a new frame with its own
// phase, power and noise.
type fieldCache struct {
	limit   int
	entries map[uint64]*list.Element
	recent  *list.List // front = used last
}

type fieldEntry struct {
	hash    uint64
	pattern *slm.Pattern
	field   []complex64
}

func newFieldCache(limit int) fieldCache {
	return fieldCache{limit: limit, entries: map[uint64]*list.Element{}, recent: list.New()}
}

func (c *fieldCache) get(p *slm.Pattern) []complex64 {
	e := c.entries[p.Hash()]
	if e == nil || !e.Value.(*fieldEntry).pattern.Equal(p) {
		return nil
	}
	c.recent.MoveToFront(e)
	return e.Value.(*fieldEntry).field
}

func (c *fieldCache) put(p *slm.Pattern, field []complex64) {
	hash := p.Hash()
	if e := c.entries[hash]; e != nil { // another pattern with the same hash
		c.recent.Remove(e)
	} else if c.recent.Len() == c.limit {
		oldest := c.recent.Remove(c.recent.Back()).(*fieldEntry)
		delete(c.entries, oldest.hash)
	}
	c.entries[hash] = c.recent.PushFront(&fieldEntry{hash, p.Clone(), field})
}
