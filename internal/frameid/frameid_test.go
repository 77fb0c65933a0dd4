package frameid

import (
	"slices"
	"testing"
)

func TestNumbering(t *testing.T) {
	for _, c := range []struct {
		name string
		kind Kind
		runs [][]uint64 // ids
		want [][]uint64
	}{
		{"GigE Vision", GigEVision, [][]uint64{{1, 2, 4}, {2, 3}}, [][]uint64{{0, 1, 3}, {1, 2}}},
		{"GigE Vision, 16 bits are full", GigEVision, [][]uint64{{65534, 65535, 1, 3}}, [][]uint64{{0, 1, 2, 4}}},
		{"GigE Vision, lost where 16 bits are full", GigEVision, [][]uint64{{65534, 1}}, [][]uint64{{0, 2}}},
		{"GigE Vision with 64 bits", GigEVision, [][]uint64{{1 << 40, 1<<40 + 2}}, [][]uint64{{0, 2}}},
		{"USB3 Vision", USB3Vision, [][]uint64{{0, 1, 3}, {2}}, [][]uint64{{0, 1, 3}, {2}}},
		{"begins at 7", Unknown, [][]uint64{{7, 8}, {7, 9}, {8}}, [][]uint64{{0, 1}, {0, 2}, {1}}},
		{"goes on", Unknown, [][]uint64{{100, 101}, {102, 104}, {106}}, [][]uint64{{0, 1}, {0, 2}, {1}}},
		{"goes on, though it should not", GigEVision, [][]uint64{{1, 2, 3}, {4, 5}, {7}}, [][]uint64{{0, 1, 2}, {0, 1}, {1}}},
		{"begins again, and loses what would go on", GigEVision, [][]uint64{{1, 2}, {1}, {2, 3}}, [][]uint64{{0, 1}, {0}, {1, 2}}},
		{"goes on, and then begins again", Unknown, [][]uint64{{3}, {4}, {1}, {1}, {2}}, [][]uint64{{0}, {0}, {0}, {0}, {1}}},
		{"begins at 1, though it should at 0", USB3Vision, [][]uint64{{1, 2}, {1, 2}, {2}}, [][]uint64{{1, 2}, {0, 1}, {1}}},
		{"leaps", Unknown, [][]uint64{{5, 5000, 5001}}, [][]uint64{{0, 1, 2}}},
		{"goes back", USB3Vision, [][]uint64{{5, 3}}, [][]uint64{{5, 6}}},
		{"does not count", Unknown, [][]uint64{{0, 0, 0}}, [][]uint64{{0, 1, 2}}},
	} {
		n := New(c.kind)
		for i, ids := range c.runs {
			n.Run(10)
			var got []uint64
			for _, id := range ids {
				got = append(got, n.Number(id))
			}
			if !slices.Equal(got, c.want[i]) {
				t.Errorf("%s: run %d with ids %d has frames %d, want %d", c.name, i, ids, got, c.want[i])
			}
		}
	}
}

func TestFrames(t *testing.T) {
	n := New(USB3Vision)
	n.Run(5)
	if n.Number(0) != 0 || n.Number(2) != 2 || n.Next() != 3 || n.Frames() != 4 {
		t.Errorf("%d frames", n.Frames())
	}
	n.Run(1)
	if n.Frames() != 0 {
		t.Errorf("a new run has %d frames", n.Frames())
	}
}
