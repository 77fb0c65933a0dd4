package gentl

import (
	"slices"
	"testing"
)

func TestNumbering(t *testing.T) {
	for _, c := range []struct {
		name string
		kind string
		runs [][]uint64 // ids
		want [][]uint64
	}{
		{"GigE Vision", "GEV", [][]uint64{{1, 2, 4}, {2, 3}}, [][]uint64{{0, 1, 3}, {1, 2}}},
		{"GigE Vision, 16 bits are full", "GEV", [][]uint64{{65534, 65535, 1, 3}}, [][]uint64{{0, 1, 2, 4}}},
		{"GigE Vision, lost where 16 bits are full", "GEV", [][]uint64{{65534, 1}}, [][]uint64{{0, 2}}},
		{"GigE Vision with 64 bits", "GEV", [][]uint64{{1 << 40, 1<<40 + 2}}, [][]uint64{{0, 2}}},
		{"USB3 Vision", "U3V", [][]uint64{{0, 1, 3}, {2}}, [][]uint64{{0, 1, 3}, {2}}},
		{"begins at 7", "CXP", [][]uint64{{7, 8}, {7, 9}, {8}}, [][]uint64{{0, 1}, {0, 2}, {1}}},
		{"goes on", "CXP", [][]uint64{{100, 101}, {102, 104}, {106}}, [][]uint64{{0, 1}, {0, 2}, {1}}},
		{"goes on, though it should not", "GEV", [][]uint64{{1, 2, 3}, {4, 5}, {7}}, [][]uint64{{0, 1, 2}, {0, 1}, {1}}},
		{"begins again, and loses what would go on", "GEV", [][]uint64{{1, 2}, {1}, {2, 3}}, [][]uint64{{0, 1}, {0}, {1, 2}}},
		{"goes on, and then begins again", "CXP", [][]uint64{{3}, {4}, {1}, {1}, {2}}, [][]uint64{{0}, {0}, {0}, {0}, {1}}},
		{"leaps", "CXP", [][]uint64{{5, 5000, 5001}}, [][]uint64{{0, 1, 2}}},
		{"goes back", "U3V", [][]uint64{{5, 3}}, [][]uint64{{5, 6}}},
		{"does not count", "CXP", [][]uint64{{0, 0, 0}}, [][]uint64{{0, 1, 2}}},
	} {
		n := newNumbering(c.kind)
		for i, ids := range c.runs {
			n.run(10)
			var got []uint64
			for _, id := range ids {
				got = append(got, n.number(id))
			}
			if !slices.Equal(got, c.want[i]) {
				t.Errorf("%s: run %d with ids %d has frames %d, want %d", c.name, i, ids, got, c.want[i])
			}
		}
	}
}
