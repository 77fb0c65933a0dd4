package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"

	"github.com/light-in-the-loop/opu/lab/plan"
)

// archive writes files as the kernel unpacks them at its start: the format "newc" of cpio
// (kernel documentation, "initramfs buffer format"). Paths are absolute. What is written
// twice counts once.
type archive struct {
	w     *bufio.Writer
	at    int64
	inode int
	have  map[string]bool
	err   error // the first
}

func newArchive(w io.Writer) *archive {
	return &archive{w: bufio.NewWriter(w), have: map[string]bool{"/": true, ".": true}}
}

// Modes of files, as in stat(2).
const (
	isDir  = 0o040000
	isFile = 0o100000
	isLink = 0o120000
)

func (a *archive) entry(name string, mode int, content []byte) {
	if a.have[name] {
		return
	}
	a.have[name] = true
	a.folder(path.Dir(name))
	a.record(name[1:], mode, content)
}

// folder makes a folder, and those above it.
func (a *archive) folder(name string) { a.entry(name, isDir|0o755, nil) }

func (a *archive) file(name string, mode int, content []byte) { a.entry(name, isFile|mode, content) }

func (a *archive) link(name, target string) { a.entry(name, isLink|0o777, []byte(target)) }

func (a *archive) record(name string, mode int, content []byte) {
	a.inode++
	// magic, inode, mode, uid, gid, links, mtime, size, device, device of a node, length of the
	// name with its NUL, checksum
	a.write(fmt.Appendf(nil, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0))
	a.write([]byte(name + "\x00"))
	a.pad()
	a.write(content)
	a.pad()
}

func (a *archive) write(b []byte) {
	if a.err == nil {
		_, a.err = a.w.Write(b)
	}
	a.at += int64(len(b))
}

// pad fills up to a multiple of four bytes.
func (a *archive) pad() { a.write(make([]byte, -a.at&3)) }

// finish writes the plan and ends the archive.
func (a *archive) finish(p plan.Plan) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	a.file("/"+plan.Path, 0o644, text)
	a.record("TRAILER!!!", 0, nil)
	if a.err == nil {
		a.err = a.w.Flush()
	}
	if a.err != nil {
		return fmt.Errorf("cannot write the initramfs: %w", a.err)
	}
	return nil
}

// library is how ldd tells where it found one: "libc.so.6 => /lib/.../libc.so.6 (0x...)", or
// without an arrow for the loader itself.
var library = regexp.MustCompile(`(?m)^\s*(?:\S+ => )?(/\S+) \(0x`)

// program adds a file and, if it is a program that needs them, its shared libraries.
func (a *archive) program(ctx context.Context, from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("cannot put a file into the lab: %w", err)
	}
	info, err := os.Stat(from)
	if err != nil {
		return fmt.Errorf("cannot put a file into the lab: %w", err)
	}
	a.file(to, int(info.Mode().Perm()), content)
	libraries, _ := exec.CommandContext(ctx, "ldd", from).Output() // fails for what is no program, or static
	for _, m := range library.FindAllSubmatch(libraries, -1) {
		name := string(m[1])
		content, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("cannot put a library of %s into the lab: %w", from, err)
		}
		a.file(name, 0o755, content)
	}
	return nil
}
