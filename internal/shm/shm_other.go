//go:build !linux

package shm

import "fmt"

// Object is a part of the memory of a key. There is none on this system.
type Object struct{}

func no() error {
	return fmt.Errorf("cannot use shared memory: this server knows only that of Linux: %w", ErrSystem)
}

// Open fails with ErrSystem.
func Open(key string, offset, size int64, rule Rule) (*Object, error) {
	if _, err := rule.name(key); err != nil {
		return nil, err
	}
	return nil, no()
}

// Close does nothing.
func (o *Object) Close() error { return nil }

// Size is 0.
func (o *Object) Size() int64 { return 0 }

// ReadAt fails with ErrSystem.
func (o *Object) ReadAt(p []byte, offset int64) error { return no() }

// WriteAt fails with ErrSystem.
func (o *Object) WriteAt(p []byte, offset int64) error { return no() }
