// Package shm reads and writes POSIX shared memory that other processes have made, at
// the request of their users, with the rights of neither more nor less than those.
//
//	o, err := shm.Open("/opu-1", 4096, 8<<20, shm.Rule{Prefix: "opu-", UID: 1000, GID: -1})
//	err = o.ReadAt(x, 0)
//
// It never maps the memory: whoever made it may cut it short at any time, which is a
// short read here and would be a fault there. A key is one name below the system's
// folder of shared memory; links are not followed. Errors do not repeat what the file
// system said, since that would tell callers about files that are not theirs.
package shm

import (
	"errors"
	"fmt"
	"strings"
)

// The conditions that callers act on.
var (
	ErrKey    = errors.New("bad key")                     // it is no name, or not one that may be used
	ErrRange  = errors.New("outside of the memory")       // offset and size, or the memory has been cut short
	ErrAccess = errors.New("no access to the memory")     // it is not there, or belongs to others
	ErrSystem = errors.New("no shared memory")            // on this system
	ErrClosed = errors.New("the memory is closed")        // by Close
	ErrFull   = errors.New("the system's memory is full") // pages that were never touched are made when they are written
)

// Rule says which memory may be used.
type Rule struct {
	Prefix string // of keys; not empty
	UID    int    // owner that it must have; -1: none will do
	GID    int    // or group, which must be able to read and write it; -1: none will do
}

// longestKey is that of a file's name.
const longestKey = 255

// name checks a key and returns the file's name. Some libraries put a slash before it.
func (r Rule) name(key string) (string, error) {
	name := strings.TrimLeft(key, "/")
	if name == "" || name == "." || name == ".." || len(name) > longestKey || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("cannot open shared memory %.64q: a key is one name without slashes: %w", key, ErrKey)
	}
	if r.Prefix == "" || !strings.HasPrefix(name, r.Prefix) {
		return "", fmt.Errorf("cannot open shared memory %.64q: its name must begin with %q: %w", key, r.Prefix, ErrKey)
	}
	return name, nil
}

// within says whether a part lies in so many bytes.
func within(offset, size, of int64) bool {
	return offset >= 0 && size >= 0 && offset <= of && size <= of-offset
}
