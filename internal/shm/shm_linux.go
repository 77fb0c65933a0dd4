package shm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// folder is where the system keeps shared memory.
var folder = "/dev/shm"

// Object is a part of the memory of a key. Its methods may be called from any
// goroutine.
type Object struct {
	key          string
	file         *os.File
	offset, size int64
}

// Open opens size bytes of the memory of a key, from the offset on, for reading and
// writing.
func Open(key string, offset, size int64, rule Rule) (*Object, error) {
	name, err := rule.name(key)
	if err != nil {
		return nil, err
	}
	no := func(format string, args ...any) error {
		return fmt.Errorf("cannot open shared memory %.64q: "+format, append([]any{key}, args...)...)
	}
	// Without O_NONBLOCK opening a pipe would wait for its other end.
	f, err := os.OpenFile(filepath.Join(folder, name), os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, no("it is not there, or this server may not read and write it; let its group do so (chgrp, chmod 0660): %w", ErrAccess)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	if err != nil {
		return nil, no("%w", ErrAccess)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	group := ok && rule.GID >= 0 && int(stat.Gid) == rule.GID && info.Mode().Perm()&0o060 == 0o060
	switch owner := ok && rule.UID >= 0 && int(stat.Uid) == rule.UID; {
	case !info.Mode().IsRegular():
		err = no("it is no memory but something else: %w", ErrAccess)
	case !owner && !group:
		err = no("it is not yours; it must belong to the user who asks, or to the group of the device with mode 0660: %w", ErrAccess)
	case !within(offset, size, info.Size()):
		err = no("%d bytes from %d on are not within its %d: %w", size, offset, info.Size(), ErrRange)
	}
	if err != nil {
		return nil, err
	}
	return &Object{key, f, offset, size}, nil
}

// Close closes the object. What is being read or written is finished; later calls fail
// with ErrClosed.
func (o *Object) Close() error { return o.file.Close() }

// Size is the bytes of the object.
func (o *Object) Size() int64 { return o.size }

// ReadAt fills p with what is there from the offset on.
func (o *Object) ReadAt(p []byte, offset int64) error {
	if !within(offset, int64(len(p)), o.size) {
		return o.outside(offset, len(p))
	}
	_, err := o.file.ReadAt(p, o.offset+offset)
	return o.failed("read", err)
}

// WriteAt writes p from the offset on.
func (o *Object) WriteAt(p []byte, offset int64) error {
	if !within(offset, int64(len(p)), o.size) {
		return o.outside(offset, len(p))
	}
	// Writing past the end would make it longer, and its owner none the wiser.
	info, err := o.file.Stat()
	if err == nil && !within(o.offset+offset, int64(len(p)), info.Size()) {
		err = io.EOF
	}
	if err == nil {
		_, err = o.file.WriteAt(p, o.offset+offset)
	}
	return o.failed("write", err)
}

func (o *Object) outside(offset int64, size int) error {
	return fmt.Errorf("cannot use %d bytes from %d on of shared memory %.64q: %d are registered: %w", size, offset, o.key, o.size, ErrRange)
}

func (o *Object) failed(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrClosed):
		return fmt.Errorf("cannot %s shared memory %.64q: it has been unregistered: %w", what, o.key, ErrClosed)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("cannot %s shared memory %.64q: it has been cut short: %w", what, o.key, ErrRange)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("cannot %s shared memory %.64q: %w", what, o.key, ErrFull)
	}
	return fmt.Errorf("cannot %s shared memory %.64q: %w", what, o.key, ErrAccess)
}
