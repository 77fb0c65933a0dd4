package slm

import "fmt"

// CheckTernary says whether all entries are -1, 0 or 1, and names the first that
// is not. The error wraps ErrInput.
func CheckTernary(x []int8) error {
	for i, v := range x {
		if uint8(v+1) > 2 {
			return fmt.Errorf("cannot use entry %d of the vector: %d is not -1, 0 or 1: %w", i, v, ErrInput)
		}
	}
	return nil
}

// CountTernary counts the features that each of the two patterns of a vector
// lights. A pattern with none is dark and needs no exposure. The entries must be
// ternary (CheckTernary).
func CountTernary(x []int8) (plus, minus int) {
	for _, v := range x { // without branches: signs are as good as random
		minus += int(uint8(v) >> 7)
		plus += int(v&1) - int(uint8(v)>>7)
	}
	return plus, minus
}
