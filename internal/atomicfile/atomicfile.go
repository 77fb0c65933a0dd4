// Package atomicfile writes files that are either old or new, never half.
//
// A calibration that took an hour, or a network that took a night, must survive
// a power cut in the very moment it is saved. Writing in place does not: the
// file is truncated first and filled later. [Write] therefore goes the long way
// round:
//
//  1. write everything into a temporary file in the same directory (rename is
//     atomic only within one file system),
//  2. sync the temporary file, so that its bytes are on the disk before its name is,
//  3. rename it over the target, which readers see as one step,
//  4. sync the directory, so that the new name survives a power cut too.
//
// A process that is killed between 1 and 3 leaves its temporary file behind;
// [RemoveLeftovers] clears those away.
package atomicfile

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Temporary files are named prefix + 16 hex digits. The fixed length lets
// RemoveLeftovers tell them from anything a user might have put there.
const (
	prefix     = ".opu-partial-"
	randomSize = 8
)

// Write calls write with a buffered writer and, if that succeeds, makes what
// was written the content of the file at path in one step. On any error the
// file at path is what it was before, and the temporary file is removed.
//
// A new file gets mode 0644 less the process's umask; an existing one keeps its
// permission bits. A symbolic link is followed, so the link stays. Anything but
// a regular file (a device, a pipe, a directory) is refused, because the rename
// would replace it.
//
// Concurrent calls for the same path are safe: one of them wins as a whole.
func Write(path string, write func(w io.Writer) error) error {
	if err := replace(path, write); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

func replace(path string, write func(w io.Writer) error) (err error) {
	info, err := os.Stat(path)
	exists := err == nil
	switch {
	case exists && !info.Mode().IsRegular():
		return fmt.Errorf("it is not a regular file (%v); choose another name", info.Mode().Type())
	case exists:
		if path, err = filepath.EvalSymlinks(path); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}

	dir := filepath.Dir(path)
	f, err := os.OpenFile(filepath.Join(dir, temporaryName()), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	// Deferred and not only on the error paths: write may panic.
	renamed := false
	defer func() {
		if !renamed {
			f.Close()
			os.Remove(f.Name())
		}
	}()

	if exists {
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
	}
	buf := bufio.NewWriterSize(f, 1<<16)
	if err := write(buf); err != nil {
		return err
	}
	if err := buf.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	renamed = true
	return syncDir(dir)
}

func temporaryName() string {
	var random [randomSize]byte
	rand.Read(random[:]) // never fails, see crypto/rand
	return prefix + hex.EncodeToString(random[:])
}

func isTemporaryName(name string) bool {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok || len(digits) != hex.EncodedLen(randomSize) {
		return false
	}
	_, err := hex.DecodeString(digits)
	return err == nil
}

// syncDir makes a rename inside dir durable. Some file systems (network and
// FUSE mounts among them) have no such operation and answer EINVAL or ENOTSUP;
// the rename is then as durable as that file system makes it.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// RemoveLeftovers removes the temporary files that killed processes left in
// dir, and returns how many it removed. Only files last written more than age
// ago are touched: a process that shares dir with others passes the longest
// time a write may take, one that owns dir alone passes 0. A directory that
// does not exist has no leftovers.
func RemoveLeftovers(dir string, age time.Duration) (int, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("cannot look for leftover files in %s: %w", dir, err)
	}
	removed := 0
	for _, entry := range entries {
		if !isTemporaryName(entry.Name()) || !entry.Type().IsRegular() {
			continue
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // its writer finished meanwhile
		}
		if err != nil {
			return removed, fmt.Errorf("cannot look for leftover files in %s: %w", dir, err)
		}
		if time.Since(info.ModTime()) < age {
			continue
		}
		if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return removed, fmt.Errorf("cannot remove a leftover file: %w", err)
		}
		removed++
	}
	return removed, nil
}
