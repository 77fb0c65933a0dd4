package oip

// The most of everything that has a price in memory, far beyond what requests have: a
// megabyte of "{},{}," would be a hundred when it is decoded.
const (
	maxDepth    = 32   // of nesting
	maxMembers  = 4096 // of all objects together
	maxElements = 4096 // of the arrays of inputs and outputs
)

// bounded refuses JSON that would take much more memory decoded than it has bytes,
// whether it is right or not. What it lets through takes four times its size at most:
// numbers of two characters as 64 bits.
func bounded(text []byte) error {
	depth, members, elements := 0, 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				return refuse("its JSON is nested deeper than %d", maxDepth)
			}
		case '}', ']':
			depth--
		case ':':
			if members++; members > maxMembers {
				return refuse("its JSON has more than %d members", maxMembers)
			}
		case ',':
			if depth != 2 { // the request is 1, its lists 2
				continue
			}
			if elements++; elements > maxElements {
				return refuse("its JSON has more than %d inputs and outputs", maxElements)
			}
		}
	}
	return nil
}
